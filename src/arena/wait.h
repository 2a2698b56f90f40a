/* SPDX-License-Identifier: MIT */
/*
 * Waiting: the one place that decides between spinning, yielding and sleeping.
 *
 * Facts (measured): a wake across CPUs costs 21-27 us, a spinning receiver sees a
 * store after 0.1 us, spinning for a partner on the same CPU costs it its time slice.
 * So a waiter
 *  1. spins only if the partner was last seen on another CPU (and, where threads exclude
 *     each other, in another process), for a budget learned from earlier waits (three
 *     times the last success, halved by each failure, tried again once in 32 waits), and
 *     only one at a time spins at an object, so that at least one CPU is left;
 *  2. else yields once, which lets a partner on the same CPU run, unless that took long lately;
 *  3. then sleeps on a futex, with a tick: the waker may be killed between its store
 *     and its wake, and somebody must look after the dead.
 * The policy (how long at most; whether for its own process): <tutti/wait.h>.
 *
 * A wait point is the futex that getters or putters of an object sleep on. Its low
 * bit says that somebody may sleep; the rest counts, so that a sleeper that comes late
 * does not sleep. Nobody is ever counted: counts cannot be repaired after a death.
 *
 * A promise ("a woken or spinning member will look") saves wakes: it is a time stamp,
 * not a claim, and counts for nothing after 1 ms. Who keeps one looks, takes, and
 * wakes the next if it leaves something behind. It ends with its member too: the recovery
 * forgets the promises at an object that knows the dead, and wakes those who sleep there.
 */
#ifndef TUTTI_ARENA_WAIT_H
#define TUTTI_ARENA_WAIT_H

#include "arena/context.h"

/*
 * Lies on a line that is rarely written: who does the awaited thing reads it every time.
 */
struct tutti__wait_point {
	atomic_u32 word; /* bit 0: somebody may sleep; the rest: a count */
	atomic_u32 partner; /* stamp of whoever last did what is waited for here; 0: never seen */
};

/*
 * A promise whose time is not written yet, for the wake is not to wait for the clock. It holds nobody back: a waker that
 * is killed before its wake costs a tick, as one without a promise does.
 */
enum { TUTTI__PROMISE_BEGUN = 2 };

/* Written by those who wait, on a line of theirs. */
struct tutti__wait_hints {
	atomic_u32 promise; /* us, odd: when somebody was woken; 0: nobody; or TUTTI__PROMISE_BEGUN */
	atomic_u32 spinner; /* us, odd: when somebody began to spin; 0: nobody */
};

/* What a handle has learned about spinning; private to the process. A race loses a lesson only. */
struct tutti__patience {
	atomic_u32 budget; /* ns; 0 in the beginning stands for the first guess */
	atomic_u32 skipped; /* waits without spinning since the budget fell to nothing */
	atomic_u32 no_yields; /* waits that are to come without a yield */
};

struct tutti__waiting {
	tutti_arena *arena;
	struct tutti__patience *patience;
	struct tutti__wait_hints *hints;
	uint64_t object; /* offset, shown to lookers-on */
	bool (*is_ready)(void *context); /* looks without changing anything; may be wrong, the caller looks again */
	unsigned pauses; /* before each look of a spin, for the sake of who writes what is looked at */
	void (*before_sleep)(void *context); /* NULL, or called after the mark and before the last look */
	void *context;
	const unsigned char *awaited; /* NULL, or where what is waited for will be read: a line and the next, a hint */
	int64_t deadline; /* absolute */
	int64_t tick; /* ns between wakes while sleeping; 0: 250 ms */
};

enum { TUTTI__IDLE_TICK = 250 * 1000000 };

/*
 * Waits at a point until it may be ready. TUTTI_OK: look again (ready, woken, or a tick);
 * TUTTI_ETIMEDOUT; TUTTI_EINTR: a signal handler ran.
 */
tutti_err tutti__wait_at(const struct tutti__waiting *waiting, struct tutti__wait_point *point);

/* The spinning and yielding part of it alone: true as soon as it may be ready. `partner`: who is waited for. */
bool tutti__wait_spin(const struct tutti__waiting *waiting, const atomic_u32 *partner);

/* The sleeping part alone: while *word == expected. Returns as tutti__wait_at. */
tutti_err tutti__wait_sleep(const struct tutti__waiting *waiting, atomic_u32 *word, uint32_t expected);

void tutti__wake_slow(struct tutti__wait_point *point, struct tutti__wait_hints *hints);

/*
 * Where somebody was seen: CPU + 1 in the low 12 bits, the low 20 of the pid above them. Who shares those bits
 * with another process, or has more CPUs, is now and then not spun for.
 */
enum { TUTTI__STAMP_CPU = 0xfff, TUTTI__STAMP_PROCESS_SHIFT = 12 };

/* The process's pid. Refreshed by each join, hence also in a forked child. */
extern atomic_u32 tutti__process_stamp;

static inline uint32_t tutti__stamp(void)
{
	/* Relaxed: set before the first operation of a process, also of a forked one, and always to the same. */
	return ((tutti__cpu() + 1) & TUTTI__STAMP_CPU) | load_relaxed(&tutti__process_stamp) << TUTTI__STAMP_PROCESS_SHIFT;
}

/* Says that the caller, on this CPU and in this process, did what others wait for. */
static inline void tutti__stamp_partner(atomic_u32 *partner)
{
	uint32_t stamp = tutti__stamp();
	if (load_relaxed(partner) != stamp) /* relaxed: a hint; a store only on change keeps the line quiet */
		store_relaxed(partner, stamp);
}

/* Remembers in `known`, which is this process's, whom it waits for: the one seen last that is not the caller. */
static inline void tutti__note_partner(atomic_u32 *known, atomic_u32 *partner)
{
	uint32_t seen = load_relaxed(partner);
	if (seen != tutti__stamp() && seen != load_relaxed(known))
		store_relaxed(known, seen); /* relaxed: a hint */
}

static inline void tutti__wait_stamp(struct tutti__wait_point *point) { tutti__stamp_partner(&point->partner); }

/* Wakes one sleeper unless one is on its way. Call after a read-modify-write that follows the store it waits for. */
static inline void tutti__wake_one(struct tutti__wait_point *point, struct tutti__wait_hints *hints)
{
	if (unlikely(load_relaxed(&point->word) & 1))
		tutti__wake_slow(point, hints);
}

/* Wakes all sleepers. Async-signal-safe. */
void tutti__wake_all(struct tutti__wait_point *point);

/* For the recovery of a member that may have promised something here, or died before it woke somebody. */
void tutti__wait_recover(struct tutti__wait_point *point, struct tutti__wait_hints *hints);

/* The policy: the longest spin in ns, 0: none; whether to spin for a partner in this process. */
uint32_t tutti__spin_max(void);
bool tutti__spins_in_process(void);

/* The caller, woken before, has looked: its promise is kept. */
static inline void tutti__promise_kept(struct tutti__wait_hints *hints)
{
	if (load_relaxed(&hints->promise) != 0)
		store_relaxed(&hints->promise, 0);
}

#endif
