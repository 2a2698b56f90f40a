/* SPDX-License-Identifier: MIT */
/* One task on its way through a pool. What its bytes mean, and what a death leaves: layout.h. */
#include <limits.h>
#include <string.h>

#include <tutti/worker.h> /* tutti_result_take, which the library is to export */

#include "os/seeded_bug.h"
#include "pool/job.h"

tutti_err tutti__job_create(tutti_arena *arena, const struct tutti__order *order, uint64_t *offset)
{
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_TASK, sizeof(struct tutti__job), INT64_MAX, offset);
	if (err)
		return err;
	struct tutti__job *job = tutti__job_at(arena, *offset);
	err = tutti__cargo_load(arena, &job->input, &order->input);
	if (err) {
		tutti__block_free(arena, *offset);
		return err;
	}
	store_relaxed(&job->pool, order->pool); /* relaxed: `state` publishes it */
	job->task = order->task;
	job->index = order->index;
	job->retries = order->retries;
	job->priority = order->priority;
	store_relaxed(&job->timeout, (uint64_t)order->timeout); /* the same */
	job->result.size = 0;
	store_relaxed(&job->worker, 0);
	job->pid = 0;
	job->runs = 0;
	job->err = TUTTI_OK;
	job->code = 0;
	uint32_t sequence = tutti__job_sequence(load_relaxed(&job->state)) + 1;
	store_release(&job->state, tutti__job_state(sequence, 0, TUTTI__JOB_PENDING));
	tutti__block_set_owner(arena, *offset, TUTTI__SHARED);
	return TUTTI_OK;
}

void tutti__job_free(tutti_arena *arena, uint64_t offset)
{
	struct tutti__job *job = tutti__job_at(arena, offset);
	tutti__block_set_owner(arena, offset, load_relaxed(&arena->local->id));
	tutti__cargo_drop(arena, &job->input);
	tutti__cargo_drop(arena, &job->result);
	/* The sequence stays: a message of this job that is still in the queue must not fit the next one. */
	store_release(&job->state, tutti__job_state(tutti__job_sequence(load_relaxed(&job->state)), 0, TUTTI__JOB_FREE));
	tutti__block_free(arena, offset);
}

uint64_t tutti__job_move(struct tutti__job *job, uint32_t sequence, unsigned status, unsigned next)
{
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		if (tutti__job_sequence(state) != sequence || tutti__job_status(state) != status)
			return 0;
		if (cas_u64(&job->state, state, tutti__job_state(sequence, tutti__job_flags(state), next)))
			return state;
	}
}

bool tutti__job_claim(struct tutti__job *job, uint32_t sequence, uint32_t index)
{
	for (;;) {
		uint64_t state = load_acquire(&job->state);
		if (tutti__job_sequence(state) != sequence || tutti__job_status(state) != TUTTI__JOB_PENDING)
			return false;
		uint32_t flags = tutti__job_flags(state) | index << 8;
		if (cas_u64(&job->state, state, tutti__job_state(sequence, flags, TUTTI__JOB_RUNNING)))
			return true;
	}
}

/* COMMIT: the outcome and "done" in one store; release: makes the outcome visible. 0: it is condemned. */
static uint64_t commit(struct tutti__job *job)
{
	for (;;) {
		uint64_t state = load_relaxed(&job->state); /* relaxed: only flags can change, and the CAS looks again */
		if (unlikely(state & TUTTI__JOB_CONDEMNED))
			return 0;
		/* Who settles the caller's death is to know that it was the worker that had to free it. */
		bool by_worker = tutti__job_status(state) == TUTTI__JOB_RUNNING && !TUTTI__BUG(48);
		uint32_t kept = by_worker ? (uint32_t)state & (TUTTI__JOB_DETACHED | TUTTI__JOB_RUNNER) : 0;
		if (cas_u64(&job->state, state, tutti__job_state(tutti__job_sequence(state), kept, TUTTI__JOB_DONE)))
			return state;
	}
}

bool tutti__job_finish(tutti_arena *arena, struct tutti__pool *pool, struct tutti__job *job)
{
	uint64_t old = commit(job);
	if (unlikely(old == 0))
		return false;
	fence_after_rmw();
	if (tutti__job_flags(old) & TUTTI__JOB_WAITERS)
		tutti__os.futex_wake(tutti__job_futex(job), INT_MAX);
	if (tutti__job_flags(old) & TUTTI__JOB_DETACHED)
		tutti__job_free(arena, tutti__offset(arena, job));
	tutti__wait_stamp(&pool->done);
	if (unlikely(load_relaxed(&pool->done.word) & 1))
		tutti__wake_all(&pool->done);
	return true;
}

void tutti__job_set_failure(tutti_arena *arena, struct tutti__job *job, tutti_err err, int32_t code, const char *text)
{
	tutti_view part = {text, strlen(text) + 1};
	struct tutti__lading lading = {.parts = &part, .count = 1, .encoding = TUTTI_RAW};
	tutti__cargo_drop(arena, &job->result);
	job->err = (uint32_t)err;
	job->code = code;
	if (tutti__cargo_load(arena, &job->result, &lading) == TUTTI_OK)
		return;
	part.size = TUTTI__CARGO_INLINE; /* no memory for all of it: its beginning */
	tutti__cargo_load(arena, &job->result, &lading);
	job->result.bytes[TUTTI__CARGO_INLINE - 1] = 0;
}

void tutti__job_read(tutti_arena *arena, uint64_t offset, tutti_result *result)
{
	struct tutti__job *job = tutti__job_at(arena, offset);
	uint32_t id = tutti__enter(arena);
	/* As one that is being freed: the pool's end leaves it alone, and a recovery gives what hangs on it to us. */
	if (id)
		tutti__block_set_owner(arena, offset, id);
	tutti_view view = tutti__cargo_view(arena, &job->result);
	bool is_text = job->err && job->result.encoding == TUTTI_RAW;
	*result = (tutti_result){.err = (tutti_err)job->err,
	                         .code = job->code,
	                         .text = is_text ? view.data : "",
	                         .view = is_text ? (tutti_view){"", 0} : view,
	                         .encoding = job->result.encoding,
	                         .index = job->index,
	                         .runs = job->runs,
	                         .pid = job->pid,
	                         .arena = arena,
	                         .task = offset};
}

void tutti_result_take(tutti_result *result, tutti_message *message)
{
	*message = (tutti_message){0};
	if (result->task == 0 || tutti__enter(result->arena) == 0)
		return;
	tutti__cargo_take(result->arena, &tutti__job_at(result->arena, result->task)->result, message);
	result->view = message->view;
}

void tutti_result_release(tutti_result *result)
{
	if (result->task && tutti__enter(result->arena))
		tutti__job_free(result->arena, result->task);
	*result = (tutti_result){.text = ""};
}

bool tutti__job_is_done(void *context)
{
	struct tutti__job *job = context;
	return tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_DONE;
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)clean;
	struct tutti__job *job = tutti__job_at(arena, offset);
	if (owner == dead) { /* being made or freed: the sweep takes it, and what hangs on it */
		tutti__cargo_abandon(arena, &job->input, dead);
		tutti__cargo_abandon(arena, &job->result, dead);
		return;
	}
	if (load_relaxed(&job->worker) == dead && tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_RUNNING)
		tutti__cargo_abandon(arena, &job->result, dead);
	/* A parcel of the dead: its worker took the input away, or its owner was hanging the text of a failure to it. */
	tutti__cargo_forget_taken(arena, &job->input, dead);
	tutti__cargo_forget_taken(arena, &job->result, dead);
}

const struct tutti__kind tutti__job_kind = {.name = "task", .is_object = false, .recover = recover};
