/* SPDX-License-Identifier: MIT */
/* Arguments of METH_FASTCALL | METH_KEYWORDS methods, without a format string on the usual call. */
#ifndef TUTTI_PYTHON_ARGUMENTS_H
#define TUTTI_PYTHON_ARGUMENTS_H

#include "compatible.h"

/*
 * Sorts the arguments of `function` into `values` (borrowed; NULL: not given) by the names of its
 * `count` parameters, the first `required` of which must be there. 0, or -1 with TypeError.
 */
int py_arguments(const char *function, const char *const *names, size_t count, size_t required, PyObject *const *given,
                 Py_ssize_t positional, PyObject *keywords, PyObject **values);

/* The entry of such a method in a table of methods. */
#define PY_WITH_KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

/* A flag that may be left out: 1, 0, or -1 with an exception. */
static inline int py_flag(PyObject *value, int missing)
{
	return !value ? missing : value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);
}

#endif
