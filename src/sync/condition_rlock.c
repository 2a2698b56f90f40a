/* SPDX-License-Identifier: MIT */
/* The condition with a recursive lock: all of the caller's acquires are undone for the wait, and made again. */
#include <tutti/rlock.h>

#include "sync/condition.h"

static bool is_held(const struct tutti__guard *guard) { return tutti_rlock_depth(guard->lock) > 0; }

static tutti_err release(struct tutti__guard *guard) { return tutti_rlock_release_all(guard->lock, &guard->depth); }

static tutti_err acquire(struct tutti__guard *guard)
{
	return tutti_rlock_acquire_all(guard->lock, guard->depth, TUTTI_FOREVER);
}

tutti_err tutti_condition_wait_rlock(tutti_condition *condition, struct tutti_rlock *rlock, tutti_time timeout)
{
	struct tutti__guard guard = {.lock = rlock, .is_held = is_held, .release = release, .acquire = acquire};
	return tutti__condition_wait_with(condition, &guard, timeout);
}
