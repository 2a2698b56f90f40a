/* SPDX-License-Identifier: MIT */
/*
 * Blocks: the memory of everything shared. 64-byte aligned.
 *
 * Small blocks (up to 32 KiB) come from spans of one size class and one kind, large
 * ones are runs of units. A block's whole state is its owner word:
 *
 *     0              free
 *     a member's id  that member's alone (being built, or received); swept when it dies
 *     SHARED         belongs to an object, which must be able to reach it
 *
 * Allocating and freeing are one store each to that word. The lists of free blocks are
 * private: a dead member's caches need no recovery.
 *
 * Handing a block to an object is a protocol of that object: it notes the block beside
 * its latch, sets SHARED, links it by one store, and clears the note. A recovery that
 * finds the note and no link gives the block to the dead member's id, and the sweep
 * that follows frees it: nothing is freed twice, however often a recovery begins anew.
 */
#ifndef TUTTI_ARENA_BLOCK_H
#define TUTTI_ARENA_BLOCK_H

#include "arena/heap.h"

enum { TUTTI__SMALL_MAX = 32768 };

/*
 * Allocates a block of the calling member. TUTTI_ENOMEM when the limit is reached, after dead members were recovered and kept pages returned. Never call it with a latch held.
 * Blocks of a kind other than RAW hold zeros, or what their kind left in them.
 */
tutti_err tutti__block_alloc(tutti_arena *arena, enum tutti__kind_number kind, uint64_t size, int64_t deadline,
                             uint64_t *offset);

/* Frees a block that is the caller's. Never call it with a latch held. */
void tutti__block_free(tutti_arena *arena, uint64_t offset);

/* Where the block that contains `offset` begins. For large blocks `offset` must lie in their first unit. */
uint64_t tutti__block_start(const tutti_arena *arena, uint64_t offset);
uint64_t tutti__block_size(const tutti_arena *arena, uint64_t offset);

/* The owner word of the block that begins at (or, if small, contains) `offset`. */
atomic_u32 *tutti__block_owner(const tutti_arena *arena, uint64_t offset);

/* Sets the owner; release, so that who sees it sees the block's bytes. */
static inline void tutti__block_set_owner(const tutti_arena *arena, uint64_t offset, uint32_t owner)
{
	store_release(tutti__block_owner(arena, offset), owner);
}

/* True if a live block of this kind begins at `offset`; safe for any number. */
bool tutti__block_is(const tutti_arena *arena, uint64_t offset, enum tutti__kind_number kind);

/* The number of blocks in a unit, if it is a span, and their size. */
uint32_t tutti__span_blocks(const struct tutti__unit *unit, uint32_t *block_size);

#endif
