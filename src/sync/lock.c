/* SPDX-License-Identifier: MIT */
/*
 * The user's lock: a word that knows its holder (holder.h), held by a member, not by a thread.
 *
 * With handover it is a semaphore of one that knows who took it last. Anybody's release
 * is one exchange, also of a holder that was killed, whether or not that is noticed yet:
 * who hands over answers for the state.
 */
#include <tutti/lock.h>

#include "sync/handle.h"
#include "sync/holder.h"
#include "sync/kinds.h"

struct lock {
	struct tutti__object object;
	struct tutti__holder holder;
	bool handover; /* never changes */
};

struct tutti_lock {
	struct tutti__reference reference;
	struct tutti__patience patience;
	struct tutti__poll_list polls;
};

static struct lock *shared_of(const tutti_lock *lock) { return (struct lock *)lock->reference.object; }

static struct tutti__claim claim_of(tutti_lock *lock)
{
	return (struct tutti__claim){.reference = &lock->reference,
	                             .holder = &shared_of(lock)->holder,
	                             .patience = &lock->patience};
}

tutti_err tutti_lock_open(tutti_lock **lock, const tutti_lock_options *options)
{
	static const tutti_lock_options defaults;
	struct tutti__reference *handle;
	options = options ? options : &defaults;
	tutti_err err = tutti__handle_make(options->arena, TUTTI__KIND_LOCK, sizeof **lock, sizeof(struct lock),
	                                   options->name, &handle);
	if (err)
		return err;
	*lock = (tutti_lock *)handle;
	shared_of(*lock)->handover = options->handover;
	tutti__handle_publish(handle);
	return TUTTI_OK;
}

tutti_err tutti_lock_at(tutti_lock **lock, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_LOCK, sizeof **lock, handle, &found);
	if (!err)
		*lock = (tutti_lock *)found;
	return err;
}

void tutti_lock_close(tutti_lock *lock)
{
	if (!lock)
		return;
	tutti__poll_list_close(&lock->polls);
	tutti__handle_close(&lock->reference);
}

tutti_handle tutti_lock_handle(const tutti_lock *lock) { return tutti__reference_handle(&lock->reference); }

tutti_err tutti_lock_acquire(tutti_lock *lock, tutti_time timeout)
{
	tutti_err err;
	uint32_t id = tutti__use(&lock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (likely(tutti__holder_take(&shared_of(lock)->holder, id)))
		return TUTTI_OK;
	struct tutti__claim claim = claim_of(lock);
	err = tutti__holder_wait(&claim, id, timeout);
	if (err == TUTTI_EBUSY || err == TUTTI_ETIMEDOUT)
		tutti__poll_refresh(&lock->polls);
	return err;
}

static tutti_err fail_not_held(tutti_lock *lock)
{
	struct tutti__claim claim = claim_of(lock);
	if (!shared_of(lock)->handover)
		return tutti__holder_refuse(&claim);
	return tutti__fail(TUTTI_EBOUND, "lock \"%s\" is not held: it was released more often than acquired.",
	                   lock->reference.object->name);
}

static tutti_err release_slow(tutti_lock *lock, uint32_t id)
{
	struct lock *shared = shared_of(lock);
	uint32_t holder = tutti__holder_id(&shared->holder);
	bool may = shared->handover ? holder != 0 : holder == id || holder == TUTTI__KEPT;
	if (!may)
		return fail_not_held(lock);
	if (holder != id)
		tutti__holder_stamp(&shared->holder);
	/* None: another one was quicker. */
	return tutti__holder_let_go(&lock->reference, &shared->holder) ? TUTTI_OK : fail_not_held(lock);
}

tutti_err tutti_lock_release(tutti_lock *lock)
{
	tutti_err err;
	uint32_t id = tutti__use(&lock->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (likely(tutti__holder_let_go_quickly(&lock->reference, &shared_of(lock)->holder, id)))
		return TUTTI_OK;
	return release_slow(lock, id);
}

tutti_err tutti_lock_abandon(tutti_lock *lock)
{
	tutti_err err;
	uint32_t id = tutti__use(&lock->reference, &err);
	if (id == 0)
		return err;
	struct tutti__holder *holder = &shared_of(lock)->holder;
	if (tutti__holder_id(holder) != id)
		return fail_not_held(lock);
	tutti__holder_abandon(&lock->reference, holder);
	return TUTTI_OK;
}

bool tutti_lock_is_mine(const tutti_lock *lock)
{
	uint32_t id = load_relaxed(&lock->reference.arena->local->id); /* relaxed: our own; 0 in a forked child */
	return id != 0 && tutti__holder_id(&shared_of(lock)->holder) == id;
}

int tutti_lock_holder(const tutti_lock *lock)
{
	return tutti__holder_pid(lock->reference.arena, &shared_of(lock)->holder);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner;
	struct lock *shared = tutti__at(arena, offset);
	tutti__holder_recover(arena, &shared->object, &shared->holder, dead, clean);
}

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_lock *lock = handle;
	struct lock *shared = shared_of(lock);
	*watch = (struct tutti__watch){&shared->object.pollable, tutti__holder_is_free, &shared->holder, &lock->polls};
	return TUTTI_OK;
}

tutti_err tutti_lock_fd(tutti_lock *lock, int *fd) { return tutti__handle_fd(&lock->reference, fd); }

const struct tutti__kind tutti__lock_kind = {.name = "lock", .is_object = true, .recover = recover, .watch = watch};
