/* SPDX-License-Identifier: MIT */
/* The table of task functions, and one run of one of them. */
#ifndef TUTTI_PROCESS_TASK_H
#define TUTTI_PROCESS_TASK_H

#include <tutti/task.h>

#include "arena/context.h"

enum { TUTTI__TASK_INLINE = 64 }; /* results up to this size need no block */

struct tutti_task {
	tutti_arena *arena;
	tutti_view input;
	unsigned attempt;
	tutti_err err;
	int32_t code; /* of tutti_task_fail */
	uint64_t size; /* of the result, or of the error text with its final zero */
	uint64_t block; /* holds the result if it is larger than `small`; this member's own */
	uint64_t capacity; /* of the block */
	unsigned char small[TUTTI__TASK_INLINE];
};

/* NULL if this program has no such task. */
const tutti_task_entry *tutti__task_find(const char *name);
const tutti_task_entry *tutti__task_find_hash(uint64_t hash);
/* FNV-1a, 64 bits: what a name is between members. Source: Fowler, Noll, Vo. */
uint64_t tutti__task_hash(const char *name);
tutti_err tutti__fail_no_task(const char *name);

/* Calls the function; whatever it returns, `task` is consistent afterwards. */
void tutti__task_run(tutti_task *task, const tutti_task_entry *entry);

/* The result's bytes. */
const void *tutti__task_result(const tutti_task *task);

/* Frees the result. */
void tutti__task_reset(tutti_task *task);

#endif
