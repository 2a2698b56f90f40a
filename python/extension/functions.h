/* SPDX-License-Identifier: MIT */
/*
 * Functions that travel by number.
 *
 * pickle sends a function, a class or a builtin by the name that its module has it under. The pool's owner sends
 * such a pickle once, into the pool's catalogue, and a task then names its place there; a worker loads it once. Both
 * look at each use whether the module has the same object under that name still. If not it is pickled each time, as
 * anything else is, and pickle says what is wrong with it.
 */
#ifndef TUTTI_PYTHON_FUNCTIONS_H
#define TUTTI_PYTHON_FUNCTIONS_H

#include "state.h"

struct named_function {
	PyObject *function; /* NULL: not loaded */
	PyObject *namespace, *name; /* a module's dict, and what it has the function under; NULL: not by name */
};

/* By number. Owned references. */
struct functions {
	struct named_function *items;
	size_t count;
	size_t last; /* the one that was asked for last */
};

/* The number of a function that has one and still is what its module has under its name; else -1. */
Py_ssize_t functions_find(struct functions *functions, PyObject *function);

/* 1 if pickle sends it by a name of a module's own, 0 if not, -1 with an exception. */
int functions_is_named(struct py_state *state, PyObject *function);

/* Enters a function under a number. 0, or -1 with an exception. */
int functions_set(struct functions *functions, struct py_state *state, size_t number, PyObject *function);

/* The function of a number, borrowed, if it is loaded and still what its module has; else NULL without an exception. */
PyObject *functions_get(const struct functions *functions, size_t number);

int functions_traverse(struct functions *functions, visitproc visit, void *arg);
void functions_clear(struct functions *functions);

#endif
