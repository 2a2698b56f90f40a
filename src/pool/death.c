/* SPDX-License-Identifier: MIT */
/* What the death of a worker does to its job, and to the pool. */
#include <stdio.h>

#include "arena/recover.h"
#include "os/seeded_bug.h"
#include "pool/pool.h"

enum { EARLY_DEATHS = 3 }; /* workers in a row that never became ready, while none did: it is no use to start more */

void tutti__pool_break(struct tutti__pool *pool, const char *text)
{
	if (!cas_u32(&pool->broken, 0, 1))
		return;
	snprintf(pool->broken_text, sizeof pool->broken_text, "%s", text);
	store_release(&pool->broken, 2);
	tutti__wake_all(&pool->done);
}

/* " (NAME)"; "" for a job whose name its submitter knows. */
static const char *task_name(const struct tutti__job *job, char *name, size_t size)
{
	const tutti_task_entry *entry = tutti__task_find_hash(job->task);
	name[0] = 0;
	if (job->task)
		snprintf(name, size, " (%.60s)", entry ? entry->name : "?");
	return name;
}

/* The job's last run ended with its worker's death: no more runs. The caller has it SETTLING. */
static void fail_died(tutti_pool *pool, struct tutti__job *job, const tutti_exit *status, bool timed_out)
{
	char how[96], name[64], text[256];
	tutti__describe_exit(status, how, sizeof how);
	if (timed_out)
		snprintf(how, sizeof how, "was killed because the task ran longer than %.3g s", (double)job->timeout / 1e9);
	snprintf(text, sizeof text, "task %llu%s: worker %d %s, run %u time%s", (unsigned long long)job->index,
	         task_name(job, name, sizeof name), job->pid, how, job->runs, job->runs == 1 ? "" : "s");
	tutti__job_set_failure(pool->arena, job, TUTTI_EWORKERDIED, status->signal ? status->signal : -status->code, text);
	tutti__job_finish(pool->arena, pool->shared, job);
}

/* The worker was killed, or died, when its job had been cancelled. */
static void fail_cancelled(tutti_pool *pool, struct tutti__job *job)
{
	char text[128];
	snprintf(text, sizeof text, "the task was cancelled while it ran, and its worker %d ended", job->pid);
	tutti__job_set_failure(pool->arena, job, TUTTI_ECANCELLED, 0, text);
	tutti__job_finish(pool->arena, pool->shared, job);
}

/* Into the backlog, once more. */
static void put_again(tutti_pool *pool, uint64_t offset, uint32_t sequence)
{
	char text[256] = "the task was cancelled: its worker died while the pool was being closed";
	uint64_t message[2] = {offset, sequence};
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	tutti_err err = tutti__backlog_put(&pool->backlog, message, job->priority);
	if (err == TUTTI_OK || !tutti__job_move(job, sequence, TUTTI__JOB_PENDING, TUTTI__JOB_SETTLING))
		return;
	if (err == TUTTI_ESHUTDOWN)
		err = TUTTI_ECANCELLED;
	else
		snprintf(text, sizeof text, "the task's worker died, and it cannot be run again: %s", tutti_last_error());
	tutti__job_set_failure(pool->arena, job, err, 0, text);
	tutti__job_finish(pool->arena, pool->shared, job);
}

/* The worker died in the job's run. */
static void settle_run(tutti_pool *pool, unsigned index, uint64_t offset, uint32_t sequence, const tutti_exit *status)
{
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	uint64_t state = tutti__job_move(job, sequence, TUTTI__JOB_RUNNING, TUTTI__JOB_SETTLING);
	if (state == 0)
		return;
	job->pid = (int32_t)load_relaxed(&pool->shared->workers[index].pid); /* it may not have come to writing it */
	if (job->runs == 0)
		job->runs = 1;
	if ((state & TUTTI__JOB_CANCELLED) && !TUTTI__BUG(53)) {
		fail_cancelled(pool, job);
		return;
	}
	if (job->runs > job->retries || pool->killed) {
		fail_died(pool, job, status, state & TUTTI__JOB_CONDEMNED);
		return;
	}
	store_release(&job->worker, 0);
	tutti__job_move(job, sequence, TUTTI__JOB_SETTLING, TUTTI__JOB_PENDING);
	put_again(pool, offset, sequence);
}

static void settle_job(tutti_pool *pool, unsigned index, uint64_t offset, uint32_t sequence, const tutti_exit *status)
{
	/* The owner word first: if it is this very job that is there afterwards, it was when that word was SHARED. */
	bool is_shared = load_acquire(tutti__block_owner(pool->arena, offset)) == TUTTI__SHARED;
	uint64_t state = load_acquire(&tutti__job_at(pool->arena, offset)->state);
	if (tutti__job_sequence(state) != sequence)
		return; /* freed since */
	if (tutti__job_status(state) == TUTTI__JOB_PENDING) {
		put_again(pool, offset, sequence); /* taken and not started, or still in the queue: then it is there twice */
		return;
	}
	if (tutti__job_runner(state) != index)
		return; /* another worker runs or ran it; ours had only a second message of it */
	if (tutti__job_status(state) == TUTTI__JOB_RUNNING)
		settle_run(pool, index, offset, sequence, status);
	else if (tutti__job_status(state) == TUTTI__JOB_DONE && (state & TUTTI__JOB_DETACHED) && is_shared)
		tutti__job_free(pool->arena, offset); /* it died between saying that it is done, and this */
}

/* What the dead worker had, by its claim. Its member is recovered by now. */
static void settle_claim(tutti_pool *pool, unsigned index, const tutti_exit *status)
{
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint64_t offset = load_acquire(&entry->claim[0]);
	if (offset == 0)
		return;
	if (TUTTI__BUG(49))
		store_release(&entry->claim[0], 0);
	settle_job(pool, index, offset, (uint32_t)load_acquire(&entry->claim[1]), status);
	/* Before the claim, so that who finds that cleared finds this changed: see is_idle() in drain.c. */
	fetch_add_relaxed(&pool->settled, 1);
	store_release(&entry->claim[0], 0);
}

static void count_early_death(tutti_pool *pool, bool was_ready, const tutti_exit *status)
{
	char how[96], text[192];
	uint32_t ready_count = load_relaxed(&pool->shared->ready_count);
	if (was_ready || ready_count != pool->ready_seen)
		pool->early_deaths = 0;
	pool->ready_seen = ready_count;
	pool->early_deaths += !was_ready;
	if (pool->early_deaths < EARLY_DEATHS + pool->shared->worker_count)
		return;
	tutti__describe_exit(status, how, sizeof how);
	snprintf(text, sizeof text, "its workers end before they are ready: the last one %s", how);
	tutti__pool_break(pool->shared, text);
}

/*
 * What the ended worker had is settled. TUTTI_EBUSY: not yet. With the mutex.
 * Not before its latches are free and what it hung to its job is given back.
 */
tutti_err tutti__pool_settle(tutti_pool *pool, unsigned index, const tutti_exit *status)
{
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint32_t member = load_acquire(&entry->member);
	bool ready = load_acquire(&entry->ready);
	if (member && !tutti__recover_if_dead(pool->arena, member))
		return TUTTI_EBUSY;
	settle_claim(pool, index, status);
	pool->workers[index].clock = (struct tutti__clock){0};
	if (!pool->closing)
		count_early_death(pool, ready, status);
	return TUTTI_OK;
}
