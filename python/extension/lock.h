/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_PYTHON_LOCK_H
#define TUTTI_PYTHON_LOCK_H

#include <stdbool.h>

#include "shared.h"

struct py_lock {
	struct py_shared shared;
	unsigned long thread; /* that took it last by this object: for repr and Condition, of no other effect */
};

/* Takes it. The core's answer, or -1 with an exception; with TUTTI_OK and TUTTI_EOWNERDEAD it is held. */
int py_lock_acquire(struct py_lock *self, tutti_time timeout);

/* Whether this process, this thread holds it. */
bool py_lock_is_of_process(const struct py_lock *self);
bool py_lock_is_mine(const struct py_lock *self);

#endif
