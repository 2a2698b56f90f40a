/* SPDX-License-Identifier: MIT */
#include "abandoned.h"
#include "errors.h"
#include "wait.h"

/* The core's text, with the signal if Python knows it: a new reference, or NULL. */
static PyObject *death_text(bool held)
{
	PyObject *text = PyUnicode_FromString(tutti_last_error());
	PyObject *module = text ? PyImport_ImportModule("tutti._deaths") : NULL;
	PyObject *explained =
		module ? PyObject_CallMethod(module, "explained", "OO", text, held ? Py_True : Py_False) : NULL;
	Py_XDECREF(module);
	Py_XDECREF(text);
	return explained;
}

/* Raises AbandonedLockError with that text. */
static PyObject *raise_abandoned(struct py_shared *shared, bool held)
{
	PyObject *text = death_text(held);
	if (text)
		PyErr_SetObject(shared->state->abandoned_lock_error, text);
	Py_XDECREF(text);
	return NULL;
}

/* Who gets an exception does not think that he holds it. */
PyObject *py_warned(struct py_shared *shared, py_abandon abandon)
{
	PyObject *text = death_text(true);
	int rc = text ? PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%U", text) : -1;
	Py_XDECREF(text);
	if (rc == 0)
		Py_RETURN_TRUE;
	abandon(shared->object);
	return NULL;
}

PyObject *py_not_acquired(struct py_shared *shared, int answer, py_abandon abandon)
{
	if (py_is_not_yet(answer))
		Py_RETURN_FALSE;
	if (answer < 0)
		return NULL;
	if (answer == TUTTI_EOWNERDEAD)
		return shared->letter ? py_warned(shared, abandon) : raise_abandoned(shared, true);
	return py_raise(shared->state, (tutti_err)answer);
}

PyObject *py_entered(struct py_shared *shared, int answer, py_abandon abandon)
{
	if (answer != TUTTI_EOWNERDEAD || shared->letter)
		return py_acquired(shared, answer, abandon);
	raise_abandoned(shared, false);
	abandon(shared->object);
	return NULL;
}
