/* SPDX-License-Identifier: MIT */
/* From the inputs of a stream to tasks. */
#include "stream.h"

static int make_room(struct stream_object *self)
{
	if (self->first + self->count < self->room)
		return 0;
	if (self->first > self->room / 2) {
		memmove(self->futures, self->futures + self->first, self->count * sizeof(tutti_future *));
		memmove(self->sizes, self->sizes + self->first, self->count * sizeof(Py_ssize_t));
		memmove(self->errors, self->errors + self->first, self->count * sizeof(PyObject *));
		self->first = 0;
		return 0;
	}
	size_t room = self->room ? 2 * self->room : 64;
	tutti_future **futures = PyMem_Resize(self->futures, tutti_future *, room);
	if (futures)
		self->futures = futures;
	Py_ssize_t *sizes = futures ? PyMem_Resize(self->sizes, Py_ssize_t, room) : NULL;
	if (sizes)
		self->sizes = sizes;
	PyObject **errors = sizes ? PyMem_Resize(self->errors, PyObject *, room) : NULL;
	if (!errors) {
		PyErr_NoMemory();
		return -1;
	}
	self->errors = errors;
	self->room = room;
	return 0;
}

/* The iterator has ended, or raised. */
static void end_inputs(struct stream_object *self)
{
	self->inputs_error = pool_caught();
	Py_CLEAR(self->inputs);
}

/* The next inputs as a tuple, with fewer than a chunk at their end; NULL: there are none (see end_inputs). */
static PyObject *next_chunk(struct stream_object *self)
{
	PyObject *items = NULL, *list = NULL;
	if (self->chunk == 1) {
		PyObject *item = PyIter_Next(self->inputs);
		items = item ? PyTuple_Pack(1, item) : NULL;
		Py_XDECREF(item);
	} else if ((list = PyList_New(0))) {
		PyObject *item;
		while (PyList_GET_SIZE(list) < self->chunk && (item = PyIter_Next(self->inputs))) {
			int appended = PyList_Append(list, item);
			Py_DECREF(item);
			if (appended < 0)
				break;
		}
		/* A chunk in which the iterator raised is not run, as multiprocessing has it. */
		if (PyList_GET_SIZE(list) < self->chunk)
			end_inputs(self);
		items = PyList_GET_SIZE(list) && !self->inputs_error ? PyList_AsTuple(list) : NULL;
		Py_DECREF(list);
		return items;
	}
	if (!items)
		end_inputs(self);
	return items;
}

/* A call of one input needs no list around its value. */
static int submit_one(struct stream_object *self, PyObject *items, tutti_future **future)
{
	PyObject *input = PyTuple_GET_ITEM(items, 0);
	if (!self->star)
		return pool_submit(self->pool, self->function, items, Py_None, &self->options, future, &self->task_bytes);
	PyObject *arguments = PySequence_Tuple(input);
	int result = arguments ? pool_submit(self->pool, self->function, arguments, Py_None, &self->options, future,
	                                     &self->task_bytes)
	                       : -1;
	Py_XDECREF(arguments);
	return result;
}

static int submit_chunk(struct stream_object *self, PyObject *items, tutti_future **future)
{
	PyObject *form = PyLong_FromLong(self->star);
	int result =
		form ? pool_submit(self->pool, self->function, items, form, &self->options, future, &self->task_bytes) : -1;
	Py_XDECREF(form);
	return result;
}

/* 0, or -1 with an exception; `items` are lost then. What cannot be pickled fails alone, in its place. */
static int submit(struct stream_object *self, PyObject *items)
{
	tutti_future *future = NULL;
	PyObject *error = NULL;
	if (make_room(self) < 0)
		return -1;
	self->task_bytes = 1; /* asked for the arguments of a starmap, an input may raise: that ends the inputs */
	if ((self->chunk == 1 ? submit_one(self, items, &future) : submit_chunk(self, items, &future)) < 0) {
		if (self->task_bytes > 0 || !PyErr_ExceptionMatches(PyExc_Exception))
			return -1;
		error = pool_caught();
		self->refused++;
	}
	self->futures[self->first + self->count] = future;
	self->errors[self->first + self->count] = error;
	self->sizes[self->first + self->count] = PyTuple_GET_SIZE(items);
	self->count++;
	return 0;
}

int stream_fill(struct stream_object *self)
{
	enum { LOOK_EVERY = 256 };
	if (self->cancelled)
		Py_CLEAR(self->inputs);
	while (self->inputs && self->count < self->window && !stream_is_heavy(self)) {
		PyObject *items = next_chunk(self);
		if (items && self->cancelled) { /* by the iterator, or another thread */
			Py_CLEAR(items);
			end_inputs(self);
		}
		if (!items)
			return 0;
		int submitted = submit(self, items);
		Py_DECREF(items);
		if (submitted < 0 && !PyErr_ExceptionMatches(PyExc_Exception))
			return -1;
		if (submitted < 0)
			end_inputs(self);
		/* With millions of inputs it takes long: Ctrl-C ends it, and workers are replaced. */
		if (self->count % LOOK_EVERY == 0 && (PyErr_CheckSignals() < 0 || pool_tend(self->pool) < 0))
			return -1;
	}
	return pool_tend(self->pool);
}
