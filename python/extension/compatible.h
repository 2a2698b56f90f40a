/* SPDX-License-Identifier: MIT */
/* What newer versions of Python.h have, for 3.9. */
#ifndef TUTTI_PYTHON_COMPATIBLE_H
#define TUTTI_PYTHON_COMPATIBLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030a0000
static inline PyObject *Py_NewRef(PyObject *object)
{
	Py_INCREF(object);
	return object;
}
#endif

#endif
