/* SPDX-License-Identifier: MIT */
/*
 * What Python is told when the holder of a lock was killed (promise K3 of docs/architecture.md).
 *
 * Own mode: acquire() raises AbandonedLockError with the lock held; `with` raises it with nobody holding the
 * lock, which is abandoned again, because __exit__ will not come. Letter mode, where programs know of no such
 * error: the acquire succeeds, with a RuntimeWarning.
 */
#ifndef TUTTI_PYTHON_ABANDONED_H
#define TUTTI_PYTHON_ABANDONED_H

#include <stdbool.h>

#include "shared.h"

/* Gives a lock, of whichever kind, back as abandoned. */
typedef tutti_err (*py_abandon)(void *object);

PyObject *py_not_acquired(struct py_shared *shared, int answer, py_abandon abandon);

/* The result of acquire() after the core's answer (or -1): True, False, or NULL with an exception. */
static inline PyObject *py_acquired(struct py_shared *shared, int answer, py_abandon abandon)
{
	if (answer == TUTTI_OK)
		Py_RETURN_TRUE;
	return py_not_acquired(shared, answer, abandon);
}

/* True with a RuntimeWarning; where warnings are errors, NULL, and it is given back. */
PyObject *py_warned(struct py_shared *shared, py_abandon abandon);

/* The result of __enter__() likewise. */
PyObject *py_entered(struct py_shared *shared, int answer, py_abandon abandon);

#endif
