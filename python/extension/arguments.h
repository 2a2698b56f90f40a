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
int py_given_block_timeout(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                           tutti_time *timeout);
static inline int py_block_timeout_arguments(const char *function, PyObject *const *args, Py_ssize_t nargs,
                                             PyObject *keywords, tutti_time *timeout)
{
	*timeout = TUTTI_FOREVER;
	return nargs == 0 && !keywords ? 0 : py_given_block_timeout(function, args, nargs, keywords, timeout);
}

/* The single (timeout=None) of Event.wait and Condition.wait. */
int py_timeout_argument(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                        tutti_time *timeout);

/* For a parameter that must be given: 0, or -1 with TypeError. */
int py_required(const char *function, const char *name, PyObject *value);

/* A flag that may be left out: 1, 0, or -1 with an exception. */
static inline int py_flag(PyObject *value, int missing)
{
	return !value ? missing : value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);
}

/* For a function that takes none: 0, or -1 with TypeError. */
static inline int py_no_arguments(const char *function, Py_ssize_t nargs)
{
	if (nargs == 0)
		return 0;
	PyErr_Format(PyExc_TypeError, "%s() takes no arguments (%zd given)", function, nargs);
	return -1;
}

/*
 * The entries of such methods in a table of methods. One without arguments is not METH_NOARGS: a bound method
 * of the other kind, kept in a variable, is called without a detour since 3.11; measured, a tenth of a lock's acquire
 * and release.
 */
#define PY_WITH_KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define PY_WITHOUT_ARGUMENTS(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

#endif
