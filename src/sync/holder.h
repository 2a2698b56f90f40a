/* SPDX-License-Identifier: MIT */
/*
 * A word that knows its holder: the heart of lock, recursive lock and once.
 *
 * It is 0, the holder's id, ABANDONED or KEPT, each with TUTTI__WAITERS if somebody may
 * sleep on it.
 *
 * What a death leaves: the word with the dead id. The recovery makes it ABANDONED (the
 * holder was killed: the next who asks gets it and is told) or KEPT (it had exited
 * cleanly: it stays held, and anybody may release it). Both are one CAS; nothing else
 * needs repair. A waker killed between the releasing store and the wake or the ring
 * costs the sleepers, and those who poll, one tick.
 */
#ifndef TUTTI_SYNC_HOLDER_H
#define TUTTI_SYNC_HOLDER_H

#include "arena/poller.h"
#include "arena/wait.h"

struct tutti__holder {
	atomic_u32 word;
	atomic_u32 partner; /* stamp of the last holder */
	struct tutti__wait_hints hints;
	int32_t gone_pid; /* of the last holder that ended with it; written before the word becomes ABANDONED or KEPT */
	char gone_name[TUTTI__NAME_SIZE];
};

/* Who asks, and how. */
struct tutti__claim {
	struct tutti__reference *reference;
	struct tutti__holder *holder;
	struct tutti__patience *patience;
	bool heeds_signals; /* waiting ends with TUTTI_EINTR when a handler ran */
};

static inline void tutti__holder_stamp(struct tutti__holder *holder) { tutti__stamp_partner(&holder->partner); }

/* Takes a free one. Acquire: pairs with the release below; makes visible what the last holder wrote. */
static inline bool tutti__holder_take(struct tutti__holder *holder, uint32_t id)
{
	/* Looks first: a CAS that fails would take the line from the holder, who needs it to let go. */
	if (unlikely(load_relaxed(&holder->word) != 0 || !cas_u32(&holder->word, 0, id)))
		return false;
	tutti__holder_stamp(holder);
	return true;
}

/* Takes it, waiting. TUTTI_OK, TUTTI_EOWNERDEAD, TUTTI_EBUSY, TUTTI_ETIMEDOUT, TUTTI_EINTR, with a text. */
tutti_err tutti__holder_wait(const struct tutti__claim *claim, uint32_t id, tutti_time timeout);

/* True if the next who asks gets it. For waiting. */
bool tutti__holder_is_free(void *holder);

/* Rings those who wait for it in a wait set. After the read-modify-write that freed it. */
static inline void tutti__holder_ring(const struct tutti__reference *reference)
{
	fence_after_rmw();
	tutti__ring(reference->arena, &reference->object->pollable);
}

/* Frees it if the member `id` holds it and nobody sleeps on it. Release: pairs with the acquire in who takes it. */
static inline bool tutti__holder_let_go_quickly(const struct tutti__reference *reference, struct tutti__holder *holder,
                                                uint32_t id)
{
	if (unlikely(!cas_u32(&holder->word, id, 0)))
		return false;
	tutti__holder_ring(reference);
	return true;
}

/* Frees it and wakes one; returns who held it. */
uint32_t tutti__holder_let_go(const struct tutti__reference *reference, struct tutti__holder *holder);

/* As if the caller, which holds it, had been killed. */
void tutti__holder_abandon(const struct tutti__reference *reference, struct tutti__holder *holder);

static inline uint32_t tutti__holder_id(const struct tutti__holder *holder)
{
	return load_relaxed(&holder->word) & TUTTI__ID_MASK;
}

/* A pid, also of one that exited cleanly; 0 free; -1 killed. Recovers nothing. */
int tutti__holder_pid(tutti_arena *arena, const struct tutti__holder *holder);

/* The calling member does not hold it. */
tutti_err tutti__holder_refuse(const struct tutti__claim *claim);

/* For a kind's recover. */
void tutti__holder_recover(tutti_arena *arena, struct tutti__object *object, struct tutti__holder *holder,
                           uint32_t dead, bool clean);

#endif
