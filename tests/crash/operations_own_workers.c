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

#include <tutti/worker.h>

#include "arena/recover.h"
#include "check.h"
#include "messages.h"
#include "pool/pool.h"
#include "ring.h"

enum { INPUT_ID = 11, RESULT_ID = 12, INSIDE = 77, SMALL = 64, PUBLISHED_ID = 13, PUBLISHED_SIZE = 5000, BYTES = 5000 };

/* The job that it is about. Its bytes are those of messages (messages.h). */
struct errand {
	size_t input, result;
	unsigned retries;
	bool carries; /* the only handle of a queue, there and back */
};

static struct errand errand;
static tutti_future *future;
static tutti_queue *carried;
static unsigned char ready[BYTES]; /* what is sent next, written before: its writing is nothing to step through */
static tutti_worker *worker; /* the victim's */

static void open_own_pool(struct stage *stage)
{
	must(tutti_pool_open(&stage->pool, &(tutti_pool_options){.arena = stage->arena, .workers = 2, .own_workers = true}),
	     "pool");
}

static void open_carried(struct stage *stage)
{
	must(tutti_queue_open(&carried, &(tutti_queue_options){.arena = stage->arena, .name = "carried"}), "open");
	must(message_put(carried, SMALL, INSIDE, TUTTI_NOW), "put");
}

static void submit_errand(struct stage *stage)
{
	tutti_handle handle = errand.carries ? tutti_queue_handle(carried) : (tutti_handle){0};
	must(tutti_pool_submit_message(stage->pool, &future, &(tutti_view){ready, errand.input}, 1, TUTTI_PICKLE, &handle,
	                               errand.carries, &(tutti_job_options){.retries = errand.retries}),
	     "submit");
	if (errand.carries)
		tutti_queue_close(carried);
}

static void prepare_submit(struct stage *stage)
{
	errand = (struct errand){.input = BYTES, .carries = true};
	open_own_pool(stage);
	open_carried(stage);
	message_write(ready, errand.input, INPUT_ID);
}

static void arrange_errand(struct stage *stage, struct errand job)
{
	errand = job;
	open_own_pool(stage);
	if (errand.carries)
		open_carried(stage);
	message_write(ready, errand.input, INPUT_ID);
	submit_errand(stage);
}

static void arrange_small_errand(struct stage *stage)
{
	arrange_errand(stage, (struct errand){.input = 40, .result = 40, .retries = 1});
}

/* Its last run takes the input away. */
static void arrange_last_run(struct stage *stage)
{
	arrange_errand(stage, (struct errand){.input = 1000, .result = BYTES});
}

static void arrange_carrying(struct stage *stage)
{
	arrange_errand(stage, (struct errand){.input = 40, .result = 40, .retries = 1, .carries = true});
}

static void arrange_carrying_last_run(struct stage *stage)
{
	arrange_errand(stage, (struct errand){.input = BYTES, .result = 100, .carries = true});
}

static void become_worker(struct stage *stage)
{
	must(tutti_worker_open(&worker, stage->arena, tutti_pool_handle(stage->pool), 0), "the worker's place");
	tutti_worker_ready(worker);
	message_write(ready, errand.result, RESULT_ID);
}

static void serve_errand(struct stage *stage)
{
	unsigned run;
	must(tutti_worker_next(worker, &stage->message, &run, TUTTI_NOW), "next");
	must(tutti_worker_finish(worker, TUTTI_OK, 0, &(tutti_view){ready, errand.result}, 1, TUTTI_PICKLE,
	                         stage->message.carried, stage->message.carried_count),
	     "finish");
	tutti_message_release(&stage->message);
}

static void write_result(struct stage *stage)
{
	(void)stage;
	message_write(ready, errand.result, RESULT_ID);
}

static void come_serve_and_leave(struct stage *stage)
{
	must(tutti_worker_open(&worker, stage->arena, tutti_pool_handle(stage->pool), 0), "the worker's place");
	tutti_worker_ready(worker);
	serve_errand(stage);
	tutti_worker_close(worker);
}

/* The message is the errand's, and what it carries lives. */
static void check_message(struct stage *stage, const tutti_message *message, size_t size, unsigned id)
{
	tutti_queue *queue;
	if (message->view.size != size || message_read(message->view.data, size) != id ||
	    message->encoding != TUTTI_PICKLE || message->carried_count != errand.carries)
		fail(TORN, "K6: a message of %zu bytes that carries %zu handles is not what was sent", message->view.size,
		     message->carried_count);
	if (!errand.carries)
		return;
	if (tutti_queue_at(&queue, stage->arena, message->carried[0]) != TUTTI_OK)
		fail(LOST, "K6: what a job carries is gone: %s", tutti_last_error());
	tutti_queue_close(queue);
}

/* By another worker, which has nothing else to do. */
static void run_errand_again(struct stage *stage)
{
	tutti_worker *other;
	tutti_message input;
	unsigned run;
	must(tutti_worker_open(&other, stage->arena, tutti_pool_handle(stage->pool), 1), "another worker");
	tutti_err err = tutti_worker_next(other, &input, &run, TUTTI_NOW);
	if (err)
		fail(LOST, "K6: the job is to be run, and the next worker is told %s: %s", tutti_error_name(err),
		     tutti_last_error());
	check_message(stage, &input, errand.input, INPUT_ID);
	message_write(ready, errand.result, RESULT_ID);
	must(tutti_worker_finish(other, TUTTI_OK, 0, &(tutti_view){ready, errand.result}, 1, TUTTI_PICKLE, input.carried,
	                         input.carried_count),
	     "finish");
	tutti_message_release(&input);
	tutti_worker_close(other);
}

static void check_outcome(struct stage *stage)
{
	tutti_result result;
	tutti_message message;
	tutti_err err = tutti_future_get(future, &result, TUTTI_NOW);
	if (err)
		fail(LOST, "K6: the worker's death is settled, and the future answers %s: %s", tutti_error_name(err),
		     tutti_last_error());
	bool failed = result.err == TUTTI_EWORKERDIED && result.code == SIGKILL && errand.retries == 0;
	if (result.err != TUTTI_OK && !failed)
		fail(TORN, "K6: the job ends with %s: %s", tutti_error_name(result.err), result.text);
	if (board->has_returned && failed)
		fail(LOST, "K6: the job was finished, and fails by the death of its worker");
	if (failed && !strstr(result.text, "SIGKILL"))
		fail(TORN, "K6: the text of a death is: %s", result.text);
	tutti_result_take(&result, &message);
	if (!failed)
		check_message(stage, &message, errand.result, RESULT_ID);
	tutti_message_release(&message);
	tutti_result_release(&result);
}

static void note_job(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	struct tutti__job **found = context;
	if (kind != TUTTI__KIND_TASK || owner != TUTTI__SHARED)
		return;
	if (*found)
		fail(TORN, "K6: one job was submitted, and there are two");
	*found = tutti__job_at(arena, offset);
}

static struct tutti__job *find_job(tutti_arena *arena)
{
	struct tutti__job *job = NULL;
	tutti__blocks_visit(arena, note_job, &job);
	if (!job)
		fail(LOST, "K6: the job is gone");
	return job;
}

/* The survivor owns the pool, and is told that the victim was killed. */
static void check_errand(struct stage *stage)
{
	static const tutti_exit killed = {.known = true, .code = -1, .signal = SIGKILL};
	struct tutti__job *job = find_job(stage->arena);
	board->outcome = tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_DONE;
	tutti_err err = tutti_pool_worker_ended(stage->pool, 0, &killed, false);
	if (err)
		fail(HUNG, "K6: settling a worker's death answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_PENDING)
		run_errand_again(stage);
	check_outcome(stage);
	tutti_future_close(future);
	tutti_pool_close(stage->pool);
}

static tutti_err publish(struct stage *stage)
{
	uint32_t number;
	return tutti_pool_publish(stage->pool, (tutti_view){ready, PUBLISHED_SIZE}, &number);
}

static void open_and_publish(struct stage *stage)
{
	message_write(ready, PUBLISHED_SIZE, PUBLISHED_ID);
	open_own_pool(stage);
	must(publish(stage), "publish");
}

static void prepare_publish(struct stage *stage)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&stage->pool->reference, &err) == 0)
		must(err, "an inherited pool");
	message_write(ready, PUBLISHED_SIZE, PUBLISHED_ID + 1);
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
	become_worker(stage);
	serve_errand(stage);
	tutti_worker_close(worker);
}

static void take_result(struct stage *stage)
{
	tutti_result result;
	must(tutti_future_get(future, &result, TUTTI_NOW), "get");
	tutti_result_take(&result, &stage->message);
	tutti_result_release(&result);
	tutti_message_release(&stage->message);
}

/* A catalogue, a job that is done, one that waits. */
static void open_with_all(struct stage *stage)
{
	open_with_result(stage);
	tutti_future_close(future);
	message_write(ready, PUBLISHED_SIZE, PUBLISHED_ID);
	must(publish(stage), "publish");
	must(publish(stage), "publish");
	open_carried(stage);
	submit_errand(stage);
	tutti_future_close(future);
}

static void close_pool(struct stage *stage) { tutti_pool_close(stage->pool); }

/* Nobody else had it. */
static void check_gone(struct stage *stage) { check_pools_gone(stage->arena); }

const struct operation own_worker_operations[] = {
	{.name = "own worker: come, run a job, and leave",
     .arrange = arrange_small_errand,
     .prepare = write_result,
     .operate = come_serve_and_leave,
     .check = check_errand},
	{.name = "own worker: a job",
     .arrange = arrange_small_errand,
     .prepare = become_worker,
     .operate = serve_errand,
     .check = check_errand},
	{.name = "own worker: its last run, the result with a body",
     .arrange = arrange_last_run,
     .prepare = become_worker,
     .operate = serve_errand,
     .check = check_errand},
	{.name = "own worker: a handle there and back",
     .arrange = arrange_carrying,
     .prepare = become_worker,
     .operate = serve_errand,
     .check = check_errand},
	{.name = "own worker: a handle there and back, its last run",
     .arrange = arrange_carrying_last_run,
     .prepare = become_worker,
     .operate = serve_errand,
     .check = check_errand},
	{.name = "submit a message with a handle, a body",
     .prepare = prepare_submit,
     .operate = submit_errand,
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
