/* SPDX-License-Identifier: MIT */
/*
 * Pickling with C picklers that are used again and again.
 *
 * Making a pickler costs more than a small pickle, so those that are free wait in a short list. One
 * that is in use is in no list: a put inside __reduce__, or in another thread, takes another one, and
 * a forked child finds only picklers that nobody was using. After an error, and after a large message
 * (whose memo stays large for ever and is cleared each time), a pickler is dropped.
 *
 * Reducers come from multiprocessing.reduction.ForkingPickler's registry and then copyreg's, looked up
 * when they are needed, so that a late registration or replacement counts (reducers_subscript).
 *
 * Buffers: the first pass is of protocol 5 and offers the sink each buffer. Large ones stay out; the
 * message is then of protocol 5 as a whole. If only small ones were offered, a second pass makes it one
 * of the default protocol, so that what arrives owns its data as it does without Tutti.
 */
#include "sink.h"

enum { DROP_AFTER_BYTES = 64 * 1024 };

/* ---- the registry, looked up live ---- */

struct reducers {
	PyObject_HEAD PyObject *reduction, *dispatch_table; /* owned */
};

/* The class as it is now; a new reference. */
static PyObject *current_forking_pickler(struct messages *messages)
{
	return PyObject_GetAttr(messages->reduction, messages->forking_pickler_name);
}

static PyObject *reducers_subscript(PyObject *object, PyObject *type)
{
	struct reducers *reducers = (struct reducers *)object;
	PyObject *class = PyObject_GetAttrString(reducers->reduction, "ForkingPickler");
	PyObject *extra = class ? PyObject_GetAttrString(class, "_extra_reducers") : NULL;
	PyObject *found = extra ? PyObject_GetItem(extra, type) : NULL;
	Py_XDECREF(class);
	Py_XDECREF(extra);
	if (found || !PyErr_ExceptionMatches(PyExc_KeyError))
		return found;
	PyErr_Clear();
	return PyObject_GetItem(reducers->dispatch_table, type);
}

static int reducers_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct reducers *reducers = (struct reducers *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(reducers->reduction);
	Py_VISIT(reducers->dispatch_table);
	return 0;
}

static void reducers_dealloc(PyObject *object)
{
	struct reducers *reducers = (struct reducers *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject_GC_UnTrack(object);
	Py_CLEAR(reducers->reduction);
	Py_CLEAR(reducers->dispatch_table);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyType_Slot reducers_slots[] = {
	{Py_mp_subscript, reducers_subscript},
	{Py_tp_traverse, reducers_traverse},
	{Py_tp_dealloc, reducers_dealloc},
	{0},
};

static PyType_Spec reducers_spec = {
	.name = "tutti._tutti._Reducers",
	.basicsize = sizeof(struct reducers),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = reducers_slots,
};

static PyObject *make_reducers(struct messages *messages)
{
	struct reducers *reducers = (struct reducers *)PyType_GenericAlloc(messages->reducers_type, 0);
	if (!reducers)
		return NULL;
	reducers->reduction = Py_NewRef(messages->reduction);
	reducers->dispatch_table = Py_NewRef(messages->dispatch_table);
	return (PyObject *)reducers;
}

/* ---- picklers ---- */

static void pickler_drop(struct pickler *pickler)
{
	Py_CLEAR(pickler->dump);
	Py_CLEAR(pickler->clear_memo);
	Py_CLEAR(pickler->sink);
}

static PyObject *make_class_instance(struct messages *messages, PyObject *sink, enum pickler_kind kind)
{
	PyObject *offer = kind == WITH_BUFFERS ? PyObject_GetAttrString(sink, "offer") : Py_NewRef(Py_None);
	long protocol = kind == WITH_BUFFERS ? 5 : messages->default_protocol;
	PyObject *pickler =
		offer ? PyObject_CallFunction(messages->pickler_class, "OlOO", sink, protocol, Py_True, offer) : NULL;
	Py_XDECREF(offer);
	if (pickler && PyObject_SetAttrString(pickler, "dispatch_table", messages->reducers) < 0)
		Py_CLEAR(pickler);
	return pickler;
}

static int pickler_make(struct messages *messages, enum pickler_kind kind, struct pickler *pickler)
{
	*pickler = (struct pickler){0};
	pickler->sink = PyType_GenericAlloc(messages->sink_type, 0);
	PyObject *instance = pickler->sink ? make_class_instance(messages, pickler->sink, kind) : NULL;
	if (instance) {
		pickler->dump = PyObject_GetAttrString(instance, "dump");
		pickler->clear_memo = PyObject_GetAttrString(instance, "clear_memo");
		Py_DECREF(instance);
	}
	if (pickler->dump && pickler->clear_memo)
		return 0;
	pickler_drop(pickler);
	return -1;
}

static int pickler_take(struct messages *messages, enum pickler_kind kind, struct pickler *pickler)
{
	struct spare_picklers *spare = &messages->spare[kind];
	if (spare->count == 0)
		return pickler_make(messages, kind, pickler);
	*pickler = spare->items[--spare->count];
	return 0;
}

/* Keeps it for the next message, if it is sound and small. */
static void pickler_give(struct messages *messages, enum pickler_kind kind, struct pickler *pickler, size_t size)
{
	struct spare_picklers *spare = &messages->spare[kind];
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback); /* of a message that could not be finished: it is the caller's */
	sink_clear((struct sink *)pickler->sink);
	PyObject *cleared = size < DROP_AFTER_BYTES ? PyObject_CallNoArgs(pickler->clear_memo) : NULL;
	/* Clearing drops references and may have run foreign code: look at the count only now. */
	if (cleared && spare->count < SPARE_PICKLERS)
		spare->items[spare->count++] = *pickler;
	else
		pickler_drop(pickler);
	if (!cleared)
		PyErr_Clear();
	Py_XDECREF(cleared);
	PyErr_Restore(type, value, traceback);
}

void pickler_clear(struct messages *messages)
{
	for (int kind = 0; kind < PICKLER_KINDS; kind++)
		while (messages->spare[kind].count) {
			struct pickler pickler = messages->spare[kind].items[--messages->spare[kind].count];
			pickler_drop(&pickler);
		}
}

int pickler_traverse(struct messages *messages, visitproc visit, void *arg)
{
	for (int kind = 0; kind < PICKLER_KINDS; kind++)
		for (unsigned i = 0; i < messages->spare[kind].count; i++) {
			Py_VISIT(messages->spare[kind].items[i].sink);
			Py_VISIT(messages->spare[kind].items[i].dump);
			Py_VISIT(messages->spare[kind].items[i].clear_memo);
		}
	return 0;
}

/* ---- messages ---- */

static int allocate_parts(struct outgoing *out, size_t count)
{
	out->parts = count == 1 ? &out->near_part : (out->own_parts = PyMem_New(tutti_view, count));
	if (out->parts)
		return 0;
	PyErr_NoMemory();
	return -1;
}

/* The pieces become the message's; so does what they point to. */
static int add_pieces(struct sink *sink, struct outgoing *out)
{
	for (size_t i = 0; i < sink->pieces.count; i++) {
		PyObject *piece = sink->pieces.items[i];
		if (objects_append(&out->objects, piece) < 0)
			return -1;
		out->parts[out->count] = sink_piece(piece);
		out->size += out->parts[out->count++].size;
	}
	return 0;
}

static int finish_plain(struct sink *sink, struct outgoing *out)
{
	out->encoding = TUTTI_PICKLE;
	if (allocate_parts(out, sink->pieces.count) < 0)
		return -1;
	return add_pieces(sink, out);
}

static const unsigned char padding[64];

static void add_padding(struct outgoing *out)
{
	size_t size = -out->size & 63;
	out->parts[out->count++] = (tutti_view){padding, size};
	out->size += size;
}

/* head, pickle, then each buffer at a multiple of 64. */
static int finish_with_buffers(struct sink *sink, struct outgoing *out)
{
	size_t count = sink->buffers.count;
	size_t head_size = sizeof(struct buffers_head) + count * sizeof(struct buffers_entry);
	struct buffers_head *head = PyMem_Malloc(head_size);
	out->own_bytes = (unsigned char *)head;
	out->encoding = TUTTI_PYTHON_BUFFERS;
	if (!head) {
		PyErr_NoMemory();
		return -1;
	}
	if (allocate_parts(out, 1 + sink->pieces.count + 2 * count) < 0)
		return -1;
	out->parts[out->count++] = (tutti_view){head, head_size};
	out->size = head_size;
	if (add_pieces(sink, out) < 0)
		return -1;
	*head = (struct buffers_head){.count = count, .pickle_offset = head_size, .pickle_size = out->size - head_size};
	for (size_t i = 0; i < count; i++) {
		const Py_buffer *view = PyPickleBuffer_GetBuffer(sink->buffers.items[i]);
		if (!view || objects_append(&out->objects, sink->buffers.items[i]) < 0)
			return -1;
		add_padding(out);
		head->entries[i] = (struct buffers_entry){out->size, (uint64_t)view->len};
		out->parts[out->count++] = (tutti_view){view->buf, (size_t)view->len};
		out->size += (size_t)view->len;
	}
	return 0;
}

/* 1: the message is complete; 0: it is to be made again without buffers; -1. */
static int pickle_pass(struct messages *messages, enum pickler_kind kind, PyObject *object, struct outgoing *out)
{
	struct pickler pickler;
	if (pickler_take(messages, kind, &pickler) < 0)
		return -1;
	PyObject *done = PyObject_CallOneArg(pickler.dump, object);
	struct sink *sink = (struct sink *)pickler.sink;
	if (!done) {
		pickler_drop(&pickler);
		return -1;
	}
	Py_DECREF(done);
	bool again = sink->kept_some && sink->buffers.count == 0 && messages->default_protocol < 5;
	int result = again ? 0 : sink->buffers.count ? finish_with_buffers(sink, out) : finish_plain(sink, out);
	pickler_give(messages, kind, &pickler, out->size);
	return again || result < 0 ? result : 1;
}

/* multiprocessing.reduction.ForkingPickler was replaced by another class: it knows how. */
static int foreign_encode(PyObject *class, PyObject *object, struct outgoing *out)
{
	PyObject *data = PyObject_CallMethod(class, "dumps", "(O)", object);
	PyObject *piece = data ? PyMemoryView_FromObject(data) : NULL;
	Py_XDECREF(data);
	if (!piece)
		return -1;
	out->encoding = TUTTI_PICKLE;
	out->parts = &out->near_part;
	out->parts[out->count++] = sink_piece(piece);
	out->size = out->parts[0].size;
	int result = objects_append(&out->objects, piece);
	Py_DECREF(piece);
	return result;
}

/* 1: ForkingPickler was replaced, and its replacement has done it; 0: it was not; -1. */
static int ask_foreign_class(struct messages *messages, PyObject *object, struct outgoing *out)
{
	PyObject *class = current_forking_pickler(messages);
	int result = !class ? -1 : class == messages->forking_pickler ? 0 : 1;
	if (result == 1 && foreign_encode(class, object, out) < 0)
		result = -1;
	Py_XDECREF(class);
	return result;
}

int pickle_encode_plain(struct messages *messages, PyObject *object, struct outgoing *out)
{
	int result = ask_foreign_class(messages, object, out);
	if (result == 0)
		result = pickle_pass(messages, PLAIN, object, out);
	return result < 0 ? -1 : 0;
}

int pickle_encode(struct messages *messages, PyObject *object, struct outgoing *out)
{
	int result = ask_foreign_class(messages, object, out);
	if (result == 0)
		result = pickle_pass(messages, WITH_BUFFERS, object, out);
	if (result == 0)
		result = pickle_pass(messages, PLAIN, object, out);
	return result < 0 ? -1 : 0;
}

/* Foreign code may keep what it is given, and the bytes of a message are gone after this: a copy of its own. */
static PyObject *load_foreign(PyObject *class, PyObject *data)
{
	PyObject *bytes = PyBytes_FromObject(data);
	PyObject *result = bytes ? PyObject_CallMethod(class, "loads", "(O)", bytes) : NULL;
	Py_XDECREF(bytes);
	return result;
}

static PyObject *load(struct messages *messages, PyObject *data, PyObject *buffers)
{
	PyObject *class = current_forking_pickler(messages);
	PyObject *arguments[] = {data, buffers};
	PyObject *result = NULL;
	if (class && class != messages->forking_pickler && !buffers)
		result = load_foreign(class, data);
	else if (class)
		result = PyObject_Vectorcall(messages->loads, arguments, 1, buffers ? messages->loads_keywords : NULL);
	Py_XDECREF(class);
	return result;
}

PyObject *pickle_decode(struct messages *messages, const void *data, size_t size, PyObject *buffers)
{
	PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)data, (Py_ssize_t)size, PyBUF_READ);
	PyObject *result = view ? load(messages, view, buffers) : NULL;
	Py_XDECREF(view);
	return result;
}

static PyObject *attribute_of(const char *module_name, const char *name)
{
	PyObject *module = PyImport_ImportModule(module_name);
	PyObject *attribute = module ? PyObject_GetAttrString(module, name) : NULL;
	Py_XDECREF(module);
	return attribute;
}

static int read_default_protocol(struct messages *messages)
{
	PyObject *protocol = attribute_of("pickle", "DEFAULT_PROTOCOL");
	messages->default_protocol = protocol ? PyLong_AsLong(protocol) : -1;
	Py_XDECREF(protocol);
	return PyErr_Occurred() ? -1 : 0;
}

int pickler_init(struct messages *messages, PyObject *module)
{
	messages->sink_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &sink_spec, NULL);
	messages->reducers_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &reducers_spec, NULL);
	messages->forking_pickler_name = PyUnicode_InternFromString("ForkingPickler");
	messages->extra_reducers_name = PyUnicode_InternFromString("_extra_reducers");
	messages->spec_name = PyUnicode_InternFromString("__spec__");
	if (PyDict_Check(PyImport_GetModuleDict()))
		messages->modules = Py_NewRef(PyImport_GetModuleDict());
	messages->reduction = PyImport_ImportModule("multiprocessing.reduction");
	if (!messages->sink_type || !messages->reducers_type || !messages->forking_pickler_name ||
	    !messages->extra_reducers_name || !messages->spec_name || !messages->reduction)
		return -1;
	messages->forking_pickler = current_forking_pickler(messages);
	messages->dispatch_table = attribute_of("copyreg", "dispatch_table");
	messages->pickler_class = attribute_of("_pickle", "Pickler");
	messages->loads = attribute_of("_pickle", "loads");
	messages->loads_keywords = Py_BuildValue("(s)", "buffers");
	if (!messages->forking_pickler || !messages->dispatch_table || !messages->pickler_class || !messages->loads ||
	    !messages->loads_keywords || read_default_protocol(messages) < 0)
		return -1;
	messages->reducers = make_reducers(messages);
	return messages->reducers ? 0 : -1;
}
