/* SPDX-License-Identifier: MIT */
/* What is read of a stream, and the type. */
#include <time.h>

#include "arguments.h"
#include "errors.h"
#include "stream.h"
#include "wait.h"

/* ---- results ---- */

static void forget_task(struct stream_object *self)
{
	Py_CLEAR(self->values);
	Py_CLEAR(self->failures);
	Py_CLEAR(self->whole_failure);
	self->place = self->end = 0;
}

/* Takes the task at a place out; those before it move up. NULL: it has no future, but an error. */
static tutti_future *take(struct stream_object *self, size_t place, Py_ssize_t *size, PyObject **error)
{
	tutti_future **futures = self->futures + self->first;
	Py_ssize_t *sizes = self->sizes + self->first;
	tutti_future *taken = futures[place];
	PyObject **errors = self->errors + self->first;
	*size = sizes[place];
	*error = errors[place];
	self->refused -= *error != NULL;
	memmove(errors + 1, errors, place * sizeof *errors);
	memmove(futures + 1, futures, place * sizeof *futures);
	memmove(sizes + 1, sizes, place * sizeof *sizes);
	self->first++;
	self->count--;
	return taken;
}

/* What a task of several inputs gave: a list, or (list, failures). 0, or -1 with TypeError. */
static int keep_values(struct stream_object *self, PyObject *value)
{
	PyObject *values = value, *failures = NULL;
	if (PyTuple_CheckExact(value) && PyTuple_GET_SIZE(value) == 2) {
		values = PyTuple_GET_ITEM(value, 0);
		failures = PyTuple_GET_ITEM(value, 1);
	}
	if (!PyList_CheckExact(values) || PyList_GET_SIZE(values) != self->end ||
	    (failures && !PyDict_CheckExact(failures))) {
		PyErr_SetString(PyExc_TypeError, "a worker has given no list of results");
		return -1;
	}
	self->values = Py_NewRef(values);
	self->failures = failures ? Py_NewRef(failures) : NULL;
	return 0;
}

/* Reads the task at a place. Its values stand in the stream then. */
static int read_task(struct stream_object *self, size_t place)
{
	tutti_future *future = take(self, place, &self->end, &self->whole_failure);
	self->place = 0;
	if (!future)
		return 0;
	PyObject *value = pool_read(self->pool, future, self->function);
	pool_drop(self->pool, future);
	if (value && self->chunk == 1) {
		self->values = PyList_New(1);
		if (self->values)
			PyList_SET_ITEM(self->values, 0, Py_NewRef(value));
	} else if (value && keep_values(self, value) < 0) {
		self->whole_failure = pool_caught();
	} else if (!value) {
		self->whole_failure = pool_caught();
	}
	Py_XDECREF(value);
	return self->values || self->whole_failure ? 0 : -1;
}

/* As pool_wait_any(), of those that are next; one that did not go is done. */
static int wait_for_one(struct stream_object *self, size_t *place, int64_t deadline)
{
	size_t candidates = self->ordered ? 1 : self->count;
	for (*place = 0; self->refused > 0 && *place < candidates; ++*place)
		if (!self->futures[self->first + *place])
			return 1;
	return pool_wait_any(self->pool, self->futures + self->first, candidates, place, deadline);
}

/* 1: the task at *place is done; 0: none in time; 2: there are no more; -1 with an exception. */
static int await_task(struct stream_object *self, size_t *place, int64_t deadline)
{
	/* No inputs while there is something to give: their iterator may take its time, or wait for just that. */
	if (self->count > 0 && self->window != SIZE_MAX && wait_for_one(self, place, py_deadline(0)) == 1)
		return 1;
	if (PyErr_Occurred() || (stream_wants_inputs(self) && stream_fill(self) < 0))
		return -1;
	return self->count == 0 ? 2 : wait_for_one(self, place, deadline);
}

/* 1: values are there; else as await_task(). */
static int next_task(struct stream_object *self, int64_t deadline)
{
	size_t place;
	int done = await_task(self, &place, deadline);
	return done == 1 && read_task(self, place) < 0 ? -1 : done;
}

static PyObject *raise_or_give(const struct stream_object *self, PyObject *error)
{
	if (self->as_values)
		return Py_NewRef(error);
	PyErr_SetObject((PyObject *)Py_TYPE(error), error);
	return NULL;
}

/* Of what was read and not given. */
static PyObject *next_value(struct stream_object *self)
{
	Py_ssize_t place = self->place++;
	PyObject *error = self->whole_failure, *result;
	if (!error && self->failures) {
		PyObject *key = PyLong_FromSsize_t(place);
		if (!key)
			return NULL;
		error = PyDict_GetItem(self->failures, key);
		Py_DECREF(key);
	}
	result = error ? raise_or_give(self, error) : Py_NewRef(PyList_GET_ITEM(self->values, place));
	if (self->place == self->end)
		forget_task(self);
	return result;
}

static PyObject *raise_end(struct stream_object *self)
{
	PyObject *error = self->inputs_error;
	self->inputs_error = NULL;
	PyErr_SetObject(error ? (PyObject *)Py_TYPE(error) : PyExc_StopIteration, error);
	Py_XDECREF(error);
	return NULL;
}

/* The next item; NULL with its exception, TimeoutError, or StopIteration. */
static PyObject *next_item(struct stream_object *self, int64_t deadline)
{
	int there = self->place < self->end ? 1 : next_task(self, deadline);
	if (there == 1)
		return next_value(self);
	if (there == 0)
		return pool_raise_timeout(self->pool->state);
	return there == 2 ? raise_end(self) : NULL;
}

/* One thread at a time: a second one would take away the futures for which the first waits. -1: a signal's exception. */
static int enter(struct stream_object *self)
{
	static const struct timespec PAUSE = {.tv_nsec = 1000000};
	while (self->is_busy) {
		if (self->thread == PyThread_get_thread_ident()) {
			PyErr_SetString(PyExc_ValueError, "the iterator of the inputs asks for the results of these inputs");
			return -1;
		}
		Py_BEGIN_ALLOW_THREADS;
		nanosleep(&PAUSE, NULL);
		Py_END_ALLOW_THREADS;
		if (PyErr_CheckSignals() < 0)
			return -1;
	}
	self->is_busy = true;
	self->thread = PyThread_get_thread_ident();
	return 0;
}

static PyObject *iter_next(PyObject *object)
{
	struct stream_object *self = (struct stream_object *)object;
	if (enter(self) < 0)
		return NULL;
	PyObject *item = next_item(self, INT64_MAX);
	self->is_busy = false;
	return item;
}

static PyObject *stream_next(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	struct stream_object *self = (struct stream_object *)object;
	tutti_time timeout;
	if (py_timeout_argument("next", given, count, keywords, &timeout) < 0 || enter(self) < 0)
		return NULL;
	PyObject *item = next_item(self, timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout));
	self->is_busy = false;
	return item;
}

/* _next_pair(timeout): (value, None) or (None, exception); None at the end. */
static PyObject *next_pair(PyObject *object, PyObject *seconds)
{
	struct stream_object *self = (struct stream_object *)object;
	tutti_time timeout;
	if (py_timeout(seconds, &timeout) < 0 || enter(self) < 0)
		return NULL;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout);
	int there = self->place < self->end ? 1 : next_task(self, deadline);
	PyObject *value = there == 1 ? next_value(self) : NULL, *error = there == 1 && !value ? pool_caught() : NULL;
	self->is_busy = false;
	if (there == 0)
		return pool_raise_timeout(self->pool->state);
	if (there == 2)
		return self->inputs_error ? raise_end(self) : Py_NewRef(Py_None);
	if (there < 0)
		return NULL;
	PyObject *pair = PyTuple_Pack(2, value ? value : Py_None, error ? error : Py_None);
	Py_XDECREF(value);
	Py_XDECREF(error);
	return pair;
}

/* _wait(timeout): waits until _next_pair() has something, if only the end. False: not in time. */
static PyObject *wait_for_next(PyObject *object, PyObject *seconds)
{
	struct stream_object *self = (struct stream_object *)object;
	tutti_time timeout;
	size_t place;
	if (py_timeout(seconds, &timeout) < 0 || enter(self) < 0)
		return NULL;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout);
	int there = self->place < self->end ? 1 : await_task(self, &place, deadline);
	self->is_busy = false;
	return there < 0 ? NULL : PyBool_FromLong(there);
}

/*
 * _collect(values, errors, timeout): appends what is left to two lists; what the inputs' iterator raised comes first.
 * False: not in time; go on later, as after an exception, which is none of the calls'.
 */
static PyObject *collect(PyObject *object, PyObject *arguments)
{
	struct stream_object *self = (struct stream_object *)object;
	PyObject *values, *errors, *seconds;
	tutti_time timeout;
	if (!PyArg_ParseTuple(arguments, "O!O!O:_collect", &PyList_Type, &values, &PyList_Type, &errors, &seconds) ||
	    py_timeout(seconds, &timeout) < 0 || enter(self) < 0)
		return NULL;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout);
	int there = 1, kept = 0;
	while (kept == 0 && (self->place < self->end || (there = next_task(self, deadline)) == 1)) {
		PyObject *item = next_value(self), *error = item ? NULL : pool_caught();
		kept = item ? PyList_Append(values, item) : PyList_Append(errors, error);
		Py_XDECREF(item);
		Py_XDECREF(error);
	}
	self->is_busy = false;
	if (kept == 0 && there == 2 && self->inputs_error)
		kept = PyList_Insert(errors, 0, self->inputs_error);
	if (kept < 0 || there < 0)
		return NULL;
	if (there == 2)
		Py_CLEAR(self->inputs_error);
	return PyBool_FromLong(there == 2);
}

/*
 * _feed(to_the_end): submits what the window has room for, or all; whether all inputs are in. False while another thread
 * reads: that one does it.
 */
static PyObject *feed(PyObject *object, PyObject *to_the_end)
{
	struct stream_object *self = (struct stream_object *)object;
	if (self->is_busy)
		Py_RETURN_FALSE;
	self->is_busy = true;
	self->thread = PyThread_get_thread_ident();
	if (to_the_end == Py_True)
		self->window = self->light = SIZE_MAX;
	int filled = stream_fill(self);
	self->is_busy = false;
	return filled < 0 ? NULL : PyBool_FromLong(!self->inputs);
}

/*
 * _cancel(running): what has not started never does, what runs is ended too if `running`, and no further input is taken.
 * Another thread may be in it: one that waits keeps its futures where they are, one that takes inputs looks at
 * `cancelled` after each.
 */
static PyObject *cancel(PyObject *object, PyObject *running)
{
	tutti_err (*end)(tutti_future *) = running == Py_True ? tutti_future_terminate : tutti_future_cancel;
	struct stream_object *self = (struct stream_object *)object;
	self->cancelled = true;
	if (!self->is_busy)
		Py_CLEAR(self->inputs);
	for (size_t i = 0; self->pool->process == pool_process() && i < self->count; i++)
		if (self->futures[self->first + i])
			end(self->futures[self->first + i]);
	return running == Py_True && pool_end_condemned(self->pool) < 0 ? NULL : Py_NewRef(Py_None);
}

/* Done, or never to be done: the pool is broken, and who reads it is told why. */
static bool is_over(tutti_future *future)
{
	tutti_err err = future ? tutti_future_wait(future, TUTTI_NOW) : TUTTI_OK;
	return err == TUTTI_OK || err == TUTTI_EFAILED;
}

/* _is_done(): whether all inputs are in and run. */
static PyObject *is_done(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct stream_object *self = (struct stream_object *)object;
	bool done = !self->inputs && !self->is_busy && self->pool->process == pool_process();
	for (size_t i = 0; done && i < self->count; i++)
		done = is_over(self->futures[self->first + i]);
	if (!done && pool_tend(self->pool) < 0)
		return NULL;
	return PyBool_FromLong(done);
}

/* ---- making ---- */

static int init(struct stream_object *self, PyObject *arguments)
{
	PyObject *function, *inputs, *retries, *timeout, *priority;
	Py_ssize_t chunk, window;
	int star, ordered, as_values;
	if (!PyArg_ParseTuple(arguments, "OOpnnppOOO:_stream", &function, &inputs, &star, &chunk, &window, &ordered,
	                      &as_values, &retries, &timeout, &priority) ||
	    pool_task_options(retries, timeout, priority, &self->options) < 0)
		return -1;
	if (chunk < 1) {
		PyErr_Format(PyExc_ValueError, "Chunksize must be 1+, not %zd", chunk);
		return -1;
	}
	self->function = Py_NewRef(function);
	self->star = star;
	self->ordered = ordered;
	self->as_values = as_values;
	self->chunk = chunk;
	self->window = window > 0 ? (size_t)window : SIZE_MAX;
	self->light = window != 0 ? 2 * (size_t)tutti_pool_worker_count(self->pool->pool) + 1 : SIZE_MAX;
	self->inputs = PyObject_GetIter(inputs);
	/* Of an iterator only as much as keeps the workers busy: who asks for results waits for the rest. */
	size_t whole = self->window;
	if (whole != SIZE_MAX && whole > self->light)
		self->window = self->light;
	int filled = self->inputs ? stream_fill(self) : -1;
	self->window = whole;
	return filled;
}

PyObject *pool_stream(PyObject *object, PyObject *arguments)
{
	struct pool_object *pool = (struct pool_object *)object;
	if (pool_check_running(pool) < 0)
		return NULL;
	struct stream_object *self = (struct stream_object *)pool_new_result(pool->stream_class);
	if (!self)
		return NULL;
	self->pool = (struct pool_object *)Py_NewRef(object);
	if (init(self, arguments) < 0)
		Py_CLEAR(self);
	return (PyObject *)self;
}

/* ---- the type ---- */

static int stream_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct stream_object *self = (struct stream_object *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->dict);
	Py_VISIT(self->pool);
	Py_VISIT(self->function);
	Py_VISIT(self->inputs);
	Py_VISIT(self->inputs_error);
	Py_VISIT(self->values);
	Py_VISIT(self->failures);
	Py_VISIT(self->whole_failure);
	for (size_t i = 0; i < self->count; i++)
		Py_VISIT(self->errors[self->first + i]);
	return 0;
}

static int stream_clear(PyObject *object)
{
	struct stream_object *self = (struct stream_object *)object;
	Py_CLEAR(self->dict);
	Py_CLEAR(self->function);
	Py_CLEAR(self->inputs);
	Py_CLEAR(self->inputs_error);
	for (size_t i = 0; i < self->count; i++)
		Py_CLEAR(self->errors[self->first + i]);
	forget_task(self);
	return 0;
}

static void stream_dealloc(PyObject *object)
{
	struct stream_object *self = (struct stream_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject_GC_UnTrack(object);
	if (self->weak_references)
		PyObject_ClearWeakRefs(object);
	for (size_t i = 0; i < self->count; i++)
		pool_drop(self->pool, self->futures[self->first + i]);
	PyMem_Free(self->futures);
	stream_clear(object);
	PyMem_Free(self->sizes);
	PyMem_Free(self->errors);
	Py_XDECREF((PyObject *)self->pool);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
	{"next", PY_WITH_KEYWORDS(stream_next),
     "next($self, timeout=None)\n--\n\nThe next result. TimeoutError: not in time; ask again."},
	{"_next_pair", next_pair, METH_O,
     "_next_pair($self, timeout, /)\n--\n\n(value, None), (None, exception), or None at the end."},
	{"_wait", wait_for_next, METH_O,
     "_wait($self, timeout, /)\n--\n\nWaits until there is a next one, or the end. False: not in time."},
	{"_collect", collect, METH_VARARGS,
     "_collect($self, *args)\n--\n\nAppends the rest: (values, errors, timeout). False: not in time."},
	{"_feed", feed, METH_O, "_feed($self, to_the_end, /)\n--\n\nSubmits further inputs; whether all are in."},
	{"_cancel", cancel, METH_O, "_cancel($self, running, /)\n--\n\nCancels what has not started, or what runs, too."},
	{"_is_done", is_done, METH_NOARGS, "_is_done($self, /)\n--\n\nWhether all were run."},
	{0},
};

/* _has_inputs: whether its inputs are not all in. */
static PyObject *has_inputs(PyObject *object, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(((struct stream_object *)object)->inputs != NULL);
}

static PyGetSetDef properties[] = {
	{"_has_inputs", has_inputs, NULL, "Whether its inputs are not all in.", NULL},
	{0},
};

static PyMemberDef members[] = {
	{"__dictoffset__", T_PYSSIZET, offsetof(struct stream_object, dict), READONLY, NULL},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct stream_object, weak_references), READONLY, NULL},
	{"_pool", T_OBJECT, offsetof(struct stream_object, pool), READONLY, "The pool that runs it."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "The results of many calls, one after the other."},
	{Py_tp_iter, PyObject_SelfIter},
	{Py_tp_iternext, iter_next},
	{Py_tp_traverse, stream_traverse},
	{Py_tp_clear, stream_clear},
	{Py_tp_dealloc, stream_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_getset, properties},
	{Py_tp_members, members},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Stream",
	.basicsize = sizeof(struct stream_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_stream(PyObject *module)
{
	return py_add_type(module, &py_state_of_module(module)->stream_type, &spec, NULL);
}
