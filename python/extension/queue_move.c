/* SPDX-License-Identifier: MIT */
/* Putting and getting. */
#include "arguments.h"
#include "errors.h"
#include "queue.h"
#include "wait.h"

/* ---- put ---- */

struct put_attempt {
	tutti_queue *queue;
	const struct outgoing *out;
};

static tutti_err try_put(void *context, tutti_time timeout)
{
	const struct put_attempt *attempt = context;
	const struct outgoing *out = attempt->out;
	if (out->carried_count == 0)
		return tutti_queue_put_gather(attempt->queue, out->parts, out->count, out->encoding, timeout);
	return tutti_queue_put_with(attempt->queue, out->parts, out->count, out->encoding, out->carried, out->carried_count,
	                            timeout);
}

void queue_raise_for_put(struct queue_object *self, int err)
{
	if (py_is_not_yet(err))
		PyErr_SetString(self->shared.state->queue_full, tutti_last_error());
	else
		py_raise(self->shared.state, (tutti_err)err);
}

int queue_put_encoded(struct queue_object *self, const struct outgoing *out, tutti_time timeout)
{
	struct put_attempt attempt = {queue_of(self), out};
	int err = (out->size < COPY_WITHOUT_GIL ? py_wait : py_wait_without_gil)(try_put, &attempt, timeout);
	if (err > 0)
		queue_raise_for_put(self, err);
	return err == TUTTI_OK ? 0 : -1;
}

/* Letter mode: an object that cannot be pickled is reported, as the feeder thread did it, and left out. */
int queue_report(struct queue_object *self, PyObject *object)
{
	PyObject *type, *value, *traceback;
	if (!self->on_error || !PyErr_ExceptionMatches(PyExc_Exception))
		return -1;
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback)
		PyException_SetTraceback(value, traceback);
	PyObject *done = PyObject_CallFunctionObjArgs(self->on_error, value, object, NULL);
	Py_XDECREF(done);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return done ? 0 : -1;
}

int queue_put_object(struct queue_object *self, PyObject *object, tutti_time timeout)
{
	struct outgoing out;
	if (queue_enter(self) < 0)
		return -1;
	int result = message_encode(&self->shared.state->messages, object, &out);
	if (result < 0)
		result = queue_report(self, object);
	else if (self->shared.closed) /* pickling runs foreign code, which may have closed it */
		result = queue_enter(self);
	else
		result = queue_put_encoded(self, &out, timeout);
	self->used = true;
	outgoing_clear(&out);
	queue_leave(self);
	return result;
}

/* ---- get ---- */

struct get_attempt {
	tutti_queue *queue;
	struct incoming *in;
};

static tutti_err try_get(void *context, tutti_time timeout)
{
	const struct get_attempt *attempt = context;
	return tutti_queue_get_near(attempt->queue, &attempt->in->message, attempt->in->near, timeout);
}

static PyObject *raise_for_get(struct queue_object *self, tutti_err err)
{
	if (err == TUTTI_EOF)
		PyErr_SetString(self->shared.state->shut_down, tutti_last_error());
	else if (py_is_not_yet((int)err)) /* the text tells the reasons apart, such as a stopped process */
		PyErr_SetString(self->shared.state->queue_empty, tutti_last_error());
	else
		py_raise(self->shared.state, err);
	return NULL;
}

/* True if there was one to raise. */
static bool raise_late_error(struct queue_object *self)
{
	PyObject *error = self->late_error;
	bool is_ours = error && !self->late_error_is_inherited;
	self->late_error = NULL;
	self->late_error_is_inherited = false;
	if (is_ours)
		PyErr_SetObject((PyObject *)Py_TYPE(error), error);
	Py_XDECREF(error);
	return is_ours;
}

PyObject *queue_get_object(struct queue_object *self, tutti_time timeout)
{
	struct incoming in;
	struct get_attempt attempt = {queue_of(self), &in};
	if (queue_enter(self) < 0)
		return NULL;
	int err = -1;
	if (!self->late_error || !raise_late_error(self))
		err = py_wait(try_get, &attempt, timeout);
	PyObject *result = NULL;
	if (err == TUTTI_OK && queue_note_redelivered(self, in.message.redelivered) < 0) {
		tutti_message_release(&in.message);
	} else if (err == TUTTI_OK) {
		result = message_decode(&self->shared.state->messages, &in.message);
	} else if (err > 0) {
		raise_for_get(self, (tutti_err)err);
	}
	queue_leave(self);
	return result;
}

/* ---- the methods ---- */

static const char *const put_names[] = {"obj", "block", "timeout"};

int queue_times_of(PyObject *block, PyObject *seconds, tutti_time *timeout)
{
	int flag = py_flag(block, 1);
	return flag < 0 ? -1 : py_block_timeout(flag, seconds, timeout);
}

static PyObject *put_and_return(struct queue_object *self, PyObject *object, tutti_time timeout)
{
	if (queue_put_object(self, object, timeout) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *queue_put(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	PyObject *values[3];
	tutti_time timeout = TUTTI_FOREVER;
	if (count == 1 && !keywords)
		return put_and_return((struct queue_object *)object, given[0], TUTTI_FOREVER);
	if (py_arguments("put", put_names, 3, given, count, keywords, values) < 0 ||
	    py_required("put", "obj", values[0]) < 0 || queue_times_of(values[1], values[2], &timeout) < 0)
		return NULL;
	return put_and_return((struct queue_object *)object, values[0], timeout);
}

static PyObject *queue_put_nowait(PyObject *object, PyObject *value)
{
	return put_and_return((struct queue_object *)object, value, TUTTI_NOW);
}

static PyObject *queue_put_forever(PyObject *object, PyObject *value)
{
	return put_and_return((struct queue_object *)object, value, TUTTI_FOREVER);
}

static PyObject *queue_get(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	PyObject *values[2];
	tutti_time timeout = TUTTI_FOREVER;
	if (count == 0 && !keywords)
		return queue_get_object((struct queue_object *)object, TUTTI_FOREVER);
	if (py_arguments("get", put_names + 1, 2, given, count, keywords, values) < 0 ||
	    queue_times_of(values[0], values[1], &timeout) < 0)
		return NULL;
	return queue_get_object((struct queue_object *)object, timeout);
}

static PyObject *queue_get_nowait(PyObject *object, PyObject *none)
{
	(void)none;
	return queue_get_object((struct queue_object *)object, TUTTI_NOW);
}

static PyObject *queue_get_forever(PyObject *object, PyObject *none)
{
	(void)none;
	return queue_get_object((struct queue_object *)object, TUTTI_FOREVER);
}

static PyObject *queue_room_fileno(PyObject *object, PyObject *Py_UNUSED(none))
{
	return queue_descriptor(object, tutti_queue_room_fd);
}

PyMethodDef queue_methods[] = {
	{"room_fileno", queue_room_fileno, METH_NOARGS,
     "room_fileno($self, /)\n--\n\nA descriptor that is readable while there is room. Never read it."},
	{"put", PY_WITH_KEYWORDS(queue_put),
     "put($self, obj, block=True, timeout=None)\n--\n\nCopies an object into the queue."},
	{"put_nowait", queue_put_nowait, METH_O, "put_nowait($self, obj, /)\n--\n\nput(obj, block=False)"},
	{"put_many", PY_WITH_KEYWORDS(queue_put_many),
     "put_many($self, objects, block=True, timeout=None)\n--\n\nPuts them in order; how many are in."},
	{"get", PY_WITH_KEYWORDS(queue_get), "get($self, block=True, timeout=None)\n--\n\nThe next object."},
	{"get_nowait", queue_get_nowait, METH_NOARGS, "get_nowait($self, /)\n--\n\nget(block=False)"},
	{"get_many", PY_WITH_KEYWORDS(queue_get_many),
     "get_many($self, limit, block=True, timeout=None)\n--\n\nWaits for a first object, then takes what is there."},
	{"full", queue_full, METH_NOARGS, "full($self, /)\n--\n\nTrue if there is no room at this moment."},
	{"join_thread", queue_nothing_to_join, METH_NOARGS,
     "join_thread($self, /)\n--\n\nNothing: a put object is in the queue when put returned."},
	{"cancel_join_thread", queue_nothing_to_join, METH_NOARGS,
     "cancel_join_thread($self, /)\n--\n\nNothing: no exit waits for a reader."},
	{0},
};

/* ---- joinable ---- */

static PyObject *joinable_task_done(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	tutti_err err = tutti_queue_task_done(queue_of(self));
	if (err == TUTTI_EBOUND)
		PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
	else if (err)
		py_raise(self->shared.state, err);
	queue_leave(self);
	return err ? NULL : Py_NewRef(Py_None);
}

static tutti_err try_join(void *context, tutti_time timeout) { return tutti_queue_join(context, timeout); }

/* TUTTI_OK, that it is not done yet, or -1 with an exception. */
static int join(struct queue_object *self, tutti_time timeout)
{
	if (queue_enter(self) < 0)
		return -1;
	int err = py_wait(try_join, queue_of(self), timeout);
	bool failed = err > 0 && !(timeout == TUTTI_NOW && py_is_not_yet(err));
	if (failed)
		py_raise(self->shared.state, (tutti_err)err);
	queue_leave(self);
	return failed ? -1 : err;
}

static PyObject *joinable_join(PyObject *object, PyObject *Py_UNUSED(none))
{
	return join((struct queue_object *)object, TUTTI_FOREVER) ? NULL : Py_NewRef(Py_None);
}

static PyObject *joinable_is_done(PyObject *object, PyObject *Py_UNUSED(none))
{
	int err = join((struct queue_object *)object, TUTTI_NOW);
	return err < 0 ? NULL : PyBool_FromLong(err == TUTTI_OK);
}

static PyObject *joinable_done_fileno(PyObject *object, PyObject *Py_UNUSED(none))
{
	return queue_descriptor(object, tutti_queue_done_fd);
}

PyMethodDef joinable_queue_methods[] = {
	{"task_done", joinable_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nSays that an object is done that was got, or else one that will be."},
	{"join", joinable_join, METH_NOARGS, "join($self, /)\n--\n\nWaits until everything that was put is done."},
	{"_is_done", joinable_is_done, METH_NOARGS, "_is_done($self, /)\n--\n\nWhether join would not wait."},
	{"done_fileno", joinable_done_fileno, METH_NOARGS,
     "done_fileno($self, /)\n--\n\nA descriptor that is readable while everything is done. Never read it."},
	{0},
};

PyMethodDef simple_queue_methods[] = {
	{"put", queue_put_forever, METH_O, "put($self, obj, /)\n--\n\nCopies an object into the queue."},
	{"get", queue_get_forever, METH_NOARGS, "get($self, /)\n--\n\nThe next object."},
	{"_get_nowait", queue_get_nowait, METH_NOARGS, "_get_nowait($self, /)\n--\n\nThe next object, or Empty."},
	{0},
};
