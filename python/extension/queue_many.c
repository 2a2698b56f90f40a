/* SPDX-License-Identifier: MIT */
/*
 * Many objects at once.
 *
 * A list or a tuple is put in batches: the small messages among BATCH objects are encoded first and go in under one
 * latch, in order. What else can be iterated runs code of its own between two objects, which may wait for somebody who
 * has got the first: there each object is in before the next is asked for.
 */
#include "arguments.h"
#include "errors.h"
#include "queue.h"
#include "wait.h"

/* ---- put ---- */

enum { BATCH = 32, SMALL = 4096 /* bytes of a message that is copied under the latch */ };

/* One call's put_many. */
struct batch {
	struct queue_object *self;
	int64_t deadline;
	Py_ssize_t done; /* objects that are in; one that on_error was told of counts too */
	/* Encoded, and not yet in: `put` of `count` are. */
	size_t count, put;
	tutti_view messages[BATCH];
	tutti_encoding encodings[BATCH];
	struct outgoing out[BATCH];
};

static tutti_err try_batch(void *context, tutti_time timeout)
{
	struct batch *batch = context;
	size_t accepted = 0;
	tutti_err err =
		tutti_queue_put_many_encoded(queue_of(batch->self), batch->messages + batch->put, batch->encodings + batch->put,
	                                 batch->count - batch->put, &accepted, timeout);
	batch->put += accepted;
	return err;
}

/* Puts what is encoded. 0, or -1 with an exception; what was accepted stays, and is counted. */
static int put_batch(struct batch *batch)
{
	int err = batch->count ? py_wait(try_batch, batch, py_time_left(batch->deadline)) : TUTTI_OK;
	if (err > 0)
		queue_raise_for_put(batch->self, err);
	batch->done += (Py_ssize_t)batch->put;
	for (size_t i = 0; i < batch->count; i++)
		outgoing_clear(&batch->out[i]);
	batch->count = batch->put = 0;
	return err == TUTTI_OK ? 0 : -1;
}

/* The object does not encode: those before it go in first. */
static int put_batch_and_report(struct batch *batch, PyObject *object)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (put_batch(batch) == 0) {
		PyErr_Restore(type, value, traceback);
		int result = queue_report(batch->self, object);
		batch->done += result == 0;
		return result;
	}
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
	return -1;
}

/* A message of its own, behind those before it. */
static int put_alone(struct batch *batch, struct outgoing *out)
{
	int result = put_batch(batch);
	if (result == 0)
		result = queue_put_encoded(batch->self, out, py_time_left(batch->deadline));
	batch->done += result == 0;
	outgoing_clear(out);
	return result;
}

/* The caller has entered. */
static int add(struct batch *batch, PyObject *object)
{
	struct outgoing *out = &batch->out[batch->count];
	int result = message_encode(&batch->self->shared.state->messages, object, out);
	if (result < 0) {
		outgoing_clear(out);
		return put_batch_and_report(batch, object);
	}
	if (batch->self->shared.closed) { /* by foreign code that encoding ran, or by another thread */
		outgoing_clear(out);
		return put_batch(batch) == 0 ? queue_enter(batch->self) : -1;
	}
	if (out->count != 1 || out->size > SMALL || out->carried_count)
		return put_alone(batch, out);
	batch->messages[batch->count] = out->parts[0];
	batch->encodings[batch->count] = out->encoding;
	batch->count++;
	return batch->count == BATCH ? put_batch(batch) : 0;
}

/* Encoding runs foreign code, which may change the list. */
static int put_sequence(struct batch *batch, PyObject *sequence)
{
	int result = 0;
	for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(sequence); i++) {
		PyObject *object = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
		result = add(batch, object);
		Py_DECREF(object);
	}
	return result == 0 ? put_batch(batch) : result;
}

static int put_in_batches(struct queue_object *self, PyObject *sequence, int64_t deadline, Py_ssize_t *done)
{
	if (queue_enter(self) < 0)
		return -1;
	struct batch *batch = PyMem_Malloc(sizeof *batch);
	int result = -1;
	if (batch) {
		batch->self = self;
		batch->deadline = deadline;
		batch->done = 0;
		batch->count = batch->put = 0;
		result = put_sequence(batch, sequence);
		*done = batch->done;
		self->used = true;
	} else {
		PyErr_NoMemory();
	}
	PyMem_Free(batch);
	queue_leave(self);
	return result;
}

static int put_one_by_one(struct queue_object *self, PyObject *iterable, int64_t deadline, Py_ssize_t *done)
{
	PyObject *iterator = PyObject_GetIter(iterable), *item;
	int result = iterator ? 0 : -1;
	while (result == 0 && (item = PyIter_Next(iterator)) != NULL) {
		result = queue_put_object(self, item, py_time_left(deadline));
		*done += result == 0;
		Py_DECREF(item);
	}
	Py_XDECREF(iterator);
	return PyErr_Occurred() ? -1 : 0;
}

/* True if the exception only says that the time was over after some were in: then the count says it better. */
static bool is_part_of_many(struct queue_object *self, Py_ssize_t done)
{
	if (done == 0 || !PyErr_ExceptionMatches(self->shared.state->queue_full))
		return false;
	PyErr_Clear();
	return true;
}

PyObject *queue_put_many(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"objects", "block", "timeout"};
	struct queue_object *self = (struct queue_object *)object;
	PyObject *values[3];
	tutti_time timeout;
	Py_ssize_t done = 0;
	if (py_arguments("put_many", names, 3, given, count, keywords, values) < 0 ||
	    py_required("put_many", "objects", values[0]) < 0 || queue_times_of(values[1], values[2], &timeout) < 0)
		return NULL;
	bool is_sequence = PyList_CheckExact(values[0]) || PyTuple_CheckExact(values[0]);
	int result = (is_sequence ? put_in_batches : put_one_by_one)(self, values[0], py_deadline(timeout), &done);
	if (result < 0 && !is_part_of_many(self, done))
		return NULL;
	return PyLong_FromSsize_t(done);
}

/* ---- get ---- */

/* The messages that are there, behind the first. What went wrong with one of them is told by the next get. */
static int get_the_rest(struct queue_object *self, PyObject *list, Py_ssize_t most)
{
	PyObject *type, *value, *traceback;
	while (PyList_GET_SIZE(list) < most && tutti_queue_size(queue_of(self))) {
		PyObject *item = queue_get_object(self, TUTTI_NOW);
		if (!item)
			break;
		int appended = PyList_Append(list, item);
		Py_DECREF(item);
		if (appended < 0)
			return -1;
	}
	if (!PyErr_Occurred() || PyErr_ExceptionMatches(self->shared.state->queue_empty) ||
	    PyErr_ExceptionMatches(self->shared.state->shut_down)) {
		PyErr_Clear();
		return 0;
	}
	if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) { /* not one of the messages': raised as soon as we are back */
		PyErr_Clear();
		PyErr_SetInterrupt();
		return 0;
	}
	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	Py_XSETREF(self->late_error, value);
	Py_XDECREF(type);
	Py_XDECREF(traceback);
	return 0;
}

PyObject *queue_get_many(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"limit", "block", "timeout"};
	struct queue_object *self = (struct queue_object *)object;
	PyObject *values[3], *list = PyList_New(0);
	tutti_time timeout;
	if (!list || py_arguments("get_many", names, 3, given, count, keywords, values) < 0 ||
	    py_required("get_many", "limit", values[0]) < 0 || queue_times_of(values[1], values[2], &timeout) < 0) {
		Py_XDECREF(list);
		return NULL;
	}
	Py_ssize_t most = PyNumber_AsSsize_t(values[0], PyExc_OverflowError);
	if (most < 1 && !PyErr_Occurred())
		PyErr_SetString(PyExc_ValueError, "get_many() takes a limit of at least 1");
	PyObject *first = PyErr_Occurred() ? NULL : queue_get_object(self, timeout);
	int result = first ? PyList_Append(list, first) : -1;
	Py_XDECREF(first);
	if (result == 0 && queue_enter(self) == 0) {
		result = get_the_rest(self, list, most);
		queue_leave(self);
	} else if (result == 0) {
		PyErr_Clear(); /* another thread has closed it meanwhile: the first message is ours all the same */
	}
	if (result < 0)
		Py_CLEAR(list);
	return list;
}
