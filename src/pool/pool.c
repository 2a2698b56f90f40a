/* SPDX-License-Identifier: MIT */
/* The pool as its owner has it: workers started, watched, replaced and ended. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tutti/worker.h>

#include "arena/arena.h"
#include "arena/recover.h"
#include "pool/pool.h"

enum {
	TEND_INTERVAL = 50 * 1000000, /* ns between looks at the workers while results keep coming */
};

static tutti_err start_worker(tutti_pool *pool, unsigned index)
{
	char name[TUTTI__NAME_SIZE];
	struct tutti__worker_entry *entry = &pool->shared->workers[index];
	struct tutti__worker_input input = {tutti__reference_handle(&pool->reference), index};
	snprintf(name, sizeof name, "%.28s-%u", pool->shared->object.name, index);
	tutti__worker_entry_clear(entry);
	return tutti_process_start(&pool->workers[index].process, tutti__worker_task,
	                           &(tutti_process_options){.arena = pool->arena,
	                                                    .name = name,
	                                                    .start = pool->start,
	                                                    .input = {&input, sizeof input}});
}

enum { WRITING = 100000000 /* ns */ };

/* Who reads while the text is written waits for it: once, if its writer was killed. */
static uint32_t how_broken(struct tutti__pool *shared)
{
	uint32_t broken = load_acquire(&shared->broken);
	if (likely(broken != 1))
		return broken;
	int64_t deadline = tutti__deadline(WRITING);
	while ((broken = load_acquire(&shared->broken)) == 1 && tutti__os.clock_now() < deadline)
		tutti__os.yield();
	if (broken == 1)
		cas_u32(&shared->broken, 1, 3); /* one that was slow only makes it a 2 all the same */
	return load_acquire(&shared->broken);
}

tutti_err tutti__pool_check(tutti_pool *pool)
{
	uint32_t broken = how_broken(pool->shared);
	if (likely(broken == 0))
		return TUTTI_OK;
	const char *text = broken == 2 ? pool->shared->broken_text : "it failed";
	if (pool->initializer)
		return tutti__fail(TUTTI_EFAILED, "pool \"%s\" cannot work: its initializer %s failed: %s",
		                   pool->shared->object.name, pool->initializer, text);
	return tutti__fail(TUTTI_EFAILED, "pool \"%s\" cannot work: %s", pool->shared->object.name, text);
}

static void replace(tutti_pool *pool, unsigned index, const tutti_exit *status)
{
	struct tutti__worker *worker = &pool->workers[index];
	if (tutti__pool_settle(pool, index, status) != TUTTI_OK)
		return; /* at the next look */
	tutti_process_close(worker->process);
	worker->process = NULL;
	if (pool->closing)
		return;
	if (load_acquire(&pool->shared->broken) == 0 && start_worker(pool, index) != TUTTI_OK)
		tutti__pool_break(pool->shared, tutti_last_error());
}

/* With the mutex. */
static void tend(tutti_pool *pool)
{
	tutti_exit status;
	for (unsigned i = 0; pool->workers && i < pool->shared->worker_count; i++) {
		if (!pool->workers[i].process)
			continue;
		if (tutti__process_poll(pool->workers[i].process, &status))
			replace(pool, i, &status);
		else if (tutti__pool_is_condemned(pool, i))
			tutti_process_kill(pool->workers[i].process);
	}
	store_relaxed(&pool->last_tend, (uint64_t)tutti__os.clock_now()); /* relaxed: a hint */
}

void tutti__pool_tend(tutti_pool *pool)
{
	if (pthread_mutex_trylock(&pool->mutex) != 0)
		return; /* another thread is at it */
	tend(pool);
	pthread_mutex_unlock(&pool->mutex);
}

void tutti__pool_tend_at_once(tutti_pool *pool)
{
	tutti__mutex_lock(&pool->mutex);
	tend(pool);
	pthread_mutex_unlock(&pool->mutex);
}

void tutti__pool_tend_now_and_then(tutti_pool *pool)
{
	if (tutti__os.clock_now() - (int64_t)load_relaxed(&pool->last_tend) > TEND_INTERVAL)
		tutti__pool_tend(pool);
}

struct question {
	const struct tutti__pool *pool;
	bool (*is_ready)(void *context);
	void *context;
};

static bool is_ready_or_broken(void *context)
{
	struct question *question = context;
	return question->is_ready(question->context) || load_acquire(&question->pool->broken);
}

/* Marks the job so that its end wakes us; false if it is done. */
static bool mark_job(struct tutti__job *job, uint32_t *expected)
{
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		if (tutti__job_status(state) == TUTTI__JOB_DONE)
			return false;
		*expected = (uint32_t)state | TUTTI__JOB_WAITERS;
		if (((uint32_t)state & TUTTI__JOB_WAITERS) || cas_u64(&job->state, state, state | TUTTI__JOB_WAITERS))
			return true;
	}
}

enum { WAIT_TICK = 100 * 1000000 }; /* ns between looks at the workers while nothing comes */

tutti_err tutti__pool_wait(tutti_pool *pool, bool (*is_ready)(void *context), void *context, struct tutti__job *job,
                           int64_t deadline, int64_t tick)
{
	struct question question = {pool->shared, is_ready, context};
	struct tutti__waiting waiting = {.arena = pool->arena,
	                                 .patience = &pool->patience,
	                                 .hints = &pool->shared->done_hints,
	                                 .object = pool->reference.offset,
	                                 .is_ready = is_ready_or_broken,
	                                 .context = &question,
	                                 .deadline = deadline,
	                                 .tick = tick && tick < WAIT_TICK ? tick : WAIT_TICK};
	struct tutti__wait_point *done = &pool->shared->done;
	uint32_t expected;
	tutti_err err = TUTTI_OK;
	if (job) {
		if (!tutti__wait_spin(&waiting, &done->partner) && mark_job(job, &expected))
			err = tutti__wait_sleep(&waiting, tutti__job_futex(job), expected);
	} else {
		err = tutti__wait_at(&waiting, done);
	}
	tutti__pool_tend_now_and_then(pool);
	return err;
}

tutti_err tutti__pool_find_task(const char *task, uint64_t *hash)
{
	static _Thread_local const char *last_name; /* a loop of submits looks up one name again and again */
	static _Thread_local uint64_t last_hash;
	if (task != last_name || tutti__task_hash(task) != last_hash) {
		if (!tutti__task_find(task))
			return tutti__fail_no_task(task);
		last_name = task;
		last_hash = tutti__task_hash(task);
	}
	*hash = last_hash;
	return TUTTI_OK;
}

/* A job that did not get into the queue. Who closes the pool at this moment may be at cancelling it. */
static void take_back(tutti_pool *pool, uint64_t offset, uint32_t sequence)
{
	if (tutti__job_move(tutti__job_at(pool->arena, offset), sequence, TUTTI__JOB_PENDING, TUTTI__JOB_SETTLING))
		tutti__job_free(pool->arena, offset);
	else
		tutti__pool_drop(pool, offset);
}

static tutti_err check_priority(int priority)
{
	if (likely(priority >= TUTTI_PRIORITY_MIN && priority <= TUTTI_PRIORITY_MAX))
		return TUTTI_OK;
	return tutti__fail(TUTTI_EINVAL, "a task's priority is %d to %d, not %d.", TUTTI_PRIORITY_MIN, TUTTI_PRIORITY_MAX,
	                   priority);
}

tutti_err tutti__pool_order(tutti_pool *pool, struct tutti__order *order, uint64_t *job, uint32_t *sequence)
{
	tutti_err err = tutti__pool_check(pool);
	if (!err)
		err = check_priority(order->priority);
	order->pool = pool->reference.offset;
	if (!err && tutti__use(&pool->reference, &err) != 0)
		err = tutti__job_create(pool->arena, order, job);
	if (err)
		return err;
	*sequence = tutti__job_sequence(load_relaxed(&tutti__job_at(pool->arena, *job)->state));
	uint64_t message[2] = {*job, *sequence};
	err = tutti__backlog_put(&pool->backlog, message, order->priority);
	if (err)
		take_back(pool, *job, *sequence);
	return err;
}

bool tutti__pool_cancel(tutti_pool *pool, uint64_t offset, uint32_t sequence, const char *text)
{
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	if (!tutti__job_move(job, sequence, TUTTI__JOB_PENDING, TUTTI__JOB_SETTLING))
		return false;
	tutti__job_set_failure(pool->arena, job, TUTTI_ECANCELLED, 0, text);
	tutti__job_finish(pool->arena, pool->shared, job);
	return true;
}

bool tutti__pool_cancel_pending(tutti_pool *pool, uint64_t offset, uint32_t sequence)
{
	return tutti__pool_cancel(pool, offset, sequence, "the task was cancelled before it started");
}

void tutti__pool_drop(tutti_pool *pool, uint64_t offset)
{
	struct tutti__job *job = tutti__job_at(pool->arena, offset);
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		if (tutti__job_status(state) == TUTTI__JOB_DONE) {
			tutti__job_free(pool->arena, offset);
			return;
		}
		if (cas_u64(&job->state, state, state | TUTTI__JOB_DETACHED))
			return;
	}
}

void tutti__pool_hold(tutti_pool *pool) { fetch_add_relaxed(&pool->users, 1); }

void tutti__pool_release(tutti_pool *pool)
{
	if (atomic_fetch_sub_explicit(&pool->users, 1, memory_order_acq_rel) != 1)
		return;
	tutti__backlog_close(&pool->backlog);
	if (pool->shared)
		tutti__reference_close(&pool->reference);
	pthread_mutex_destroy(&pool->mutex);
	free(pool->workers);
	free(pool);
}

tutti_err tutti__pool_fail_closed(const tutti_pool *pool)
{
	return tutti__fail(TUTTI_ESHUTDOWN, "pool \"%s\" was closed meanwhile.", pool->shared->object.name);
}

static unsigned worker_count(const tutti_pool_options *options)
{
	const char *variable = getenv("TUTTI_WORKERS");
	if (options->workers)
		return options->workers;
	if (variable && strtoul(variable, NULL, 10) > 0)
		return (unsigned)strtoul(variable, NULL, 10);
	return tutti__cpus_usable();
}

static tutti_err check_options(const tutti_pool_options *options)
{
	if (worker_count(options) > TUTTI__WORKERS_MAX)
		return tutti__fail(TUTTI_EINVAL, "a pool has 1 to %d workers, not %u.", TUTTI__WORKERS_MAX,
		                   worker_count(options));
	if (options->retry_on_count > TUTTI__RETRY_CODES)
		return tutti__fail(TUTTI_EINVAL, "at most %d codes can be given in retry_on, not %zu; use TUTTI_ANY_CODE.",
		                   TUTTI__RETRY_CODES, options->retry_on_count);
	if (options->initializer && !tutti__task_find(options->initializer))
		return tutti__fail_no_task(options->initializer);
	return tutti__check_fork_bomb();
}

static tutti_err set_initializer(tutti_pool *pool, const tutti_pool_options *options)
{
	struct tutti__pool *shared = pool->shared;
	pool->initializer = options->initializer;
	if (!options->initializer)
		return TUTTI_OK;
	shared->initializer = tutti__task_hash(options->initializer);
	shared->initializer_size = options->initializer_input.size;
	if (options->initializer_input.size == 0)
		return TUTTI_OK;
	tutti_err err = tutti__block_alloc(pool->arena, TUTTI__KIND_RAW, options->initializer_input.size, INT64_MAX,
	                                   &shared->initializer_block);
	if (!err)
		memcpy(tutti__at(pool->arena, shared->initializer_block), options->initializer_input.data,
		       options->initializer_input.size);
	return err;
}

/* The shared part, published when it is complete. */
static tutti_err create_shared(tutti_pool *pool, const tutti_pool_options *options)
{
	unsigned count = worker_count(options);
	struct tutti__object *object;
	tutti_err err = tutti__object_create(pool->arena, TUTTI__KIND_POOL,
	                                     sizeof(struct tutti__pool) + count * sizeof(struct tutti__worker_entry),
	                                     options->name, &object);
	if (err)
		return err;
	pool->shared = (struct tutti__pool *)object;
	tutti__backlog_publish(&pool->backlog, &pool->shared->backlog);
	pool->shared->worker_count = count;
	pool->shared->tasks_per_worker = options->tasks_per_worker;
	pool->shared->retries = options->retries;
	pool->shared->retry_code_count = (uint32_t)options->retry_on_count;
	for (size_t i = 0; i < options->retry_on_count; i++)
		pool->shared->retry_codes[i] = options->retry_on[i];
	tutti__object_publish(pool->arena, TUTTI__KIND_POOL, object, &pool->reference);
	return set_initializer(pool, options);
}

static tutti_err make_places(tutti_pool *pool)
{
	pool->workers = calloc(pool->shared->worker_count, sizeof *pool->workers);
	return pool->workers ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for %u workers", pool->shared->worker_count);
}

static tutti_err start_workers(tutti_pool *pool)
{
	tutti_err err = TUTTI_OK;
	for (unsigned i = 0; i < pool->shared->worker_count && !err; i++)
		err = start_worker(pool, i);
	return err;
}

/* Takes down what was half opened; the text of the error that led here stays. */
static tutti_err give_up(tutti_pool *pool, tutti_err err)
{
	char text[512];
	snprintf(text, sizeof text, "%s", tutti_last_error());
	tutti_pool_close(pool);
	return tutti__fail(err, "%s", text);
}

tutti_err tutti_pool_open(tutti_pool **result, const tutti_pool_options *options)
{
	static const tutti_pool_options defaults;
	options = options ? options : &defaults;
	tutti_err err = check_options(options);
	tutti_pool *pool = err ? NULL : calloc(1, sizeof *pool);
	if (!pool)
		return err ? err : tutti__fail(TUTTI_ENOMEM, "no memory for a pool handle");
	pthread_mutex_init(&pool->mutex, NULL);
	store_relaxed(&pool->users, 1);
	pool->start = options->start;
	pool->task_timeout = options->task_timeout;
	err = tutti__arena_or_default(options->arena, &pool->arena);
	if (!err)
		err = tutti__backlog_create(&pool->backlog, pool->arena, options->name);
	if (!err)
		err = create_shared(pool, options);
	if (!err)
		err = make_places(pool);
	if (!err && !options->own_workers)
		err = start_workers(pool);
	if (err)
		return give_up(pool, err);
	*result = pool;
	return TUTTI_OK;
}

static const char closed_text[] = "the task was cancelled: its pool was closed before it started";

static void cancel_waiting(tutti_pool *pool)
{
	uint64_t message[2];
	while (tutti__backlog_take(&pool->backlog, message))
		tutti__pool_cancel(pool, message[0], (uint32_t)message[1], closed_text);
}

void tutti_pool_cancel_waiting(tutti_pool *pool)
{
	tutti__pool_hold(pool);
	cancel_waiting(pool);
	tutti__pool_release(pool);
}

/* Ends every worker: those that are idle or become so by the shutdown; waits for them. */
static void end_workers(tutti_pool *pool)
{
	tutti__mutex_lock(&pool->mutex);
	pool->closing = true;
	for (unsigned i = 0; pool->workers && i < pool->shared->worker_count; i++) {
		while (pool->workers[i].process) {
			tutti_process_wait(pool->workers[i].process, NULL, WAIT_TICK);
			tend(pool);
		}
	}
	pthread_mutex_unlock(&pool->mutex);
}

/* Jobs that no worker is left for. */
static void cancel_leftover(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner,
                            void *context)
{
	tutti_pool *pool = context;
	if (kind != TUTTI__KIND_TASK || owner != TUTTI__SHARED)
		return;
	struct tutti__job *job = tutti__job_at(arena, offset);
	/* The sequence first: a block that is another pool's by now has another one. */
	uint32_t sequence = tutti__job_sequence(load_acquire(&job->state));
	if (load_relaxed(&job->pool) == pool->reference.offset)
		tutti__pool_cancel(pool, offset, sequence, closed_text);
}

void tutti_pool_close(tutti_pool *pool)
{
	if (!pool || exchange_acq_rel(&pool->closed, 1))
		return;
	if (pool->shared) {
		cancel_waiting(pool);
		tutti__backlog_shutdown(&pool->backlog);
		end_workers(pool);
		tutti__blocks_visit(pool->arena, cancel_leftover, pool);
		if (pool->shared->initializer_block)
			tutti__block_free(pool->arena, pool->shared->initializer_block);
	}
	tutti__pool_release(pool);
}

tutti_err tutti_pool_kill(tutti_pool *pool)
{
	tutti__pool_hold(pool);
	tutti_err err = tutti__backlog_shutdown(&pool->backlog);
	cancel_waiting(pool);
	tutti__mutex_lock(&pool->mutex);
	pool->closing = true;
	pool->killed = true;
	for (unsigned i = 0; pool->workers && i < pool->shared->worker_count; i++)
		if (pool->workers[i].process)
			tutti_process_kill(pool->workers[i].process);
	pthread_mutex_unlock(&pool->mutex);
	end_workers(pool);
	tutti__pool_release(pool);
	return err;
}

int tutti_pool_worker(tutti_pool *pool, unsigned index)
{
	int pid = 0;
	tutti__pool_hold(pool);
	tutti__mutex_lock(&pool->mutex);
	if (index < pool->shared->worker_count && pool->workers[index].process)
		pid = tutti_process_pid(pool->workers[index].process);
	pthread_mutex_unlock(&pool->mutex);
	tutti__pool_release(pool);
	return pid;
}

static void free_jobs(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	uint64_t pool = *(uint64_t *)context;
	if (kind == TUTTI__KIND_TASK && owner == TUTTI__SHARED && load_relaxed(&tutti__job_at(arena, offset)->pool) == pool)
		tutti__job_free(arena, offset);
}

/* Owner and workers are gone: nobody will read the results, or what was published. */
static void destroy(tutti_arena *arena, uint64_t offset)
{
	struct tutti__pool *pool = tutti__at(arena, offset);
	tutti__blocks_visit(arena, free_jobs, &offset);
	for (uint32_t i = 0; i < TUTTI__CATALOGUE_MAX; i++)
		tutti__catalogue_drop(arena, &pool->catalogue[i]);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner, (void)clean;
	tutti__catalogue_recover(arena, tutti__at(arena, offset), dead);
}

const struct tutti__kind tutti__pool_kind = {.name = "pool", .is_object = true, .recover = recover, .destroy = destroy};
