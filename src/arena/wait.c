/* SPDX-License-Identifier: MIT */
/* Spin, yield, sleep: see wait.h for the rules. Source of the budget: measured, lessons in docs/architecture.md. */
#include <errno.h>
#include <limits.h>

#include <tutti/wait.h>

#include "arena/latch.h"
#include "arena/member.h"
#include "arena/wait.h"
#include "os/seeded_bug.h"

enum {
	FIRST_BUDGET = 20000, /* ns; all of them at most tutti__spin_max() */
	LEAST_BUDGET = 1000, /* below it: no spinning, but for a probe now and then */
	MIN_BUDGET = 10000, /* after a success: a partner that is held up for a moment must not put both to sleep */
	PROBE_EVERY = 32, /* waits */
	PROBE_RARELY = 1024, /* waits whose partner's CPU is not known: it is our own more often than not */
	SLOW_YIELD = 50000, /* ns: then somebody else had the CPU, to whom a sleeper would have lost it for less time */
	NO_YIELDS = 255, /* waits without a yield after a slow one */
	PROMISE_TIME = 1000, /* us that a promise counts */
	/*
	 * The first looks, before any book-keeping, for the partner is often just about to do it; one in Python takes a
	 * microsecond. Without a pause instruction: that takes up to 140 cycles, as long as the message itself.
	 */
	QUICK_TIME = 3000, /* ns, from the first look at the clock */
	QUICK_LOOKS_PER_CLOCK = 64,
	LOOKS_PER_CLOCK = 16, /* the clock costs more than a look */
};

atomic_u32 tutti__process_stamp;

/* Microseconds, odd, so that a stamp is neither 0 nor TUTTI__PROMISE_BEGUN. */
static uint32_t stamp_now(void) { return (uint32_t)(tutti__os.clock_now() / 1000) | 1; }

static bool is_fresh(uint32_t stamp) { return (stamp & 1) && stamp_now() - stamp < PROMISE_TIME; }

static uint32_t at_most(uint32_t budget, uint32_t longest) { return budget < longest ? budget : longest; }

static uint32_t budget_of(struct tutti__patience *patience, uint32_t probe_every)
{
	uint32_t budget = load_relaxed(&patience->budget);
	uint32_t skipped = load_relaxed(&patience->skipped) + 1;
	if (budget == 0)
		return FIRST_BUDGET;
	if (budget >= LEAST_BUDGET)
		return budget;
	store_relaxed(&patience->skipped, skipped % probe_every);
	return skipped < probe_every ? 0 : tutti__spin_max();
}

static void learn(struct tutti__patience *patience, bool success, int64_t spent, uint32_t budget)
{
	uint32_t next = budget / 2 > 0 ? budget / 2 : 1;
	uint32_t longest = tutti__spin_max();
	if (success && spent * 3 > longest)
		next = longest;
	else if (success)
		next = spent * 3 > MIN_BUDGET ? (uint32_t)spent * 3 : MIN_BUDGET;
	store_relaxed(&patience->budget, next);
}

static bool look(const struct tutti__waiting *waiting)
{
	for (unsigned i = 0; i < waiting->pauses; i++)
		cpu_pause();
	return waiting->is_ready(waiting->context);
}

/* The budget counts from `start`. */
static bool spin_until(const struct tutti__waiting *waiting, int64_t start, uint32_t budget)
{
	int64_t now = tutti__os.clock_now();
	bool ready = false;
	while (!ready && now - start < budget && now < waiting->deadline) {
		for (unsigned i = 0; i < LOOKS_PER_CLOCK && !ready; i += 1 + waiting->pauses) {
			ready = look(waiting);
			cpu_pause();
		}
		now = tutti__os.clock_now();
	}
	learn(waiting->patience, ready, now - start, budget);
	return ready;
}

static bool somebody_spins(const struct tutti__waiting *waiting)
{
	return is_fresh(load_relaxed(&waiting->hints->spinner));
}

/*
 * One spinner at a time: more would take the CPUs that the partners need. The stamp of one that was killed, or
 * lost its CPU for so long, runs out; such a one ends its spin at its next look at the clock. 0: not claimed.
 */
static uint32_t claim_spinner(atomic_u32 *spinner)
{
	uint32_t other = load_relaxed(spinner), own = stamp_now();
	return (other == 0 || !is_fresh(other)) && cas_u32(spinner, other, own) ? own : 0;
}

/* The first looks without the clock, too: a message in C is there within them. `start`: of the others. */
static bool look_quickly(const struct tutti__waiting *waiting, uint32_t budget, int64_t *start)
{
	int64_t now = *start = 0;
	do {
		for (unsigned i = 0; i < QUICK_LOOKS_PER_CLOCK; i += 1 + waiting->pauses)
			if (look(waiting))
				return true;
		now = tutti__os.clock_now();
		if (*start == 0)
			*start = now;
	} while (now - *start < at_most(budget, QUICK_TIME));
	return false;
}

/* Of no use for a partner that cannot run while we spin: it needs our CPU, or our interpreter. */
static bool is_beside_us(uint32_t partner)
{
	uint32_t own = tutti__stamp();
	if (((partner ^ own) & TUTTI__STAMP_CPU) == 0)
		return true;
	return partner >> TUTTI__STAMP_PROCESS_SHIFT == own >> TUTTI__STAMP_PROCESS_SHIFT && !tutti__spins_in_process();
}

/*
 * Lets a partner on our CPU run. Where others want that CPU, too, they get it for a time slice of several ms: then
 * it is better to sleep, for who is woken comes before those who have had their time.
 */
static bool yield_to_partner(const struct tutti__waiting *waiting)
{
	struct tutti__patience *patience = waiting->patience;
	uint32_t without = load_relaxed(&patience->no_yields);
	if (without > 0) {
		store_relaxed(&patience->no_yields, without - 1);
		return false;
	}
	int64_t start = tutti__os.clock_now();
	tutti__os.yield();
	if (tutti__os.clock_now() - start > SLOW_YIELD)
		store_relaxed(&patience->no_yields, NO_YIELDS);
	return waiting->is_ready(waiting->context);
}

bool tutti__wait_spin(const struct tutti__waiting *waiting, const atomic_u32 *partner)
{
	if (is_beside_us(load_relaxed(partner))) /* relaxed: a hint */
		return yield_to_partner(waiting);
	if (tutti__os.cpus_online() < 2)
		return false;
	uint32_t budget = at_most(budget_of(waiting->patience, PROBE_EVERY), tutti__spin_max());
	if (budget == 0 || somebody_spins(waiting))
		return false;
	int64_t start;
	if (look_quickly(waiting, budget, &start)) {
		if (load_relaxed(&waiting->patience->budget) < MIN_BUDGET)
			store_relaxed(&waiting->patience->budget, MIN_BUDGET);
		return true;
	}
	uint32_t claim = claim_spinner(&waiting->hints->spinner);
	if (claim == 0)
		return false;
	bool ready = spin_until(waiting, start, budget);
	cas_u32(&waiting->hints->spinner, claim, 0); /* not a successor's */
	return ready;
}

bool tutti_spin_until(tutti_patience *patience, bool (*is_ready)(void *context), void *context)
{
	_Static_assert(sizeof *patience == sizeof(struct tutti__patience), "its public face");
	struct tutti__waiting waiting = {.patience = (struct tutti__patience *)patience,
	                                 .is_ready = is_ready,
	                                 .context = context,
	                                 .deadline = INT64_MAX};
	if (tutti__os.cpus_online() < 2)
		return false;
	uint32_t known = load_relaxed(&waiting.patience->budget);
	uint32_t budget = at_most(budget_of(waiting.patience, PROBE_RARELY), tutti__spin_max());
	if (budget == 0 || spin_until(&waiting, tutti__os.clock_now(), budget))
		return budget > 0;
	/* Without shorter ones behind a probe in vain: a look is mostly a system call here, and the partner waits for the CPU. */
	if (known > 0 && known < LEAST_BUDGET)
		store_relaxed(&waiting.patience->budget, known);
	return false;
}

/* A tick that finds the thing done has found a lost wake, or come at the very moment of it: tests count them. */
static bool look_after_tick(const struct tutti__waiting *waiting)
{
	bool ready = waiting->is_ready(waiting->context);
	if (ready && tutti__os.tick_found)
		tutti__os.tick_found(waiting->object);
	return ready;
}

/*
 * A CPU that slept has lost its caches and its way through the page tables: each page that the waiter needs now takes
 * up to a microsecond to be found again. Asked for together, they come at the same time.
 */
static ALWAYS_INLINE void ask_for_what_comes(const struct tutti__waiting *waiting, struct tutti__slot *slot,
                                             const atomic_u32 *word)
{
	prefetch_line_to_write(&slot->waiting_for);
	prefetch_line_to_write(waiting->hints); /* of a queue the getters' line: its latch and its head, too */
	prefetch_line_to_write(&tutti__held_latch);
	prefetch_line_to_read(word);
	prefetch_line_to_read(waiting->arena);
	prefetch_line_to_read(waiting->patience);
	if (waiting->awaited)
		prefetch_to_read(waiting->awaited, waiting->awaited + CACHE_LINE + 1);
}

HOT tutti_err tutti__wait_sleep(const struct tutti__waiting *waiting, atomic_u32 *word, uint32_t expected)
{
	struct tutti__slot *slot = tutti__slot_of(waiting->arena, load_relaxed(&waiting->arena->local->id));
	int64_t now = tutti__os.clock_now();
	if (now >= waiting->deadline)
		return TUTTI_ETIMEDOUT;
	int64_t tick = TUTTI__BUG(42) ? INT64_MAX : now + (waiting->tick ? waiting->tick : TUTTI__IDLE_TICK);
	bool last = tick >= waiting->deadline;
	store_relaxed(&slot->waiting_since, (uint64_t)now); /* relaxed: for lookers-on only */
	store_relaxed(&slot->waiting_for, waiting->object);
	int rc = tutti__os.futex_wait(word, expected, last ? waiting->deadline : tick);
	ask_for_what_comes(waiting, slot, word);
	store_relaxed(&slot->waiting_for, 0);
	if (rc == EINTR)
		return TUTTI_EINTR;
	if (rc == ETIMEDOUT) {
		bool ready = look_after_tick(waiting);
		tutti__look_after_the_dead(waiting->arena);
		if (!last && !ready && tutti__wait_is_interrupted())
			return TUTTI_EINTR;
		/* Once more before it gives up: the waker may have died before its wake. */
		return last && !ready && !waiting->is_ready(waiting->context) ? TUTTI_ETIMEDOUT : TUTTI_OK;
	}
	return TUTTI_OK;
}

HOT tutti_err tutti__wait_at(const struct tutti__waiting *waiting, struct tutti__wait_point *point)
{
	if (tutti__wait_spin(waiting, &point->partner))
		return TUTTI_OK;
	/* Mark first, then look: whoever stores after our look sees the mark (its side: store, full barrier, look). */
	uint32_t word = fetch_or_acq_rel(&point->word, 1) | 1;
	fence_after_rmw();
	if (waiting->before_sleep)
		waiting->before_sleep(waiting->context);
	if (waiting->is_ready(waiting->context))
		return TUTTI_OK;
	tutti_err err = tutti__wait_sleep(waiting, &point->word, word);
	if (err == TUTTI_OK)
		tutti__promise_kept(waiting->hints);
	else if (waiting->is_ready(waiting->context))
		tutti__wake_slow(point, waiting->hints); /* we leave, and a wake may have been meant for us: pass it on */
	return err;
}

HOT void tutti__wake_slow(struct tutti__wait_point *point, struct tutti__wait_hints *hints)
{
	uint32_t word = load_acquire(&point->word);
	if (!(word & 1) || is_fresh(load_relaxed(&hints->promise)) || is_fresh(load_relaxed(&hints->spinner)))
		return;
	store_relaxed(&hints->promise, TUTTI__PROMISE_BEGUN);
	if (tutti__os.futex_wake(&point->word, 1) > 0) {
		if (load_relaxed(&hints->promise) == TUTTI__PROMISE_BEGUN) /* else it is kept by now */
			cas_u32(&hints->promise, TUTTI__PROMISE_BEGUN, stamp_now());
		return;
	}
	/*
	 * Nobody slept: take the mark away. One that marked before may have fallen asleep between our wake and
	 * the CAS, and no mark would speak for it: wake once more. One that comes later finds the count changed.
	 */
	store_relaxed(&hints->promise, 0);
	if (cas_u32(&point->word, word, word + 1))
		tutti__os.futex_wake(&point->word, 1);
}

void tutti__wake_all(struct tutti__wait_point *point)
{
	uint32_t word = load_acquire(&point->word);
	while (word & 1) {
		if (cas_u32(&point->word, word, word + 1)) {
			tutti__os.futex_wake(&point->word, INT_MAX);
			return;
		}
		word = load_acquire(&point->word);
	}
}

void tutti__wait_recover(struct tutti__wait_point *point, struct tutti__wait_hints *hints)
{
	/* Relaxed: hints. Should they be those of a living member, somebody is woken once too often. */
	store_relaxed(&hints->promise, 0);
	store_relaxed(&hints->spinner, 0);
	tutti__wake_all(point);
}
