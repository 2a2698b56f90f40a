/* SPDX-License-Identifier: MIT */
/* What a pool has not finished, and waiting until that is nothing. */
#include "pool/pool.h"

/*
 * Nothing waits and nobody has anything. The backlog first: a job's claim is noted before it leaves that. The way
 * back, from the claim of a dead worker into the backlog, is counted: who went it meanwhile was perhaps not seen.
 */
static bool is_idle(const tutti_pool *pool)
{
	uint32_t settled = load_acquire(&pool->settled);
	if (tutti__backlog_size(&pool->backlog) > 0)
		return false;
	for (unsigned i = 0; i < pool->shared->worker_count; i++)
		if (load_acquire(&pool->shared->workers[i].claim[0]))
			return false;
	return load_acquire(&pool->settled) == settled;
}

static bool is_drained(void *context) { return tutti__pool_is_closed(context) || is_idle(context); }

/*
 * A claim outlives its job for a moment: whoever has got the result is not to find its worker busy, nor for the next job
 * that has got the same block. Half a claim is that of a job which the queue still had when it was asked.
 */
static bool is_busy(const tutti_pool *pool, unsigned index)
{
	const struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint64_t offset = load_acquire(&entry->claim[0]), sequence = load_acquire(&entry->claim[1]);
	if (!offset)
		return false;
	uint64_t state = load_acquire(&tutti__job_at(pool->arena, offset)->state);
	unsigned status = tutti__job_status(state);
	return tutti__job_sequence(state) == (uint32_t)sequence && status != TUTTI__JOB_FREE && status != TUTTI__JOB_DONE;
}

size_t tutti_pool_unfinished(const tutti_pool *pool)
{
	size_t count = tutti__backlog_size(&pool->backlog);
	for (unsigned i = 0; i < pool->shared->worker_count; i++)
		count += is_busy(pool, i);
	return count;
}

static tutti_err drain(tutti_pool *pool, tutti_time timeout)
{
	int64_t deadline = tutti__deadline(timeout);
	tutti_err err = tutti__pool_check(pool);
	while (!err && !is_drained(pool)) {
		/* The last claim is cleared after the last wake: look often. */
		err = tutti__pool_wait(pool, is_drained, pool, NULL, deadline, tutti_ms(5));
		if (err == TUTTI_ETIMEDOUT)
			return tutti__fail(err, "pool \"%s\" still has tasks.", pool->shared->object.name);
		if (!err)
			err = tutti__pool_check(pool);
	}
	if (!err && tutti__pool_is_closed(pool))
		return tutti__pool_fail_closed(pool);
	return err ? err : tutti__backlog_shutdown(&pool->backlog);
}

tutti_err tutti_pool_drain(tutti_pool *pool, tutti_time timeout)
{
	tutti__pool_hold(pool);
	tutti_err err = drain(pool, timeout);
	tutti__pool_release(pool);
	return err;
}
