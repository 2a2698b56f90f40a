/* SPDX-License-Identifier: MIT */
/*
 * Pools whose workers their owner starts himself: messages and handles there and back, and what is published.
 *
 * A worker dies: the survivor is the owner. He is told of the death as an owner is, and then the job must come to its
 * end: it is run again with the input that it had, or fails, or its result is there.
 *
 * The owner dies: nobody else has the pool, and nothing of it may be left; or somebody has, and finds it whole.
 */
#include <signal.h>
#include <string.h>

#include "check.h"
#include "errand.h"
#include "messages.h"

enum { PUBLISHED_ID = 13, PUBLISHED_SIZE = 5000 };

static void prepare_submit(struct stage *stage)
{
	errand = (struct errand){.input = ERRAND_LARGE, .carries = true};
	errand_open_pool(stage);
	errand_open_carried(stage);
}

static void arrange_small(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 40, .retries = 1});
}

/* Its last run takes the input away. */
static void arrange_last_run(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 1000, .result = ERRAND_LARGE});
}

static void arrange_carrying(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 40, .retries = 1, .carries = true});
}

static void arrange_carrying_last_run(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = ERRAND_LARGE, .result = 100, .carries = true});
}

static void arrange_urgent(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 40, .retries = 1, .priority = 3});
}

static void arrange_background(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 40, .priority = -3});
}

static void prepare_submit_urgent(struct stage *stage)
{
	errand = (struct errand){.input = 40, .priority = 3};
	errand_open_pool(stage);
}

static void write_result(struct stage *stage)
{
	(void)stage;
	errand_write_result();
}

static void come_serve_and_leave(struct stage *stage)
{
	errand_become_worker(stage);
	errand_serve(stage);
	tutti_worker_close(errand_worker);
}

static void check_outcome(struct stage *stage)
{
	tutti_result result;
	tutti_message message;
	tutti_err err = tutti_future_get(errand_future, &result, TUTTI_NOW);
	if (err)
		fail(LOST, "K6: the worker's death is settled, and the future answers %s: %s", tutti_error_name(err),
		     tutti_last_error());
	bool failed = result.err == TUTTI_EWORKERDIED && result.code == SIGKILL && errand.retries == 0;
	if (result.err != TUTTI_OK && !failed)
		fail(TORN, "K6: the job ends with %s: %s", tutti_error_name(result.err), result.text);
	if (board->has_returned && failed)
		fail(LOST, "K6: the job was finished, and fails by the death of its worker");
	if (failed && (!strstr(result.text, "SIGKILL") || result.pid == 0))
		fail(TORN, "K6: the text of a death is: %s (pid %d)", result.text, result.pid);
	tutti_result_take(&result, &message);
	if (!failed)
		errand_check_result(stage, &message);
	tutti_message_release(&message);
	tutti_result_release(&result);
}

/* The survivor owns the pool, and is told that the victim was killed. */
static void check_errand(struct stage *stage)
{
	struct tutti__job *job = errand_find(stage->arena);
	if (!job)
		fail(LOST, "K6: the job is gone");
	board->outcome = tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_DONE;
	errand_tell_death(stage);
	if (tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_PENDING)
		errand_run_again(stage);
	check_outcome(stage);
	tutti_future_close(errand_future);
	tutti_pool_close(stage->pool);
}

static tutti_err publish(struct stage *stage)
{
	uint32_t number;
	return tutti_pool_publish(stage->pool, (tutti_view){errand_bytes, PUBLISHED_SIZE}, &number);
}

static void open_and_publish(struct stage *stage)
{
	message_write(errand_bytes, PUBLISHED_SIZE, PUBLISHED_ID);
	errand_open_pool(stage);
	must(publish(stage), "publish");
}

static void prepare_publish(struct stage *stage)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&stage->pool->reference, &err) == 0)
		must(err, "an inherited pool");
	message_write(errand_bytes, PUBLISHED_SIZE, PUBLISHED_ID + 1);
}

static void publish_another(struct stage *stage) { must(publish(stage), "publish"); }

/* The pool lives on: what its workers find is whole. */
static void check_published(struct stage *stage)
{
	tutti_worker *reader;
	tutti_view bytes;
	uint32_t count = 0;
	must(tutti_worker_open(&reader, stage->arena, tutti_pool_handle(stage->pool), 0), "a worker");
	for (; tutti_worker_published(reader, count, &bytes) == TUTTI_OK; count++)
		if (bytes.size != PUBLISHED_SIZE || message_read(bytes.data, bytes.size) != PUBLISHED_ID + count)
			fail(TORN, "K6: number %u of the catalogue is not what was published", count);
	if (count == 0 || count > 2 || (board->has_returned && count != 2))
		fail(LOST, "K6: %u things are in the catalogue, where 1 was before", count);
	board->outcome = count;
	tutti_worker_close(reader);
	tutti_pool_close(stage->pool);
}

/* The victim is owner and worker, and its job is done. */
static void open_with_result(struct stage *stage)
{
	arrange_carrying_last_run(stage);
	errand_become_worker(stage);
	errand_serve(stage);
	tutti_worker_close(errand_worker);
}

static void take_result(struct stage *stage)
{
	tutti_result result;
	must(tutti_future_get(errand_future, &result, TUTTI_NOW), "get");
	tutti_result_take(&result, &stage->message);
	tutti_result_release(&result);
	tutti_message_release(&stage->message);
}

/* A catalogue, a job that is done, one that waits. */
static void open_with_all(struct stage *stage)
{
	open_with_result(stage);
	tutti_future_close(errand_future);
	message_write(errand_bytes, PUBLISHED_SIZE, PUBLISHED_ID);
	must(publish(stage), "publish");
	must(publish(stage), "publish");
	errand_open_carried(stage);
	errand_submit(stage);
	tutti_future_close(errand_future);
}

static void close_pool(struct stage *stage) { tutti_pool_close(stage->pool); }

/* Nobody else had it. */
static void check_gone(struct stage *stage) { check_pools_gone(stage->arena); }

const struct operation own_worker_operations[] = {
	{.name = "own worker: come, run a job, and leave",
     .arrange = arrange_small,
     .prepare = write_result,
     .operate = come_serve_and_leave,
     .check = check_errand},
	{.name = "own worker: a job",
     .arrange = arrange_small,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_errand},
	{.name = "own worker: its last run, the result with a body",
     .arrange = arrange_last_run,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_errand},
	{.name = "own worker: a handle there and back",
     .arrange = arrange_carrying,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_errand},
	{.name = "own worker: a handle there and back, its last run",
     .arrange = arrange_carrying_last_run,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_errand},
	{.name = "own worker: come, run a job of a high priority, and leave",
     .arrange = arrange_urgent,
     .prepare = write_result,
     .operate = come_serve_and_leave,
     .check = check_errand},
	{.name = "own worker: the last run of a job of a low priority",
     .arrange = arrange_background,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_errand},
	{.name = "submit with a high priority",
     .prepare = prepare_submit_urgent,
     .operate = errand_submit,
     .check = check_gone},
	{.name = "submit a message with a handle, a body",
     .prepare = prepare_submit,
     .operate = errand_submit,
     .check = check_gone},
	{.name = "publish",
     .arrange = open_and_publish,
     .prepare = prepare_publish,
     .operate = publish_another,
     .check = check_published},
	{.name = "publish, nobody else has the pool",
     .prepare = open_and_publish,
     .operate = publish_another,
     .check = check_gone},
	{.name = "take a result that carries a handle",
     .prepare = open_with_result,
     .operate = take_result,
     .check = check_gone},
	{.name = "pool close, jobs and a catalogue in it",
     .prepare = open_with_all,
     .operate = close_pool,
     .check = check_gone},
	{.name = NULL},
};
