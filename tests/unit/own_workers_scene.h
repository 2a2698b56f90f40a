/* SPDX-License-Identifier: MIT */
/*
 * Pools whose workers their owner starts himself. Here they are plain forks of the test, and each is hired and
 * looked after by hand: so it is certain who runs what, and who dies in it.
 */
#ifndef TUTTI_TESTS_UNIT_OWN_WORKERS_SCENE_H
#define TUTTI_TESTS_UNIT_OWN_WORKERS_SCENE_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_scene.h"

/* What a worker does with one job. */
typedef void serve_job(tutti_worker *worker, tutti_message *input, unsigned run);

struct place {
	tutti_handle pool;
	unsigned index;
	serve_job *serve;
};

static atomic_u32 *running; /* shared: a worker that never ends its job says that it has begun */

static inline tutti_pool *open_own(unsigned workers)
{
	return open_pool((tutti_pool_options){.workers = workers, .own_workers = true});
}

/* --- workers ----------------------------------------------------------------------------------------------------- */

static inline void be_worker(void *context)
{
	const struct place *place = context;
	tutti_worker *worker;
	tutti_message input;
	tutti_err err;
	unsigned run;
	OK(tutti_worker_open(&worker, arena, place->pool, place->index));
	tutti_worker_ready(worker);
	while ((err = tutti_worker_next(worker, &input, &run, tutti_seconds(10))) != TUTTI_EOF) {
		if (err == TUTTI_EINTR || err == TUTTI_EBUSY)
			continue;
		OK(err);
		place->serve(worker, &input, run);
		tutti_message_release(&input);
	}
	tutti_worker_close(worker);
}

static inline pid_t hire(tutti_pool *pool, unsigned index, serve_job *serve)
{
	struct place place = {tutti_pool_handle(pool), index, serve};
	OK(tutti_pool_worker_begin(pool, index));
	return support_fork(be_worker, &place);
}

static inline tutti_err tell_end(tutti_pool *pool, unsigned index, int status)
{
	tutti_exit ended = {.known = true,
	                    .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	                    .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
	tutti_err err;
	UNTIL(5000, (err = tutti_pool_worker_ended(pool, index, &ended)) != TUTTI_EBUSY);
	return err;
}

/* It ends by itself, in the middle of a job. */
static inline void bury(tutti_pool *pool, unsigned index, pid_t pid) { OK(tell_end(pool, index, support_wait(pid))); }

/* The pool is drained, and its only worker goes home. */
static inline void end_with(tutti_pool *pool, pid_t worker)
{
	OK(tutti_pool_drain(pool, tutti_seconds(5)));
	support_join_child(worker);
	OK(tell_end(pool, 0, 0));
	end(pool);
}

/* In two parts. */
static inline void echo(tutti_worker *worker, tutti_message *input, unsigned run)
{
	(void)run;
	size_t half = input->view.size / 2;
	tutti_view parts[] = {{input->view.data, half}, {(const char *)input->view.data + half, input->view.size - half}};
	OK(tutti_worker_finish(worker, TUTTI_OK, 0, parts, 2, (tutti_encoding)input->encoding, input->carried,
	                       input->carried_count));
}

static inline void die_at_first(tutti_worker *worker, tutti_message *input, unsigned run)
{
	if (run == 1)
		kill(getpid(), SIGKILL);
	echo(worker, input, run);
}

static inline void leave_at_first(tutti_worker *worker, tutti_message *input, unsigned run)
{
	if (run == 1)
		exit(7);
	echo(worker, input, run);
}

static inline void never_end(tutti_worker *worker, tutti_message *input, unsigned run)
{
	(void)worker, (void)input, (void)run;
	store_release(running, 1);
	support_pause_forever();
}

/* A worker that runs a job of this pool, and never ends it. */
static inline pid_t hire_busy(tutti_pool *pool, unsigned index)
{
	pid_t worker = hire(pool, index, never_end);
	UNTIL(5000, load_acquire(running) == 1);
	return worker;
}

/* --- jobs -------------------------------------------------------------------------------------------------------- */

/* Of `size` bytes, in three parts. */
static inline tutti_err submit_with(tutti_pool *pool, tutti_future **future, size_t size, const tutti_handle *carried,
                                    size_t carried_count, tutti_task_options options)
{
	static unsigned char bytes[MEBIBYTE];
	size_t third = size / 3;
	support_fill(bytes, size, size);
	tutti_view parts[] = {{bytes, third}, {bytes + third, third}, {bytes + 2 * third, size - 2 * third}};
	return tutti_pool_submit_message(pool, future, parts, 3, TUTTI_PICKLE, carried, carried_count, &options);
}

static inline tutti_future *submit(tutti_pool *pool, size_t size, tutti_task_options options)
{
	tutti_future *future;
	OK(submit_with(pool, &future, size, NULL, 0, options));
	return future;
}

static inline tutti_result get(tutti_future *future)
{
	tutti_result result;
	OK(tutti_future_get(future, &result, tutti_seconds(10)));
	tutti_future_close(future);
	return result;
}

static inline void expect_echo(const tutti_result *result, size_t size)
{
	assert_int_equal(result->err, TUTTI_OK);
	assert_string_equal(result->text, "");
	assert_int_equal(result->encoding, TUTTI_PICKLE);
	assert_int_equal(result->view.size, size);
	assert_true(support_is_filled(result->view.data, size, size));
}

static const size_t SIZES[] = {0, 1, 64, 65, 1000, 4095, 4096, MEBIBYTE};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0] };

/* --- handles ----------------------------------------------------------------------------------------------------- */

/* A queue with this number in it. */
static inline tutti_queue *open_queue(uint64_t number)
{
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena, .name = "carried"}));
	OK(tutti_queue_put(queue, &number, sizeof number, TUTTI_NOW));
	return queue;
}

static inline bool is_gone(tutti_handle handle)
{
	tutti_queue *queue = NULL;
	tutti_err err = tutti_queue_at(&queue, arena, handle);
	tutti_queue_close(err ? NULL : queue);
	return err == TUTTI_ESTALE;
}

/* A worker lets go of what it got a moment after it has finished. */
static inline void expect_gone(tutti_handle handle) { UNTIL(5000, is_gone(handle)); }

/* Submits the only handle of a queue. */
static inline tutti_handle send_queue(tutti_pool *pool, tutti_future **future, size_t size, uint64_t number,
                                      unsigned retries)
{
	tutti_queue *queue = open_queue(number);
	tutti_handle handle = tutti_queue_handle(queue);
	OK(submit_with(pool, future, size, &handle, 1, (tutti_task_options){.retries = retries}));
	tutti_queue_close(queue);
	return handle;
}

#endif
