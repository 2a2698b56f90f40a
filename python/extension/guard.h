/* SPDX-License-Identifier: MIT */
/* What a Condition asks of its lock, a Lock or an RLock: to be given up whole and taken again as deep. */
#ifndef TUTTI_PYTHON_GUARD_H
#define TUTTI_PYTHON_GUARD_H

#include "lock.h"

struct py_guard {
	bool (*is_mine)(const struct py_shared *lock);
	tutti_err (*release_all)(struct py_shared *lock, uint32_t *depth);
	/* The core's answer, or -1 with an exception. */
	int (*acquire_all)(struct py_shared *lock, uint32_t depth);
	tutti_err (*abandon)(void *object);
};

/* NULL with TypeError: it is no lock. */
const struct py_guard *py_guard_of(struct py_state *state, PyObject *lock);

#endif
