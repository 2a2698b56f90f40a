/* SPDX-License-Identifier: MIT */
/*
 * Stations: where those who poll are rung.
 *
 * A poller (the helper thread of a process, or a wait set) has a station in the arena:
 * a wait point and 32,768 bells, one bit each. Every object that can be waited for has a
 * struct tutti__pollable: one word that says which stations want a ring. Bit c stands for the
 * stations whose number is c modulo 64, so the word never overflows and needs no repair; with up
 * to 64 pollers in an arena (numbers 1 to 64) it is exact, beyond that somebody is rung in vain now and then.
 *
 * Who makes an object ready looks at that word: one load, and while nobody polls that is
 * all. Else it takes the word away and, at each station, sets the object's bell (a hash of
 * its offset), then the bit of the line that the bell lies in, then wakes who sleeps there.
 * So a poller finds what was rung without looking at the rest, whose number does not matter.
 *
 * Everything here is a hint, set by atomic operations alone: any thread, any signal
 * handler. What is left by a death is a bell that nobody hears of, or a word taken away
 * without a ring: a poller looks at all its objects each 250 ms (poller.h). A ring too many, also
 * one that comes late to a station that is somebody else's by now, costs a look.
 *
 * Order: the poller arms (a read-modify-write, a full barrier), then looks at the object. The
 * other makes it ready, passes a full barrier, then looks at the word. One of them sees the other.
 */
#ifndef TUTTI_ARENA_STATION_H
#define TUTTI_ARENA_STATION_H

#include "arena/wait.h"

enum {
	TUTTI__STATIONS = 4096, /* in an arena; number 0 is never used */
	TUTTI__STATION_CLASSES = 64,
	TUTTI__BELL_LINES = 64, /* a cache line each */
	TUTTI__BELL_WORDS = 8, /* a line */
	TUTTI__BELL_BITS = 15,
};
_Static_assert(TUTTI__BELL_LINES *TUTTI__BELL_WORDS * 64 == 1 << TUTTI__BELL_BITS, "every bell has a bit");

/* In an object. `armed`: see above; in a station: the one station that wants a ring too. */
struct tutti__pollable {
	atomic_u64 armed;
};

struct tutti__station {
	alignas(64) atomic_u32 owner; /* a member's id, 0: free */
	atomic_u32 reserved;
	struct tutti__wait_point point;
	struct tutti__wait_hints hints;
	atomic_u64 lines; /* bit i: something was rung in line i */
	struct tutti__pollable pollable; /* a wait set is watched by its process's helper */
	alignas(64) atomic_u64 bells[TUTTI__BELL_LINES][TUTTI__BELL_WORDS];
};

static inline struct tutti__station *tutti__station_at(const tutti_arena *arena, uint32_t number)
{
	return (struct tutti__station *)tutti__at(arena, arena->header->stations) + number;
}

/* Takes a free station for member `id`: its number, or 0 and the error text. */
uint32_t tutti__station_take(tutti_arena *arena, uint32_t id);
void tutti__station_give_back(tutti_arena *arena, uint32_t number, uint32_t id);

/* For a recovery. */
void tutti__stations_recover(tutti_arena *arena, uint32_t dead);

/* The bell of an object at a station. */
static inline uint32_t tutti__bell_of(const tutti_arena *arena, const struct tutti__pollable *pollable)
{
	return (uint32_t)((tutti__offset(arena, pollable) >> 3) * 0x9E3779B97F4A7C15ULL >> (64 - TUTTI__BELL_BITS));
}

void tutti__ring_slow(tutti_arena *arena, struct tutti__pollable *pollable);

/* Wakes who sleeps at the station, whose owner then looks anew. */
void tutti__station_poke(tutti_arena *arena, struct tutti__station *station);

/*
 * Rings who polls. Async-signal-safe. Call it after a read-modify-write (and fence_after_rmw())
 * that follows the store which made the object ready.
 */
static inline void tutti__ring(tutti_arena *arena, struct tutti__pollable *pollable)
{
	if (unlikely(load_relaxed(&pollable->armed)))
		tutti__ring_slow(arena, pollable);
}

#endif
