/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include "state.h"

_Atomic uint64_t py_calls;

static PyObject *call_count(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	return PyLong_FromUnsignedLongLong(atomic_load_explicit(&py_calls, memory_order_relaxed));
}

static PyMethodDef functions[] = {
	{"call_count", call_count, METH_NOARGS,
     "call_count()\n--\n\nHow often this process has called methods of shared objects and connections so far."},
	{NULL, NULL, 0, NULL},
};

int py_add_calls(PyObject *module) { return PyModule_AddFunctions(module, functions); }
