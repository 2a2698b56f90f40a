/* SPDX-License-Identifier: MIT */
/*
 * The results of many calls, one after the other: behind map, starmap, imap and imap_unordered.
 *
 * The inputs are taken from an iterator, in the thread that makes the stream or reads it, and go into tasks of
 * `chunk` inputs each; at most `window` tasks are under way. Their futures stand in the order of their submission.
 */
#ifndef TUTTI_PYTHON_STREAM_H
#define TUTTI_PYTHON_STREAM_H

#include "pool.h"

struct stream_object {
	PyObject_HEAD PyObject *dict;
	PyObject *weak_references;
	struct pool_object *pool;
	PyObject *function;
	PyObject *inputs; /* an iterator; NULL: exhausted, or it raised */
	PyObject *inputs_error; /* what it raised: told after the results of what came before */
	bool star, ordered;
	bool as_values; /* an exception is given as the item's value */
	Py_ssize_t chunk;
	size_t window, light; /* tasks under way: at most, and so many however large they are */
	size_t task_bytes; /* of the last task */
	struct task_options options;
	/* Under way: from `first` on, `count` of them; of how many inputs each is; and, without a future, why it did not go. */
	tutti_future **futures;
	Py_ssize_t *sizes;
	PyObject **errors;
	size_t first, count, room;
	size_t refused; /* so many have no future */
	/* What was read of the last task and not given yet. */
	PyObject *values, *failures; /* a list; NULL, or a dict by place */
	PyObject *whole_failure; /* of all its inputs */
	Py_ssize_t place, end;
	bool cancelled; /* no further input is taken */
	bool is_busy; /* a thread is in it: this one */
	unsigned long thread;
};

/* Submits until the window is full or the inputs have ended; -1 with an exception. An input that does not go in ends them. */
int stream_fill(struct stream_object *self);

/*
 * True if what is under way, or so many tasks like the last, take up more than is good: memory that was used before is
 * in the tables and caches, new memory costs several times as much. Who reads a stream submits the rest.
 */
static inline bool stream_is_heavy(const struct stream_object *self)
{
	enum { HEAVY = 32 << 20 };
	return self->count >= self->light && self->task_bytes * self->count > HEAVY;
}

/* True when it is time to. In gulps: it wakes sleeping workers less often. */
static inline bool stream_wants_inputs(const struct stream_object *self)
{
	return self->inputs && self->count <= self->window - (self->window + 3) / 4 && !stream_is_heavy(self);
}

#endif
