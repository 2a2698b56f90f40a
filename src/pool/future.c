/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "pool/pool.h"

struct tutti_future {
	tutti_pool *pool;
	atomic_u64 job; /* 0: its result was taken, perhaps by another thread while we wait */
	uint32_t sequence; /* of that job: its block may be another's by now */
};

tutti_err tutti__future_order(tutti_pool *pool, tutti_future **result, struct tutti__order *order)
{
	tutti_future *future = malloc(sizeof *future);
	if (!future)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a future");
	future->pool = pool;
	uint64_t job;
	tutti__pool_hold(pool);
	tutti_err err = tutti__pool_order(pool, order, &job, &future->sequence);
	if (err) {
		tutti__pool_release(pool);
		free(future);
		return err;
	}
	store_relaxed(&future->job, job);
	*result = future;
	return TUTTI_OK;
}

tutti_err tutti_pool_submit_with(tutti_pool *pool, tutti_future **result, const char *task, tutti_view input,
                                 const tutti_task_options *options)
{
	uint64_t hash;
	tutti_err err = tutti__pool_find_task(task, &hash);
	if (err)
		return err;
	struct tutti__order order = tutti__pool_default_order(pool, hash, &input, 0);
	if (options) {
		order.index = options->index;
		order.retries = options->retries;
		order.timeout = options->timeout;
		order.priority = options->priority;
	}
	return tutti__future_order(pool, result, &order);
}

tutti_err tutti_pool_submit(tutti_pool *pool, tutti_future **result, const char *task, tutti_view input)
{
	return tutti_pool_submit_with(pool, result, task, input, NULL);
}

/* Or taken, by another thread. */
static bool is_done(const tutti_future *future)
{
	uint64_t job = load_relaxed(&future->job);
	return job == 0 || tutti__job_is_done(tutti__job_at(future->pool->arena, job));
}

static bool is_future_done(void *context) { return is_done(context); }

tutti_err tutti_future_wait(tutti_future *future, tutti_time timeout)
{
	tutti_pool *pool = future->pool;
	uint64_t offset = load_relaxed(&future->job);
	if (offset == 0)
		return TUTTI_OK;
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	if (is_done(future))
		return TUTTI_OK;
	int64_t deadline = tutti__deadline(timeout);
	tutti_err err = TUTTI_OK;
	if (timeout <= 0)
		tutti__pool_tend_now_and_then(pool);
	while (!is_done(future)) {
		tutti_err broken = tutti__pool_check(pool);
		if (broken)
			return broken;
		if (err == TUTTI_ETIMEDOUT || timeout <= 0)
			return tutti__fail(TUTTI_ETIMEDOUT, "the task is not done yet. Wait longer, or cancel it.");
		err = tutti__pool_wait(pool, is_future_done, future, job, deadline, 0);
		if (err == TUTTI_EINTR && !is_done(future))
			return tutti__fail(err, "a signal handler ran while waiting for a task. Wait again.");
		if (err && err != TUTTI_ETIMEDOUT && err != TUTTI_EINTR)
			return err;
	}
	return TUTTI_OK;
}

struct choice {
	tutti_future *const *futures;
	size_t count, done;
	uint32_t wakes; /* of the pool, when the wait began */
};

static bool was_woken(const struct choice *choice)
{
	return load_acquire(&choice->futures[0]->pool->wakes) != choice->wakes;
}

void tutti_pool_wake(tutti_pool *pool)
{
	tutti__pool_hold(pool);
	/* The waiter's side: mark, full barrier, look at the count. */
	atomic_fetch_add_explicit(&pool->wakes, 1, memory_order_acq_rel);
	fence_after_rmw();
	tutti__wake_all(&pool->shared->done);
	tutti__pool_release(pool);
}

static bool find_done(struct choice *choice, size_t limit)
{
	for (choice->done = 0; choice->done < limit; choice->done++)
		if (is_done(choice->futures[choice->done]))
			return true;
	return false;
}

/*
 * Without priorities jobs start in the order of their submission, so each worker passes over one at most: the first that
 * is done is among so many. One that was run again may be done later than others; that is seen at the latest after a tick.
 */
static bool has_done(void *context)
{
	struct choice *choice = context;
	const tutti_pool *pool = choice->futures[0]->pool;
	size_t limit = tutti__backlog_has_levels(&pool->backlog) ? choice->count : pool->shared->worker_count + 1;
	return was_woken(choice) || find_done(choice, limit < choice->count ? limit : choice->count);
}

tutti_err tutti_future_wait_any(tutti_future *const *futures, size_t count, size_t *done, tutti_time timeout)
{
	if (count == 0)
		return tutti__fail_plain(TUTTI_EINVAL, "there is no future to wait for.");
	tutti_pool *pool = futures[0]->pool;
	struct choice choice = {.futures = futures, .count = count, .wakes = load_acquire(&pool->wakes)};
	int64_t deadline = tutti__deadline(timeout);
	tutti_err err = TUTTI_OK;
	if (timeout <= 0)
		tutti__pool_tend_now_and_then(pool);
	/* A search that finds nothing leaves `count` as the place. */
	while (!find_done(&choice, count) && !was_woken(&choice)) {
		tutti_err broken = tutti__pool_check(pool);
		if (broken)
			return broken;
		if (err == TUTTI_ETIMEDOUT || timeout <= 0)
			return tutti__fail_plain(TUTTI_ETIMEDOUT, "none of the tasks is done yet. Wait longer, or cancel them.");
		err = tutti__pool_wait(pool, has_done, &choice, NULL, deadline, 0);
		if (err == TUTTI_EINTR && !find_done(&choice, count))
			return tutti__fail_plain(err, "a signal handler ran while waiting for a task. Wait again.");
		if (err && err != TUTTI_ETIMEDOUT && err != TUTTI_EINTR)
			return err;
	}
	*done = choice.done;
	return TUTTI_OK;
}

tutti_err tutti_future_get(tutti_future *future, tutti_result *result, tutti_time timeout)
{
	*result = (tutti_result){.text = ""};
	tutti_err err = tutti_future_wait(future, timeout);
	if (err)
		return err;
	uint64_t job = atomic_exchange_explicit(&future->job, 0, memory_order_relaxed);
	if (job == 0)
		return tutti__fail(TUTTI_EINVAL, "this future's result was taken before.");
	tutti__job_read(future->pool->arena, job, result);
	return TUTTI_OK;
}

bool tutti_future_has_started(const tutti_future *future)
{
	uint64_t job = load_relaxed(&future->job);
	if (job == 0)
		return true;
	uint64_t state = load_acquire(&tutti__job_at(future->pool->arena, job)->state);
	return tutti__job_status(state) != TUTTI__JOB_PENDING;
}

tutti_err tutti_future_cancel(tutti_future *future)
{
	uint64_t job = load_relaxed(&future->job);
	if (job && tutti__pool_cancel_pending(future->pool, job, future->sequence))
		return TUTTI_OK;
	return tutti__fail(TUTTI_EBUSY, "the task has started and cannot be cancelled any more.");
}

tutti_err tutti_future_terminate(tutti_future *future)
{
	tutti_pool *pool = future->pool;
	uint64_t job = load_relaxed(&future->job);
	if (!job || !tutti__pool_cancel_run(pool, job, future->sequence))
		return tutti__fail(TUTTI_EBUSY, "the task is done and cannot be cancelled any more.");
	tutti__pool_tend_at_once(pool);
	return TUTTI_OK;
}

void tutti_future_close(tutti_future *future)
{
	if (!future)
		return;
	uint64_t job = load_relaxed(&future->job);
	if (job)
		tutti__pool_drop(future->pool, job);
	tutti__pool_release(future->pool);
	free(future);
}
