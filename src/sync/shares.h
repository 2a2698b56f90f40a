/* SPDX-License-Identifier: MIT */
/*
 * Shares: what each member has of an object, one word for each.
 *
 *     share = member's id << 32 | count; 0: nobody's
 *
 * The first few words lie in the object, more in blocks of 4 KiB chained to it. Their
 * numbers (1, 2, ...) never change, and blocks stay until the object is destroyed, so a
 * share's address may be kept. A member has one share in an object, which all its threads
 * and handles use: it is looked for and given under the latch.
 *
 * What a death leaves: shares with the dead id, whose meaning is the kind's; a block that
 * was allocated and not linked is the dead's, and swept; one that was linked and not yet
 * SHARED is made so by the recovery.
 */
#ifndef TUTTI_SYNC_SHARES_H
#define TUTTI_SYNC_SHARES_H

#include "arena/latch.h"
#include "arena/object.h"

enum { TUTTI__FIRST_SHARES = 6, TUTTI__MORE_SHARES = 511, TUTTI__MAX_SHARES = 4095 };

struct tutti__shares {
	struct tutti__latch latch;
	atomic_u32 used; /* no share with a higher number was ever given */
	atomic_u64 more; /* the first block of further ones, 0: none */
	atomic_u64 first[TUTTI__FIRST_SHARES];
};

struct tutti__more_shares {
	atomic_u64 next;
	atomic_u64 shares[TUTTI__MORE_SHARES];
};

static inline uint64_t tutti__share(uint32_t id, int64_t count) { return (uint64_t)id << 32 | (uint32_t)count; }
static inline uint32_t tutti__share_id(uint64_t share) { return (uint32_t)(share >> 32); }
static inline int32_t tutti__share_count(uint64_t share) { return (int32_t)(uint32_t)share; }

/* The share with this number, NULL: there is none. */
atomic_u64 *tutti__share_at(const tutti_arena *arena, const struct tutti__shares *shares, uint32_t number);

/* Under the latch: the number of the member's share, which is made if need be; 0: there is no room. */
uint32_t tutti__share_claim(const tutti_arena *arena, struct tutti__shares *shares, uint32_t id);

/* Makes room. Never with the latch held. TUTTI_ENOMEM, TUTTI_EMEMBERS. */
tutti_err tutti__share_make_room(tutti_arena *arena, struct tutti__shares *shares);

/* The same from outside, making room if there is none. TUTTI_ENOMEM, TUTTI_EMEMBERS; TUTTI_EBUSY as of a latch. */
tutti_err tutti__share_open(tutti_arena *arena, struct tutti__shares *shares, uint32_t id, int64_t deadline,
                            uint32_t *number);

/* For the kind's recover and destroy. */
void tutti__shares_recover(tutti_arena *arena, struct tutti__shares *shares, uint32_t dead);
void tutti__shares_destroy(tutti_arena *arena, struct tutti__shares *shares);

/*
 * Validity, while nobody is inside: the latch is free; every share is that of a member that is in (one each),
 * ABANDONED or KEPT; none lies beyond `used`. Calls `reach` for all blocks that it reaches.
 */
bool tutti__shares_are_valid(tutti_arena *arena, const struct tutti__shares *shares,
                             void (*reach)(void *context, uint64_t offset), void *context);

#endif
