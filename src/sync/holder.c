/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "sync/holder.h"
#include "os/seeded_bug.h"

enum {
	TICK = 100 * 1000000, /* ns between looks whether the holder lives */
	/*
	 * Before each look of a spin, 0.1 to 0.4 us. A look takes the line from a holder that is about to write it: who
	 * takes and releases over and over is slowed down by each. Measured: two in such a loop do 1.4 times as much.
	 */
	PAUSES = 8,
};

bool tutti__holder_is_free(void *holder)
{
	uint32_t id = tutti__holder_id(holder);
	return id == 0 || (id == TUTTI__ABANDONED && !TUTTI__BUG(47));
}

static const char *kind_of(const struct tutti__claim *claim) { return tutti__kinds[claim->reference->kind]->name; }

static tutti_err fail_owner_dead(const struct tutti__claim *claim)
{
	return tutti__fail(TUTTI_EOWNERDEAD,
	                   "%s \"%s\" was held by pid %d \"%s\", which was killed. You hold it now; the data it guards "
	                   "may be half changed: repair it, then go on.",
	                   kind_of(claim), claim->reference->object->name, claim->holder->gone_pid,
	                   claim->holder->gone_name);
}

static tutti_err fail_held(const struct tutti__claim *claim, uint32_t word, tutti_err err)
{
	uint32_t id = word & TUTTI__ID_MASK;
	const char *name = claim->reference->object->name;
	if (id == TUTTI__KEPT)
		return tutti__fail(err,
		                   "%s \"%s\" is held by a process that exited without releasing it. Any member may "
		                   "release it.",
		                   kind_of(claim), name);
	struct tutti__slot *slot = tutti__slot_of(claim->reference->arena, id);
	return tutti__fail(err, "%s \"%s\" is held by pid %d \"%s\". Wait longer, or look what that process does.",
	                   kind_of(claim), name, tutti__member_pid(claim->reference->arena, id), slot->name);
}

/* Takes the word if it is free or abandoned. `mark`: TUTTI__WAITERS if others may sleep. */
static bool try_take(const struct tutti__claim *claim, uint32_t id, uint32_t mark, tutti_err *err)
{
	struct tutti__holder *holder = claim->holder;
	for (;;) {
		uint32_t word = load_acquire(&holder->word);
		uint32_t held_by = word & TUTTI__ID_MASK;
		if (held_by != 0 && held_by != TUTTI__ABANDONED)
			return false;
		/* Acquire: pairs with the releasing exchange; makes visible what the last holder wrote. */
		if (!cas_u32(&holder->word, word, id | mark | (word & TUTTI__WAITERS)))
			continue;
		tutti__holder_stamp(holder);
		*err = held_by == TUTTI__ABANDONED ? fail_owner_dead(claim) : TUTTI_OK;
		return true;
	}
}

/* True if its holder has ended: then the word is as the recovery leaves it. Asks the system, some microseconds. */
static bool recover_holder(const struct tutti__claim *claim)
{
	uint32_t id = tutti__holder_id(claim->holder);
	return id && id != TUTTI__KEPT && id != TUTTI__ABANDONED && tutti__recover_if_dead(claim->reference->arena, id);
}

/*
 * Sleeps while the holder holds it. The mark makes the release wake somebody. Where the same one holds it afterwards,
 * we look whether it lives: a killed holder has nobody else to tell of it.
 */
static tutti_err sleep_for_holder(const struct tutti__claim *claim, const struct tutti__waiting *waiting)
{
	struct tutti__holder *holder = claim->holder;
	uint32_t word = load_acquire(&holder->word);
	uint32_t id = word & TUTTI__ID_MASK;
	if (id == 0 || id == TUTTI__ABANDONED)
		return TUTTI_OK;
	if (!(word & TUTTI__WAITERS) && !cas_u32(&holder->word, word, word | TUTTI__WAITERS))
		return TUTTI_OK;
	tutti_err err = tutti__wait_sleep(waiting, &holder->word, word | TUTTI__WAITERS);
	if (tutti__holder_id(holder) == id)
		recover_holder(claim);
	return err;
}

/* The end of waiting: false if there is something to take after all. */
static bool is_held_by_the_living(const struct tutti__claim *claim, tutti_err reason, tutti_err *err)
{
	if (recover_holder(claim))
		return false;
	uint32_t word = load_acquire(&claim->holder->word), id = word & TUTTI__ID_MASK;
	if (id == 0 || id == TUTTI__ABANDONED)
		return false;
	*err = fail_held(claim, word, reason);
	return true;
}

/* One who leaves by a signal may have been woken by the release: another one must look in its stead. */
static tutti_err leave_by_signal(const struct tutti__claim *claim)
{
	if (tutti__holder_is_free(claim->holder))
		tutti__os.futex_wake(&claim->holder->word, 1);
	return tutti__fail(TUTTI_EINTR, "a signal handler ran while waiting for %s \"%s\". Ask again.", kind_of(claim),
	                   claim->reference->object->name);
}

tutti_err tutti__holder_wait(const struct tutti__claim *claim, uint32_t id, tutti_time timeout)
{
	struct tutti__holder *holder = claim->holder;
	struct tutti__waiting waiting = {.arena = claim->reference->arena,
	                                 .patience = claim->patience,
	                                 .hints = &holder->hints,
	                                 .object = claim->reference->offset,
	                                 .is_ready = tutti__holder_is_free,
	                                 .pauses = PAUSES,
	                                 .context = holder,
	                                 .deadline = tutti__deadline(timeout),
	                                 .tick = TICK};
	tutti_err err, waited = TUTTI_OK;
	uint32_t mark = 0;
	while (!try_take(claim, id, mark, &err)) {
		if (waited == TUTTI_EINTR && claim->heeds_signals)
			return leave_by_signal(claim);
		if (timeout <= 0 || waited == TUTTI_ETIMEDOUT) {
			if (is_held_by_the_living(claim, timeout <= 0 ? TUTTI_EBUSY : TUTTI_ETIMEDOUT, &err))
				return err;
			continue;
		}
		if (tutti__wait_spin(&waiting, &holder->partner))
			continue;
		waited = sleep_for_holder(claim, &waiting);
		mark = TUTTI__WAITERS; /* who woke us has cleared it, and others may sleep */
	}
	return err;
}

static uint32_t replace(const struct tutti__reference *reference, struct tutti__holder *holder, uint32_t next)
{
	/* Release: pairs with the acquire in try_take. */
	uint32_t word = exchange_acq_rel(&holder->word, next);
	if (word & TUTTI__WAITERS)
		tutti__os.futex_wake(&holder->word, 1);
	tutti__holder_ring(reference);
	return word & TUTTI__ID_MASK;
}

uint32_t tutti__holder_let_go(const struct tutti__reference *reference, struct tutti__holder *holder)
{
	return replace(reference, holder, 0);
}

void tutti__holder_abandon(const struct tutti__reference *reference, struct tutti__holder *holder)
{
	if (holder->gone_pid == 0) /* else it goes on telling of the one who was killed */
		holder->gone_pid = (int32_t)getpid();
	replace(reference, holder, TUTTI__ABANDONED);
}

int tutti__holder_pid(tutti_arena *arena, const struct tutti__holder *holder)
{
	uint32_t id = tutti__holder_id(holder);
	if (id == 0)
		return 0;
	if (id == TUTTI__KEPT)
		return holder->gone_pid;
	if (id == TUTTI__ABANDONED || tutti__member_is_dead(arena, id))
		return -1;
	return tutti__member_pid(arena, id);
}

tutti_err tutti__holder_refuse(const struct tutti__claim *claim)
{
	return tutti__fail(TUTTI_EPERM, "%s \"%s\" is not held by this %s (%s). Release it where it was acquired.",
	                   kind_of(claim), claim->reference->object->name,
	                   claim->reference->kind == TUTTI__KIND_RLOCK ? "thread" : "process",
	                   tutti__holder_id(claim->holder) ? "another one holds it" : "nobody holds it");
}

void tutti__holder_recover(tutti_arena *arena, struct tutti__object *object, struct tutti__holder *holder,
                           uint32_t dead, bool clean)
{
	for (;;) {
		uint32_t word = load_acquire(&holder->word);
		if ((word & TUTTI__ID_MASK) != dead)
			return;
		struct tutti__slot *slot = tutti__slot_of(arena, dead);
		holder->gone_pid = slot->identity.pid;
		memcpy(holder->gone_name, slot->name, sizeof holder->gone_name);
		uint32_t next = (clean ? TUTTI__KEPT : TUTTI__BUG(13) ? 0 : TUTTI__ABANDONED) | (word & TUTTI__WAITERS);
		if (cas_u32(&holder->word, word, next)) {
			tutti__os.futex_wake(&holder->word, 1);
			fence_after_rmw();
			tutti__ring(arena, &object->pollable);
			return;
		}
	}
}
