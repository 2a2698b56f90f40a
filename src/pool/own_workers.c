/* SPDX-License-Identifier: MIT */
/* The owner of a pool whose workers it starts itself. */
#include <tutti/worker.h>

#include "pool/pool.h"

tutti_handle tutti_pool_handle(const tutti_pool *pool) { return tutti__reference_handle(&pool->reference); }

unsigned tutti_pool_worker_count(const tutti_pool *pool) { return pool->shared->worker_count; }

static tutti_err check_index(const tutti_pool *pool, unsigned index)
{
	if (index < pool->shared->worker_count)
		return TUTTI_OK;
	return tutti__fail(TUTTI_EINVAL, "pool \"%s\" has %u workers, and no number %u.", pool->shared->object.name,
	                   pool->shared->worker_count, index);
}

tutti_err tutti_pool_worker_begin(tutti_pool *pool, unsigned index)
{
	tutti_err err = check_index(pool, index);
	if (err)
		return err;
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	if (load_acquire(&entry->claim[0]))
		return tutti__fail(
			TUTTI_EINVAL,
			"worker %u of pool \"%s\" still has a task. When its process has ended, tell the pool first: "
			"tutti_pool_worker_ended().",
			index, pool->shared->object.name);
	tutti__worker_entry_clear(entry);
	return TUTTI_OK;
}

tutti_err tutti_pool_worker_ended(tutti_pool *pool, unsigned index, const tutti_exit *status)
{
	tutti_err err = check_index(pool, index);
	if (err)
		return err;
	tutti__pool_hold(pool);
	tutti__mutex_lock(&pool->mutex);
	err = tutti__pool_settle(pool, index, status);
	pthread_mutex_unlock(&pool->mutex);
	if (!err)
		err = tutti__pool_check(pool);
	tutti__pool_release(pool);
	return err;
}

bool tutti_pool_worker_condemned(tutti_pool *pool, unsigned index)
{
	if (check_index(pool, index))
		return false;
	tutti__pool_hold(pool);
	tutti__mutex_lock(&pool->mutex);
	bool condemned = tutti__pool_is_condemned(pool, index);
	pthread_mutex_unlock(&pool->mutex);
	tutti__pool_release(pool);
	return condemned;
}

tutti_err tutti_pool_submit_message(tutti_pool *pool, tutti_future **future, const tutti_view *parts, size_t count,
                                    tutti_encoding encoding, const tutti_handle *carried, size_t carried_count,
                                    const tutti_task_options *options)
{
	static const tutti_task_options defaults;
	options = options ? options : &defaults;
	struct tutti__order order = {.index = options->index,
	                             .input = {parts, count, (uint32_t)encoding, carried, carried_count},
	                             .retries = options->retries,
	                             .priority = options->priority,
	                             .timeout = options->timeout};
	return tutti__future_order(pool, future, &order);
}
