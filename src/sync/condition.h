/* SPDX-License-Identifier: MIT */
/* The condition, for those that wait with another kind of lock, and for the crash ring. */
#ifndef TUTTI_SYNC_CONDITION_H
#define TUTTI_SYNC_CONDITION_H

#include <tutti/condition.h>

#include "arena/context.h"

/* A lock as the condition sees it. */
struct tutti__guard {
	void *lock;
	uint32_t depth; /* of a recursive one, while it is given up */
	bool (*is_held)(const struct tutti__guard *guard); /* by the caller */
	tutti_err (*release)(struct tutti__guard *guard);
	tutti_err (*acquire)(struct tutti__guard *guard); /* without limit; TUTTI_EOWNERDEAD: held too */
};

/* tutti_condition_wait with any lock. */
tutti_err tutti__condition_wait_with(tutti_condition *condition, struct tutti__guard *guard, tutti_time timeout);

/* How many notifications have been given whose waiters have not returned yet. */
uint32_t tutti__condition_pending(const tutti_condition *condition);

/* Visits the chained blocks. True if it is valid for an arena without dead members. */
bool tutti__condition_is_valid(tutti_arena *arena, uint64_t offset, void (*visit)(void *context, uint64_t block),
                               void *context);

#endif
