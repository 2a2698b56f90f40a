/* SPDX-License-Identifier: MIT */
/*
 * The recursive lock: a word that knows its holder (holder.h), and which thread of that
 * member it is, and how often.
 *
 *     holder   names the member
 *     thread   the member's id and the number of the thread that holds it; 0: none. Numbers
 *              are given out one after the other within a process.
 *     depth    acquires that are still to be undone; only the thread that holds it reads
 *              or writes it
 *
 * "Mine" means that `thread` is mine: only I write that, and I take it away before I let
 * go, so no order is needed between the three. The member's id is part of it because a
 * dead holder leaves its own behind, and threads of the next holder have numbers too.
 *
 * What a death leaves: the word with the dead id, as in a lock; `thread` and `depth` of
 * the dead mean nothing, and the next holder overwrites them.
 */
#include <tutti/rlock.h>

#include "sync/handle.h"
#include "sync/holder.h"
#include "sync/kinds.h"

struct rlock {
	struct tutti__object object;
	struct tutti__holder holder;
	atomic_u32 depth;
	atomic_u64 thread;
};

struct tutti_rlock {
	struct tutti__reference reference;
	struct tutti__patience patience;
	struct tutti__poll_list polls;
};

static struct rlock *shared_of(const tutti_rlock *rlock) { return (struct rlock *)rlock->reference.object; }

static struct tutti__claim claim_of(tutti_rlock *rlock)
{
	return (struct tutti__claim){.reference = &rlock->reference,
	                             .holder = &shared_of(rlock)->holder,
	                             .patience = &rlock->patience};
}

static _Thread_local uint32_t thread_number;

static uint32_t number_thread(void)
{
	static atomic_u32 last;
	return thread_number = fetch_add_relaxed(&last, 1) + 1; /* relaxed: that numbers differ is all that counts */
}

static inline uint64_t this_thread(uint32_t id)
{
	return (uint64_t)id << 32 | (likely(thread_number) ? thread_number : number_thread());
}

static inline bool is_mine(const struct rlock *shared, uint32_t id)
{
	return load_relaxed(&shared->thread) == this_thread(id); /* relaxed: see above */
}

tutti_err tutti_rlock_open(tutti_rlock **rlock, const tutti_rlock_options *options)
{
	static const tutti_rlock_options defaults;
	struct tutti__reference *handle;
	options = options ? options : &defaults;
	tutti_err err = tutti__handle_make(options->arena, TUTTI__KIND_RLOCK, sizeof **rlock, sizeof(struct rlock),
	                                   options->name, &handle);
	if (err)
		return err;
	*rlock = (tutti_rlock *)handle;
	tutti__handle_publish(handle);
	return TUTTI_OK;
}

tutti_err tutti_rlock_at(tutti_rlock **rlock, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_RLOCK, sizeof **rlock, handle, &found);
	if (!err)
		*rlock = (tutti_rlock *)found;
	return err;
}

void tutti_rlock_close(tutti_rlock *rlock)
{
	if (!rlock)
		return;
	tutti__poll_list_close(&rlock->polls);
	tutti__handle_close(&rlock->reference);
}

tutti_handle tutti_rlock_handle(const tutti_rlock *rlock) { return tutti__reference_handle(&rlock->reference); }

static tutti_err fail_depth(const tutti_rlock *rlock)
{
	return tutti__fail(TUTTI_EINVAL, "recursive lock \"%s\" would be held %s.", rlock->reference.object->name,
	                   "0 times, or more than 2^32 - 1 times");
}

/* `depth` acquires at once. */
static tutti_err acquire(tutti_rlock *rlock, uint32_t depth, tutti_time timeout)
{
	tutti_err err;
	struct rlock *shared = shared_of(rlock);
	uint32_t id = tutti__use(&rlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (is_mine(shared, id)) {
		uint32_t now = load_relaxed(&shared->depth);
		if (depth > UINT32_MAX - now)
			return fail_depth(rlock);
		store_relaxed(&shared->depth, now + depth);
		return TUTTI_OK;
	}
	if (unlikely(!tutti__holder_take(&shared->holder, id))) {
		struct tutti__claim claim = claim_of(rlock);
		err = tutti__holder_wait(&claim, id, timeout);
		if (err == TUTTI_EBUSY || err == TUTTI_ETIMEDOUT)
			tutti__poll_refresh(&rlock->polls);
		if (err && err != TUTTI_EOWNERDEAD)
			return err;
	} else {
		err = TUTTI_OK;
	}
	/* Relaxed: nobody else acts on them, but on their not being his own. */
	store_relaxed(&shared->depth, depth);
	store_relaxed(&shared->thread, this_thread(id));
	return err;
}

tutti_err tutti_rlock_acquire(tutti_rlock *rlock, tutti_time timeout) { return acquire(rlock, 1, timeout); }

tutti_err tutti_rlock_acquire_all(tutti_rlock *rlock, uint32_t depth, tutti_time timeout)
{
	return depth ? acquire(rlock, depth, timeout) : fail_depth(rlock);
}

/* Not held by this thread; but what a clean exit has left may be released by anybody. */
static tutti_err release_foreign(tutti_rlock *rlock)
{
	struct tutti__claim claim = claim_of(rlock);
	uint32_t word = load_acquire(&claim.holder->word);
	if ((word & TUTTI__ID_MASK) != TUTTI__KEPT || !cas_u32(&claim.holder->word, word, 0))
		return tutti__holder_refuse(&claim);
	if (word & TUTTI__WAITERS)
		tutti__os.futex_wake(&claim.holder->word, 1);
	tutti__holder_ring(&rlock->reference);
	return TUTTI_OK;
}

static void let_go(tutti_rlock *rlock, uint32_t id)
{
	struct rlock *shared = shared_of(rlock);
	store_relaxed(&shared->thread, 0); /* relaxed: the CAS or exchange orders it before the next holder's */
	if (unlikely(!tutti__holder_let_go_quickly(&rlock->reference, &shared->holder, id)))
		tutti__holder_let_go(&rlock->reference, &shared->holder);
}

tutti_err tutti_rlock_release(tutti_rlock *rlock)
{
	tutti_err err;
	struct rlock *shared = shared_of(rlock);
	uint32_t id = tutti__use(&rlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (unlikely(!is_mine(shared, id)))
		return release_foreign(rlock);
	uint32_t depth = load_relaxed(&shared->depth);
	if (depth > 1)
		store_relaxed(&shared->depth, depth - 1);
	else
		let_go(rlock, id);
	return TUTTI_OK;
}

tutti_err tutti_rlock_release_all(tutti_rlock *rlock, uint32_t *depth)
{
	tutti_err err;
	struct rlock *shared = shared_of(rlock);
	struct tutti__claim claim = claim_of(rlock);
	uint32_t id = tutti__use(&rlock->reference, &err);
	*depth = 0;
	if (id == 0)
		return err;
	if (!is_mine(shared, id))
		return tutti__holder_refuse(&claim);
	*depth = load_relaxed(&shared->depth);
	let_go(rlock, id);
	return TUTTI_OK;
}

tutti_err tutti_rlock_abandon(tutti_rlock *rlock)
{
	tutti_err err;
	struct rlock *shared = shared_of(rlock);
	struct tutti__claim claim = claim_of(rlock);
	uint32_t id = tutti__use(&rlock->reference, &err);
	if (id == 0)
		return err;
	if (!is_mine(shared, id))
		return tutti__holder_refuse(&claim);
	store_relaxed(&shared->thread, 0);
	tutti__holder_abandon(&rlock->reference, &shared->holder);
	return TUTTI_OK;
}

uint32_t tutti_rlock_depth(const tutti_rlock *rlock)
{
	const struct rlock *shared = shared_of(rlock);
	uint32_t id = load_relaxed(&rlock->reference.arena->local->id);
	return id != 0 && is_mine(shared, id) ? load_relaxed(&shared->depth) : 0;
}

int tutti_rlock_holder(const tutti_rlock *rlock)
{
	return tutti__holder_pid(rlock->reference.arena, &shared_of(rlock)->holder);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner;
	struct rlock *shared = tutti__at(arena, offset);
	tutti__holder_recover(arena, &shared->object, &shared->holder, dead, clean);
}

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_rlock *rlock = handle;
	struct rlock *shared = shared_of(rlock);
	*watch = (struct tutti__watch){&shared->object.pollable, tutti__holder_is_free, &shared->holder, &rlock->polls};
	return TUTTI_OK;
}

tutti_err tutti_rlock_fd(tutti_rlock *rlock, int *fd) { return tutti__handle_fd(&rlock->reference, fd); }

const struct tutti__kind tutti__rlock_kind = {.name = "recursive lock",
                                              .is_object = true,
                                              .recover = recover,
                                              .watch = watch};
