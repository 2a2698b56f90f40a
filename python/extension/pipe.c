/* SPDX-License-Identifier: MIT */
/*
 * PipeEnd: an end of tutti.Pipe(), with the methods of multiprocessing.connection.Connection.
 *
 * Closing while another thread is inside a call: as in queue.h.
 *
 * send and send_bytes make messages of different encodings; either is received by recv and by
 * recv_bytes, as multiprocessing has it: recv takes raw bytes for a pickle, recv_bytes gives the pickle
 * of what was sent as an object.
 */
#include "arguments.h"
#include "connection.h"
#include "errors.h"
#include "shared.h"
#include "wait.h"

struct pipe_object {
	struct py_shared shared; /* its object: a tutti_pipe */
	bool readable, writable;
};

PY_KIND_FUNCTIONS(pipe)

static const struct py_kind kind = {.handle = handle_of_pipe, .open = open_pipe, .close = close_pipe};

static tutti_pipe *pipe_of(const struct pipe_object *self) { return self->shared.object; }

enum { MAX_BYTES = 16 * 1024 * 1024 }; /* on the way in each direction, by default: then send waits */

static int fail(PyObject *class, const char *text)
{
	PyErr_SetString(class, text);
	return -1;
}

static int check_open(const struct pipe_object *self)
{
	py_count_call();
	return self->shared.closed || !pipe_of(self) ? fail(PyExc_OSError, "handle is closed") : 0;
}

static int enter(struct pipe_object *self) { return check_open(self) < 0 ? -1 : py_shared_enter(&self->shared); }

static void leave(struct pipe_object *self) { py_shared_leave(&self->shared); }

static int enter_to_send(struct pipe_object *self)
{
	if (!self->shared.closed && !self->writable)
		return fail(PyExc_OSError, "connection is read-only");
	return enter(self);
}

static int enter_to_receive(struct pipe_object *self)
{
	if (!self->shared.closed && !self->readable)
		return fail(PyExc_OSError, "connection is write-only");
	return enter(self);
}

static PyObject *raise_for_pipe(struct pipe_object *self, int err)
{
	if (err == TUTTI_ESHUTDOWN)
		PyErr_SetString(PyExc_BrokenPipeError, "the other end of the pipe is closed, or its process has ended");
	else if (err == TUTTI_EOF)
		PyErr_SetNone(PyExc_EOFError);
	else if (err > 0)
		py_raise(self->shared.state, (tutti_err)err);
	return NULL;
}

/* ---- sending ---- */

struct send_attempt {
	tutti_pipe *pipe;
	const struct outgoing *out;
};

static tutti_err try_send(void *context, tutti_time timeout)
{
	const struct send_attempt *attempt = context;
	const struct outgoing *out = attempt->out;
	return tutti_pipe_send_with(attempt->pipe, out->parts, out->count, out->encoding, out->carried, out->carried_count,
	                            timeout);
}

static PyObject *send_encoded(struct pipe_object *self, const struct outgoing *out)
{
	struct send_attempt attempt = {pipe_of(self), out};
	int err = (out->size < COPY_WITHOUT_GIL ? py_wait : py_wait_without_gil)(try_send, &attempt, TUTTI_FOREVER);
	return err ? raise_for_pipe(self, err) : Py_NewRef(Py_None);
}

static PyObject *pipe_send(PyObject *object, PyObject *value)
{
	struct pipe_object *self = (struct pipe_object *)object;
	struct outgoing out;
	PyObject *result = NULL;
	if (enter_to_send(self) < 0)
		return NULL;
	if (message_encode(&self->shared.state->messages, value, &out) == 0)
		result = self->shared.closed ? (enter(self), NULL) : send_encoded(self, &out);
	outgoing_clear(&out);
	leave(self);
	return result;
}

/* The rules and texts of multiprocessing. */
int py_slice_of(Py_ssize_t length, PyObject *offset_value, PyObject *size_value, Py_ssize_t *offset, Py_ssize_t *size)
{
	*offset = offset_value ? PyNumber_AsSsize_t(offset_value, PyExc_OverflowError) : 0;
	if (*offset == -1 && PyErr_Occurred())
		return -1;
	if (*offset < 0)
		return fail(PyExc_ValueError, "offset is negative");
	if (length < *offset)
		return fail(PyExc_ValueError, "buffer length < offset");
	*size = length - *offset;
	if (!size_value || size_value == Py_None)
		return 0;
	Py_ssize_t wanted = PyNumber_AsSsize_t(size_value, PyExc_OverflowError);
	if (wanted == -1 && PyErr_Occurred())
		return -1;
	if (wanted < 0)
		return fail(PyExc_ValueError, "size is negative");
	if (wanted > *size)
		return fail(PyExc_ValueError, "buffer length < offset + size");
	*size = wanted;
	return 0;
}

static PyObject *pipe_send_bytes(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"buf", "offset", "size"};
	struct pipe_object *self = (struct pipe_object *)object;
	struct outgoing out;
	PyObject *values[3], *result = NULL;
	Py_ssize_t offset, size;
	if (py_arguments("send_bytes", names, 3, given, count, keywords, values) < 0 ||
	    py_required("send_bytes", "buf", values[0]) < 0 || enter_to_send(self) < 0)
		return NULL;
	PyObject *view = PyMemoryView_FromObject(values[0]);
	if (view && py_slice_of(PyMemoryView_GET_BUFFER(view)->len, values[1], values[2], &offset, &size) == 0) {
		if (message_encode_bytes(view, offset, size, &out) == 0)
			result = send_encoded(self, &out);
		outgoing_clear(&out);
	}
	Py_XDECREF(view);
	leave(self);
	return result;
}

/* ---- receiving ---- */

/*
 * The other end may have been closed here, right after a fork of a child that was stopped at once, and still wait for it
 * (fork.h): until that is settled, the waits are short.
 */
static int wait_for_other_end(struct pipe_object *self, py_attempt attempt, void *context, tutti_time timeout)
{
	const tutti_time step = 5 * 1000000;
	while (py_settle_forks(self->shared.state) && timeout > step) {
		int answer = py_wait(attempt, context, step);
		if (!py_is_not_yet(answer))
			return answer;
		timeout = timeout == TUTTI_FOREVER ? timeout : timeout - step;
	}
	return py_wait(attempt, context, timeout);
}

struct receive_attempt {
	tutti_pipe *pipe;
	struct incoming *in;
};

static tutti_err try_receive(void *context, tutti_time timeout)
{
	const struct receive_attempt *attempt = context;
	return tutti_pipe_receive_near(attempt->pipe, &attempt->in->message, attempt->in->near, timeout);
}

/* 0 and a message, or -1 with an exception. The caller has entered. */
static int receive(struct pipe_object *self, struct incoming *in, tutti_time timeout)
{
	struct receive_attempt attempt = {pipe_of(self), in};
	int err = wait_for_other_end(self, try_receive, &attempt, timeout);
	if (timeout == TUTTI_NOW && py_is_not_yet(err))
		PyErr_SetString(PyExc_BlockingIOError, tutti_last_error());
	else if (err)
		raise_for_pipe(self, err);
	return err ? -1 : 0;
}

static PyObject *receive_object(struct pipe_object *self, tutti_time timeout)
{
	struct incoming in;
	if (enter_to_receive(self) < 0)
		return NULL;
	PyObject *result = NULL;
	if (receive(self, &in, timeout) == 0) {
		if (in.message.encoding == TUTTI_RAW)
			in.message.encoding = TUTTI_PICKLE;
		result = message_decode(&self->shared.state->messages, &in.message);
	}
	leave(self);
	return result;
}

static PyObject *pipe_recv(PyObject *object, PyObject *Py_UNUSED(none))
{
	return receive_object((struct pipe_object *)object, TUTTI_FOREVER);
}

static PyObject *pipe_recv_nowait(PyObject *object, PyObject *Py_UNUSED(none))
{
	return receive_object((struct pipe_object *)object, TUTTI_NOW);
}

struct look_attempt {
	tutti_pipe *pipe;
	size_t size; /* of the next message */
};

static tutti_err try_look(void *context, tutti_time timeout)
{
	struct look_attempt *attempt = context;
	return tutti_pipe_receive_into(attempt->pipe, NULL, 0, &attempt->size, timeout);
}

/*
 * Refuses a next message of more than `most` bytes, which stays where it is. 1: an empty message
 * was received instead; 0: go on and receive; -1.
 */
static int refuse_longer(struct pipe_object *self, Py_ssize_t most)
{
	struct look_attempt attempt = {pipe_of(self), 0};
	int err = wait_for_other_end(self, try_look, &attempt, TUTTI_FOREVER);
	if (err == TUTTI_OK)
		return 1;
	if (err != TUTTI_ETOOBIG) {
		raise_for_pipe(self, err);
		return -1;
	}
	if (attempt.size <= (size_t)most)
		return 0;
	PyErr_Format(PyExc_OSError, "bad message length: the next message has %zu bytes, and at most %zd are wanted",
	             attempt.size, most);
	return -1;
}

static PyObject *receive_bytes(struct pipe_object *self, Py_ssize_t most)
{
	struct incoming in;
	int answer = most >= 0 ? refuse_longer(self, most) : 0;
	if (answer == 1)
		return PyBytes_FromStringAndSize(NULL, 0);
	if (answer < 0 || receive(self, &in, TUTTI_FOREVER) < 0)
		return NULL;
	return message_decode_bytes(&self->shared.state->messages, &in.message);
}

static PyObject *pipe_recv_bytes(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"maxlength"};
	struct pipe_object *self = (struct pipe_object *)object;
	PyObject *value;
	Py_ssize_t most = -1;
	if (py_arguments("recv_bytes", names, 1, given, count, keywords, &value) < 0)
		return NULL;
	if (value && value != Py_None) {
		most = PyNumber_AsSsize_t(value, NULL);
		if (most == -1 && PyErr_Occurred())
			return NULL;
		if (most < 0)
			return fail(PyExc_ValueError, "negative maxlength"), NULL;
	}
	if (enter_to_receive(self) < 0)
		return NULL;
	PyObject *result = receive_bytes(self, most);
	leave(self);
	return result;
}

/* Into the buffer, if it fits; else BufferTooShort with the message. */
PyObject *py_fill(PyObject *bytes, const Py_buffer *buffer, Py_ssize_t offset)
{
	Py_ssize_t size = PyBytes_GET_SIZE(bytes);
	if (size <= buffer->len - offset) {
		copy_bytes((char *)buffer->buf + offset, PyBytes_AS_STRING(bytes), (size_t)size);
		return PyLong_FromSsize_t(size);
	}
	PyObject *module = PyImport_ImportModule("multiprocessing.context");
	PyObject *class = module ? PyObject_GetAttrString(module, "BufferTooShort") : NULL;
	if (class)
		PyErr_SetObject(class, bytes);
	Py_XDECREF(class);
	Py_XDECREF(module);
	return NULL;
}

static PyObject *pipe_recv_bytes_into(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"buf", "offset"};
	struct pipe_object *self = (struct pipe_object *)object;
	PyObject *values[2], *result = NULL;
	Py_buffer buffer;
	if (py_arguments("recv_bytes_into", names, 2, given, count, keywords, values) < 0 ||
	    py_required("recv_bytes_into", "buf", values[0]) < 0 || enter_to_receive(self) < 0)
		return NULL;
	Py_ssize_t offset = values[1] ? PyNumber_AsSsize_t(values[1], PyExc_OverflowError) : 0;
	if (!(offset == -1 && PyErr_Occurred()) && PyObject_GetBuffer(values[0], &buffer, PyBUF_WRITABLE) == 0) {
		PyObject *bytes = NULL;
		if (offset < 0)
			fail(PyExc_ValueError, "negative offset");
		else if (offset > buffer.len)
			fail(PyExc_ValueError, "offset too large");
		else
			bytes = receive_bytes(self, -1);
		result = bytes ? py_fill(bytes, &buffer, offset) : NULL;
		Py_XDECREF(bytes);
		PyBuffer_Release(&buffer);
	}
	leave(self);
	return result;
}

static tutti_err try_poll(void *context, tutti_time timeout) { return tutti_pipe_poll(context, timeout); }

static PyObject *pipe_poll(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"timeout"};
	struct pipe_object *self = (struct pipe_object *)object;
	PyObject *value;
	tutti_time timeout = TUTTI_NOW;
	if (py_arguments("poll", names, 1, given, count, keywords, &value) < 0 ||
	    (value && py_timeout(value, &timeout) < 0) || enter_to_receive(self) < 0)
		return NULL;
	int err = wait_for_other_end(self, try_poll, pipe_of(self), timeout);
	leave(self);
	if (err == TUTTI_OK || err == TUTTI_EOF)
		Py_RETURN_TRUE;
	if (py_is_not_yet(err))
		Py_RETURN_FALSE;
	return raise_for_pipe(self, err);
}

/* ---- the object ---- */

static PyObject *pipe_fileno(PyObject *object, PyObject *none)
{
	(void)none;
	struct pipe_object *self = (struct pipe_object *)object;
	int descriptor;
	if (enter(self) < 0)
		return NULL;
	tutti_err err = tutti_pipe_fd(pipe_of(self), &descriptor);
	PyObject *result = err ? raise_for_pipe(self, (int)err) : PyLong_FromLong(descriptor);
	leave(self);
	return result;
}

/* A task that awaits is a user too: the descriptor that its loop watches stays until it has left. */
static PyObject *pipe_hold(PyObject *object, PyObject *none)
{
	(void)none;
	struct pipe_object *self = (struct pipe_object *)object;
	return check_open(self) < 0 || py_shared_hold(&self->shared) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *pipe_let_go(PyObject *object, PyObject *none)
{
	(void)none;
	py_shared_let_go((struct py_shared *)object);
	Py_RETURN_NONE;
}

static PyObject *pipe_close(PyObject *object, PyObject *none)
{
	(void)none;
	py_shared_close_unless_used((struct py_shared *)object);
	Py_RETURN_NONE;
}

static PyObject *pipe_exit(PyObject *object, PyObject *arguments)
{
	(void)arguments;
	return pipe_close(object, NULL);
}

static PyObject *pipe_enter(PyObject *object, PyObject *none)
{
	(void)none;
	return Py_NewRef(object);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

/* _rebuilt(readable, writable): what the sender's object knew. */
static PyObject *pipe_rebuilt(PyObject *object, PyObject *arguments)
{
	int readable, writable;
	if (!PyArg_ParseTuple(arguments, "pp:_rebuilt", &readable, &writable))
		return NULL;
	((struct pipe_object *)object)->readable = readable;
	((struct pipe_object *)object)->writable = writable;
	Py_RETURN_NONE;
}

static PyObject *make_end(PyObject *type, tutti_pipe *pipe, bool readable, bool writable)
{
	PyObject *self = py_shared_new((PyTypeObject *)type, &kind);
	if (!self) {
		tutti_pipe_close(pipe);
		return NULL;
	}
	py_shared_set(self, pipe);
	((struct pipe_object *)self)->readable = readable;
	((struct pipe_object *)self)->writable = writable;
	return self;
}

/* _pair(duplex, name, max_bytes): both ends. */
static PyObject *make_pair(PyObject *type, PyObject *arguments)
{
	PyObject *module = py_module_of_type((PyTypeObject *)type);
	tutti_pipe *first, *second;
	const char *name;
	int duplex;
	unsigned long long max_bytes = MAX_BYTES;
	if (!module || !PyArg_ParseTuple(arguments, "pz|K:_pair", &duplex, &name, &max_bytes))
		return NULL;
	tutti_pipe_options options = {.name = name, .one_way = !duplex, .max_bytes = max_bytes};
	tutti_err err = tutti_pipe_open(&first, &second, &options);
	if (err)
		return py_raise(py_state_of_module(module), err);
	PyObject *one = make_end(type, first, true, duplex);
	PyObject *other = make_end(type, second, duplex, true);
	if (one && other)
		return Py_BuildValue("NN", one, other);
	Py_XDECREF(one);
	Py_XDECREF(other);
	return NULL;
}

static PyMethodDef methods[] = {
	{"send", pipe_send, METH_O, "send($self, obj, /)\n--\n\nSends an object."},
	{"recv", pipe_recv, METH_NOARGS,
     "recv($self, /)\n--\n\nThe next object. EOFError: the other end is closed or dead."},
	{"_recv_nowait", pipe_recv_nowait, METH_NOARGS,
     "_recv_nowait($self, /)\n--\n\nThe next object. BlockingIOError: nothing is there."},
	{"send_bytes", PY_WITH_KEYWORDS(pipe_send_bytes),
     "send_bytes($self, buf, offset=0, size=None)\n--\n\nSends bytes."},
	{"recv_bytes", PY_WITH_KEYWORDS(pipe_recv_bytes),
     "recv_bytes($self, maxlength=None)\n--\n\nThe next message as bytes."},
	{"recv_bytes_into", PY_WITH_KEYWORDS(pipe_recv_bytes_into),
     "recv_bytes_into($self, buf, offset=0)\n--\n\nThe next message into a buffer; how many bytes it has."},
	{"poll", PY_WITH_KEYWORDS(pipe_poll),
     "poll($self, timeout=0.0)\n--\n\nWhether recv would not wait. None: waits for ever."},
	{"_hold", pipe_hold, METH_NOARGS,
     "_hold($self, /)\n--\n\nKeeps its descriptors open, also after a close(), until as many _let_go()."},
	{"_let_go", pipe_let_go, METH_NOARGS, "_let_go($self, /)\n--\n\nUndoes a _hold()."},
	{"fileno", pipe_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while recv would not wait. Never read it."},
	{"close", pipe_close, METH_NOARGS, "close($self, /)\n--\n\nCloses the end in this process."},
	{"__enter__", pipe_enter, METH_NOARGS, "__enter__($self, /)\n--\n\nThe end itself."},
	{"__exit__", pipe_exit, METH_VARARGS, "__exit__($self, *args)\n--\n\nCloses the end in this process."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nAn end on the existing one of that handle."},
	{"_rebuilt", pipe_rebuilt, METH_VARARGS,
     "_rebuilt($self, readable, writable, /)\n--\n\nWhat the sender's object knew."},
	{"_pair", make_pair, METH_VARARGS | METH_CLASS,
     "_pair($type, duplex, name, max_bytes=16777216, /)\n--\n\nBoth ends of a new pipe."},
	{0},
};

static PyMemberDef members[] = {
	{"closed", T_BOOL, offsetof(struct pipe_object, shared.closed), READONLY,
     "closed($self)\n--\n\nTrue after close()."},
	{"readable", T_BOOL, offsetof(struct pipe_object, readable), READONLY,
     "readable($self)\n--\n\nTrue if this end receives."},
	{"writable", T_BOOL, offsetof(struct pipe_object, writable), READONLY,
     "writable($self)\n--\n\nTrue if this end sends."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "An end of a pipe. Made by Pipe()."},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{Py_tp_dealloc, py_shared_dealloc},
	{0},
};

static PyType_Spec spec = {"tutti._tutti.PipeEnd", sizeof(struct pipe_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

int py_add_pipes(PyObject *module) { return py_add_kind(module, &py_state_of_module(module)->pipe_type, &spec); }
