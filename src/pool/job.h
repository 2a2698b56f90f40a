/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_POOL_JOB_H
#define TUTTI_POOL_JOB_H

#include <tutti/pool.h>

#include "pool/layout.h"

/* What a job is made of. */
struct tutti__order {
	uint64_t pool; /* offset of its object */
	uint64_t task; /* hash of the name; 0: the input says it, to a worker that the caller started */
	uint64_t index;
	struct tutti__lading input;
	unsigned retries;
	int priority;
	tutti_time timeout;
};

/* Makes a pending job; not yet in its pool's queue. */
tutti_err tutti__job_create(tutti_arena *arena, const struct tutti__order *order, uint64_t *offset);

/* Frees a job that is done, or that no worker can have, and its blocks. */
void tutti__job_free(tutti_arena *arena, uint64_t offset);

/* Moves `status` to `next` if the sequence fits; keeps the flags. Returns the old state, or 0 if it was not so. */
uint64_t tutti__job_move(struct tutti__job *job, uint32_t sequence, unsigned status, unsigned next);

/* PENDING to RUNNING by worker number `index`; false if it is somebody else's, cancelled, or gone. */
bool tutti__job_claim(struct tutti__job *job, uint32_t sequence, uint32_t index);

/*
 * Ends the job, whose status is the caller's to change (RUNNING as its worker, or SETTLING): wakes, frees if detached.
 * False, to a worker: it was condemned; nothing is changed.
 */
bool tutti__job_finish(tutti_arena *arena, struct tutti__pool *pool, struct tutti__job *job);

/* Sets an outcome without a result, with a text. The status is the caller's to change. */
void tutti__job_set_failure(tutti_arena *arena, struct tutti__job *job, tutti_err err, int32_t code, const char *text);

/* Fills a result from a job that is done. The job belongs to the result, and to this member alone, from then on. */
void tutti__job_read(tutti_arena *arena, uint64_t offset, tutti_result *result);

/* True if the job is done; for waits. `context` is a struct tutti__job. */
bool tutti__job_is_done(void *context);

static inline struct tutti__job *tutti__job_at(tutti_arena *arena, uint64_t offset) { return tutti__at(arena, offset); }

extern const struct tutti__kind tutti__job_kind;

#endif
