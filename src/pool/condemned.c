/* SPDX-License-Identifier: MIT */
/*
 * Jobs that are ended while they run: they were cancelled, or have run for longer than they may.
 *
 * Who is told that a worker is to be killed for its job does that a moment later, and meanwhile that worker may come to the
 * end of its job. So the job is condemned first: a mark in its state, which goes there only while that worker runs it. A
 * worker that finds it where it wanted to finish (worker.c) keeps the job, takes no other, and waits for its end. The
 * kill costs the job that it is for, and none else. The mark goes when the death is settled. What was cancelled has a
 * second mark, by which it fails as cancelled, and is not run again.
 *
 * Death of the owner between the mark and the kill: its workers end with it.
 */
#include <sched.h>

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

bool tutti__pool_is_condemned(tutti_pool *pool, unsigned index)
{
	const struct tutti__worker_entry *entry = &pool->shared->workers[index];
	struct tutti__clock *clock = &pool->workers[index].clock;
	uint64_t offset = load_acquire(&entry->claim[0]);
	uint32_t sequence = (uint32_t)load_acquire(&entry->claim[1]);
	if (offset == 0)
		return false;
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	/* Its worker may finish it, and it may be another one's block, at any moment: then it is not condemned. */
	uint64_t state = load_acquire(&job->state);
	if (!tutti__job_is_run_by(state, sequence, index))
		return false;
	if (state & TUTTI__JOB_CONDEMNED)
		return true;
	tutti_time timeout = (tutti_time)load_relaxed(&job->timeout);
	if (timeout <= 0 || !has_clock(clock, offset, sequence))
		return false;
	return tutti__os.clock_now() - clock->since > timeout && condemn(job, sequence, index);
}

bool tutti__pool_cancel_run(tutti_pool *pool, uint64_t offset, uint32_t sequence)
{
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		unsigned status = tutti__job_status(state);
		if (tutti__job_sequence(state) != sequence || status == TUTTI__JOB_FREE || status == TUTTI__JOB_DONE)
			return false;
		if (status == TUTTI__JOB_PENDING && tutti__pool_cancel_pending(pool, offset, sequence))
			return true;
		if (status == TUTTI__JOB_RUNNING &&
		    cas_u64(&job->state, state, state | TUTTI__JOB_CONDEMNED | TUTTI__JOB_CANCELLED))
			return true;
		if (status == TUTTI__JOB_SETTLING)
			sched_yield(); /* another thread of this process writes its outcome, or puts it back: that does not wait */
	}
}
