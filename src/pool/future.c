/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "pool/pool.h"

struct tutti_future {
	tutti_pool *pool;
	uint64_t job; /* 0: its result was taken */
};

tutti_err tutti_pool_submit(tutti_pool *pool, tutti_future **result, const char *task, tutti_view input)
{
	uint64_t hash;
	tutti_err err = tutti__pool_find_task(task, &hash);
	if (err)
		return err;
	tutti_future *future = malloc(sizeof *future);
	if (!future)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a future");
	future->pool = pool;
	err = tutti__pool_submit(pool, hash, input, 0, &future->job);
	if (err) {
		free(future);
		return err;
	}
	tutti__pool_hold(pool);
	*result = future;
	return TUTTI_OK;
}

tutti_err tutti_future_wait(tutti_future *future, tutti_time timeout)
{
	tutti_pool *pool = future->pool;
	if (future->job == 0)
		return TUTTI_OK;
	struct tutti__job *job = tutti__job_at(pool->arena, future->job);
	if (tutti__job_is_done(job))
		return TUTTI_OK;
	int64_t deadline = tutti__deadline(timeout);
	tutti_err err = TUTTI_OK;
	if (timeout <= 0)
		tutti__pool_tend_now_and_then(pool);
	while (!tutti__job_is_done(job)) {
		if (err == TUTTI_ETIMEDOUT || timeout <= 0)
			return tutti__fail(TUTTI_ETIMEDOUT, "the task is not done yet. Wait longer, or cancel it.");
		err = tutti__pool_check(pool);
		if (!err)
			err = tutti__pool_wait(pool, tutti__job_is_done, job, job, deadline, 0);
		if (err == TUTTI_EINTR && !tutti__job_is_done(job))
			return tutti__fail(err, "a signal handler ran while waiting for a task. Wait again.");
		if (err && err != TUTTI_ETIMEDOUT && err != TUTTI_EINTR)
			return err;
	}
	return TUTTI_OK;
}

tutti_err tutti_future_get(tutti_future *future, tutti_result *result, tutti_time timeout)
{
	*result = (tutti_result){.text = ""};
	if (future->job == 0)
		return tutti__fail(TUTTI_EINVAL, "this future's result was taken before.");
	tutti_err err = tutti_future_wait(future, timeout);
	if (err)
		return err;
	tutti__job_read(future->pool->arena, future->job, result);
	future->job = 0;
	return TUTTI_OK;
}

tutti_err tutti_future_cancel(tutti_future *future)
{
	if (future->job && tutti__pool_cancel(future->pool, future->job, "the task was cancelled before it started"))
		return TUTTI_OK;
	return tutti__fail(TUTTI_EBUSY, "the task has started and cannot be cancelled any more.");
}

void tutti_future_close(tutti_future *future)
{
	if (!future)
		return;
	if (future->job)
		tutti__pool_drop(future->pool, future->job);
	tutti__pool_release(future->pool);
	free(future);
}
