/* SPDX-License-Identifier: MIT */
#include "guard.h"
#include "wait.h"

/* --- Lock ------------------------------------------------------------------------------------------------- */

static bool lock_is_mine(const struct py_shared *lock) { return py_lock_is_mine((const struct py_lock *)lock); }

static tutti_err release_lock(struct py_shared *lock, uint32_t *depth)
{
	*depth = 1;
	return tutti_lock_release(lock->object);
}

static int acquire_lock(struct py_shared *lock, uint32_t depth)
{
	(void)depth;
	return py_lock_acquire((struct py_lock *)lock, TUTTI_FOREVER);
}

static tutti_err abandon_lock(void *lock) { return tutti_lock_abandon(lock); }

/* --- RLock ------------------------------------------------------------------------------------------------ */

static bool rlock_is_mine(const struct py_shared *lock) { return tutti_rlock_depth(lock->object) > 0; }

static tutti_err release_rlock(struct py_shared *lock, uint32_t *depth)
{
	return tutti_rlock_release_all(lock->object, depth);
}

struct deep {
	tutti_rlock *rlock;
	uint32_t depth;
};

static tutti_err attempt_deep(void *context, tutti_time timeout)
{
	struct deep *deep = context;
	return tutti_rlock_acquire_all(deep->rlock, deep->depth, timeout);
}

static int acquire_rlock(struct py_shared *lock, uint32_t depth)
{
	return py_wait(attempt_deep, &(struct deep){lock->object, depth}, TUTTI_FOREVER);
}

static tutti_err abandon_rlock(void *rlock) { return tutti_rlock_abandon(rlock); }

/* ---------------------------------------------------------------------------------------------------------- */

static const struct py_guard guard_lock = {lock_is_mine, release_lock, acquire_lock, abandon_lock};
static const struct py_guard guard_rlock = {rlock_is_mine, release_rlock, acquire_rlock, abandon_rlock};

const struct py_guard *py_guard_of(struct py_state *state, PyObject *lock)
{
	if (PyObject_TypeCheck(lock, (PyTypeObject *)state->lock_type))
		return &guard_lock;
	if (PyObject_TypeCheck(lock, (PyTypeObject *)state->rlock_type))
		return &guard_rlock;
	PyErr_Format(PyExc_TypeError, "a Condition needs a Lock or an RLock of tutti, not a %.200s",
	             Py_TYPE(lock)->tp_name);
	return NULL;
}
