/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "errors.h"

static PyObject *class_of(struct py_state *state, tutti_err err)
{
	switch (err) {
	case TUTTI_EINVAL:
	case TUTTI_ETOOBIG:
	case TUTTI_EBOUND:
		return PyExc_ValueError;
	case TUTTI_EKIND:
		return PyExc_TypeError;
	case TUTTI_ENOMEM:
		return PyExc_MemoryError;
	case TUTTI_ETIMEDOUT:
	case TUTTI_EBUSY:
		return PyExc_TimeoutError;
	case TUTTI_EEMPTY:
		return state->queue_empty;
	case TUTTI_EFULL:
		return state->queue_full;
	case TUTTI_ESHUTDOWN:
		return state->shut_down;
	case TUTTI_EOF:
		return PyExc_EOFError;
	case TUTTI_EOWNERDEAD:
		return state->abandoned_lock_error;
	case TUTTI_EBROKEN:
		return state->broken_barrier_error;
	case TUTTI_EDEADLK:
	case TUTTI_EPERM:
		return PyExc_RuntimeError;
	case TUTTI_ESTALE:
	case TUTTI_EFOREIGN:
		return state->stale_handle_error;
	case TUTTI_ENOENT:
		return PyExc_FileNotFoundError;
	case TUTTI_EINTR:
		return PyExc_InterruptedError;
	case TUTTI_ESYSTEM:
	case TUTTI_ENOTARENA:
	case TUTTI_EVERSION:
	case TUTTI_EMEMBERS:
	case TUTTI_EDESCRIPTORS:
		return PyExc_OSError;
	default:
		return state->error;
	}
}

PyObject *py_text(const char *text) { return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"); }

PyObject *py_raise(struct py_state *state, tutti_err err)
{
	PyObject *text = py_text(tutti_last_error());
	if (text)
		PyErr_SetObject(class_of(state, err), text);
	Py_XDECREF(text);
	return NULL;
}

/* A class of this package, entered in the module under its name. */
static int add_class(PyObject *module, PyObject **class, const char *name, const char *doc, PyObject *base)
{
	*class = PyErr_NewExceptionWithDoc(name, doc, base, NULL);
	return *class ? py_add_object(module, strchr(name, '.') + 1, *class) : -1;
}

/* A class of another module; NULL without an exception if it has none of that name. */
static PyObject *foreign_class(const char *module_name, const char *name)
{
	PyObject *module = PyImport_ImportModule(module_name);
	PyObject *class = module ? PyObject_GetAttrString(module, name) : NULL;
	Py_XDECREF(module);
	if (!class && PyErr_ExceptionMatches(PyExc_AttributeError))
		PyErr_Clear();
	return class;
}

static int add_shut_down(PyObject *module, struct py_state *state)
{
	state->shut_down = foreign_class("queue", "ShutDown");
	if (state->shut_down)
		return py_add_object(module, "ShutDown", state->shut_down);
	if (PyErr_Occurred())
		return -1;
	return add_class(module, &state->shut_down, "tutti.ShutDown", "The queue was shut down.", NULL);
}

int py_add_errors(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
	if (add_class(module, &state->error, "tutti.Error", "An error of tutti that no built-in exception stands for.",
	              NULL) < 0 ||
	    add_class(module, &state->abandoned_lock_error, "tutti.AbandonedLockError",
	              "The process that held the lock was killed. The caller holds it now; what the lock guards may be "
	              "half changed.",
	              PyExc_RuntimeError) < 0 ||
	    add_class(module, &state->stale_handle_error, "tutti.StaleHandleError",
	              "The shared object is gone, or belongs to another arena.", PyExc_ReferenceError) < 0)
		return -1;
	state->queue_empty = foreign_class("queue", "Empty");
	state->queue_full = foreign_class("queue", "Full");
	state->broken_barrier_error = foreign_class("threading", "BrokenBarrierError");
	if (!state->queue_empty || !state->queue_full || !state->broken_barrier_error)
		return -1;
	return add_shut_down(module, state);
}
