/* SPDX-License-Identifier: MIT */
/* From errors of the core to Python exceptions: the one place that knows which is which. */
#ifndef TUTTI_PYTHON_ERRORS_H
#define TUTTI_PYTHON_ERRORS_H

#include "state.h"

/* A text of the core, of which a bound may have cut the last character in two. NULL with an exception. */
PyObject *py_text(const char *text);

/*
 * Raises the exception that `err` stands for, with the text of this thread's last error, and returns
 * NULL. Call it before anything else of the core, which may change that text. With the GIL.
 */
PyObject *py_raise(struct py_state *state, tutti_err err);

#endif
