/* SPDX-License-Identifier: MIT */
/*
 * Queue, JoinableQueue and SimpleQueue over tutti_queue.
 *
 * A put encodes, copies into the arena and returns: no feeder thread, nothing to wait for at exit.
 *
 * `close` gives this process's handle back. Another thread may be inside a call at that moment,
 * without the GIL: the handle is then given back by the last one that leaves (py_shared_enter).
 */
#ifndef TUTTI_PYTHON_QUEUE_H
#define TUTTI_PYTHON_QUEUE_H

#include "shared.h"

struct queue_object {
	struct py_shared shared; /* its object: a tutti_queue */
	PyObject *name;
	PyObject *on_error; /* letter mode: called with (error, object) when pickling fails; else NULL */
	PyObject *redelivered_to; /* NULL, or a set: the threads whose last object a killed process had before */
	PyObject *late_error; /* of a get_many that had messages to return first; raised by the next get */
	uint64_t max_items, max_bytes; /* 0: unbounded */
	bool late_error_is_inherited; /* by fork: it is told in the parent */
	bool used; /* something was put in this process */
};

static inline tutti_queue *queue_of(const struct queue_object *self) { return self->shared.object; }

/* Marks a call: 0, or -1 with the exception for a closed queue. */
int queue_enter(struct queue_object *self);
void queue_leave(struct queue_object *self);

/* A copy into the queue. 0, or -1 with an exception (Full, ShutDown, ...); nothing was put then. */
int queue_put_object(struct queue_object *self, PyObject *object, tutti_time timeout);

/* The parts of it. An encoded message; -1 with an exception. The exception for the core's answer. */
int queue_put_encoded(struct queue_object *self, const struct outgoing *out, tutti_time timeout);
void queue_raise_for_put(struct queue_object *self, int err);

/* After an encoding that raised: 0 if letter mode's on_error has been told and the object is left out; else -1. */
int queue_report(struct queue_object *self, PyObject *object);

/* The arguments block and timeout. 0, or -1 with an exception. */
int queue_times_of(PyObject *block, PyObject *seconds, tutti_time *timeout);

/* The next object, or NULL with an exception (Empty, ShutDown, or that the message does not decode). */
PyObject *queue_get_object(struct queue_object *self, tutti_time timeout);

/* One of the queue's descriptors as a number. */
PyObject *queue_descriptor(PyObject *object, tutti_err (*descriptor_of)(tutti_queue *queue, int *fd));

/* What `redelivered` tells this thread from now on: 0, or -1 with an exception. Cheap while nothing is given back. */
int queue_note_redelivered(struct queue_object *self, bool redelivered);

PyObject *queue_put_many(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords);
PyObject *queue_get_many(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords);
PyObject *queue_full(PyObject *object, PyObject *none);
PyObject *queue_nothing_to_join(PyObject *object, PyObject *none);

extern PyMethodDef queue_methods[], joinable_queue_methods[], simple_queue_methods[];

#endif
