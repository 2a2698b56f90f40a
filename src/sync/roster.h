/* SPDX-License-Identifier: MIT */
/*
 * A roster: who waits at an object, one entry for each wait, each with a futex word of its
 * own. Used by the condition and the barrier, which say what the states mean.
 *
 *     tutti__roster   3 entries, in the object; then 8 bytes: a block with 15 more, 0: none
 *     entry           member: whose it is, 0: nobody's; state: the futex word, 0: idle; poller; partner; a cache
 *                     line each, so that who spins on one is not disturbed (measured: twice as fast)
 *
 * Valid: 1. a state other than idle has a member that is in (or dead and not yet recovered);
 *        2. every chained block is SHARED and reached once.
 *
 * An entry is claimed by one CAS that leaves the member's id, so that a death at any later
 * instruction is found by it, and given back state first, member last: a free entry is idle.
 * Chained blocks stay until the object is destroyed, so an entry's number names it for good
 * and a walk needs no latch. A block is chained at the end by one CAS; between that and
 * SHARED its maker may be killed, and the recovery sets SHARED before the sweep looks.
 */
#ifndef TUTTI_SYNC_ROSTER_H
#define TUTTI_SYNC_ROSTER_H

#include "arena/object.h"
#include "arena/poller.h"

enum { TUTTI__ROSTER_INLINE = 3, TUTTI__ROSTER_BLOCK = 15 };

struct tutti__entry {
	atomic_u32 member;
	atomic_u32 state;
	atomic_u32 poller; /* number of the member's handle whose descriptor tells of this wait, 0: none */
	atomic_u32 partner; /* of a condition's: stamp of whoever notified it last */
	/* Of a barrier's party that waits in steps; its member's alone. */
	atomic_u32 serial; /* its ticket's, 0: it waits in one call */
	uint32_t generation; /* that it has arrived in */
	bool has_arrived;
	uint8_t reserved[39];
};
_Static_assert(sizeof(struct tutti__entry) == 64, "an entry is one cache line");

/* Where it lies, the entries begin at a multiple of 64. */
struct tutti__roster {
	struct tutti__entry entries[TUTTI__ROSTER_INLINE];
	atomic_u64 more;
};

/* One entry after the other, in the order of their numbers. */
struct tutti__roster_walk {
	tutti_arena *arena;
	struct tutti__entry *entries;
	uint32_t count, at;
	atomic_u64 *more;
};

static inline struct tutti__roster_walk tutti__roster_walk(tutti_arena *arena, struct tutti__roster *roster)
{
	return (struct tutti__roster_walk){.arena = arena,
	                                   .entries = roster->entries,
	                                   .count = TUTTI__ROSTER_INLINE,
	                                   .more = &roster->more};
}

/* Goes on to the next block. False at the end. */
bool tutti__roster_walk_on(struct tutti__roster_walk *walk);

/* The next entry, in use or not; NULL at the end. */
static inline struct tutti__entry *tutti__roster_next(struct tutti__roster_walk *walk)
{
	if (unlikely(walk->at == walk->count) && !tutti__roster_walk_on(walk))
		return NULL;
	return &walk->entries[walk->at++];
}

/* Makes a free entry the member's, idle. `number` (may be NULL) names it. No latch may be held. TUTTI_ENOMEM. */
tutti_err tutti__roster_claim(tutti_arena *arena, struct tutti__roster *roster, uint32_t id, uint32_t *number,
                              struct tutti__entry **entry);

/* The entry of that number, NULL: there is none. Safe for any number. */
struct tutti__entry *tutti__roster_at(tutti_arena *arena, struct tutti__roster *roster, uint32_t number);

/* Gives an entry back; also a dead member's, by its recovery. */
void tutti__roster_release(struct tutti__entry *entry);

/*
 * A handle through which waits may be polled: its number within this process, its descriptor, and how to find out
 * that a wait is over.
 */
struct tutti__roster_polls {
	tutti_arena *arena;
	struct tutti__roster *roster;
	bool (*is_over)(uint32_t state);
	atomic_u32 number; /* 0: nobody has asked for the descriptor */
	struct tutti__poll_list list;
};

/* For tutti__watch: some wait that is polled through this handle is over, and nobody has looked at it since. */
bool tutti__roster_has_news(void *polls);

/* The descriptor of `handle`, which tells of this wait from now on. */
tutti_err tutti__roster_fd(struct tutti__reference *handle, struct tutti__roster_polls *polls,
                           struct tutti__entry *entry, int *fd);

/* The caller has looked at a wait: the descriptor need not tell of it if it is over. */
void tutti__roster_looked(struct tutti__roster_polls *polls, struct tutti__entry *entry, bool is_over);

/* For the recovery: blocks that the dead had chained become the object's. */
void tutti__roster_recover(tutti_arena *arena, struct tutti__roster *roster, uint32_t dead);

/* For the destruction of the object: frees the chained blocks. A successor may go on. */
void tutti__roster_destroy(tutti_arena *arena, struct tutti__roster *roster);

/* Visits the chained blocks. True if the roster is valid for an arena without dead members. */
bool tutti__roster_is_valid(tutti_arena *arena, struct tutti__roster *roster,
                            void (*visit)(void *context, uint64_t block), void *context);

#endif
