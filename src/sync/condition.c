/* SPDX-License-Identifier: MIT */
/*
 * The condition: a roster of those who wait (roster.h), in the order in which they came.
 *
 * state of an entry: 0 idle | arrival << 2 + WAITING, ASLEEP or WOKEN.
 *   WAITING -> ASLEEP   by the waiter, before it sleeps: only then a notifier makes a system call
 *   -> WOKEN            by a notifier: this CAS is the notification; then it wakes the word
 *   -> 0                by the waiter that returns, notified or not; when it waits with a lock, once it holds that
 * The arrival is taken from a counter: the oldest waiter is notified first, and a ticket
 * (entry and arrival) that is stale names nothing. Nobody is counted.
 *
 * What a death leaves: an entry with the dead id. WAITING is dropped. WOKEN was a
 * notification that reached nobody: it is passed on to the next. A recoverer killed between
 * passing on and releasing the entry has a successor that passes on again: a waiter may then
 * wake without a notification, never the other way round. A notifier killed between the CAS
 * and the wake costs the waiter one tick.
 */
#include <tutti/lock.h>

#include "arena/wait.h"
#include "sync/condition.h"
#include "sync/handle.h"
#include "sync/kinds.h"
#include "sync/roster.h"
#include "os/seeded_bug.h"

enum { WAITING = 1, ASLEEP = 2, WOKEN = 3, STATUS_MASK = 3, ONE_ARRIVAL = 4 };

struct condition {
	struct tutti__object object;
	struct tutti__roster roster;
	alignas(64) atomic_u32 arrivals; /* of the last that came, << 2; not on the line that each walk ends at */
	struct tutti__wait_hints hints;
};

struct tutti_condition {
	struct tutti__reference reference;
	struct condition *shared;
	struct tutti__patience patience;
	atomic_u32 partner; /* stamp of who woke a waiter of this process last */
	struct tutti__roster_polls polls;
};

/* One wait. */
struct wait {
	struct tutti__entry *entry;
	uint32_t arrival; /* << 2 */
};

static bool is_unnotified(uint32_t state)
{
	return (state & STATUS_MASK) == WAITING || (state & STATUS_MASK) == ASLEEP;
}

static bool was_notified(uint32_t state) { return (state & STATUS_MASK) == WOKEN; }

static tutti_condition *begin(struct tutti__reference *reference)
{
	tutti_condition *condition = (tutti_condition *)reference;
	condition->shared = (struct condition *)reference->object;
	condition->polls.arena = reference->arena;
	condition->polls.roster = &condition->shared->roster;
	condition->polls.is_over = was_notified;
	return condition;
}

tutti_err tutti_condition_open(tutti_condition **condition, const tutti_condition_options *options)
{
	static const tutti_condition_options defaults;
	struct tutti__reference *made = NULL;
	options = options ? options : &defaults;
	tutti_err err = tutti__handle_make(options->arena, TUTTI__KIND_CONDITION, sizeof **condition,
	                                   sizeof(struct condition), options->name, &made);
	if (err)
		return err;
	*condition = begin(made);
	tutti__handle_publish(made);
	return TUTTI_OK;
}

tutti_err tutti_condition_at(tutti_condition **condition, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found = NULL;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_CONDITION, sizeof **condition, handle, &found);
	if (err)
		return err;
	*condition = begin(found);
	return TUTTI_OK;
}

void tutti_condition_close(tutti_condition *condition)
{
	if (!condition)
		return;
	tutti__poll_list_close(&condition->polls.list);
	tutti__handle_close(&condition->reference);
}

tutti_handle tutti_condition_handle(const tutti_condition *condition)
{
	return tutti__reference_handle(&condition->reference);
}

/*
 * Notifies one entry. False: it was notified or given up meanwhile. A sleeper that the wake did not find is
 * awake by now, or dead: then its recovery passes the notification on, here and now if the caller may recover.
 */
static bool notify_entry(tutti_arena *arena, struct tutti__entry *entry, bool may_recover)
{
	uint32_t state = load_acquire(&entry->state);
	if (is_unnotified(state))
		tutti__stamp_partner(&entry->partner);
	while (is_unnotified(state)) {
		/* Release: what the notifier wrote before is visible to who finds WOKEN. Pairs with is_over. */
		if (!cas_u32(&entry->state, state, state | WOKEN)) {
			state = load_acquire(&entry->state);
			continue;
		}
		uint32_t member = load_relaxed(&entry->member); /* relaxed: only asked whether it lives */
		if ((state & STATUS_MASK) == ASLEEP && tutti__os.futex_wake(&entry->state, 1) == 0 && may_recover && member)
			tutti__recover_if_dead(arena, member);
		return true;
	}
	return false;
}

/*
 * Who comes next writes the counter. Who is about to wait has the lock, for which others wait meanwhile, so the line
 * is asked for as early as can be: by a notifier already, for it mostly waits then. (Measured between two Python
 * processes: a quarter less for a round trip.)
 */
static void prefetch_arrivals(struct condition *shared)
{
	const unsigned char *line = (const unsigned char *)&shared->arrivals;
	prefetch_to_write(line, line + 1);
}

/* Their difference counts: arrivals wrap, and no two that wait are half of all numbers apart. */
static bool came_before(uint32_t state, uint32_t other)
{
	return (int32_t)((state & ~STATUS_MASK) - (other & ~STATUS_MASK)) < 0;
}

/* The one that waits longest; NULL: nobody waits. The counter is not looked at: its line is that of who comes. */
static struct tutti__entry *first_waiting(tutti_arena *arena, struct condition *shared)
{
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	struct tutti__entry *first = NULL;
	uint32_t oldest = 0;
	/* One of them is mostly written next: its line comes once, not first to be read and then to be written. */
	const unsigned char *entries = (const unsigned char *)shared->roster.entries;
	prefetch_to_write(entries, entries + sizeof shared->roster.entries);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;) {
		uint32_t state = load_acquire(&entry->state);
		if (is_unnotified(state) && (!first || came_before(state, oldest))) {
			first = entry;
			oldest = state;
		}
	}
	return first;
}

static uint32_t notify_first(tutti_arena *arena, struct condition *shared, uint32_t count, bool may_recover)
{
	uint32_t done = 0;
	for (struct tutti__entry *entry; done < count && (entry = first_waiting(arena, shared)) != NULL;)
		done += notify_entry(arena, entry, may_recover);
	return done;
}

/* Each entry once, so that those who come back meanwhile do not keep it going. */
static uint32_t notify_all(tutti_arena *arena, struct condition *shared)
{
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	uint32_t done = 0;
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;)
		done += notify_entry(arena, entry, true);
	return done;
}

/* Those who poll for a notification look. After the CAS that was it, and for a recovery. */
static void ring(tutti_arena *arena, struct condition *shared)
{
	fence_after_rmw();
	tutti__ring(arena, &shared->object.pollable);
}

tutti_err tutti_condition_notify(tutti_condition *condition, uint32_t count, uint32_t *notified)
{
	tutti_err err;
	struct condition *shared = condition->shared;
	tutti_arena *arena = condition->reference.arena;
	if (tutti__use(&condition->reference, &err) == 0)
		return err;
	prefetch_arrivals(shared);
	uint32_t done = count == UINT32_MAX ? notify_all(arena, shared) : notify_first(arena, shared, count, true);
	ring(arena, shared);
	if (notified)
		*notified = done;
	return TUTTI_OK;
}

uint32_t tutti_condition_waiters(const tutti_condition *condition)
{
	struct tutti__roster_walk walk = tutti__roster_walk(condition->reference.arena, &condition->shared->roster);
	uint32_t count = 0;
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;)
		count += is_unnotified(load_relaxed(&entry->state));
	return count;
}

uint32_t tutti__condition_pending(const tutti_condition *condition)
{
	struct tutti__roster_walk walk = tutti__roster_walk(condition->reference.arena, &condition->shared->roster);
	uint32_t count = 0;
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;)
		count += (load_relaxed(&entry->state) & STATUS_MASK) == WOKEN;
	return count;
}

static tutti_err enlist(tutti_condition *condition, uint32_t id, struct wait *wait, uint32_t *number)
{
	struct condition *shared = condition->shared;
	prefetch_arrivals(shared);
	tutti_err err = tutti__roster_claim(condition->reference.arena, &shared->roster, id, number, &wait->entry);
	if (err)
		return err;
	wait->arrival = fetch_add_relaxed(&shared->arrivals, ONE_ARRIVAL) + ONE_ARRIVAL;
	/* Release: with the lock's release it comes before the look of who takes the lock and notifies. */
	store_release(&wait->entry->state, wait->arrival | WAITING);
	return TUTTI_OK;
}

/* Gives a wait up. True if it had been notified; the entry is free afterwards. */
static bool leave(const struct wait *wait)
{
	for (;;) {
		uint32_t state = load_acquire(&wait->entry->state);
		if ((state & ~STATUS_MASK) != wait->arrival || (state & STATUS_MASK) == 0)
			return false; /* given up by another thread */
		if (!cas_u32(&wait->entry->state, state, 0))
			continue;
		if ((state & STATUS_MASK) == ASLEEP)
			tutti__os.futex_wake(&wait->entry->state, 1); /* another thread of this member */
		tutti__roster_release(wait->entry);
		return (state & STATUS_MASK) == WOKEN;
	}
}

/* Notified, or given up by another thread. */
static bool is_over(void *context)
{
	const struct wait *wait = context;
	uint32_t state = load_acquire(&wait->entry->state);
	return state != (wait->arrival | WAITING) && state != (wait->arrival | ASLEEP);
}

/* Waits until it is over. On an error it may be over all the same: the caller leaves, and looks. */
static tutti_err await(tutti_condition *condition, struct wait *wait, tutti_time timeout)
{
	struct condition *shared = condition->shared;
	struct tutti__waiting waiting = {.arena = condition->reference.arena,
	                                 .patience = &condition->patience,
	                                 .hints = &shared->hints,
	                                 .object = condition->reference.offset,
	                                 .is_ready = is_over,
	                                 .context = wait,
	                                 .deadline = tutti__deadline(timeout)};
	uint32_t asleep = wait->arrival | ASLEEP;
	tutti_err err = TUTTI_OK;
	while (!err && !is_over(wait)) {
		if (timeout <= 0)
			return TUTTI_ETIMEDOUT; /* not marked as asleep: a notifier would wake nobody, and look after a dead one */
		if (tutti__wait_spin(&waiting, &condition->partner))
			return TUTTI_OK; /* the partner is where it was: its line is left alone */
		if (cas_u32(&wait->entry->state, wait->arrival | WAITING, asleep) || !is_over(wait))
			err = tutti__wait_sleep(&waiting, &wait->entry->state, asleep);
	}
	if (!err)
		tutti__note_partner(&condition->partner, &wait->entry->partner);
	return err;
}

static tutti_err explain(const tutti_condition *condition, tutti_err err)
{
	const char *name = condition->shared->object.name;
	if (err == TUTTI_ETIMEDOUT)
		return tutti__fail(err, "condition \"%s\" was not notified in time.", name);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting for condition \"%s\". Look, and wait again.", name);
	if (err == TUTTI_ECANCELLED)
		return tutti__fail(err, "another thread gave up this ticket of condition \"%s\".", name);
	return err;
}

tutti_err tutti__condition_wait_with(tutti_condition *condition, struct tutti__guard *guard, tutti_time timeout)
{
	struct wait wait;
	tutti_err err;
	uint32_t id = tutti__use(&condition->reference, &err);
	if (id == 0)
		return err;
	if (!guard->is_held(guard))
		return tutti__fail(TUTTI_EPERM, "condition \"%s\": the lock is not held. Acquire it, then wait.",
		                   condition->shared->object.name);
	err = enlist(condition, id, &wait, NULL);
	if (err)
		return err;
	err = guard->release(guard);
	if (err) {
		if (leave(&wait)) /* meant for one that waits */
			tutti_condition_notify(condition, 1, NULL);
		return err;
	}
	tutti_err waited = await(condition, &wait, timeout);
	if (TUTTI__BUG(29) && leave(&wait))
		waited = TUTTI_OK;
	tutti_err locked = guard->acquire(guard);
	/* Only now, also after a time-out: a waiter killed without the lock has not acted on its notification. */
	if (!TUTTI__BUG(29) && leave(&wait))
		waited = TUTTI_OK;
	return locked ? locked : explain(condition, waited);
}

static bool lock_is_held(const struct tutti__guard *guard) { return tutti_lock_is_mine(guard->lock); }
static tutti_err release_lock(struct tutti__guard *guard) { return tutti_lock_release(guard->lock); }
static tutti_err acquire_lock(struct tutti__guard *guard) { return tutti_lock_acquire(guard->lock, TUTTI_FOREVER); }

static struct tutti__guard guard_of(tutti_lock *lock)
{
	return (
		struct tutti__guard){.lock = lock, .is_held = lock_is_held, .release = release_lock, .acquire = acquire_lock};
}

tutti_err tutti_condition_wait(tutti_condition *condition, struct tutti_lock *lock, tutti_time timeout)
{
	struct tutti__guard guard = guard_of(lock);
	return tutti__condition_wait_with(condition, &guard, timeout);
}

tutti_err tutti_condition_wait_for(tutti_condition *condition, struct tutti_lock *lock,
                                   bool (*predicate)(void *context), void *context, tutti_time timeout)
{
	struct tutti__guard guard = guard_of(lock);
	int64_t deadline = tutti__deadline(timeout);
	tutti_err err = TUTTI_OK;
	if (!guard.is_held(&guard))
		return tutti__condition_wait_with(condition, &guard, timeout); /* TUTTI_EPERM */
	while (!predicate(context)) {
		if (err) /* timed out, and looked once more */
			return explain(condition, err);
		if (deadline != INT64_MAX)
			timeout = deadline - tutti__os.clock_now();
		err = tutti__condition_wait_with(condition, &guard, timeout > 0 ? timeout : 0);
		if (err && err != TUTTI_ETIMEDOUT)
			return err;
	}
	return TUTTI_OK;
}

tutti_err tutti_condition_enlist(tutti_condition *condition, uint64_t *ticket)
{
	struct wait wait;
	tutti_err err;
	uint32_t number, id = tutti__use(&condition->reference, &err);
	if (id == 0)
		return err;
	err = enlist(condition, id, &wait, &number);
	if (!err)
		*ticket = ((uint64_t)number + 1) << 32 | wait.arrival;
	return err;
}

/* Any number may come: one that names no wait of this member gives false. */
static bool find_wait(tutti_condition *condition, uint64_t ticket, uint32_t id, struct wait *wait)
{
	if (ticket >> 32 == 0)
		return false;
	wait->entry =
		tutti__roster_at(condition->reference.arena, &condition->shared->roster, (uint32_t)(ticket >> 32) - 1);
	wait->arrival = (uint32_t)ticket;
	if (!wait->entry || (wait->arrival & STATUS_MASK) || load_acquire(&wait->entry->member) != id)
		return false;
	uint32_t state = load_acquire(&wait->entry->state);
	return (state & STATUS_MASK) && (state & ~STATUS_MASK) == wait->arrival;
}

/* The wait of a ticket, which stays enlisted. */
static tutti_err look_up(tutti_condition *condition, uint64_t ticket, struct wait *wait)
{
	tutti_err err;
	uint32_t id = tutti__use(&condition->reference, &err);
	if (id == 0)
		return err;
	if (!find_wait(condition, ticket, id, wait))
		return tutti__fail(TUTTI_EINVAL,
		                   "condition \"%s\": this ticket is not, or no longer, one of this member. Enlist for each "
		                   "sleep.",
		                   condition->shared->object.name);
	return TUTTI_OK;
}

tutti_err tutti_condition_await(tutti_condition *condition, uint64_t ticket, tutti_time timeout)
{
	struct wait wait;
	tutti_err err = look_up(condition, ticket, &wait);
	if (err)
		return err;
	err = await(condition, &wait, timeout);
	if (err == TUTTI_OK || ((err == TUTTI_ETIMEDOUT || err == TUTTI_EINTR) && is_over(&wait)))
		err = load_acquire(&wait.entry->state) == (wait.arrival | WOKEN) ? TUTTI_OK : TUTTI_ECANCELLED;
	tutti__roster_looked(&condition->polls, wait.entry, err == TUTTI_OK);
	return explain(condition, err);
}

tutti_err tutti_condition_sleep(tutti_condition *condition, uint64_t ticket, tutti_time timeout)
{
	struct wait wait;
	tutti_err err = look_up(condition, ticket, &wait);
	if (err)
		return err;
	err = await(condition, &wait, timeout); /* on an error it may have been notified all the same */
	if (err && err != TUTTI_ETIMEDOUT && err != TUTTI_EINTR)
		return err;
	if (leave(&wait))
		return TUTTI_OK;
	return explain(condition, err ? err : TUTTI_ECANCELLED);
}

tutti_err tutti_condition_fd(tutti_condition *condition, uint64_t ticket, int *fd)
{
	struct wait wait;
	*fd = -1;
	tutti_err err = look_up(condition, ticket, &wait);
	return err ? err : tutti__roster_fd(&condition->reference, &condition->polls, wait.entry, fd);
}

bool tutti_condition_leave(tutti_condition *condition, uint64_t ticket)
{
	struct wait wait;
	tutti_err err;
	uint32_t id = tutti__use(&condition->reference, &err);
	return id && find_wait(condition, ticket, id, &wait) && leave(&wait);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner, (void)clean; /* one that ended cleanly acts on no notification either */
	struct condition *shared = tutti__at(arena, offset);
	tutti__roster_recover(arena, &shared->roster, dead);
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;) {
		if (load_acquire(&entry->member) != dead)
			continue;
		uint32_t state = load_acquire(&entry->state);
		while (is_unnotified(state) && !cas_u32(&entry->state, state, 0))
			state = load_acquire(&entry->state);
		if ((state & STATUS_MASK) == WOKEN && !TUTTI__BUG(28))
			notify_first(arena, shared, 1, false);
		tutti__roster_release(entry);
	}
	ring(arena, shared); /* also for what it had notified itself */
}

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_condition *condition = handle;
	*watch = (struct tutti__watch){&condition->shared->object.pollable, tutti__roster_has_news, &condition->polls,
	                               &condition->polls.list};
	return TUTTI_OK;
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	tutti__roster_destroy(arena, &((struct condition *)tutti__at(arena, offset))->roster);
}

bool tutti__condition_is_valid(tutti_arena *arena, uint64_t offset, void (*visit)(void *context, uint64_t block),
                               void *context)
{
	return tutti__roster_is_valid(arena, &((struct condition *)tutti__at(arena, offset))->roster, visit, context);
}

const struct tutti__kind tutti__condition_kind = {.name = "condition",
                                                  .is_object = true,
                                                  .recover = recover,
                                                  .destroy = destroy,
                                                  .watch = watch};
