/* SPDX-License-Identifier: MIT */
/* Arguments of the methods that are called most, taken without making a tuple or a dictionary of them. */
#ifndef TUTTI_PYTHON_ARGUMENTS_H
#define TUTTI_PYTHON_ARGUMENTS_H

#include "state.h"

/*
 * Fills `values` (NULL where none was given) from a vector call's arguments by the names of the parameters.
 * Borrowed references. 0, or -1 with TypeError.
 */
int py_arguments(const char *function, const char *const *names, Py_ssize_t count, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *keywords, PyObject **values);

/* The pair (block=True, timeout=None) of every acquire and of Queue.get, as a time. 0, or -1 with an exception. */
int py_block_timeout_arguments(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                               tutti_time *timeout);

/* The single (timeout=None) of Event.wait and Condition.wait. */
int py_timeout_argument(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                        tutti_time *timeout);

#endif
