/* SPDX-License-Identifier: MIT */
/*
 * Connection: multiprocessing.connection.Connection in C, over the same descriptors and with the same
 * bytes on the wire, so that either end may be the standard library's.
 *
 *     message := length (4 bytes, big-endian, signed) payload
 *              | -1 (4 bytes) length (8 bytes, big-endian) payload     for 2 GiB and more
 *
 * Header and payload go out in one call. Nothing is read ahead: a sibling process may poll and read the
 * next message. As in the standard library, two writers at a time need a lock outside.
 */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arguments.h"
#include "calls.h"
#include "connection.h"
#include "descriptor.h"
#include "state.h"
#include "wait.h"

struct connection_object {
	PyObject_HEAD PyObject *module; /* owned: keeps the state valid */
	struct py_state *state;
	PyObject *weak_references;
	int handle; /* -1: closed, or given away by `_handle = None` */
	bool readable, writable;
	tutti_patience patience;
};

enum { SHORT_HEADER = 4, LONG_HEADER = 12, NEAR_PAYLOAD = 2048 };

static int fail(PyObject *class, const char *text)
{
	PyErr_SetString(class, text);
	return -1;
}

static int check_open(const struct connection_object *self)
{
	py_count_call();
	return self->handle >= 0 ? 0 : fail(PyExc_OSError, "handle is closed");
}

static int check_readable(const struct connection_object *self)
{
	if (check_open(self) < 0)
		return -1;
	return self->readable ? 0 : fail(PyExc_OSError, "connection is write-only");
}

static int check_writable(const struct connection_object *self)
{
	if (check_open(self) < 0)
		return -1;
	return self->writable ? 0 : fail(PyExc_OSError, "connection is read-only");
}

/* ---- the object ---- */

static PyObject *connection_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	(void)arguments, (void)keywords;
	PyObject *module = py_module_of_type(type);
	struct connection_object *self = module ? (struct connection_object *)type->tp_alloc(type, 0) : NULL;
	if (self) {
		self->module = Py_NewRef(module);
		self->state = py_state_of_module(module);
		self->handle = -1;
	}
	return (PyObject *)self;
}

static int connection_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"handle", "readable", "writable", NULL};
	struct connection_object *self = (struct connection_object *)object;
	PyObject *handle;
	int readable = 1, writable = 1;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|pp:Connection", names, &handle, &readable, &writable))
		return -1;
	Py_ssize_t number = PyNumber_AsSsize_t(handle, PyExc_OverflowError);
	if (number == -1 && PyErr_Occurred())
		return -1;
	if (number < 0 || number > INT_MAX)
		return fail(PyExc_ValueError, "invalid handle");
	if (!readable && !writable)
		return fail(PyExc_ValueError, "at least one of `readable` and `writable` must be True");
	self->handle = (int)number;
	self->readable = readable;
	self->writable = writable;
	return 0;
}

/* As os.close(): a handle that was closed elsewhere is an error that says so. */
static int close_handle(struct connection_object *self)
{
	int handle = self->handle, result;
	self->handle = -1;
	if (handle < 0)
		return 0;
	Py_BEGIN_ALLOW_THREADS;
	result = close(handle);
	Py_END_ALLOW_THREADS;
	if (result == 0 || errno == EINTR)
		return 0;
	PyErr_SetFromErrno(PyExc_OSError);
	return -1;
}

static void connection_dealloc(PyObject *object)
{
	struct connection_object *self = (struct connection_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	if (self->weak_references)
		PyObject_ClearWeakRefs(object);
	if (self->handle >= 0)
		close(self->handle);
	Py_XDECREF(self->module);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyObject *connection_close(PyObject *object, PyObject *none)
{
	(void)none;
	return close_handle((struct connection_object *)object) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *connection_exit(PyObject *object, PyObject *arguments)
{
	(void)arguments;
	return connection_close(object, NULL);
}

static PyObject *connection_enter(PyObject *object, PyObject *none)
{
	(void)none;
	return Py_NewRef(object);
}

static PyObject *connection_fileno(PyObject *object, PyObject *none)
{
	(void)none;
	struct connection_object *self = (struct connection_object *)object;
	return check_open(self) < 0 ? NULL : PyLong_FromLong(self->handle);
}

static PyObject *get_closed(PyObject *object, void *none)
{
	(void)none;
	return PyBool_FromLong(((struct connection_object *)object)->handle < 0);
}

static PyObject *get_handle(PyObject *object, void *none)
{
	(void)none;
	int handle = ((struct connection_object *)object)->handle;
	return handle < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(handle);
}

/* `_handle = None` takes the descriptor out of the connection's hands. */
static int set_handle(PyObject *object, PyObject *value, void *none)
{
	(void)none;
	Py_ssize_t number = -1;
	if (value && value != Py_None) {
		number = PyNumber_AsSsize_t(value, PyExc_OverflowError);
		if (number == -1 && PyErr_Occurred())
			return -1;
		if (number < 0 || number > INT_MAX)
			return fail(PyExc_ValueError, "invalid handle");
	}
	((struct connection_object *)object)->handle = (int)number;
	return 0;
}

/* ---- sending ---- */

static size_t write_header(unsigned char *header, uint64_t size)
{
	bool is_long = size > 0x7fffffff;
	size_t length = is_long ? LONG_HEADER : SHORT_HEADER, number = is_long ? 8 : 4;
	memset(header, 0xff, length);
	for (size_t i = 0; i < number; i++)
		header[length - 1 - i] = (unsigned char)(size >> (8 * i));
	return length;
}

static int send_parts(struct connection_object *self, const struct outgoing *out)
{
	unsigned char header[LONG_HEADER];
	struct iovec near_vector[4], *vector = near_vector;
	if (out->count + 1 > sizeof near_vector / sizeof *near_vector)
		vector = PyMem_New(struct iovec, out->count + 1);
	if (!vector) {
		PyErr_NoMemory();
		return -1;
	}
	vector[0] = (struct iovec){header, write_header(header, out->size)};
	for (size_t i = 0; i < out->count; i++)
		vector[i + 1] = (struct iovec){(void *)(uintptr_t)out->parts[i].data, out->parts[i].size};
	int result = descriptor_write(self->handle, vector, out->count + 1);
	if (vector != near_vector)
		PyMem_Free(vector);
	return result;
}

static PyObject *connection_send(PyObject *object, PyObject *value)
{
	struct connection_object *self = (struct connection_object *)object;
	struct outgoing out;
	if (check_writable(self) < 0)
		return NULL;
	int result = message_encode_plain(&self->state->messages, value, &out);
	if (result == 0)
		result = check_open(self) < 0 ? -1 : send_parts(self, &out);
	outgoing_clear(&out);
	return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *connection_send_bytes(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"buf", "offset", "size"};
	struct connection_object *self = (struct connection_object *)object;
	struct outgoing out;
	PyObject *values[3];
	Py_ssize_t offset, size;
	int result = -1;
	if (py_arguments("send_bytes", names, 3, given, count, keywords, values) < 0 ||
	    py_required("send_bytes", "buf", values[0]) < 0 || check_writable(self) < 0)
		return NULL;
	PyObject *view = PyMemoryView_FromObject(values[0]);
	if (view && py_slice_of(PyMemoryView_GET_BUFFER(view)->len, values[1], values[2], &offset, &size) == 0) {
		result = message_encode_bytes(view, offset, size, &out);
		if (result == 0)
			result = send_parts(self, &out);
		outgoing_clear(&out);
	}
	Py_XDECREF(view);
	return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- receiving ---- */

/* The length of the next message. */
static int read_header(struct connection_object *self, uint64_t *size)
{
	unsigned char bytes[8];
	if (descriptor_await(self->handle, bytes, 4, &self->patience) < 0)
		return -1;
	size_t number = 4;
	if ((bytes[0] & bytes[1] & bytes[2] & bytes[3]) == 0xff) {
		number = 8;
		if (descriptor_read(self->handle, bytes, number, true) < 0)
			return -1;
	}
	*size = 0;
	for (size_t i = 0; i < number; i++)
		*size = *size << 8 | bytes[i];
	if (*size > PY_SSIZE_T_MAX || (number == 4 && bytes[0] & 0x80))
		return fail(PyExc_OSError, "bad message length");
	return 0;
}

/* Nothing more can be read in step: as the standard library does it. */
static int refuse_length(struct connection_object *self)
{
	if (self->writable)
		self->readable = false;
	else if (close_handle(self) < 0)
		return -1;
	return fail(PyExc_OSError, "bad message length");
}

static PyObject *read_payload(struct connection_object *self, uint64_t size)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
	if (bytes && descriptor_read(self->handle, PyBytes_AS_STRING(bytes), (size_t)size, true) < 0)
		Py_CLEAR(bytes);
	return bytes;
}

static PyObject *connection_recv(PyObject *object, PyObject *none)
{
	(void)none;
	struct connection_object *self = (struct connection_object *)object;
	unsigned char near_payload[NEAR_PAYLOAD];
	uint64_t size;
	if (check_readable(self) < 0 || read_header(self, &size) < 0)
		return NULL;
	if (size <= sizeof near_payload) {
		if (descriptor_read(self->handle, near_payload, (size_t)size, true) < 0)
			return NULL;
		return pickle_decode(&self->state->messages, near_payload, (size_t)size, NULL);
	}
	PyObject *bytes = read_payload(self, size);
	PyObject *result = NULL;
	if (bytes)
		result = pickle_decode(&self->state->messages, PyBytes_AS_STRING(bytes), (size_t)size, NULL);
	Py_XDECREF(bytes);
	return result;
}

static PyObject *connection_recv_bytes(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"maxlength"};
	struct connection_object *self = (struct connection_object *)object;
	PyObject *value;
	Py_ssize_t most = PY_SSIZE_T_MAX;
	uint64_t size;
	if (py_arguments("recv_bytes", names, 1, given, count, keywords, &value) < 0 || check_readable(self) < 0)
		return NULL;
	if (value && value != Py_None) {
		most = PyNumber_AsSsize_t(value, NULL);
		if (most == -1 && PyErr_Occurred())
			return NULL;
		if (most < 0)
			return fail(PyExc_ValueError, "negative maxlength"), NULL;
	}
	if (read_header(self, &size) < 0 || (size > (uint64_t)most && refuse_length(self) < 0))
		return NULL;
	return read_payload(self, size);
}

/* Into the buffer if it fits, else BufferTooShort with the message. */
static PyObject *receive_into(struct connection_object *self, const Py_buffer *buffer, Py_ssize_t offset)
{
	uint64_t size;
	if (read_header(self, &size) < 0)
		return NULL;
	if (size <= (uint64_t)(buffer->len - offset)) {
		if (descriptor_read(self->handle, (char *)buffer->buf + offset, (size_t)size, true) < 0)
			return NULL;
		return PyLong_FromUnsignedLongLong(size);
	}
	PyObject *bytes = read_payload(self, size);
	PyObject *result = bytes ? py_fill(bytes, buffer, offset) : NULL;
	Py_XDECREF(bytes);
	return result;
}

static PyObject *connection_recv_bytes_into(PyObject *object, PyObject *const *given, Py_ssize_t count,
                                            PyObject *keywords)
{
	static const char *const names[] = {"buf", "offset"};
	struct connection_object *self = (struct connection_object *)object;
	PyObject *values[2], *result = NULL;
	Py_buffer buffer;
	if (py_arguments("recv_bytes_into", names, 2, given, count, keywords, values) < 0 ||
	    py_required("recv_bytes_into", "buf", values[0]) < 0 || check_readable(self) < 0)
		return NULL;
	Py_ssize_t offset = values[1] ? PyNumber_AsSsize_t(values[1], PyExc_OverflowError) : 0;
	if ((offset == -1 && PyErr_Occurred()) || PyObject_GetBuffer(values[0], &buffer, PyBUF_WRITABLE) < 0)
		return NULL;
	if (offset < 0)
		fail(PyExc_ValueError, "negative offset");
	else if (offset > buffer.len)
		fail(PyExc_ValueError, "offset too large");
	else
		result = receive_into(self, &buffer, offset);
	PyBuffer_Release(&buffer);
	return result;
}

static PyObject *connection_poll(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"timeout"};
	struct connection_object *self = (struct connection_object *)object;
	PyObject *value;
	tutti_time timeout = TUTTI_NOW;
	if (py_arguments("poll", names, 1, given, count, keywords, &value) < 0 || check_readable(self) < 0 ||
	    (value && py_timeout(value, &timeout) < 0))
		return NULL;
	struct pollfd polled = {.fd = self->handle, .events = POLLIN};
	int ready = descriptor_poll(&polled, 1, timeout);
	return ready < 0 ? NULL : PyBool_FromLong(ready);
}

static PyMethodDef methods[] = {
	{"send", connection_send, METH_O, "send($self, obj, /)\n--\n\nSends an object."},
	{"recv", connection_recv, METH_NOARGS, "recv($self, /)\n--\n\nThe next object. EOFError: the other end is closed."},
	{"send_bytes", PY_WITH_KEYWORDS(connection_send_bytes),
     "send_bytes($self, buf, offset=0, size=None)\n--\n\nSends bytes."},
	{"recv_bytes", PY_WITH_KEYWORDS(connection_recv_bytes),
     "recv_bytes($self, maxlength=None)\n--\n\nThe next message as bytes."},
	{"recv_bytes_into", PY_WITH_KEYWORDS(connection_recv_bytes_into),
     "recv_bytes_into($self, buf, offset=0)\n--\n\nThe next message into a buffer; how many bytes it has."},
	{"poll", PY_WITH_KEYWORDS(connection_poll),
     "poll($self, timeout=0.0)\n--\n\nWhether something is there. None: waits for ever."},
	{"fileno", connection_fileno, METH_NOARGS, "fileno($self, /)\n--\n\nThe descriptor."},
	{"close", connection_close, METH_NOARGS, "close($self, /)\n--\n\nCloses the descriptor."},
	{"__enter__", connection_enter, METH_NOARGS, "__enter__($self, /)\n--\n\nThe connection itself."},
	{"__exit__", connection_exit, METH_VARARGS, "__exit__($self, *args)\n--\n\nCloses the connection."},
	{0},
};

static PyGetSetDef attributes[] = {
	{"closed", get_closed, NULL, "True if the connection is closed.", NULL},
	{"_handle", get_handle, set_handle, "The descriptor, or None.", NULL},
	{0},
};

static PyMemberDef members[] = {
	{"readable", T_BOOL, offsetof(struct connection_object, readable), READONLY,
     "readable($self)\n--\n\nTrue if it receives."},
	{"writable", T_BOOL, offsetof(struct connection_object, writable), READONLY,
     "writable($self)\n--\n\nTrue if it sends."},
	{"_readable", T_BOOL, offsetof(struct connection_object, readable), 0, NULL},
	{"_writable", T_BOOL, offsetof(struct connection_object, writable), 0, NULL},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct connection_object, weak_references), READONLY, NULL},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Connection(handle, readable=True, writable=True)\n--\n\nMessages over a descriptor."},
	{Py_tp_new, connection_new},
	{Py_tp_init, connection_init},
	{Py_tp_methods, methods},
	{Py_tp_getset, attributes},
	{Py_tp_members, members},
	{Py_tp_dealloc, connection_dealloc},
	{0},
};

static PyType_Spec spec = {"tutti._tutti.Connection", sizeof(struct connection_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

static PyMethodDef functions[] = {
	{"wait", PY_WITH_KEYWORDS(py_wait_for_ready),
     "wait($module, object_list, timeout=None)\n--\n\nThose that are ready."},
	{0},
};

int py_add_connections(PyObject *module)
{
	if (py_add_type(module, &py_state_of_module(module)->connection_type, &spec, NULL) < 0)
		return -1;
	return PyModule_AddFunctions(module, functions);
}
