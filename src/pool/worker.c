/* SPDX-License-Identifier: MIT */
/*
 * A pool's worker: takes jobs from the queue and runs them, until the queue is shut
 * down and drained, its share is done, or its parent ends.
 *
 * Its entry in the pool always names the job that it has (claim), so that whatever
 * instruction it is killed at, the owner knows whom to run again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool.h"

struct worker {
	tutti_arena *arena;
	struct tutti__reference reference;
	struct tutti__pool *shared;
	struct tutti__worker_entry *entry;
	uint32_t index;
	uint32_t member; /* its id and pid, asked for once: a system call for each job would cost as much as the job */
	int32_t pid;
	tutti_queue *jobs;
};

static bool may_retry(const struct tutti__pool *pool, const struct tutti__job *job, const tutti_task *task)
{
	/* Deaths and reported errors share one account. */
	if (task->err != TUTTI_EFAILED || job->runs > pool->retries)
		return false;
	for (uint32_t i = 0; i < pool->retry_code_count; i++)
		if (pool->retry_codes[i] == TUTTI_ANY_CODE || pool->retry_codes[i] == task->code)
			return true;
	return false;
}

/* Hands the outcome to the job; the status is still RUNNING. */
static void set_outcome(struct worker *worker, struct tutti__job *job, tutti_task *task)
{
	job->err = (uint32_t)task->err;
	job->code = task->code;
	if (task->block) {
		tutti__job_give_result(worker->arena, job, task->block, task->size);
		task->block = 0;
		return;
	}
	job->result_size = task->size;
	memcpy(job->result, task->small, task->size);
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

static void run_job(struct worker *worker, struct tutti__job *job, uint32_t sequence)
{
	/* A second message of a job that was given back, or one that was cancelled: somebody else's. */
	if (!tutti__job_claim(job, sequence, worker->index))
		return;
	store_release(&job->worker, worker->member);
	job->pid = worker->pid;
	uint64_t block = load_relaxed(&job->input_block);
	tutti_task task = {.arena = worker->arena,
	                   .input = {block ? tutti__at(worker->arena, block) : job->input, job->input_size}};
	run_function(worker->shared, job, &task);
	set_outcome(worker, job, &task);
	tutti__job_finish(worker->arena, worker->shared, job);
}

static void serve(struct worker *worker)
{
	struct tutti__worker_entry *entry = worker->entry;
	uint32_t left = worker->shared->tasks_per_worker;
	uint64_t message[2];
	tutti_err err;
	do {
		err = tutti__queue_claim(worker->jobs, message, entry->claim, TUTTI_FOREVER);
		if (err)
			continue;
		store_relaxed(&entry->started, 1); /* the owner reads the clock when it first sees it: a job pays nothing */
		run_job(worker, tutti__job_at(worker->arena, message[0]), (uint32_t)message[1]);
		store_relaxed(&entry->started, 0);
		store_release(&entry->claim[0], 0);
		if (left > 0 && --left == 0)
			return;
	} while (err == TUTTI_OK || err == TUTTI_EINTR || err == TUTTI_EBUSY);
}

/* The first text stays: the others' initializers fail for the same reason. */
static void break_pool(struct tutti__pool *pool, const char *text)
{
	if (!cas_u32(&pool->broken, 0, 1))
		return;
	snprintf(pool->broken_text, sizeof pool->broken_text, "%s", text);
	store_release(&pool->broken, 2);
	tutti__wake_all(&pool->done);
}

static bool initialize(struct worker *worker)
{
	struct tutti__pool *pool = worker->shared;
	const tutti_task_entry *function = tutti__task_find_hash(pool->initializer);
	if (pool->initializer == 0)
		return true;
	if (!function) {
		break_pool(pool, "the worker's program has no such initializer");
		return false;
	}
	tutti_task task = {.arena = worker->arena, .attempt = 1};
	if (pool->initializer_block)
		task.input = (tutti_view){tutti__at(worker->arena, pool->initializer_block), pool->initializer_size};
	tutti__task_run(&task, function);
	if (task.err)
		break_pool(pool, tutti__task_result(&task));
	bool good = task.err == TUTTI_OK;
	tutti__task_reset(&task);
	return good;
}

static tutti_err open_worker(struct worker *worker, const struct tutti__worker_input *input)
{
	tutti_err err = tutti__reference_open(&worker->reference, worker->arena, TUTTI__KIND_POOL, input->pool);
	if (err)
		return err;
	worker->shared = (struct tutti__pool *)worker->reference.object;
	worker->index = input->index;
	worker->member = load_relaxed(&worker->arena->local->id);
	worker->pid = (int32_t)getpid();
	worker->entry = &worker->shared->workers[input->index];
	return tutti_queue_at(&worker->jobs, worker->arena, worker->shared->jobs);
}

static tutti_err run_worker(tutti_task *task)
{
	struct tutti__worker_input input;
	struct worker worker = {.arena = task->arena};
	memcpy(&input, task->input.data, sizeof input);
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the owner, who ends the pool */
	tutti_err err = open_worker(&worker, &input);
	if (err)
		return err;
	store_release(&worker.entry->member, worker.member);
	if (!initialize(&worker))
		return TUTTI_OK; /* told through the pool */
	store_release(&worker.entry->ready, 1);
	serve(&worker);
	tutti_queue_close(worker.jobs);
	tutti__reference_close(&worker.reference);
	return TUTTI_OK;
}

const char tutti__worker_task[] = "tutti.pool.worker";

__attribute__((constructor)) static void register_worker(void)
{
	static tutti_task_entry entry = {tutti__worker_task, run_worker, NULL};
	tutti_task_register(&entry);
}
