/* SPDX-License-Identifier: MIT */
#include "state.h"

/* The message that this thread is encoding at the moment, the innermost one if they are nested. */
static _Thread_local struct outgoing *current;

static void outgoing_init(struct outgoing *out)
{
	out->carried = NULL;
	out->carried_count = 0;
	out->parts = out->own_parts = NULL;
	out->own_bytes = NULL;
	out->count = out->size = 0;
	out->objects = (struct objects){0};
}

void outgoing_clear(struct outgoing *out)
{
	PyMem_Free(out->own_parts);
	PyMem_Free(out->own_bytes);
	PyMem_Free(out->carried);
	if (out->objects.items)
		objects_free(&out->objects);
	outgoing_init(out);
}

PyObject *outgoing_bytes(const struct outgoing *out)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)out->size);
	char *to = bytes ? PyBytes_AS_STRING(bytes) : NULL;
	for (size_t i = 0; bytes && i < out->count; to += out->parts[i++].size)
		if (out->parts[i].size)
			memcpy(to, out->parts[i].data, out->parts[i].size);
	return bytes;
}

/* Says which part of the object it was, where that can be found out; else leaves the exception as it is. */
static void explain(PyObject *object)
{
	PyObject *type, *value, *traceback;
	if (!PyErr_ExceptionMatches(PyExc_Exception))
		return; /* KeyboardInterrupt and the like */
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback)
		PyException_SetTraceback(value, traceback);
	PyObject *module = PyImport_ImportModule("tutti._unpicklable");
	PyObject *better = module ? PyObject_CallMethod(module, "explain", "OO", object, value) : NULL;
	Py_XDECREF(module);
	if (better && PyExceptionInstance_Check(better)) {
		PyErr_SetObject((PyObject *)Py_TYPE(better), better);
		Py_XDECREF(type);
		Py_XDECREF(value);
		Py_XDECREF(traceback);
	} else {
		PyErr_Restore(type, value, traceback); /* replaces whatever went wrong in explaining */
	}
	Py_XDECREF(better);
}

int message_carry(tutti_handle handle)
{
	if (!current)
		return 0;
	for (size_t i = 0; i < current->carried_count; i++)
		if (memcmp(&current->carried[i], &handle, sizeof handle) == 0)
			return 0;
	tutti_handle *carried = PyMem_Resize(current->carried, tutti_handle, current->carried_count + 1);
	if (!carried) {
		PyErr_NoMemory();
		return -1;
	}
	carried[current->carried_count++] = handle;
	current->carried = carried;
	return 0;
}

/* What is put inside a __reduce__ is a message of its own. */
static int pickle_as_current(struct messages *messages, PyObject *object, struct outgoing *out)
{
	struct outgoing *outer = current;
	current = out;
	int result = pickle_encode(messages, object, out);
	current = outer;
	return result;
}

int message_encode(struct messages *messages, PyObject *object, struct outgoing *out)
{
	outgoing_init(out);
	int result = direct_encode(messages, object, out);
	if (result != 0)
		return result < 0 ? -1 : 0;
	if (pickle_as_current(messages, object, out) == 0)
		return 0;
	explain(object);
	return -1;
}

int message_encode_instead(struct messages *messages, PyObject *replacement, PyObject *error, struct outgoing *out)
{
	outgoing_clear(out);
	outgoing_init(out);
	int result = replacement ? message_encode(messages, replacement, out) : -1;
	if (replacement && result < 0 && PyErr_ExceptionMatches(PyExc_Exception))
		PyErr_SetObject((PyObject *)Py_TYPE(error), error);
	Py_XDECREF(replacement);
	Py_XDECREF(error);
	return result;
}

int message_encode_plain(struct messages *messages, PyObject *object, struct outgoing *out)
{
	outgoing_init(out);
	return pickle_encode_plain(messages, object, out);
}

int message_encode_bytes(PyObject *buffer, Py_ssize_t offset, Py_ssize_t size, struct outgoing *out)
{
	outgoing_init(out);
	PyObject *view = PyMemoryView_FromObject(buffer);
	if (!view)
		return -1;
	const Py_buffer *bytes = PyMemoryView_GET_BUFFER(view);
	int result = -1;
	if (!PyBuffer_IsContiguous(bytes, 'C'))
		PyErr_SetString(PyExc_BufferError, "the buffer is not contiguous: send bytes(buffer)");
	else
		result = objects_append(&out->objects, view);
	out->near_part = (tutti_view){(const char *)bytes->buf + offset, (size_t)size};
	out->parts = &out->near_part;
	out->count = 1;
	out->size = (size_t)size;
	out->encoding = TUTTI_RAW;
	Py_DECREF(view);
	return result;
}

static PyObject *decode_raw(const tutti_message *message)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)message->view.size);
	if (bytes)
		copy_bytes(PyBytes_AS_STRING(bytes), message->view.data, message->view.size);
	return bytes;
}

PyObject *message_decode(struct messages *messages, tutti_message *message)
{
	PyObject *result;
	switch (message->encoding) {
	case TUTTI_PYTHON:
		result = direct_decode(messages, message->view.data, message->view.size);
		break;
	case TUTTI_PICKLE:
		result = pickle_decode(messages, message->view.data, message->view.size, NULL);
		break;
	case TUTTI_PYTHON_BUFFERS:
		return block_decode(messages, message);
	default:
		result = decode_raw(message);
	}
	tutti_message_release(message);
	return result;
}

PyObject *message_decode_bytes(struct messages *messages, tutti_message *message)
{
	if (message->encoding != TUTTI_PYTHON && message->encoding != TUTTI_PYTHON_BUFFERS) {
		PyObject *bytes = decode_raw(message);
		tutti_message_release(message);
		return bytes;
	}
	PyObject *object = message_decode(messages, message);
	PyObject *pickle = object ? PyImport_ImportModule("pickle") : NULL;
	PyObject *bytes = pickle ? PyObject_CallMethod(pickle, "dumps", "(O)", object) : NULL;
	Py_XDECREF(pickle);
	Py_XDECREF(object);
	return bytes;
}

/* _encode(object): what would be sent, as (encoding, bytes). For tests and for who looks into messages. */
static PyObject *encode(PyObject *module, PyObject *object)
{
	struct outgoing out;
	PyObject *result = NULL;
	int encoded = message_encode(&py_state_of_module(module)->messages, object, &out);
	PyObject *bytes = encoded == 0 ? outgoing_bytes(&out) : NULL;
	if (bytes)
		result = Py_BuildValue("iN", (int)out.encoding, bytes);
	outgoing_clear(&out);
	return result;
}

/* _decode(encoding, bytes): the object that such a message brings. */
static PyObject *decode(PyObject *module, PyObject *arguments)
{
	Py_buffer bytes;
	tutti_message message = {0};
	if (!PyArg_ParseTuple(arguments, "Iy*:_decode", &message.encoding, &bytes))
		return NULL;
	/* As a getter of a full arena has it: in private memory, which its release frees. */
	void *copy = aligned_alloc(64, ((size_t)bytes.len + 64) / 64 * 64);
	if (copy && tutti_arena_default(&message.arena) == TUTTI_OK) {
		message.view = (tutti_view){memcpy(copy, bytes.buf, (size_t)bytes.len), (size_t)bytes.len};
		copy = NULL;
	}
	free(copy);
	PyBuffer_Release(&bytes);
	return message.view.data ? message_decode(&py_state_of_module(module)->messages, &message) : PyErr_NoMemory();
}

static PyMethodDef functions[] = {
	{"_encode", encode, METH_O, "_encode($module, obj, /)\n--\n\nEncodes an object: (encoding, bytes)."},
	{"_decode", decode, METH_VARARGS, "_decode($module, *args)\n--\n\nDecodes what _encode gave."},
	{0},
};

int py_add_messages(PyObject *module)
{
	struct messages *messages = &py_state_of_module(module)->messages;
	if (pickler_init(messages, module) < 0 || block_init(messages, module) < 0 ||
	    PyModule_AddFunctions(module, functions) < 0)
		return -1;
	return 0;
}

#define OWNED(X)                                                                                                       \
	X(block_type)                                                                                                      \
	X(sink_type)                                                                                                       \
	X(reducers_type)                                                                                                   \
	X(reduction)                                                                                                       \
	X(forking_pickler)                                                                                                 \
	X(dispatch_table)                                                                                                  \
	X(reducers)                                                                                                        \
	X(pickler_class)                                                                                                   \
	X(loads)                                                                                                           \
	X(loads_keywords)                                                                                                  \
	X(forking_pickler_name)                                                                                            \
	X(extra_reducers_name)                                                                                             \
	X(spec_name)                                                                                                       \
	X(modules)

int messages_traverse(struct messages *messages, visitproc visit, void *arg)
{
#define VISIT(field) Py_VISIT(messages->field);
	OWNED(VISIT)
#undef VISIT
	return pickler_traverse(messages, visit, arg);
}

void messages_clear(struct messages *messages)
{
	pickler_clear(messages);
	classes_clear(&messages->classes);
#define CLEAR(field) Py_CLEAR(messages->field);
	OWNED(CLEAR)
#undef CLEAR
}
