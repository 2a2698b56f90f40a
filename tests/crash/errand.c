/* SPDX-License-Identifier: MIT */
#include "errand.h"

#include <signal.h>

#include "arena/recover.h"
#include "messages.h"

enum { INPUT_ID = 11, RESULT_ID = 12, INSIDE = 77, SMALL = 64 };

struct errand errand;
tutti_future *errand_future;
tutti_worker *errand_worker;
unsigned char errand_bytes[ERRAND_LARGE];

static tutti_queue *carried;

void errand_open_pool(struct stage *stage)
{
	must(tutti_pool_open(&stage->pool, &(tutti_pool_options){.arena = stage->arena, .workers = 2, .own_workers = true}),
	     "pool");
}

void errand_open_carried(struct stage *stage)
{
	must(tutti_queue_open(&carried, &(tutti_queue_options){.arena = stage->arena, .name = "carried"}), "open");
	must(message_put(carried, SMALL, INSIDE, TUTTI_NOW), "put");
	message_write(errand_bytes, errand.input, INPUT_ID);
}

void errand_submit(struct stage *stage)
{
	tutti_handle handle = errand.carries ? tutti_queue_handle(carried) : (tutti_handle){0};
	tutti_task_options options = {.retries = errand.retries, .timeout = errand.timeout, .priority = errand.priority};
	must(tutti_pool_submit_message(stage->pool, &errand_future, &(tutti_view){errand_bytes, errand.input}, 1,
	                               TUTTI_PICKLE, &handle, errand.carries, &options),
	     "submit");
	if (errand.carries)
		tutti_queue_close(carried);
	if (errand.is_unwanted)
		tutti_future_close(errand_future);
}

void errand_arrange(struct stage *stage, struct errand job)
{
	errand = job;
	errand_open_pool(stage);
	if (errand.carries)
		errand_open_carried(stage);
	message_write(errand_bytes, errand.input, INPUT_ID);
	errand_submit(stage);
}

void errand_write_result(void) { message_write(errand_bytes, errand.result, RESULT_ID); }

void errand_become_worker(struct stage *stage)
{
	must(tutti_worker_open(&errand_worker, stage->arena, tutti_pool_handle(stage->pool), 0), "the worker's place");
	tutti_worker_ready(errand_worker);
	errand_write_result();
}

static void finish(tutti_worker *worker, const tutti_message *input)
{
	must(tutti_worker_finish(worker, TUTTI_OK, 0, &(tutti_view){errand_bytes, errand.result}, 1, TUTTI_PICKLE,
	                         input->carried, input->carried_count),
	     "finish");
}

void errand_serve(struct stage *stage)
{
	unsigned run;
	must(tutti_worker_next(errand_worker, &stage->message, &run, TUTTI_NOW), "next");
	finish(errand_worker, &stage->message);
	tutti_message_release(&stage->message);
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

struct tutti__job *errand_find(tutti_arena *arena)
{
	struct tutti__job *job = NULL;
	tutti__blocks_visit(arena, note_job, &job);
	return job;
}

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

void errand_check_input(struct stage *stage, const tutti_message *message)
{
	check_message(stage, message, errand.input, INPUT_ID);
}

void errand_check_result(struct stage *stage, const tutti_message *message)
{
	check_message(stage, message, errand.result, RESULT_ID);
}

void errand_tell_death(struct stage *stage)
{
	static const tutti_exit killed = {.known = true, .code = -1, .signal = SIGKILL};
	tutti_err err = tutti_pool_worker_ended(stage->pool, 0, &killed);
	if (err)
		fail(HUNG, "K6: settling a worker's death answers %s: %s", tutti_error_name(err), tutti_last_error());
}

void errand_run_in(struct stage *stage, tutti_worker *worker)
{
	tutti_message input;
	unsigned run;
	tutti_err err = tutti_worker_next(worker, &input, &run, TUTTI_NOW);
	if (err)
		fail(LOST, "K6: the job is to be run, and the next worker is told %s: %s", tutti_error_name(err),
		     tutti_last_error());
	errand_check_input(stage, &input);
	errand_write_result();
	finish(worker, &input);
	tutti_message_release(&input);
}

void errand_run_again(struct stage *stage)
{
	tutti_worker *other;
	must(tutti_worker_open(&other, stage->arena, tutti_pool_handle(stage->pool), 1), "another worker");
	errand_run_in(stage, other);
	tutti_worker_close(other);
}
