/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "arena/latch.h"
#include "arena/member.h"
#include "arena/wait.h"
#include "os/seeded_bug.h"

_Thread_local struct tutti__latch *tutti__held_latch;

enum {
	SPINS = 60, /* a critical section is over within this, unless its holder lost the CPU */
	TICK = 50 * 1000000, /* ns between looks whether the holder lives */
	GRACE = 100 * 1000000, /* ns that even a non-blocking caller gives a holder that was preempted */
};

static bool spin(struct tutti__latch *latch, uint32_t mine)
{
	for (int i = 0; i < SPINS; i++) {
		if (load_relaxed(&latch->word) == 0 && cas_u32(&latch->word, 0, mine))
			return true;
		cpu_pause();
	}
	return false;
}

static tutti_err fail_busy(const tutti_arena *arena, uint32_t holder)
{
	struct tutti__slot *slot = tutti__slot_of(arena, holder);
	return tutti__fail(
		TUTTI_EBUSY,
		"pid %d \"%s\" is in the middle of an operation on it and does not go on (stopped, or starved of "
		"CPU). Continue it, or kill it; then try again.",
		tutti__member_pid(arena, holder), slot->name);
}

/*
 * Sleeps until the latch may be free. The word is marked first, so that the holder's
 * release wakes somebody; who sleeps again marks again, so that no sleeper is forgotten.
 */
static tutti_err wait_for_holder(tutti_arena *arena, struct tutti__latch *latch, uint32_t word, int64_t until)
{
	uint32_t marked = word | TUTTI__WAITERS;
	if (word != marked && !cas_u32(&latch->word, word, marked))
		return TUTTI_OK;
	int64_t now = tutti__os.clock_now();
	if (now >= until)
		return fail_busy(arena, word & TUTTI__ID_MASK);
	int64_t tick = now + TICK < until ? now + TICK : until;
	if (tutti__os.futex_wait(&latch->word, marked, tick) == ETIMEDOUT && !TUTTI__BUG(17))
		tutti__recover_if_dead(arena, word & TUTTI__ID_MASK);
	return TUTTI_OK;
}

tutti_err tutti__latch_acquire_slow(tutti_arena *arena, struct tutti__latch *latch, uint32_t id, int64_t deadline)
{
	int64_t until = INT64_MAX;
	if (deadline != INT64_MAX) {
		until = tutti__os.clock_now() + GRACE;
		until = deadline > until ? deadline : until;
	}
	if (tutti__held_latch == latch && tutti__latch_is_held_by(latch, id))
		return tutti__fail_plain(TUTTI_EDEADLK, /* plain: a handler must not allocate a text */
		                         "this thread is already in an operation on it: it cannot be used in a "
		                         "signal handler. Set an event there instead.");
	tutti__held_latch = latch; /* before any CAS, as in tutti__latch_try */
	atomic_signal_fence(memory_order_seq_cst);
	uint32_t mine = id;
	while (!spin(latch, mine)) {
		uint32_t word = load_acquire(&latch->word);
		tutti_err err = word ? wait_for_holder(arena, latch, word, until) : TUTTI_OK;
		if (err) {
			tutti__held_latch = NULL;
			return err;
		}
		/* From now on taken with the mark: others may sleep, and who woke us has cleared it. */
		mine = id | TUTTI__WAITERS;
	}
	return TUTTI_OK;
}

void tutti__latch_wake(struct tutti__latch *latch) { tutti__os.futex_wake(&latch->word, 1); }

void tutti__latch_release_dead(struct tutti__latch *latch, uint32_t dead)
{
	for (;;) {
		uint32_t word = load_acquire(&latch->word);
		if ((word & TUTTI__ID_MASK) != dead)
			return;
		if (cas_u32(&latch->word, word, 0)) {
			tutti__os.futex_wake(&latch->word, 1);
			return;
		}
	}
}
