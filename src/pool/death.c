/* SPDX-License-Identifier: MIT */
/* What the death of a worker does to its job, and to the pool. */
#include <stdio.h>

#include "arena/recover.h"
#include "pool/pool.h"

enum { EARLY_DEATHS = 3 }; /* workers in a row that never became ready: it is no use to start more */

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

static void put_again(tutti_pool *pool, uint64_t offset, uint32_t sequence)
{
	uint64_t message[2] = {offset, sequence};
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	if (tutti_queue_put(pool->jobs, message, sizeof message, TUTTI_FOREVER) == TUTTI_OK)
		return;
	if (!tutti__job_move(job, sequence, TUTTI__JOB_PENDING, TUTTI__JOB_SETTLING))
		return;
	tutti__job_set_failure(pool->arena, job, TUTTI_ECANCELLED, 0,
	                       "the task was cancelled: its worker died while the pool was being closed");
	tutti__job_finish(pool->arena, pool->shared, job);
}

/* What the dead worker had, by its claim. Its member is recovered by now. */
static void settle_claim(tutti_pool *pool, unsigned index, const tutti_exit *status, bool timed_out)
{
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint64_t offset = load_acquire(&entry->claim[0]);
	uint32_t sequence = (uint32_t)load_acquire(&entry->claim[1]);
	if (offset == 0)
		return;
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	store_release(&entry->claim[0], 0);
	uint64_t state = load_acquire(&job->state);
	if (tutti__job_sequence(state) != sequence)
		return; /* freed since */
	if (tutti__job_status(state) == TUTTI__JOB_PENDING) {
		put_again(pool, offset, sequence); /* taken and not started, or still in the queue: then it is there twice */
		return;
	}
	if (tutti__job_runner(state) != index)
		return; /* another worker runs it; ours had only a second message of it */
	if (!tutti__job_move(job, sequence, TUTTI__JOB_RUNNING, TUTTI__JOB_SETTLING))
		return;
	if (job->runs == 0)
		job->runs = 1;
	if (job->runs > job->retries || pool->killed) {
		fail_died(pool, job, status, timed_out);
		return;
	}
	store_release(&job->worker, 0);
	tutti__job_move(job, sequence, TUTTI__JOB_SETTLING, TUTTI__JOB_PENDING);
	put_again(pool, offset, sequence);
}

static void count_early_death(tutti_pool *pool, bool was_ready, const tutti_exit *status)
{
	char how[96], text[192];
	pool->early_deaths = was_ready ? 0 : pool->early_deaths + 1;
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
tutti_err tutti__pool_settle(tutti_pool *pool, unsigned index, const tutti_exit *status, bool timed_out)
{
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint32_t member = load_acquire(&entry->member);
	bool ready = load_acquire(&entry->ready);
	if (member && !tutti__recover_if_dead(pool->arena, member))
		return TUTTI_EBUSY;
	settle_claim(pool, index, status, timed_out);
	if (!pool->closing)
		count_early_death(pool, ready, status);
	return TUTTI_OK;
}

/* Of the job that the worker has, if it has one; 0: none. */
static tutti_time timeout_of(tutti_pool *pool, const struct tutti__worker_entry *entry)
{
	uint64_t offset = load_acquire(&entry->claim[0]);
	if (offset == 0)
		return 0;
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	bool is_same = tutti__job_sequence(load_acquire(&job->state)) == (uint32_t)load_acquire(&entry->claim[1]);
	return is_same ? job->timeout : 0;
}

/* `started` is 1 from the job's start, then the time at which the owner first saw that. */
bool tutti__pool_is_overdue(tutti_pool *pool, unsigned index)
{
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	uint64_t started = load_relaxed(&entry->started);
	tutti_time timeout = started ? timeout_of(pool, entry) : 0;
	uint64_t now = (uint64_t)tutti__os.clock_now();
	if (timeout <= 0)
		return false;
	if (started == 1) {
		cas_u64(&entry->started, 1, now);
		return false;
	}
	return now - started > (uint64_t)timeout && load_acquire(&entry->claim[0]) != 0;
}
