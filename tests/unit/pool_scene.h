/* SPDX-License-Identifier: MIT */
/* What the tests of the pool begin and end with: an arena, a pool in it, a task's result. */
#ifndef TUTTI_TESTS_UNIT_POOL_SCENE_H
#define TUTTI_TESTS_UNIT_POOL_SCENE_H

#include "support.h"

static const tutti_start STARTS[] = {TUTTI_FORK, TUTTI_SPAWN};
static tutti_arena *arena; /* of the running test */

/* Of two workers, unless the options say otherwise. */
static inline tutti_pool *open_pool(tutti_pool_options options)
{
	tutti_pool *pool;
	arena = arena ? arena : support_arena(256 * MEBIBYTE);
	options.arena = arena;
	options.workers = options.workers ? options.workers : 2;
	OK(tutti_pool_open(&pool, &options));
	return pool;
}

/* Closes it; the arena must be as empty as before, and no worker left. */
static inline void end(tutti_pool *pool)
{
	tutti_pool_close(pool);
	support_end_arena(arena);
	arena = NULL;
}

static inline tutti_result result_of(tutti_pool *pool, const char *task, const void *data, size_t size)
{
	tutti_future *future;
	tutti_result result;
	OK(tutti_pool_submit(pool, &future, task, (tutti_view){data, size}));
	OK(tutti_future_get(future, &result, tutti_seconds(10)));
	tutti_future_close(future);
	return result;
}

#endif
