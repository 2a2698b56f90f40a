/* SPDX-License-Identifier: MIT */
/*
 * Received buffers, in place: the arrays that a message brought live in the arena, in the message's
 * own block, which is free again when the last of them is gone.
 *
 * A Block is one buffer of a message. The first one owns the message; the others hold the first. It
 * exports its bytes, writable, and can itself be sent on, out of band again.
 *
 * Fork: a child shares what its parent had received. See hold.c for how it keeps it.
 */
#include <unistd.h>

#include "messages.h"

struct block {
	PyObject_HEAD
	PyObject *first; /* NULL: this is it */
	tutti_message message; /* of the first */
	pid_t process; /* that received it: a forked child does not give back what is its parent's */
	unsigned char *data;
	Py_ssize_t size;
};

static int block_get_buffer(PyObject *object, Py_buffer *view, int flags)
{
	struct block *block = (struct block *)object;
	return PyBuffer_FillInfo(view, object, block->data, block->size, 0, flags);
}

static void block_dealloc(PyObject *object)
{
	struct block *block = (struct block *)object;
	PyTypeObject *type = Py_TYPE(object);
	if (!block->first && block->process == getpid())
		tutti_message_release(&block->message);
	Py_XDECREF(block->first);
	type->tp_free(object);
	Py_DECREF(type);
}

static Py_ssize_t block_length(PyObject *object) { return ((struct block *)object)->size; }

/* As a bytearray does it: out of band from protocol 5 on, else by copy. Arrives as a Block or as a bytearray. */
static PyObject *block_reduce(PyObject *object, PyObject *protocol)
{
	long number = PyLong_AsLong(protocol);
	if (number == -1 && PyErr_Occurred())
		return NULL;
	PyObject *value = number >= 5 ? PyPickleBuffer_FromObject(object) : PyBytes_FromObject(object);
	PyObject *result = value ? Py_BuildValue("(O(O))", number >= 5 ? (PyObject *)&PyMemoryView_Type
	                                                                : (PyObject *)&PyByteArray_Type,
	                                         value)
	                         : NULL;
	Py_XDECREF(value);
	return result;
}

static PyMethodDef block_methods[] = {
	{"__reduce_ex__", block_reduce, METH_O, "Sends the bytes on, out of band if they are many."},
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
	messages->block_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &block_spec, NULL);
	return messages->block_type ? 0 : -1;
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

static PyObject *block_make(struct messages *messages, const tutti_message *message, size_t number, PyObject *first)
{
	const struct buffers_entry *entry = &((const struct buffers_head *)message->view.data)->entries[number];
	struct block *block = (struct block *)PyType_GenericAlloc(messages->block_type, 0);
	if (!block)
		return NULL;
	block->data = (unsigned char *)(uintptr_t)message->view.data + entry->offset;
	block->size = (Py_ssize_t)entry->size;
	block->first = first ? Py_NewRef(first) : NULL;
	block->process = getpid();
	return (PyObject *)block;
}

/* The message's blocks; the first of them owns it from then on. */
static PyObject *make_blocks(struct messages *messages, tutti_message *message)
{
	size_t count = (size_t)((const struct buffers_head *)message->view.data)->count;
	PyObject *first = NULL, *blocks = PyTuple_New((Py_ssize_t)count);
	for (size_t i = 0; blocks && i < count; i++) {
		PyObject *block = block_make(messages, message, i, first);
		if (block)
			PyTuple_SET_ITEM(blocks, (Py_ssize_t)i, block);
		else
			Py_CLEAR(blocks);
		first = first ? first : block;
	}
	if (blocks) {
		((struct block *)first)->message = *message;
		*message = (tutti_message){0};
	}
	return blocks;
}

PyObject *block_decode(struct messages *messages, tutti_message *message)
{
	const struct buffers_head *head = message->view.data;
	PyObject *result = NULL, *blocks = NULL;
	if (head_is_valid(message))
		blocks = make_blocks(messages, message);
	else
		PyErr_SetString(PyExc_ValueError, "a received message is damaged: its buffers lie outside. It was dropped.");
	if (blocks)
		result = pickle_decode(messages, (const char *)head + head->pickle_offset, head->pickle_size, blocks);
	Py_XDECREF(blocks);
	tutti_message_release(message);
	return result;
}
