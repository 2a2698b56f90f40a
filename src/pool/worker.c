/* SPDX-License-Identifier: MIT */
/*
 * A pool's worker: takes jobs from the backlog and runs them, until that is shut
 * down and drained, its share is done, or its parent ends.
 *
 * Its entry in the pool always names the job that it has (claim), so that whatever
 * instruction it is killed at, the owner knows whom to run again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tutti/worker.h>

#include "arena/arena.h"
#include "pool/pool.h"

struct tutti_worker {
	tutti_arena *arena;
	struct tutti__reference reference;
	struct tutti__pool *shared;
	struct tutti__worker_entry *entry;
	uint32_t index;
	uint32_t member; /* its id and pid, asked for once: a system call for each job would cost as much as the job */
	int32_t pid;
	struct tutti__backlog backlog;
	struct tutti__job *job; /* the one that it runs, or NULL */
	int64_t stands_by_until; /* condemned: waits for its end so long; 0: it has not met that yet */
};

/* ---- one job after the other ---- */

/* The job that a message names becomes ours; NULL: it was another one's second, or cancelled. */
static struct tutti__job *claim_job(tutti_worker *worker, const uint64_t message[2])
{
	struct tutti__job *job = tutti__job_at(worker->arena, message[0]);
	if (!tutti__job_claim(job, (uint32_t)message[1], worker->index)) {
		store_release(&worker->entry->claim[0], 0);
		return NULL;
	}
	store_release(&job->worker, worker->member);
	job->pid = worker->pid;
	return job;
}

/* It is to be ended before it is finished: what the owner kills the worker for stays its job, and it takes no other. */
static bool is_condemned(const tutti_worker *worker)
{
	return load_acquire(&worker->job->state) & TUTTI__JOB_CONDEMNED;
}

/* TUTTI_OK: worker->job runs. Else as tutti_worker_next(). */
static tutti_err take_job(tutti_worker *worker, tutti_time timeout)
{
	uint64_t message[2];
	if (unlikely(worker->job))
		return is_condemned(worker)
		           ? tutti__fail(
						 TUTTI_EOF,
						 "this worker's task was cancelled, or ran longer than it may: there is no other for it.")
		           : tutti__fail(TUTTI_EINVAL, "this worker has a job. Finish it before the next one.");
	do {
		tutti_err err = tutti__backlog_claim(&worker->backlog, message, worker->entry->claim, timeout);
		if (err)
			return err;
		worker->job = claim_job(worker, message);
	} while (!worker->job);
	return TUTTI_OK;
}

enum { STAND_BY = 1000000000 /* ns */ };

/* The owner is about to kill it. One that has second thoughts, or was killed itself, is not waited for for ever. */
static tutti_err stand_by(tutti_worker *worker)
{
	atomic_u32 nobody_wakes = 0;
	if (worker->stands_by_until == 0)
		worker->stands_by_until = tutti__deadline(STAND_BY);
	while (tutti__os.clock_now() < worker->stands_by_until &&
	       tutti__os.futex_wait(&nobody_wakes, 0, worker->stands_by_until) != ETIMEDOUT)
		;
	return tutti__fail(TUTTI_ETIMEDOUT, "the task was cancelled, or ran longer than it may, and this worker is to be "
	                                    "killed for that. It is not finished. Leave.");
}

/* Its outcome is set. TUTTI_ETIMEDOUT: it is not done, and never will be by this worker. */
static tutti_err finish_job(tutti_worker *worker)
{
	if (unlikely(!tutti__job_finish(worker->arena, worker->shared, worker->job)))
		return stand_by(worker);
	worker->job = NULL;
	store_release(&worker->entry->claim[0], 0);
	return TUTTI_OK;
}

/* ---- tasks in C ---- */

static bool may_retry(const struct tutti__pool *pool, const struct tutti__job *job, const tutti_task *task)
{
	/* Deaths and reported errors share one account. */
	if (task->err != TUTTI_EFAILED || job->runs > job->retries)
		return false;
	for (uint32_t i = 0; i < pool->retry_code_count; i++)
		if (pool->retry_codes[i] == TUTTI_ANY_CODE || pool->retry_codes[i] == task->code)
			return true;
	return false;
}

/* Hands the outcome to the job; the status is still RUNNING. */
static void set_outcome(tutti_worker *worker, struct tutti__job *job, tutti_task *task)
{
	tutti_view part = {task->small, task->size};
	struct tutti__lading lading = {.parts = &part, .count = 1, .encoding = TUTTI_RAW};
	tutti_err err = task->block ? tutti__cargo_load_block(worker->arena, &job->result, task->block, task->size)
	                            : tutti__cargo_load(worker->arena, &job->result, &lading);
	if (err) {
		tutti__task_reset(task);
		tutti__job_set_failure(worker->arena, job, err, 0, tutti_last_error());
		return;
	}
	task->block = 0;
	job->err = (uint32_t)task->err;
	job->code = task->code;
}

static void run_function(struct tutti__pool *pool, struct tutti__job *job, tutti_task *task)
{
	const tutti_task_entry *function = tutti__task_find_hash(job->task);
	do {
		tutti__task_reset(task);
		task->attempt = ++job->runs;
		if (function)
			tutti__task_run(task, function);
		else
			tutti_task_fail(task, TUTTI_ENOENT, "program \"%s\" of the worker has no such task.",
			                tutti__program_name());
	} while (may_retry(pool, job, task));
}

static void run_job(tutti_worker *worker)
{
	struct tutti__job *job = worker->job;
	tutti_task task = {.arena = worker->arena, .input = tutti__cargo_view(worker->arena, &job->input)};
	run_function(worker->shared, job, &task);
	set_outcome(worker, job, &task);
	finish_job(worker);
}

static void serve(tutti_worker *worker)
{
	uint32_t left = worker->shared->tasks_per_worker;
	tutti_err err;
	do {
		err = take_job(worker, TUTTI_FOREVER);
		if (err)
			continue;
		run_job(worker);
		if (left > 0 && --left == 0)
			return;
	} while (err == TUTTI_OK || err == TUTTI_EINTR || err == TUTTI_EBUSY);
}

/* ---- its place in the pool ---- */

void tutti_worker_refuse(tutti_worker *worker, const char *text) { tutti__pool_break(worker->shared, text); }

void tutti_worker_ready(tutti_worker *worker)
{
	fetch_add_relaxed(&worker->shared->ready_count, 1); /* first: a death in between forgives others' early ends once */
	store_release(&worker->entry->ready, 1);
}

static bool initialize(tutti_worker *worker)
{
	struct tutti__pool *pool = worker->shared;
	const tutti_task_entry *function = tutti__task_find_hash(pool->initializer);
	if (pool->initializer == 0)
		return true;
	if (!function) {
		tutti_worker_refuse(worker, "the worker's program has no such initializer");
		return false;
	}
	tutti_task task = {.arena = worker->arena, .attempt = 1};
	if (pool->initializer_block)
		task.input = (tutti_view){tutti__at(worker->arena, pool->initializer_block), pool->initializer_size};
	tutti__task_run(&task, function);
	if (task.err)
		tutti_worker_refuse(worker, tutti__task_result(&task));
	bool good = task.err == TUTTI_OK;
	tutti__task_reset(&task);
	return good;
}

static tutti_err open_place(tutti_worker *worker, tutti_handle pool, unsigned index)
{
	tutti_err err = tutti__reference_open(&worker->reference, worker->arena, TUTTI__KIND_POOL, pool);
	if (err)
		return err;
	worker->shared = (struct tutti__pool *)worker->reference.object;
	if (index >= worker->shared->worker_count)
		return tutti__fail(TUTTI_EINVAL, "pool \"%s\" has %u workers, and no number %u.", worker->shared->object.name,
		                   worker->shared->worker_count, index);
	worker->index = index;
	worker->member = load_relaxed(&worker->arena->local->id);
	worker->pid = (int32_t)getpid();
	worker->entry = &worker->shared->workers[index];
	store_relaxed(&worker->entry->pid, (uint32_t)worker->pid);
	err = tutti__backlog_open(&worker->backlog, worker->arena, &worker->shared->backlog);
	if (!err)
		store_release(&worker->entry->member, worker->member);
	return err;
}

static void leave(tutti_worker *worker)
{
	tutti__backlog_close(&worker->backlog);
	if (worker->shared)
		tutti__reference_close(&worker->reference);
}

static tutti_err run_worker(tutti_task *task)
{
	struct tutti__worker_input input;
	tutti_worker worker = {.arena = task->arena};
	memcpy(&input, task->input.data, sizeof input);
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the owner, who ends the pool */
	tutti_err err = open_place(&worker, input.pool, input.index);
	if (!err && initialize(&worker)) { /* else told through the pool */
		tutti_worker_ready(&worker);
		serve(&worker);
	}
	leave(&worker);
	return err;
}

const char tutti__worker_task[] = "tutti.pool.worker";

__attribute__((constructor)) static void register_worker(void)
{
	static tutti_task_entry entry = {tutti__worker_task, run_worker, NULL};
	tutti_task_register(&entry);
}

/* ---- for who is a worker by other means ---- */

tutti_err tutti_worker_open(tutti_worker **result, tutti_arena *arena, tutti_handle pool, unsigned index)
{
	tutti_worker *worker = calloc(1, sizeof *worker);
	if (!worker)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a worker");
	tutti_err err = tutti__arena_or_default(arena, &worker->arena);
	if (!err && tutti__enter(worker->arena) == 0)
		err = TUTTI_EMEMBERS;
	if (!err)
		err = open_place(worker, pool, index);
	if (err) {
		tutti_worker_close(worker);
		return err;
	}
	*result = worker;
	return TUTTI_OK;
}

void tutti_worker_close(tutti_worker *worker)
{
	if (worker)
		leave(worker);
	free(worker);
}

tutti_err tutti_worker_next(tutti_worker *worker, tutti_message *input, unsigned *run, tutti_time timeout)
{
	tutti_err err = take_job(worker, timeout);
	if (err)
		return err;
	struct tutti__job *job = worker->job;
	*run = ++job->runs;
	if (job->runs > job->retries)
		tutti__cargo_take(worker->arena, &job->input, input);
	else
		tutti__cargo_show(worker->arena, &job->input, input);
	return TUTTI_OK;
}

tutti_err tutti_worker_finish(tutti_worker *worker, tutti_err err, int32_t code, const tutti_view *parts, size_t count,
                              tutti_encoding encoding, const tutti_handle *carried, size_t carried_count)
{
	struct tutti__lading lading = {parts, count, (uint32_t)encoding, carried, carried_count};
	if (!worker->job)
		return tutti__fail(TUTTI_EINVAL, "this worker has no job to finish. Take one first.");
	if (unlikely(is_condemned(worker)))
		return stand_by(worker);
	tutti_err loaded = tutti__cargo_load(worker->arena, &worker->job->result, &lading);
	if (loaded)
		return loaded;
	worker->job->err = (uint32_t)err;
	worker->job->code = code;
	return finish_job(worker);
}

tutti_err tutti_worker_published(tutti_worker *worker, uint32_t number, tutti_view *bytes)
{
	if (number >= load_acquire(&worker->shared->catalogue_count))
		return tutti__fail(TUTTI_ENOENT, "pool \"%s\" has published nothing under the number %u.",
		                   worker->shared->object.name, number);
	uint64_t parcel = load_acquire(&worker->shared->catalogue[number]);
	*bytes = (tutti_view){tutti__parcel_payload(worker->arena, parcel), tutti__parcel_at(worker->arena, parcel)->size};
	return TUTTI_OK;
}
