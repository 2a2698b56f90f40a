/* SPDX-License-Identifier: MIT */
#include "abandoned.h"
#include "errors.h"
#include "wait.h"

/* Letter mode. Where warnings are errors the lock is put back: who gets an exception does not think that he holds it. */
static PyObject *warn(struct py_shared *shared, py_abandon abandon)
{
	PyObject *text = PyUnicode_FromString(tutti_last_error());
	if (!text)
		return NULL;
	int rc = PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%U", text);
	Py_DECREF(text);
	if (rc == 0)
		Py_RETURN_TRUE;
	abandon(shared->object);
	return NULL;
}

PyObject *py_acquired(struct py_shared *shared, int answer, py_abandon abandon)
{
	if (answer == TUTTI_OK)
		Py_RETURN_TRUE;
	if (py_is_not_yet(answer))
		Py_RETURN_FALSE;
	if (answer < 0)
		return NULL;
	if (answer == TUTTI_EOWNERDEAD && shared->letter)
		return warn(shared, abandon);
	return py_raise(shared->state, (tutti_err)answer);
}

PyObject *py_entered(struct py_shared *shared, int answer, py_abandon abandon)
{
	if (answer != TUTTI_EOWNERDEAD || shared->letter)
		return py_acquired(shared, answer, abandon);
	py_raise(shared->state, TUTTI_EOWNERDEAD);
	abandon(shared->object);
	return NULL;
}
