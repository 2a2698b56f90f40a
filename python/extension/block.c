/* SPDX-License-Identifier: MIT */
/*
 * Received buffers, in place: the arrays that a message brought live in the arena, in the message's
 * own block, which is free again when the last of them is gone.
 *
 * A Block is one buffer of a message. The first one owns the message's bytes, as a shared block of the
 * core, so that a forked child holds what it inherits (fork.c); the others hold the first. A Block
 * exports its bytes, writable, and can itself be sent on, out of band again.
 */
#include "messages.h"
#include "shared.h"

struct block {
	struct py_shared shared; /* its object: a tutti_block; NULL if it is not the first, or the memory is private */
	PyObject *first; /* NULL: this is it */
	void *private_memory; /* in place of a tutti_block, when the arena has no room for one */
	unsigned char *data;
	Py_ssize_t size;
};

PY_KIND_FUNCTIONS(block)

static const struct py_kind kind = {.handle = handle_of_block, .open = open_block, .close = close_block};

static int block_get_buffer(PyObject *object, Py_buffer *view, int flags)
{
	struct block *block = (struct block *)object;
	return PyBuffer_FillInfo(view, object, block->data, block->size, 0, flags);
}

static void block_dealloc(PyObject *object)
{
	struct block *block = (struct block *)object;
	PyObject *first = block->first;
	free(block->private_memory);
	py_shared_dealloc(object);
	Py_XDECREF(first);
}

static Py_ssize_t block_length(PyObject *object) { return ((struct block *)object)->size; }

/* As a bytearray does it: out of band from protocol 5 on, else by copy. Arrives as a Block or as a bytearray. */
static PyObject *block_reduce(PyObject *object, PyObject *protocol)
{
	long number = PyLong_AsLong(protocol);
	if (number == -1 && PyErr_Occurred())
		return NULL;
	PyObject *value = number >= 5 ? PyPickleBuffer_FromObject(object) : PyBytes_FromObject(object);
	PyObject *result =
		value ? Py_BuildValue("(O(O))", number >= 5 ? (PyObject *)&PyMemoryView_Type : (PyObject *)&PyByteArray_Type,
	                          value)
			  : NULL;
	Py_XDECREF(value);
	return result;
}

static PyMethodDef block_methods[] = {
	{"__reduce_ex__", block_reduce, METH_O,
     "__reduce_ex__($self, protocol, /)\n--\n\nSends the bytes on, out of band if they are many."},
	{0},
};

static PyType_Slot block_slots[] = {
	{Py_tp_doc, "Bytes that were received and live in the arena, until the last view of them is gone."},
	{Py_tp_methods, block_methods},
	{Py_tp_dealloc, block_dealloc},
	{Py_bf_getbuffer, block_get_buffer},
	{Py_sq_length, block_length},
	{0},
};

static PyType_Spec block_spec = {
	.name = "tutti._tutti.Block",
	.basicsize = sizeof(struct block),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = block_slots,
};

int block_init(struct messages *messages, PyObject *module)
{
	return py_add_kind(module, (PyObject **)&messages->block_type, &block_spec);
}

/* Not negative, not wrapping, within the message. */
static bool lies_within(const tutti_message *message, uint64_t offset, uint64_t size)
{
	return offset <= message->view.size && size <= message->view.size - offset;
}

static bool head_is_valid(const tutti_message *message)
{
	const struct buffers_head *head = message->view.data;
	size_t room = message->view.size;
	if (room < sizeof *head || head->count == 0 || head->count > (room - sizeof *head) / sizeof head->entries[0] ||
	    !lies_within(message, head->pickle_offset, head->pickle_size))
		return false;
	for (uint64_t i = 0; i < head->count; i++)
		if (!lies_within(message, head->entries[i].offset, head->entries[i].size))
			return false;
	return true;
}

static PyObject *block_make(struct messages *messages, tutti_view bytes, size_t number, PyObject *first)
{
	const struct buffers_entry *entry = &((const struct buffers_head *)bytes.data)->entries[number];
	struct block *block = (struct block *)py_shared_new(messages->block_type, &kind);
	if (!block)
		return NULL;
	block->data = (unsigned char *)(uintptr_t)bytes.data + entry->offset;
	block->size = (Py_ssize_t)entry->size;
	block->first = first ? Py_NewRef(first) : NULL;
	return (PyObject *)block;
}

/* The bytes outlive the message: as a block of the arena; or, if that is too full for one, as private memory. */
static int keep_bytes(tutti_message *message, tutti_block **block, void **memory)
{
	*memory = NULL;
	if (tutti_block_adopt(block, message) == TUTTI_OK)
		return 0;
	*block = NULL;
	*memory = aligned_alloc(64, (message->view.size + 63) / 64 * 64);
	if (!*memory) {
		PyErr_NoMemory();
		return -1;
	}
	copy_bytes(*memory, message->view.data, message->view.size);
	message->view.data = *memory; /* what was there is released with the message all the same */
	return 0;
}

/* The message's blocks; the first of them owns the bytes. */
static PyObject *make_blocks(struct messages *messages, tutti_view bytes, tutti_block *shared, void *memory)
{
	size_t count = (size_t)((const struct buffers_head *)bytes.data)->count;
	PyObject *first = NULL, *blocks = PyTuple_New((Py_ssize_t)count);
	for (size_t i = 0; blocks && i < count; i++) {
		PyObject *block = block_make(messages, bytes, i, first);
		if (block)
			PyTuple_SET_ITEM(blocks, (Py_ssize_t)i, block);
		else
			Py_CLEAR(blocks);
		first = first ? first : block;
	}
	if (!blocks) {
		tutti_block_close(shared);
		free(memory);
		return NULL;
	}
	((struct block *)first)->private_memory = memory;
	if (shared)
		py_shared_set(first, shared);
	return blocks;
}

/* With the head looked at. */
static PyObject *decode_in_place(struct messages *messages, tutti_message *message)
{
	tutti_block *shared;
	void *memory, *received = (void *)(uintptr_t)message->view.data;
	if (keep_bytes(message, &shared, &memory) < 0)
		return NULL;
	tutti_view bytes = message->view;
	message->view.data = received;
	const struct buffers_head *head = bytes.data;
	PyObject *blocks = make_blocks(messages, bytes, shared, memory), *result = NULL;
	if (blocks)
		result = pickle_decode(messages, (const char *)head + head->pickle_offset, head->pickle_size, blocks);
	Py_XDECREF(blocks);
	return result;
}

PyObject *block_decode(struct messages *messages, tutti_message *message)
{
	PyObject *result = NULL;
	if (head_is_valid(message))
		result = decode_in_place(messages, message);
	else
		PyErr_SetString(PyExc_ValueError, "a received message is damaged: its buffers lie outside. It was dropped.");
	tutti_message_release(message);
	return result;
}
