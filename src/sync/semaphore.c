/* SPDX-License-Identifier: MIT */
/*
 * The counting semaphore: permits (permits.h), and a point where those wait who found none.
 *
 * A release is one CAS and a look whether somebody waits. Who was woken and leaves permits
 * behind wakes the next. A releaser killed between the two costs the sleepers one tick.
 */
#include <unistd.h>

#include <tutti/semaphore.h>

#include "arena/poller.h"
#include "arena/wait.h"
#include "os/seeded_bug.h"
#include "sync/handle.h"
#include "sync/kinds.h"
#include "sync/permits.h"

struct semaphore {
	struct tutti__object object;
	struct tutti__permits permits;
	struct tutti__wait_point point;
	struct tutti__wait_hints hints;
};

struct tutti_semaphore {
	struct tutti__reference reference;
	struct tutti__patience patience;
	struct tutti__poll_list polls;
	atomic_u64 share; /* member's id << 32 | number of its share; the id differs in a forked child */
};

enum { TICK = 100 * 1000000 }; /* ns between looks */

static struct semaphore *shared_of(const tutti_semaphore *semaphore)
{
	return (struct semaphore *)semaphore->reference.object;
}

static tutti_err check_options(uint32_t value, uint32_t max)
{
	if (max > TUTTI__PERMIT_VALUE)
		return tutti__fail(TUTTI_EINVAL, "max_value of a semaphore is at most 2147483647, not %u.", max);
	if (value > max)
		return tutti__fail(TUTTI_EINVAL, "a semaphore cannot begin with %u permits: at most %u (max_value).", value,
		                   max);
	return TUTTI_OK;
}

tutti_err tutti_semaphore_open(tutti_semaphore **semaphore, uint32_t value, const tutti_semaphore_options *options)
{
	static const tutti_semaphore_options defaults;
	struct tutti__reference *handle;
	options = options ? options : &defaults;
	uint32_t max = options->max_value ? options->max_value : (uint32_t)TUTTI__PERMIT_VALUE;
	tutti_err err = check_options(value, max);
	if (!err)
		err = tutti__handle_make(options->arena, TUTTI__KIND_SEMAPHORE, sizeof **semaphore, sizeof(struct semaphore),
		                         options->name, &handle);
	if (err)
		return err;
	*semaphore = (tutti_semaphore *)handle;
	shared_of(*semaphore)->permits.max = max;
	store_relaxed(&shared_of(*semaphore)->permits.word, value);
	tutti__handle_publish(handle);
	return TUTTI_OK;
}

tutti_err tutti_semaphore_at(tutti_semaphore **semaphore, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_SEMAPHORE, sizeof **semaphore, handle, &found);
	if (!err)
		*semaphore = (tutti_semaphore *)found;
	return err;
}

void tutti_semaphore_close(tutti_semaphore *semaphore)
{
	if (!semaphore)
		return;
	tutti__poll_list_close(&semaphore->polls);
	tutti__handle_close(&semaphore->reference);
}

tutti_handle tutti_semaphore_handle(const tutti_semaphore *semaphore)
{
	return tutti__reference_handle(&semaphore->reference);
}

uint32_t tutti_semaphore_value(const tutti_semaphore *semaphore)
{
	return tutti__permits_value(&shared_of(semaphore)->permits);
}

/* The number of this member's share, 0 if it has none yet. */
static inline uint32_t known_share(const tutti_semaphore *semaphore, uint32_t id)
{
	uint64_t share = load_relaxed(&semaphore->share); /* relaxed: what it names is older than the handle's use */
	return likely(share >> 32 == id) ? (uint32_t)share : 0;
}

static tutti_err find_share(tutti_semaphore *semaphore, uint32_t id, int64_t deadline, uint32_t *number)
{
	*number = known_share(semaphore, id);
	if (*number)
		return TUTTI_OK;
	tutti_err err =
		tutti__permits_join(semaphore->reference.arena, &shared_of(semaphore)->permits, id, deadline, number);
	if (!err)
		store_relaxed(&semaphore->share, tutti__share(id, *number));
	return err;
}

static bool may_have_permit(void *context)
{
	struct semaphore *shared = context;
	return tutti__permits_value(&shared->permits) > 0 ||
	       (load_relaxed(&shared->permits.has_abandoned) && !TUTTI__BUG(44));
}

/* What is left behind needs another sleeper, as this one may have stood for several releases. */
static void pass_on(struct semaphore *shared)
{
	tutti__promise_kept(&shared->hints);
	if (may_have_permit(shared))
		tutti__wake_one(&shared->point, &shared->hints);
}

/* Takes one that is there, or that a killed member has left. *taken false: there is none. */
static tutti_err try_take(tutti_semaphore *semaphore, uint32_t id, int64_t deadline, bool *taken)
{
	uint32_t number;
	struct semaphore *shared = shared_of(semaphore);
	tutti_arena *arena = semaphore->reference.arena;
	*taken = false;
	tutti_err err = find_share(semaphore, id, deadline, &number);
	while (!err && !*taken && tutti__permits_value(&shared->permits) > 0)
		err = tutti__permits_change_slow(arena, &shared->permits, number, id, -1, deadline, taken);
	if (err || *taken)
		return err;
	err = tutti__permits_adopt(arena, &shared->permits, number, id, deadline, taken);
	if (err || !*taken)
		return err;
	return tutti__fail(TUTTI_EOWNERDEAD,
	                   "a permit of semaphore \"%s\" was held by a process that was killed (the last was pid %u). You "
	                   "have it now; what it stands for may be half changed: repair it, then go on.",
	                   shared->object.name, load_relaxed(&shared->permits.gone_pid));
}

static tutti_err fail_none(tutti_semaphore *semaphore, tutti_err err)
{
	const struct semaphore *shared = shared_of(semaphore);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting for semaphore \"%s\". Acquire again.",
		                   shared->object.name);
	tutti__poll_refresh(&semaphore->polls);
	return tutti__fail(err, "semaphore \"%s\" has no permit left. Wait longer, or release one.", shared->object.name);
}

/* One more look when time is up, and the first time: the killed may have had some. */
static tutti_err acquire_slow(tutti_semaphore *semaphore, uint32_t id, tutti_time timeout)
{
	struct semaphore *shared = shared_of(semaphore);
	struct tutti__waiting waiting = {.arena = semaphore->reference.arena,
	                                 .patience = &semaphore->patience,
	                                 .hints = &shared->hints,
	                                 .object = semaphore->reference.offset,
	                                 .is_ready = may_have_permit,
	                                 .context = shared,
	                                 .deadline = timeout <= 0 ? 0 : tutti__deadline(timeout),
	                                 .tick = TICK};
	tutti_err err, waited = timeout <= 0 ? TUTTI_EBUSY : TUTTI_OK;
	bool taken, has_waited = false, has_looked = false;
	while ((err = try_take(semaphore, id, waiting.deadline, &taken)) == TUTTI_OK && !taken) {
		if (!has_looked) {
			tutti__permits_look_for_dead(waiting.arena, &shared->permits, id);
			has_looked = true;
			continue;
		}
		if (waited)
			return fail_none(semaphore, waited);
		waited = tutti__wait_at(&waiting, &shared->point);
		if (waited == TUTTI_EINTR)
			return fail_none(semaphore, waited);
		has_waited = true;
		has_looked = waited == TUTTI_OK;
	}
	if (has_waited)
		pass_on(shared);
	return err;
}

tutti_err tutti_semaphore_acquire(tutti_semaphore *semaphore, tutti_time timeout)
{
	tutti_err err;
	uint32_t id = tutti__use(&semaphore->reference, &err);
	if (unlikely(id == 0))
		return err;
	uint32_t number = known_share(semaphore, id);
	if (likely(number && tutti__permits_change(&shared_of(semaphore)->permits, number, -1)))
		return TUTTI_OK;
	return acquire_slow(semaphore, id, timeout);
}

static tutti_err release_slow(tutti_semaphore *semaphore, uint32_t id, uint32_t count)
{
	uint32_t number;
	bool done;
	struct semaphore *shared = shared_of(semaphore);
	if (count == 0)
		return tutti__fail(TUTTI_EINVAL, "releasing 0 permits of semaphore \"%s\" means nothing: 1 or more.",
		                   shared->object.name);
	tutti_err err = find_share(semaphore, id, INT64_MAX, &number);
	if (!err)
		err = tutti__permits_change_slow(semaphore->reference.arena, &shared->permits, number, id, count, INT64_MAX,
		                                 &done);
	if (err || done)
		return err;
	return tutti__fail(TUTTI_EBOUND,
	                   "releasing %u permits of semaphore \"%s\" would make %llu: more than the %u allowed.", count,
	                   shared->object.name, (unsigned long long)tutti__permits_value(&shared->permits) + count,
	                   shared->permits.max);
}

tutti_err tutti_semaphore_release(tutti_semaphore *semaphore, uint32_t count)
{
	tutti_err err;
	struct semaphore *shared = shared_of(semaphore);
	uint32_t id = tutti__use(&semaphore->reference, &err);
	if (unlikely(id == 0))
		return err;
	tutti__wait_stamp(&shared->point);
	uint32_t number = known_share(semaphore, id);
	if (unlikely(!number || count - 1 >= TUTTI__PERMIT_PENDING_MAX ||
	             !tutti__permits_change(&shared->permits, number, count))) {
		err = release_slow(semaphore, id, count);
		if (err)
			return err;
	}
	fence_after_rmw();
	tutti__wake_one(&shared->point, &shared->hints);
	tutti__ring(semaphore->reference.arena, &shared->object.pollable);
	return TUTTI_OK;
}

tutti_err tutti_semaphore_abandon(tutti_semaphore *semaphore)
{
	tutti_err err;
	uint32_t number;
	struct semaphore *shared = shared_of(semaphore);
	uint32_t id = tutti__use(&semaphore->reference, &err);
	if (id == 0 || (err = find_share(semaphore, id, INT64_MAX, &number)) != TUTTI_OK)
		return err;
	if (load_relaxed(&shared->permits.gone_pid) == 0) /* else it goes on telling of the one who was killed */
		store_relaxed(&shared->permits.gone_pid, (uint32_t)getpid());
	err = tutti__permits_abandon(semaphore->reference.arena, &shared->permits, number, id);
	if (err == TUTTI_EPERM)
		return tutti__fail(err, "this process has no permit of semaphore \"%s\" to abandon.", shared->object.name);
	if (err)
		return err;
	tutti__wait_stamp(&shared->point);
	fence_seq_cst(); /* it is there, then the look who waits or polls */
	tutti__wake_one(&shared->point, &shared->hints);
	tutti__ring(semaphore->reference.arena, &shared->object.pollable);
	return TUTTI_OK;
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner;
	struct semaphore *shared = tutti__at(arena, offset);
	tutti__permits_recover(arena, &shared->permits, dead, clean);
	/* It may have died between its release and the wake, or had what others wait for. */
	fence_seq_cst(); /* what it left is there, then the look who waits or polls */
	tutti__wake_all(&shared->point);
	tutti__ring(arena, &shared->object.pollable);
}

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_semaphore *semaphore = handle;
	struct semaphore *shared = shared_of(semaphore);
	*watch = (struct tutti__watch){&shared->object.pollable, may_have_permit, shared, &semaphore->polls};
	return TUTTI_OK;
}

tutti_err tutti_semaphore_fd(tutti_semaphore *semaphore, int *fd)
{
	return tutti__handle_fd(&semaphore->reference, fd);
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	tutti__shares_destroy(arena, &((struct semaphore *)tutti__at(arena, offset))->permits.shares);
}

bool tutti__semaphore_is_valid(tutti_arena *arena, uint64_t offset, void (*reach)(void *context, uint64_t offset),
                               void *context)
{
	struct semaphore *shared = tutti__at(arena, offset);
	return tutti__shares_are_valid(arena, &shared->permits.shares, reach, context) &&
	       tutti__permits_are_valid(arena, &shared->permits);
}

const struct tutti__kind tutti__semaphore_kind = {.name = "semaphore",
                                                  .is_object = true,
                                                  .recover = recover,
                                                  .destroy = destroy,
                                                  .watch = watch};
