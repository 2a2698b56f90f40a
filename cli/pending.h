/* SPDX-License-Identifier: MIT */
/* The jobs that were handed out and not yet printed, found by their place in the order. */
#ifndef CLI_PENDING_H
#define CLI_PENDING_H

#include "job.h"

struct pending_job {
	struct pending_job *next;
	uint64_t place; /* counted from 0, without gaps */
	uint64_t number; /* as {#}: counts jobs that --resume skipped, too */
	char *command, *tag; /* `tag` may be NULL */
	bool ended; /* `result` and `outcome` are there */
	tutti_result result;
	struct outcome outcome;
};

enum { PENDING_BUCKETS = 4096 };

struct pending {
	struct pending_job *buckets[PENDING_BUCKETS];
	uint64_t count;
};

/* `command` and `tag` are copied. */
void pending_add(struct pending *pending, uint64_t place, uint64_t number, const char *command, const char *tag);
struct pending_job *pending_find(struct pending *pending, uint64_t place);

/* Gives the job and its result back. */
void pending_remove(struct pending *pending, struct pending_job *job);

#endif
