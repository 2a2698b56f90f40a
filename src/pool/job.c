/* SPDX-License-Identifier: MIT */
/* One task on its way through a pool. What its bytes mean, and what a death leaves: layout.h. */
#include <limits.h>
#include <string.h>

#include "pool/job.h"

/* Hands a block of the caller's to the job: field first, so that a recovery of either finds it. */
static void give_block(tutti_arena *arena, atomic_u64 *field, uint64_t block)
{
	store_release(field, block);
	tutti__block_set_owner(arena, block, TUTTI__SHARED);
}

/* Takes one back and frees it. A death in between leaves it with the dead id, for the sweep. */
static void free_block(tutti_arena *arena, atomic_u64 *field)
{
	uint64_t block = load_relaxed(field);
	if (block == 0)
		return;
	tutti__block_set_owner(arena, block, load_relaxed(&arena->local->id));
	store_release(field, 0);
	tutti__block_free(arena, block);
}

tutti_err tutti__job_create(tutti_arena *arena, uint64_t pool, uint64_t task, tutti_view input, uint64_t index,
                            uint64_t *offset)
{
	uint64_t block = 0;
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_TASK, sizeof(struct tutti__job), INT64_MAX, offset);
	if (err)
		return err;
	struct tutti__job *job = tutti__job_at(arena, *offset);
	if (input.size > TUTTI__JOB_INLINE) {
		err = tutti__block_alloc(arena, TUTTI__KIND_RAW, input.size, INT64_MAX, &block);
		if (err) {
			tutti__block_free(arena, *offset);
			return err;
		}
	}
	if (input.size)
		memcpy(block ? tutti__at(arena, block) : job->input, input.data, input.size);
	job->pool = pool;
	job->task = task;
	job->index = index;
	job->input_size = input.size;
	job->result_size = 0;
	store_relaxed(&job->worker, 0);
	job->pid = 0;
	job->runs = 0;
	job->err = TUTTI_OK;
	job->code = 0;
	if (block)
		give_block(arena, &job->input_block, block);
	uint32_t sequence = tutti__job_sequence(load_relaxed(&job->state)) + 1;
	store_release(&job->state, tutti__job_state(sequence, 0, TUTTI__JOB_PENDING));
	tutti__block_set_owner(arena, *offset, TUTTI__SHARED);
	return TUTTI_OK;
}

void tutti__job_free(tutti_arena *arena, uint64_t offset)
{
	struct tutti__job *job = tutti__job_at(arena, offset);
	tutti__block_set_owner(arena, offset, load_relaxed(&arena->local->id));
	free_block(arena, &job->input_block);
	free_block(arena, &job->result_block);
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

void tutti__job_finish(tutti_arena *arena, struct tutti__pool *pool, struct tutti__job *job)
{
	uint32_t sequence = tutti__job_sequence(load_relaxed(&job->state));
	/* COMMIT: the outcome and "done" in one store; release: makes the outcome visible. */
	uint64_t old = exchange_acq_rel(&job->state, tutti__job_state(sequence, 0, TUTTI__JOB_DONE));
	fence_after_rmw();
	if (tutti__job_flags(old) & TUTTI__JOB_WAITERS)
		tutti__os.futex_wake(tutti__job_futex(job), INT_MAX);
	if (tutti__job_flags(old) & TUTTI__JOB_DETACHED)
		tutti__job_free(arena, tutti__offset(arena, job));
	tutti__wait_stamp(&pool->done);
	if (unlikely(load_relaxed(&pool->done.word) & 1))
		tutti__wake_all(&pool->done);
}

void tutti__job_give_result(tutti_arena *arena, struct tutti__job *job, uint64_t block, uint64_t size)
{
	job->result_size = size;
	give_block(arena, &job->result_block, block);
}

void tutti__job_set_failure(tutti_arena *arena, struct tutti__job *job, tutti_err err, int32_t code, const char *text)
{
	uint64_t block, size = strlen(text) + 1;
	free_block(arena, &job->result_block);
	job->err = (uint32_t)err;
	job->code = code;
	if (size > TUTTI__JOB_INLINE && tutti__block_alloc(arena, TUTTI__KIND_RAW, size, INT64_MAX, &block) == TUTTI_OK) {
		memcpy(tutti__at(arena, block), text, size);
		tutti__job_give_result(arena, job, block, size);
		return;
	}
	job->result_size = size < TUTTI__JOB_INLINE ? size : TUTTI__JOB_INLINE;
	memcpy(job->result, text, job->result_size);
	job->result[job->result_size - 1] = 0;
}

void tutti__job_read(tutti_arena *arena, uint64_t offset, tutti_result *result)
{
	struct tutti__job *job = tutti__job_at(arena, offset);
	uint64_t block = load_relaxed(&job->result_block);
	const void *data = block ? tutti__at(arena, block) : job->result;
	*result = (tutti_result){.err = (tutti_err)job->err,
	                         .code = job->code,
	                         .text = job->err ? data : "",
	                         .index = job->index,
	                         .runs = job->runs,
	                         .pid = job->pid,
	                         .arena = arena,
	                         .task = offset};
	result->view = job->err ? (tutti_view){"", 0} : (tutti_view){data, job->result_size};
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

static void give_to_dead(tutti_arena *arena, atomic_u64 *field, uint32_t dead)
{
	uint64_t block = load_relaxed(field);
	if (block == 0)
		return;
	cas_u32(tutti__block_owner(arena, block), TUTTI__SHARED, dead);
	store_release(field, 0);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)clean;
	struct tutti__job *job = tutti__job_at(arena, offset);
	if (owner == dead) { /* being made or freed: the sweep takes it, and what hangs on it */
		give_to_dead(arena, &job->input_block, dead);
		give_to_dead(arena, &job->result_block, dead);
	} else if (load_relaxed(&job->worker) == dead &&
	           tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_RUNNING) {
		give_to_dead(arena, &job->result_block, dead);
	}
}

const struct tutti__kind tutti__job_kind = {.name = "task", .is_object = false, .recover = recover};
