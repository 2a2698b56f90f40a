/* SPDX-License-Identifier: MIT */
/*
 * Waiting: the one place that decides between spinning, yielding and sleeping.
 *
 * Facts (measured): a wake across CPUs costs 21-27 us, a spinning receiver sees a
 * store after 0.1 us, spinning for a partner on the same CPU costs it its time slice.
 * So a waiter
 *  1. spins only if the partner was last seen on another CPU, for a budget learned
 *     from earlier waits (three times the last success, halved by each failure, tried
 *     again once in 32 waits), and only one member at a time spins at an object;
 *  2. on the partner's own CPU yields once, which lets it run;
 *  3. then sleeps on a futex, with a tick: the waker may be killed between its store
 *     and its wake, and somebody must look after the dead.
 *
 * A wait point is the futex that getters or putters of an object sleep on. Its low
 * bit says that somebody may sleep; the rest counts, so that a sleeper that comes late
 * does not sleep. Nobody is ever counted: counts cannot be repaired after a death.
 *
 * A promise ("a woken or spinning member will look") saves wakes: it is a time stamp,
 * not a claim, and counts for nothing after 1 ms. Who keeps one looks, takes, and
 * wakes the next if it leaves something behind.
 */
#ifndef TUTTI_ARENA_WAIT_H
#define TUTTI_ARENA_WAIT_H

#include "arena/context.h"

/*
 * Lies on a line that is rarely written: who does the awaited thing reads it every time.
 */
struct tutti__wait_point {
	atomic_u32 word; /* bit 0: somebody may sleep; the rest: a count */
	atomic_u32 partner; /* CPU + 1 of whoever last did what is waited for here; 0: never seen */
};

/* Written by those who wait, on a line of theirs. */
struct tutti__wait_hints {
	atomic_u32 promise; /* us, odd: when somebody was woken; 0: nobody */
	atomic_u32 spinner; /* us, odd: when somebody began to spin; 0: nobody */
};

/* What a handle has learned about spinning; private to the process. A race loses a lesson only. */
struct tutti__patience {
	atomic_u32 budget; /* ns; 0 in the beginning stands for the first guess */
	atomic_u32 skipped; /* waits without spinning since the budget fell to nothing */
};

struct tutti__waiting {
	tutti_arena *arena;
	struct tutti__patience *patience;
	struct tutti__wait_hints *hints;
	uint64_t object; /* offset, shown to lookers-on */
	bool (*is_ready)(void *context); /* looks without changing anything; may be wrong, the caller looks again */
	void *context;
	int64_t deadline; /* absolute */
	int64_t tick; /* ns between wakes while sleeping; 0: 250 ms */
};

enum { TUTTI__IDLE_TICK = 250 * 1000000 };

/*
 * Waits at a point until it may be ready. TUTTI_OK: look again (ready, woken, or a tick);
 * TUTTI_ETIMEDOUT; TUTTI_EINTR: a signal handler ran.
 */
tutti_err tutti__wait_at(const struct tutti__waiting *waiting, struct tutti__wait_point *point);

/* The spinning and yielding part of it alone: true as soon as it may be ready. */
bool tutti__wait_spin(const struct tutti__waiting *waiting, const atomic_u32 *partner);

/* The sleeping part alone: while *word == expected. Returns as tutti__wait_at. */
tutti_err tutti__wait_sleep(const struct tutti__waiting *waiting, atomic_u32 *word, uint32_t expected);

void tutti__wake_slow(struct tutti__wait_point *point, struct tutti__wait_hints *hints);

/* Says that the caller, on this CPU, did what others wait for here. */
static inline void tutti__wait_stamp(struct tutti__wait_point *point)
{
	uint32_t stamp = tutti__cpu() + 1;
	if (load_relaxed(&point->partner) != stamp) /* relaxed: a hint; a store only on change keeps the line quiet */
		store_relaxed(&point->partner, stamp);
}

/* Wakes one sleeper unless one is on its way. Call after a read-modify-write that follows the store it waits for. */
static inline void tutti__wake_one(struct tutti__wait_point *point, struct tutti__wait_hints *hints)
{
	if (unlikely(load_relaxed(&point->word) & 1))
		tutti__wake_slow(point, hints);
}

/* Wakes all sleepers. Async-signal-safe. */
void tutti__wake_all(struct tutti__wait_point *point);

/* The caller, woken before, has looked: its promise is kept. */
static inline void tutti__promise_kept(struct tutti__wait_hints *hints)
{
	if (load_relaxed(&hints->promise) != 0)
		store_relaxed(&hints->promise, 0);
}

#endif
