/* SPDX-License-Identifier: MIT */
/*
 * Recovery of a dead member. Run by whoever notices first; exactly once in effect.
 *
 * Order (each phase idempotent; the recoverer may be killed anywhere, its successor
 * begins anew):
 *  1. claim the slot: slot.recoverer = own id, by CAS from 0 or from a dead recoverer;
 *  2. the heap, if the dead held its latch;
 *  3. every object: repair what its latches guarded, finish or undo what was half
 *     done, clear holder words; blocks that fall to nobody are given to the dead id;
 *     then the blocks of the other kinds (jobs, parcels), which hang on objects
 *     (and the stations at which it polled are free again);
 *  4. sweep: every owner word with the dead id becomes 0; its spans become anybody's;
 *  5. slot: next generation, FREE: one store, after which the id names nobody.
 *
 * No latch may be held by the caller. Phases 3 to 5 need none: they touch only words
 * that name the dead member, by CAS.
 */
#ifndef TUTTI_ARENA_RECOVER_H
#define TUTTI_ARENA_RECOVER_H

#include "arena/context.h"

/*
 * Recovers member `id`, which is dead (or leaves: then it is the caller itself). `clean`: it
 * had announced its exit. True if it is gone now; false if another member is at it.
 */
bool tutti__recover(tutti_arena *arena, uint32_t id, bool clean);

/* Step 1 alone, and its end: true if nobody else recovers or replaces this member now. */
bool tutti__recover_claim(tutti_arena *arena, uint32_t id);
void tutti__recover_unclaim(tutti_arena *arena, uint32_t id);

/* Visits all blocks in use: kind, owner word and offset of each. */
void tutti__blocks_visit(tutti_arena *arena,
                         void (*visit)(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset,
                                       uint32_t owner, void *context),
                         void *context);

#endif
