/* SPDX-License-Identifier: MIT */
/*
 * Permits: a count that can be taken from and given to by one atomic operation, and that
 * knows nevertheless, whoever dies and whenever, what each member has taken.
 *
 *     word = value (31 bits) | FROZEN | GIVING | number of a share (12) | pending (19, signed)
 *
 * Every take and give of the member whose share is named in the word changes value and
 * pending together: one CAS, from any of its threads, which is at once the deed and its
 * record. When another member wants to act, it settles first, under the latch of the
 * shares: the word is FROZEN, `pending` is added to the named share, and the word is
 * made to name nobody, then the new member. So as long as one member is the only one that
 * acts, as is the rule with little contention, nothing else is written.
 *
 * What member M has taken = count of its share + (pending, if the word names it).
 *
 * Under the latch:
 *   settle    base = count of the named share; FROZEN (from here on pending stands still);
 *             share = base + pending; word = value alone.
 *   give      a note of up to two shares and what they shall be; the word changes by one
 *             store, with GIVING: this commits; then the shares; then GIVING is taken away.
 *
 * Invariants, while nobody holds the latch:
 *  1. neither FROZEN nor GIVING is set;
 *  2. the share that the word names is somebody's: a member's, ABANDONED or KEPT;
 *  3. pending is 0 if the word names nobody, and value is at most max.
 *
 * What a death leaves:
 *   with the latch held   FROZEN: base is written, so share = base + pending is done again;
 *                         GIVING: the note is complete and is carried out again; else
 *                         nothing was begun. All are absolute values: doing them twice is
 *                         doing them once. Then the latch is let go.
 *   its share             the dead id becomes ABANDONED (killed) or KEPT (clean exit), by
 *                         one CAS. One that is worth nothing (KEPT, or ABANDONED without a
 *                         positive count) is dropped, unless the word names it: then by who
 *                         settles next; the few that slip through, when room is needed.
 *                         Value stays as it is: only who would
 *                         otherwise go without adopts an ABANDONED permit: from that share
 *                         to its own, by a note.
 *
 * Orders. The word's CAS releases what a giver wrote and acquires it for a taker. All else
 * is under the latch, or observed by a recovery after the death, which makes every store
 * of the dead visible.
 */
#ifndef TUTTI_SYNC_PERMITS_H
#define TUTTI_SYNC_PERMITS_H

#include "sync/shares.h"

/* Two shares and what they shall be; number 0: none. */
struct tutti__permit_note {
	atomic_u32 number[2];
	atomic_u64 share[2];
};

struct tutti__permits {
	atomic_u64 word;
	uint32_t max; /* of value; never changes */
	atomic_u32 has_abandoned; /* a hint that there is an ABANDONED share: set after one is made */
	atomic_u32 gone_pid; /* of the last member that was killed with a permit */
	atomic_u32 base; /* count of the named share before it was FROZEN */
	struct tutti__permit_note note;
	struct tutti__shares shares;
};

#define TUTTI__PERMIT_VALUE 0x7fffffffULL
#define TUTTI__PERMIT_FROZEN (1ULL << 31)
#define TUTTI__PERMIT_GIVING (1ULL << 32)
#define TUTTI__PERMIT_SHARE_SHIFT 33
#define TUTTI__PERMIT_SHARE (0xfffULL << TUTTI__PERMIT_SHARE_SHIFT)
#define TUTTI__PERMIT_PENDING_SHIFT 45
enum { TUTTI__PERMIT_PENDING_MAX = (1 << 18) - 1 };

static inline int64_t tutti__permits_pending(uint64_t word) { return (int64_t)word >> TUTTI__PERMIT_PENDING_SHIFT; }

static inline uint32_t tutti__permits_value(const struct tutti__permits *permits)
{
	return (uint32_t)(load_relaxed(&permits->word) & TUTTI__PERMIT_VALUE);
}

/* True if value can be changed so. */
static inline bool tutti__permits_fit(const struct tutti__permits *permits, uint64_t word, int64_t change)
{
	int64_t value = (int64_t)(word & TUTTI__PERMIT_VALUE) + change;
	return value >= 0 && value <= (int64_t)permits->max;
}

/*
 * Gives (change > 0) or takes (< 0), if the word names this share. False: it does not, or the value
 * does not fit, or pending is full.
 */
static inline bool tutti__permits_change(struct tutti__permits *permits, uint32_t number, int64_t change)
{
	const uint64_t mine = (uint64_t)number << TUTTI__PERMIT_SHARE_SHIFT;
	const uint64_t mask = TUTTI__PERMIT_SHARE | TUTTI__PERMIT_FROZEN | TUTTI__PERMIT_GIVING;
	uint64_t word = load_acquire(&permits->word);
	for (;;) {
		int64_t pending = tutti__permits_pending(word) - change;
		if ((word & mask) != mine || !tutti__permits_fit(permits, word, change) ||
		    pending > TUTTI__PERMIT_PENDING_MAX || pending < -TUTTI__PERMIT_PENDING_MAX)
			return false;
		uint64_t next = word + (uint64_t)change - ((uint64_t)change << TUTTI__PERMIT_PENDING_SHIFT);
		/* Acquire and release: a taker sees what the giver of its permit wrote before. */
		if (likely(atomic_compare_exchange_weak_explicit(&permits->word, &word, next, memory_order_acq_rel,
		                                                 memory_order_acquire)))
			return true;
	}
}

/* The calling member's share. Errors as of a latch, TUTTI_ENOMEM, TUTTI_EMEMBERS. */
tutti_err tutti__permits_join(tutti_arena *arena, struct tutti__permits *permits, uint32_t id, int64_t deadline,
                              uint32_t *number);

/*
 * As tutti__permits_change, whomever the word names. *done false: the value does not fit. The error is a latch's:
 * TUTTI_EBUSY.
 */
tutti_err tutti__permits_change_slow(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                                     int64_t change, int64_t deadline, bool *done);

/* Takes an ABANDONED permit over; *done false: there is none. */
tutti_err tutti__permits_adopt(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                               int64_t deadline, bool *done);

/* The opposite: one of the caller's becomes ABANDONED. TUTTI_EPERM: it has none; else errors as of joining. */
tutti_err tutti__permits_abandon(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id);

/* Recovers whoever has a permit and is dead. Never with a latch held. */
void tutti__permits_look_for_dead(tutti_arena *arena, struct tutti__permits *permits, uint32_t own);

void tutti__permits_recover(tutti_arena *arena, struct tutti__permits *permits, uint32_t dead, bool clean);

/* Invariants 1 to 3; nobody may be inside. */
bool tutti__permits_are_valid(const tutti_arena *arena, const struct tutti__permits *permits);

#endif
