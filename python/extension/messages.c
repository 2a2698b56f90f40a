/* SPDX-License-Identifier: MIT */
#include "messages.h"

int pickler_traverse(struct messages *messages, visitproc visit, void *arg);
void pickler_clear(struct messages *messages);

static void outgoing_init(struct outgoing *out)
{
	out->parts = out->own_parts = NULL;
	out->own_bytes = NULL;
	out->count = out->size = 0;
	out->objects = (struct objects){0};
}

void outgoing_clear(struct outgoing *out)
{
	PyMem_Free(out->own_parts);
	PyMem_Free(out->own_bytes);
	if (out->objects.items)
		objects_free(&out->objects);
	outgoing_init(out);
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

int message_encode(struct messages *messages, PyObject *object, struct outgoing *out)
{
	outgoing_init(out);
	int result = direct_encode(object, out);
	if (result != 0)
		return result < 0 ? -1 : 0;
	PyMem_Free(out->own_bytes);
	outgoing_init(out);
	if (pickle_encode(messages, object, out) == 0)
		return 0;
	explain(object);
	return -1;
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
		result = direct_decode(message->view.data, message->view.size);
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
	PyObject *bytes = pickle ? PyObject_CallMethod(pickle, "dumps", "O", object) : NULL;
	Py_XDECREF(pickle);
	Py_XDECREF(object);
	return bytes;
}

int messages_init(struct messages *messages, PyObject *module)
{
	if (pickler_init(messages, module) < 0 || block_init(messages, module) < 0)
		return -1;
	return PyModule_AddObjectRef(module, "Block", (PyObject *)messages->block_type);
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
	X(forking_pickler_name)

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
#define CLEAR(field) Py_CLEAR(messages->field);
	OWNED(CLEAR)
#undef CLEAR
}
