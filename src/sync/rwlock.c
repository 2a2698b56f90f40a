/* SPDX-License-Identifier: MIT */
/* Taking and releasing a read-write lock. The protocol: rwlock.h. */
#include <unistd.h>

#include <tutti/rwlock.h>

#include "sync/handle.h"
#include "sync/rwlock.h"
#include "os/seeded_bug.h"

struct tutti_rwlock {
	struct tutti__reference reference;
	struct tutti__patience read_patience, write_patience;
	_Atomic(atomic_u64 *) share; /* of this member, as long as it has its id in it */
};

/* One call that waits. */
struct attempt {
	tutti_rwlock *rwlock;
	struct tutti__rwlock *shared;
	tutti_arena *arena;
	uint32_t id;
	int64_t deadline; /* 0: does not wait */
};

enum { TICK = 100 * 1000000 }; /* ns between looks */

static struct tutti__rwlock *shared_of(const tutti_rwlock *rwlock)
{
	return (struct tutti__rwlock *)rwlock->reference.object;
}

tutti_err tutti_rwlock_open(tutti_rwlock **rwlock, const tutti_rwlock_options *options)
{
	static const tutti_rwlock_options defaults;
	struct tutti__reference *handle;
	options = options ? options : &defaults;
	tutti_err err = tutti__handle_make(options->arena, TUTTI__KIND_RWLOCK, sizeof **rwlock,
	                                   sizeof(struct tutti__rwlock), options->name, &handle);
	if (err)
		return err;
	*rwlock = (tutti_rwlock *)handle;
	tutti__handle_publish(handle);
	return TUTTI_OK;
}

tutti_err tutti_rwlock_at(tutti_rwlock **rwlock, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_RWLOCK, sizeof **rwlock, handle, &found);
	if (!err)
		*rwlock = (tutti_rwlock *)found;
	return err;
}

void tutti_rwlock_close(tutti_rwlock *rwlock) { tutti__handle_close((struct tutti__reference *)rwlock); }

tutti_handle tutti_rwlock_handle(const tutti_rwlock *rwlock) { return tutti__reference_handle(&rwlock->reference); }

/* The share that this member was found to have; NULL: not looked for yet. */
static inline atomic_u64 *known_share(tutti_rwlock *rwlock, uint32_t id)
{
	atomic_u64 *share = load_acquire(&rwlock->share);
	return likely(share && tutti__share_id(load_relaxed(share)) == id) ? share : NULL;
}

static tutti_err find_share(const struct attempt *attempt, atomic_u64 **share)
{
	uint32_t number;
	*share = known_share(attempt->rwlock, attempt->id);
	if (*share)
		return TUTTI_OK;
	tutti_err err =
		tutti__share_open(attempt->arena, &attempt->shared->readers, attempt->id, attempt->deadline, &number);
	if (err)
		return err;
	*share = tutti__share_at(attempt->arena, &attempt->shared->readers, number);
	store_release(&attempt->rwlock->share, *share);
	return TUTTI_OK;
}

/* Adds to the count of a share, which stays between 0 and 2^31 - 1. Full barrier if it does. */
static inline bool change_share(atomic_u64 *share, int change)
{
	uint64_t old = load_relaxed(share);
	do {
		int64_t count = (int64_t)tutti__share_count(old) + change;
		if (unlikely(count < 0 || count > INT32_MAX))
			return false;
		/* Acquire and release: see the word. */
	} while (!atomic_compare_exchange_weak_explicit(share, &old, old + (uint64_t)(int64_t)change, memory_order_acq_rel,
	                                                memory_order_relaxed));
	fence_after_rmw();
	return true;
}

static bool is_read(const tutti_arena *arena, const struct tutti__rwlock *shared)
{
	const struct tutti__shares *readers = &shared->readers;
	uint32_t used = load_acquire(&readers->used);
	for (uint32_t number = 1; number <= used; number++)
		/* Acquire: pairs with the release of a reader's last CAS. */
		if (tutti__share_count(load_acquire(tutti__share_at(arena, readers, number))) > 0)
			return true;
	return false;
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static bool no_writer(void *context)
{
	const struct attempt *attempt = context;
	return !tutti__has_writer(load_acquire(&attempt->shared->writer));
}

static bool no_reader(void *context)
{
	const struct attempt *attempt = context;
	return !is_read(attempt->arena, attempt->shared);
}

static void wake_waiters(struct tutti__rwlock *shared)
{
	tutti__wait_stamp(&shared->readers_point);
	tutti__wait_stamp(&shared->writers_point);
	tutti__wake_all(&shared->readers_point);
	tutti__wake_one(&shared->writers_point, &shared->writers_hints);
}

static tutti_err wait_at(struct attempt *attempt, struct tutti__patience *patience, struct tutti__wait_point *point,
                         struct tutti__wait_hints *hints, bool (*is_ready)(void *))
{
	struct tutti__waiting waiting = {.arena = attempt->arena,
	                                 .patience = patience,
	                                 .hints = hints,
	                                 .object = attempt->rwlock->reference.offset,
	                                 .is_ready = is_ready,
	                                 .context = attempt,
	                                 .deadline = attempt->deadline,
	                                 .tick = TICK};
	tutti_err err = tutti__wait_at(&waiting, point);
	return err == TUTTI_EINTR ? TUTTI_OK : err;
}

/* A killed writer is noticed before anybody sleeps for it, at each tick, and before giving up. */
static void look_for_dead_writer(const struct attempt *attempt)
{
	uint64_t writer = load_acquire(&attempt->shared->writer);
	if (tutti__has_writer(writer) && tutti__writer_id(writer) != attempt->id && tutti__writer_id(writer) != TUTTI__KEPT)
		tutti__recover_if_dead(attempt->arena, tutti__writer_id(writer));
}

static void look_for_dead_readers(const struct attempt *attempt)
{
	const struct tutti__shares *readers = &attempt->shared->readers;
	for (uint32_t number = 1; number <= load_relaxed(&readers->used); number++) {
		uint64_t share = load_acquire(tutti__share_at(attempt->arena, readers, number));
		uint32_t id = tutti__share_id(share);
		if (tutti__share_count(share) > 0 && id != attempt->id && id != TUTTI__KEPT)
			tutti__recover_if_dead(attempt->arena, id);
	}
}

static tutti_err fail_held(const struct attempt *attempt, tutti_err err)
{
	const char *name = attempt->shared->object.name;
	uint64_t writer = load_acquire(&attempt->shared->writer);
	uint32_t id = tutti__writer_id(writer);
	if (writer & TUTTI__WRITER_HELD && id == TUTTI__KEPT)
		return tutti__fail(err,
		                   "read-write lock \"%s\" is held by a process that exited without releasing it. Any member "
		                   "may release it.",
		                   name);
	if (tutti__has_writer(writer) && id != attempt->id)
		return tutti__fail(err, "read-write lock \"%s\" is held, or waited for, by writer pid %d \"%s\".", name,
		                   tutti__member_pid(attempt->arena, id), tutti__slot_of(attempt->arena, id)->name);
	return tutti__fail(err, "read-write lock \"%s\" is held for %s by this process or others.", name,
	                   writer & TUTTI__WRITER_HELD ? "writing" : "reading");
}

/* Waits until no writer is there. */
static tutti_err wait_for_writer(struct attempt *attempt, bool reads)
{
	struct tutti__rwlock *shared = attempt->shared;
	tutti_err err = attempt->deadline == 0 ? TUTTI_EBUSY : TUTTI_OK;
	for (;;) {
		look_for_dead_writer(attempt);
		if (no_writer(attempt))
			return TUTTI_OK;
		if (err)
			return fail_held(attempt, err);
		err = reads ? wait_at(attempt, &attempt->rwlock->read_patience, &shared->readers_point, &shared->readers_hints,
		                      no_writer)
		            : wait_at(attempt, &attempt->rwlock->write_patience, &shared->writers_point, &shared->writers_hints,
		                      no_writer);
	}
}

/* The same for a writer that has claimed it and waits until no reader is there. */
static tutti_err wait_for_readers(struct attempt *attempt)
{
	struct tutti__rwlock *shared = attempt->shared;
	tutti_err err = attempt->deadline == 0 ? TUTTI_EBUSY : TUTTI_OK;
	while (!no_reader(attempt)) {
		look_for_dead_readers(attempt);
		if (no_reader(attempt))
			break;
		if (err)
			return fail_held(attempt, err);
		err = wait_at(attempt, &attempt->rwlock->write_patience, &shared->drain_point, &shared->drain_hints, no_reader);
	}
	return TUTTI_OK;
}

static tutti_err answer(const struct tutti__rwlock *shared, uint64_t writer)
{
	if (likely(!(writer & TUTTI__WRITER_TAINTED)))
		return TUTTI_OK;
	return tutti__fail(TUTTI_EOWNERDEAD,
	                   "read-write lock \"%s\" was held for writing by pid %u, which was killed. You have it now; the "
	                   "data it guards may be half changed until a writer repairs it.",
	                   shared->object.name, load_relaxed(&shared->gone_pid));
}

static struct attempt attempt_of(tutti_rwlock *rwlock, uint32_t id, tutti_time timeout)
{
	return (struct attempt){.rwlock = rwlock,
	                        .shared = shared_of(rwlock),
	                        .arena = rwlock->reference.arena,
	                        .id = id,
	                        .deadline = timeout <= 0 ? 0 : tutti__deadline(timeout)};
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A share went down: perhaps a writer waits for that. */
static void wake_drain(struct tutti__rwlock *shared)
{
	if (unlikely(load_acquire(&shared->writer) & TUTTI__WRITER_CLAIMED)) {
		tutti__wait_stamp(&shared->drain_point);
		tutti__wake_all(&shared->drain_point);
	}
}

static tutti_err fail_too_often(const struct tutti__rwlock *shared)
{
	return tutti__fail(TUTTI_EINVAL, "read-write lock \"%s\" is held for reading 2^31 - 1 times by this process.",
	                   shared->object.name);
}

/* Raises the share, and takes it back if a writer is there. True: held, or it failed. */
static inline bool try_read(struct tutti__rwlock *shared, atomic_u64 *share, tutti_err *err)
{
	if (unlikely(!change_share(share, 1))) {
		*err = fail_too_often(shared);
		return true;
	}
	/* Acquire: pairs with the release of a writer's CAS; makes visible what it wrote. */
	uint64_t writer = load_acquire(&shared->writer);
	if (unlikely(tutti__has_writer(writer))) {
		change_share(share, -1);
		wake_drain(shared);
		return false;
	}
	*err = answer(shared, writer);
	return true;
}

static tutti_err read_slow(struct attempt *attempt)
{
	atomic_u64 *share;
	tutti_err err = find_share(attempt, &share);
	while (!err) {
		err = wait_for_writer(attempt, true);
		if (!err && try_read(attempt->shared, share, &err))
			break;
	}
	return err;
}

tutti_err tutti_rwlock_acquire_read(tutti_rwlock *rwlock, tutti_time timeout)
{
	tutti_err err;
	uint32_t id = tutti__use(&rwlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	atomic_u64 *share = known_share(rwlock, id);
	if (likely(share && try_read(shared_of(rwlock), share, &err)))
		return err;
	struct attempt attempt = attempt_of(rwlock, id, timeout);
	return read_slow(&attempt);
}

static bool release_kept_read(const struct attempt *attempt)
{
	struct tutti__shares *readers = &attempt->shared->readers;
	for (uint32_t number = 1; number <= load_relaxed(&readers->used); number++) {
		atomic_u64 *share = tutti__share_at(attempt->arena, readers, number);
		uint64_t old = load_acquire(share);
		while (tutti__share_id(old) == TUTTI__KEPT && tutti__share_count(old) > 0) {
			if (cas_u64(share, old, tutti__share_count(old) == 1 ? 0 : old - 1))
				return true;
			old = load_acquire(share);
		}
	}
	return false;
}

static tutti_err fail_not_held(const struct tutti__rwlock *shared, const char *how)
{
	return tutti__fail(TUTTI_EPERM,
	                   "read-write lock \"%s\" is not held for %s by this process. Release it where it was acquired.",
	                   shared->object.name, how);
}

tutti_err tutti_rwlock_release_read(tutti_rwlock *rwlock)
{
	tutti_err err;
	uint32_t id = tutti__use(&rwlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	struct tutti__rwlock *shared = shared_of(rwlock);
	struct attempt attempt = {.rwlock = rwlock,
	                          .shared = shared,
	                          .arena = rwlock->reference.arena,
	                          .id = id,
	                          .deadline = INT64_MAX};
	atomic_u64 *share = known_share(rwlock, id);
	if (unlikely(!share) && (err = find_share(&attempt, &share)) != TUTTI_OK) /* another handle may have acquired */
		return err;
	/* Release: pairs with the acquire in is_read. */
	if (unlikely(!change_share(share, -1)) && !release_kept_read(&attempt))
		return fail_not_held(shared, "reading");
	wake_drain(shared);
	return TUTTI_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* Nothing was written: the word is what it was before, and those who were kept out go on. */
static void withdraw(struct tutti__rwlock *shared, uint64_t before)
{
	exchange_acq_rel(&shared->writer, before);
	fence_after_rmw();
	wake_waiters(shared);
}

/* Puts the id into the word, unless a writer is there. */
static inline bool claim(struct tutti__rwlock *shared, uint32_t id, uint64_t *before)
{
	*before = load_relaxed(&shared->writer) & TUTTI__WRITER_TAINTED;
	/* Acquire: pairs with the release of the last writer's CAS. */
	if (unlikely(!cas_u64(&shared->writer, *before, (TUTTI__BUG(27) ? 0 : *before) | TUTTI__WRITER_CLAIMED | id)))
		return false;
	fence_after_rmw();
	return true;
}

/* A plain store: nobody else changes a claimed word. From here on a death taints. */
static inline tutti_err hold(struct tutti__rwlock *shared, uint32_t id, uint64_t before)
{
	store_release(&shared->writer, before | TUTTI__WRITER_HELD | id);
	return answer(shared, before);
}

static tutti_err write_slow(struct attempt *attempt, bool is_claimed, uint64_t before)
{
	struct tutti__rwlock *shared = attempt->shared;
	while (!is_claimed) {
		tutti_err err = wait_for_writer(attempt, false);
		if (err)
			return err;
		is_claimed = claim(shared, attempt->id, &before);
	}
	tutti_err err = wait_for_readers(attempt);
	if (err) {
		withdraw(shared, before);
		return err;
	}
	return hold(shared, attempt->id, before);
}

tutti_err tutti_rwlock_acquire_write(tutti_rwlock *rwlock, tutti_time timeout)
{
	tutti_err err;
	uint64_t before;
	uint32_t id = tutti__use(&rwlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	struct tutti__rwlock *shared = shared_of(rwlock);
	bool is_claimed = claim(shared, id, &before);
	if (likely(is_claimed && !is_read(rwlock->reference.arena, shared)))
		return hold(shared, id, before);
	struct attempt attempt = attempt_of(rwlock, id, timeout);
	return write_slow(&attempt, is_claimed, before);
}

static tutti_err release_write(tutti_rwlock *rwlock, bool may_be_kept, uint64_t next)
{
	tutti_err err;
	uint32_t id = tutti__use(&rwlock->reference, &err);
	if (unlikely(id == 0))
		return err;
	struct tutti__rwlock *shared = shared_of(rwlock);
	uint64_t writer = load_relaxed(&shared->writer);
	uint32_t holder = tutti__writer_id(writer);
	bool may = writer & TUTTI__WRITER_HELD && (holder == id || (may_be_kept && holder == TUTTI__KEPT));
	/* Release: pairs with the acquire of the next reader's look and the next writer's CAS. */
	if (unlikely(!may || !cas_u64(&shared->writer, writer, next)))
		return fail_not_held(shared, "writing");
	fence_after_rmw();
	wake_waiters(shared);
	return TUTTI_OK;
}

tutti_err tutti_rwlock_release_write(tutti_rwlock *rwlock) { return release_write(rwlock, true, 0); }

tutti_err tutti_rwlock_abandon_write(tutti_rwlock *rwlock)
{
	struct tutti__rwlock *shared = shared_of(rwlock);
	if (load_relaxed(&shared->gone_pid) == 0) /* else it goes on telling of the one who was killed */
		store_relaxed(&shared->gone_pid, (uint32_t)getpid());
	return release_write(rwlock, false, TUTTI__WRITER_TAINTED);
}

/* --- looking ------ -------------------------------------------------------------------------------------------- */

uint32_t tutti_rwlock_readers(const tutti_rwlock *rwlock)
{
	const struct tutti__rwlock *shared = shared_of(rwlock);
	uint32_t sum = 0;
	for (uint32_t number = 1; number <= load_relaxed(&shared->readers.used); number++)
		sum += (uint32_t)tutti__share_count(
			load_relaxed(tutti__share_at(rwlock->reference.arena, &shared->readers, number)));
	return sum;
}

int tutti_rwlock_writer(const tutti_rwlock *rwlock)
{
	const struct tutti__rwlock *shared = shared_of(rwlock);
	uint64_t writer = load_relaxed(&shared->writer);
	uint32_t id = tutti__writer_id(writer);
	if (!(writer & TUTTI__WRITER_HELD))
		return writer & TUTTI__WRITER_TAINTED ? -1 : 0;
	if (id == TUTTI__KEPT)
		return (int)load_relaxed(&shared->gone_pid);
	if (tutti__member_is_dead(rwlock->reference.arena, id))
		return -1;
	return tutti__member_pid(rwlock->reference.arena, id);
}
