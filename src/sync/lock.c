/* SPDX-License-Identifier: MIT */
/*
 * The user's lock. One word: 0, the holder's id, ABANDONED or KEPT, each with
 * TUTTI__WAITERS if somebody may sleep on it.
 *
 * What a death leaves: the word with the dead id. The recovery makes it ABANDONED (the
 * holder was killed: the next who asks gets it and is told) or KEPT (it had exited
 * cleanly: it stays held, and anybody may release it). Both are one CAS; nothing else
 * in a lock needs repair. A waker killed between the releasing store and the wake
 * costs the sleepers one tick.
 */
#include <stdlib.h>
#include <string.h>

#include <tutti/lock.h>

#include "arena/arena.h"
#include "arena/object.h"
#include "arena/poller.h"
#include "arena/wait.h"
#include "sync/kinds.h"
#include "os/seeded_bug.h"

struct lock {
	struct tutti__object object;
	atomic_u32 word;
	atomic_u32 partner; /* CPU + 1 of the last holder */
	struct tutti__wait_hints hints;
	int32_t gone_pid; /* of the last holder that ended with it; written before the word becomes ABANDONED or KEPT */
	char gone_name[TUTTI__NAME_SIZE];
};

struct tutti_lock {
	struct tutti__reference reference;
	struct lock *shared;
	struct tutti__patience patience;
	struct tutti__poll_list polls;
};

enum { TICK = 100 * 1000000 }; /* ns between looks whether the holder lives */

static tutti_err new_handle(tutti_lock **result)
{
	*result = calloc(1, sizeof **result);
	return *result ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for a lock handle");
}

tutti_err tutti_lock_open(tutti_lock **result, const tutti_lock_options *options)
{
	static const tutti_lock_options defaults;
	options = options ? options : &defaults;
	tutti_arena *arena;
	struct tutti__object *object;
	tutti_lock *lock;
	tutti_err err = tutti__arena_or_default(options->arena, &arena);
	if (!err)
		err = new_handle(&lock);
	if (err)
		return err;
	err = tutti__object_create(arena, TUTTI__KIND_LOCK, sizeof(struct lock), options->name, &object);
	if (err) {
		free(lock);
		return err;
	}
	lock->shared = (struct lock *)object;
	tutti__object_publish(arena, TUTTI__KIND_LOCK, object, &lock->reference);
	*result = lock;
	return TUTTI_OK;
}

tutti_err tutti_lock_at(tutti_lock **result, tutti_arena *given, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_lock *lock;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (!err)
		err = new_handle(&lock);
	if (err)
		return err;
	err = tutti__reference_open(&lock->reference, arena, TUTTI__KIND_LOCK, handle);
	if (err) {
		free(lock);
		return err;
	}
	lock->shared = (struct lock *)lock->reference.object;
	*result = lock;
	return TUTTI_OK;
}

void tutti_lock_close(tutti_lock *lock)
{
	if (!lock)
		return;
	tutti__poll_list_close(&lock->polls);
	tutti__reference_close(&lock->reference);
	free(lock);
}

tutti_handle tutti_lock_handle(const tutti_lock *lock) { return tutti__reference_handle(&lock->reference); }

static bool is_free(void *context)
{
	uint32_t holder = load_relaxed(&((struct lock *)context)->word) & TUTTI__ID_MASK;
	return holder == 0 || holder == TUTTI__ABANDONED;
}

static void stamp(struct lock *shared)
{
	store_relaxed(&shared->partner, tutti__cpu() + 1); /* relaxed: a hint for who waits */
}

static tutti_err fail_owner_dead(const struct lock *shared)
{
	return tutti__fail(TUTTI_EOWNERDEAD,
	                   "lock \"%s\" was held by pid %d \"%s\", which was killed. You hold it now; the data it guards "
	                   "may be half changed: repair it, then go on.",
	                   shared->object.name, shared->gone_pid, shared->gone_name);
}

static tutti_err fail_held(tutti_arena *arena, const struct lock *shared, uint32_t word, tutti_err err)
{
	uint32_t holder = word & TUTTI__ID_MASK;
	if (holder == TUTTI__KEPT)
		return tutti__fail(err,
		                   "lock \"%s\" is held by a process that exited without releasing it. Any member may "
		                   "release it.",
		                   shared->object.name);
	struct tutti__slot *slot = tutti__slot_of(arena, holder);
	return tutti__fail(err, "lock \"%s\" is held by pid %d \"%s\". Wait longer, or look what that process does.",
	                   shared->object.name, slot->identity.pid, slot->name);
}

/* Takes the word if it is free or abandoned. `mark`: TUTTI__WAITERS if others may sleep. */
static bool try_take(struct lock *shared, uint32_t id, uint32_t mark, tutti_err *err)
{
	uint32_t word = load_acquire(&shared->word);
	uint32_t holder = word & TUTTI__ID_MASK;
	if (holder != 0 && holder != TUTTI__ABANDONED)
		return false;
	/* Acquire: pairs with the releasing exchange; makes visible what the last holder wrote. */
	if (!cas_u32(&shared->word, word, id | mark | (word & TUTTI__WAITERS)))
		return try_take(shared, id, mark, err);
	stamp(shared);
	*err = holder == TUTTI__ABANDONED ? fail_owner_dead(shared) : TUTTI_OK;
	return true;
}

/* Sleeps while the holder holds it. The mark makes the release wake somebody. */
static tutti_err sleep_for_holder(const struct tutti__waiting *waiting, struct lock *shared)
{
	uint32_t word = load_acquire(&shared->word);
	uint32_t holder = word & TUTTI__ID_MASK;
	if (holder == 0 || holder == TUTTI__ABANDONED)
		return TUTTI_OK;
	if (!(word & TUTTI__WAITERS) && !cas_u32(&shared->word, word, word | TUTTI__WAITERS))
		return TUTTI_OK;
	tutti_err err = tutti__wait_sleep(waiting, &shared->word, word | TUTTI__WAITERS);
	/* After a tick, and before giving up: a killed holder has nobody else to tell of it. */
	if ((load_relaxed(&shared->word) & TUTTI__ID_MASK) == holder && holder != TUTTI__KEPT)
		tutti__recover_if_dead(waiting->arena, holder);
	return err;
}

static tutti_err acquire_slow(tutti_lock *lock, uint32_t id, tutti_time timeout)
{
	struct lock *shared = lock->shared;
	tutti_arena *arena = lock->reference.arena;
	struct tutti__waiting waiting = {.arena = arena,
	                                 .patience = &lock->patience,
	                                 .hints = &shared->hints,
	                                 .object = lock->reference.offset,
	                                 .is_ready = is_free,
	                                 .context = shared,
	                                 .deadline = tutti__deadline(timeout),
	                                 .tick = TICK};
	tutti_err err, waited = TUTTI_OK;
	uint32_t mark = 0;
	for (;;) {
		if (try_take(shared, id, mark, &err))
			return err;
		uint32_t word = load_acquire(&shared->word);
		if (timeout <= 0 || waited == TUTTI_ETIMEDOUT) {
			uint32_t holder = word & TUTTI__ID_MASK;
			if (holder && holder != TUTTI__KEPT && tutti__recover_if_dead(arena, holder))
				continue;
			if (!is_free(shared))
				return fail_held(arena, shared, word, timeout <= 0 ? TUTTI_EBUSY : TUTTI_ETIMEDOUT);
			continue;
		}
		if (tutti__wait_spin(&waiting, &shared->partner))
			continue;
		waited = sleep_for_holder(&waiting, shared);
		mark = TUTTI__WAITERS; /* who woke us has cleared it, and others may sleep */
	}
}

tutti_err tutti_lock_acquire(tutti_lock *lock, tutti_time timeout)
{
	tutti_err err;
	uint32_t id = tutti__use(&lock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (likely(cas_u32(&lock->shared->word, 0, id))) {
		stamp(lock->shared);
		return TUTTI_OK;
	}
	return acquire_slow(lock, id, timeout);
}

/* Who waits for it in a wait set may try now. After the read-modify-write that released it. */
static inline void ring(tutti_lock *lock)
{
	fence_after_rmw();
	tutti__ring(lock->reference.arena, &lock->shared->object.pollable);
}

tutti_err tutti_lock_release(tutti_lock *lock)
{
	tutti_err err;
	struct lock *shared = lock->shared;
	uint32_t id = tutti__use(&lock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (likely(cas_u32(&shared->word, id, 0))) {
		ring(lock);
		return TUTTI_OK;
	}
	uint32_t word = load_acquire(&shared->word);
	uint32_t holder = word & TUTTI__ID_MASK;
	if (holder != id && holder != TUTTI__KEPT)
		return tutti__fail(TUTTI_EPERM,
		                   "lock \"%s\" is not held by this process (%s). Release it where it was acquired.",
		                   shared->object.name, holder ? "another one holds it" : "nobody holds it");
	/* Release: pairs with the acquire in try_take. */
	if (exchange_acq_rel(&shared->word, 0) & TUTTI__WAITERS)
		tutti__os.futex_wake(&shared->word, 1);
	ring(lock);
	return TUTTI_OK;
}

int tutti_lock_holder(const tutti_lock *lock)
{
	uint32_t holder = load_relaxed(&lock->shared->word) & TUTTI__ID_MASK;
	if (holder == 0)
		return 0;
	if (holder == TUTTI__KEPT)
		return lock->shared->gone_pid;
	if (holder == TUTTI__ABANDONED || tutti__member_is_dead(lock->reference.arena, holder))
		return -1;
	return tutti__member_pid(lock->reference.arena, holder);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner;
	struct lock *shared = tutti__at(arena, offset);
	for (;;) {
		uint32_t word = load_acquire(&shared->word);
		if ((word & TUTTI__ID_MASK) != dead)
			return;
		struct tutti__slot *slot = tutti__slot_of(arena, dead);
		shared->gone_pid = slot->identity.pid;
		memcpy(shared->gone_name, slot->name, sizeof shared->gone_name);
		uint32_t next = (clean ? TUTTI__KEPT : TUTTI__BUG(13) ? 0 : TUTTI__ABANDONED) | (word & TUTTI__WAITERS);
		if (cas_u32(&shared->word, word, next)) {
			tutti__os.futex_wake(&shared->word, 1);
			tutti__ring(arena, &shared->object.pollable);
			return;
		}
	}
}

static void watch_lock(void *handle, struct tutti__watch *watch)
{
	tutti_lock *lock = handle;
	*watch = (struct tutti__watch){&lock->shared->object.pollable, is_free, lock->shared, &lock->polls};
}

const struct tutti__kind tutti__lock_kind = {.name = "lock",
                                             .is_object = true,
                                             .recover = recover,
                                             .watch = watch_lock};
