/* SPDX-License-Identifier: MIT */
/*
 * The pool's bytes.
 *
 * A submitted task is a job: a block of 256 bytes that belongs to the pool (owner word
 * SHARED, job.pool). Its state is one 64-bit word: sequence << 32 | worker's index << 8 |
 * flags | status.
 *
 *   PENDING -> RUNNING  by a worker, CAS: of two that hold the same message one wins, and its
 *                       index stands in the same word: after a death there is no doubt
 *   RUNNING -> DONE     by the worker, one store: result and "done" at once
 *   RUNNING -> RUNNING, CONDEMNED  by the owner: it is to be killed for this job, which it does not finish any more;
 *                       CANCELLED as well: then that is the job's end, whatever further runs it has
 *   PENDING -> DONE     by who cancels (err = ECANCELLED), through SETTLING
 *   RUNNING -> PENDING | DONE  by the owner after the worker's death, through SETTLING
 *
 * The job queue carries (offset, sequence). Before a worker's get commits, both are noted
 * in its entry (`claim`), so after its death the owner knows which job it had taken or
 * was about to take. The owner puts that job into the queue again if it is PENDING; if
 * it was still there, the queue holds it twice, and the sequence and the CAS see to it
 * that it runs once. Jobs with a priority have queues of their own: backlog.h.
 *
 * Death of a worker: job RUNNING: what it had already hung to the job (result), or was taking
 *   away from it (input), goes with the dead; the owner then runs it again or fails it. The
 *   input is taken away by a last run only (runs > retries): no further one misses it.
 * Death of the owner: its workers end; the last of them that is recovered leaves the pool
 *   without holders, which destroys it and its jobs.
 *
 * Input and result: cargo.h. A recovery of a job whose own owner word is the dead's gives both
 * to the dead id.
 *
 * What all workers read (functions of a language, once instead of with each job) lies in the
 * pool's catalogue: parcels, each named by its place. Only the owner's process adds to it. Death
 * of the owner in between: the parcel is its own yet, and swept, so the recovery clears the place
 * (the pool may live on with its workers, and the parcel's place become another's); who destroys
 * the pool frees those only that are SHARED.
 *
 * Only the owner's process frees jobs, except a worker that completes a job whose future was
 * closed (DETACHED). Killed before it has freed it, it leaves that word in the state of the job, with its own index:
 * the owner frees the job when it settles the death. A result is its reader's alone, and not the pool's any more.
 *
 * The claim of a dead worker is cleared when its job is settled, and not before: until then it is what a drain sees.
 */
#ifndef TUTTI_POOL_LAYOUT_H
#define TUTTI_POOL_LAYOUT_H

#include "arena/object.h"
#include "arena/wait.h"
#include "pool/backlog.h"
#include "pool/cargo.h"

enum { TUTTI__WORKERS_MAX = 256, TUTTI__RETRY_CODES = 8, TUTTI__CATALOGUE_MAX = 256 };

enum tutti__job_status {
	TUTTI__JOB_FREE,
	TUTTI__JOB_PENDING,
	TUTTI__JOB_RUNNING,
	TUTTI__JOB_SETTLING, /* the owner writes the outcome */
	TUTTI__JOB_DONE,
	TUTTI__JOB_STATUS_MASK = 15,
	TUTTI__JOB_WAITERS = 16, /* somebody may sleep on the state's low half */
	TUTTI__JOB_DETACHED = 32, /* nobody wants the result */
	TUTTI__JOB_CONDEMNED = 64, /* RUNNING, and to be ended by the kill of its worker */
	TUTTI__JOB_CANCELLED = 128, /* CONDEMNED, for that */
	TUTTI__JOB_RUNNER = 0xff00
};

struct tutti__job {
	atomic_u64 state;
	atomic_u64 pool; /* offset of the pool's object */
	uint64_t task; /* hash of the task's name */
	uint64_t index; /* place in a map's inputs */
	atomic_u32 worker; /* id of the member that runs or ran it */
	int32_t pid; /* of that member */
	uint32_t runs;
	uint32_t err; /* tutti_err */
	int32_t code;
	uint32_t retries; /* further runs after a death */
	atomic_u64 timeout; /* ns that a run may take; 0: any */
	struct tutti__cargo input, result;
	int32_t priority;
	uint32_t reserved[3];
};
_Static_assert(sizeof(struct tutti__job) == 256, "a job is one block of 256 bytes");

struct tutti__worker_entry {
	alignas(64) atomic_u64 claim[2]; /* the job that it has taken, or is about to take; [0] == 0: none */
	atomic_u32 member; /* 0 until it has joined */
	atomic_u32 ready; /* its initializer has run */
	atomic_u32 pid;
};

struct tutti__pool {
	struct tutti__object object;
	struct tutti__shared_backlog backlog;
	uint32_t worker_count;
	uint32_t tasks_per_worker;
	uint32_t retries;
	uint32_t retry_code_count;
	int32_t retry_codes[TUTTI__RETRY_CODES];
	uint64_t initializer; /* hash of its name, 0: none */
	uint64_t initializer_block, initializer_size; /* its input; a block of the owner's member */
	atomic_u64 catalogue[TUTTI__CATALOGUE_MAX]; /* parcels */
	atomic_u32 catalogue_count;
	atomic_u32 broken; /* 0, 1 while text is written, 2; 3: who wrote it was killed */
	atomic_u32 ready_count; /* workers that have become ready so far; a death may count one that did not */
	char broken_text[256];
	alignas(64) struct tutti__wait_point done; /* the owner waits here for any job */
	alignas(64) struct tutti__wait_hints done_hints;
	struct tutti__worker_entry workers[];
};

/* Before a worker is started: its place names none. */
static inline void tutti__worker_entry_clear(struct tutti__worker_entry *entry)
{
	store_relaxed(&entry->member, 0);
	store_relaxed(&entry->ready, 0);
}

static inline unsigned tutti__job_status(uint64_t state) { return (unsigned)(state & TUTTI__JOB_STATUS_MASK); }
static inline uint32_t tutti__job_sequence(uint64_t state) { return (uint32_t)(state >> 32); }
static inline uint64_t tutti__job_state(uint32_t sequence, uint32_t flags, unsigned status)
{
	return (uint64_t)sequence << 32 | flags | status;
}
static inline uint32_t tutti__job_runner(uint64_t state) { return (uint32_t)(state & TUTTI__JOB_RUNNER) >> 8; }
static inline bool tutti__job_is_run_by(uint64_t state, uint32_t sequence, uint32_t index)
{
	return tutti__job_sequence(state) == sequence && tutti__job_status(state) == TUTTI__JOB_RUNNING &&
	       tutti__job_runner(state) == index;
}
static inline uint32_t tutti__job_flags(uint64_t state)
{
	return (uint32_t)state & (TUTTI__JOB_WAITERS | TUTTI__JOB_DETACHED);
}
/* The half of the state on which a futex can sleep. */
static inline atomic_u32 *tutti__job_futex(struct tutti__job *job)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (atomic_u32 *)(void *)&job->state;
#else
	return (atomic_u32 *)(void *)&job->state + 1;
#endif
}

#endif
