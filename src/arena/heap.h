/* SPDX-License-Identifier: MIT */
/*
 * The heap hands out runs of units (64 KiB each).
 *
 * Guarded by heap.latch. Each step is one store, so that a death at any instruction
 * leaves a heap that is valid as it stands:
 * - the runs follow each other without gap; to split one, the rest's record is written
 *   first, then the head is shortened; to merge two, the head is lengthened;
 * - a LARGE run whose owner word is 0 is free: that is how a sweep frees it;
 * - hints and counts are derived: the recovery of a dead holder makes them anew.
 *
 * Fresh pages cost nine times a touched copy, so freed runs stay touched for reuse, up
 * to header.keep_units; beyond it their pages go back to the kernel.
 *
 * The limit (header.max_units) is counted in units here, because the kernel answers an
 * excess with SIGKILL, never with an error.
 */
#ifndef TUTTI_ARENA_HEAP_H
#define TUTTI_ARENA_HEAP_H

#include "arena/context.h"

void tutti__heap_init(tutti_arena *arena, uint64_t max_units);

/* What a run is taken for: a LARGE block, or (one unit) a span of blocks of a class and kind. */
struct tutti__run_use {
	bool large;
	uint8_t size_class;
	uint8_t kind;
};

/*
 * Takes a run of `count` units for member `id`. TUTTI_ENOMEM: no room is left within the
 * limit (without a text). TUTTI_EBUSY: a stopped member holds the heap beyond `deadline`.
 */
tutti_err tutti__heap_take(tutti_arena *arena, uint32_t id, uint32_t count, struct tutti__run_use use, int64_t deadline,
                           uint64_t *unit);

/* Gives back a LARGE run of member `id`. Never waits long: if the heap is held up, the next taker settles it. */
void tutti__heap_give(tutti_arena *arena, uint32_t id, uint64_t unit);

/* Gives back a span in which all owner words are 0 and whose cache is the caller's. */
void tutti__heap_give_span(tutti_arena *arena, uint32_t id, uint64_t unit);

/* Gives kept pages back to the kernel. True if there were any. */
bool tutti__heap_trim(tutti_arena *arena, uint32_t id);

/* For a recovery: repairs and releases the heap if `dead` held its latch. */
void tutti__heap_recover(tutti_arena *arena, uint32_t dead);

/* Walks the runs: false if they have a gap or the touched units do not add up (nobody may hold the latch). */
bool tutti__heap_is_valid(const tutti_arena *arena);

/* The owner word of a block. */
static inline atomic_u32 *tutti__owner_at(const tutti_arena *arena, uint64_t unit, uint32_t index)
{
	return &arena->owners[unit * TUTTI__BLOCKS_PER_UNIT + index];
}

#endif
