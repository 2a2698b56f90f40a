/* SPDX-License-Identifier: MIT */
/*
 * A latch guards a structure of the arena for a few dozen instructions.
 *
 * Rules that make it recoverable:
 * - A latch is a leaf: while holding one, nothing is allocated, no other latch is
 *   taken, nothing waits, no foreign code runs. So a dead member held at most one per
 *   thread, and who recovers it never waits for a second one.
 * - The word is the holder's id. Who finds a dead holder's id recovers that member: the
 *   recovery walks all objects, and each repairs what its own latches guarded, then
 *   releases them. Nobody repairs on acquiring.
 * - What is half done lies in the object, beside the latch that guards it.
 */
#ifndef TUTTI_ARENA_LATCH_H
#define TUTTI_ARENA_LATCH_H

#include "arena/context.h"

/* The latch that this thread is taking or holds: tells a signal handler's attempt from another thread's. */
extern _Thread_local struct tutti__latch *tutti__held_latch;

tutti_err tutti__latch_acquire_slow(tutti_arena *arena, struct tutti__latch *latch, uint32_t id, int64_t deadline);
void tutti__latch_wake(struct tutti__latch *latch);

/* Takes the latch for member `id` if it is free. */
static inline bool tutti__latch_try(struct tutti__latch *latch, uint32_t id)
{
	struct tutti__latch *held = tutti__held_latch;
	tutti__held_latch = latch; /* before the CAS, so that a handler in between sees it */
	atomic_signal_fence(memory_order_seq_cst);
	/* Acquire: pairs with the release in tutti__latch_release; makes the guarded structure visible. */
	if (likely(cas_u32(&latch->word, 0, id)))
		return true;
	tutti__held_latch = held;
	return false;
}

/*
 * The same, waiting for it. `deadline` is absolute; a living holder is given a
 * short grace beyond it. TUTTI_EBUSY: a living, but stopped member holds it.
 * TUTTI_EDEADLK: this thread holds it already (a signal handler).
 */
static inline tutti_err tutti__latch_acquire(tutti_arena *arena, struct tutti__latch *latch, uint32_t id,
                                             int64_t deadline)
{
	return likely(tutti__latch_try(latch, id)) ? TUTTI_OK : tutti__latch_acquire_slow(arena, latch, id, deadline);
}

static inline void tutti__latch_release(struct tutti__latch *latch)
{
	/* Also a full barrier: what was published before is visible before the caller looks for sleepers. */
	uint32_t word = exchange_acq_rel(&latch->word, 0);
	tutti__held_latch = NULL;
	fence_after_rmw();
	if (unlikely(word & TUTTI__WAITERS))
		tutti__latch_wake(latch);
}

/* For a recovery: releases a latch that `dead` held. Its structure must be repaired by now. */
void tutti__latch_release_dead(struct tutti__latch *latch, uint32_t dead);

/* True if `id` holds the latch. */
static inline bool tutti__latch_is_held_by(struct tutti__latch *latch, uint32_t id)
{
	return (load_acquire(&latch->word) & TUTTI__ID_MASK) == id;
}

#endif
