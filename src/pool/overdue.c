/* SPDX-License-Identifier: MIT */
/*
 * Limits of time.
 *
 * Who is told that a worker is overdue kills it a moment later, and meanwhile that worker may come to the end of its
 * job. So the job is condemned first: a mark in its state, which goes there only while that worker runs it. A worker
 * that finds it where it wanted to finish (worker.c) keeps the job, takes no other, and waits for its end. The kill
 * costs the job that was overdue, and none else. The mark goes when the death is settled.
 */
#include "os/seeded_bug.h"
#include "pool/pool.h"

static bool condemn(struct tutti__job *job, uint32_t sequence, unsigned index)
{
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		if (!tutti__job_is_run_by(state, sequence, index))
			return false;
		if (TUTTI__BUG(50) || cas_u64(&job->state, state, state | TUTTI__JOB_CONDEMNED))
			return true;
	}
}

/* True if the clock is one of this run; else it is set. The time is read after the look: no run is cut short. */
static bool has_clock(struct tutti__clock *clock, uint64_t job, uint32_t sequence)
{
	if (clock->job == job && clock->sequence == sequence)
		return true;
	*clock = (struct tutti__clock){job, sequence, tutti__os.clock_now()};
	return false;
}

bool tutti__pool_is_overdue(tutti_pool *pool, unsigned index)
{
	const struct tutti__worker_entry *entry = &pool->shared->workers[index];
	struct tutti__clock *clock = &pool->workers[index].clock;
	uint64_t offset = load_acquire(&entry->claim[0]);
	uint32_t sequence = (uint32_t)load_acquire(&entry->claim[1]);
	if (offset == 0)
		return false;
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	/* Its worker may finish it, and it may be another one's block, at any moment: then it is not condemned. */
	if (!tutti__job_is_run_by(load_acquire(&job->state), sequence, index))
		return false;
	tutti_time timeout = (tutti_time)load_relaxed(&job->timeout);
	if (timeout <= 0 || !has_clock(clock, offset, sequence))
		return false;
	return tutti__os.clock_now() - clock->since > timeout && condemn(job, sequence, index);
}
