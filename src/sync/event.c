/* SPDX-License-Identifier: MIT */
/*
 * The event. One word: SET, and WAITERS if somebody may sleep on it. Setting, clearing
 * and marking are one atomic operation each, so a death leaves nothing to repair; one
 * between the setting store and the wake or the ring costs who waits or polls one tick.
 */
#include <limits.h>
#include <stdlib.h>

#include <tutti/event.h>

#include "arena/arena.h"
#include "arena/object.h"
#include "arena/poller.h"
#include "arena/wait.h"
#include "sync/handle.h"
#include "sync/kinds.h"

enum { SET = 1, WAITERS = 2 };

struct event {
	struct tutti__object object;
	atomic_u32 word;
	atomic_u32 partner; /* stamp of who set it last */
	struct tutti__wait_hints hints;
};

struct tutti_event {
	struct tutti__reference reference;
	struct event *shared;
	struct tutti__patience patience;
	struct tutti__poll_list polls;
};

static tutti_err new_handle(tutti_event **result)
{
	*result = calloc(1, sizeof **result);
	return *result ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for an event handle");
}

tutti_err tutti_event_open(tutti_event **result, const tutti_event_options *options)
{
	static const tutti_event_options defaults;
	options = options ? options : &defaults;
	tutti_arena *arena;
	struct tutti__object *object;
	tutti_event *event;
	tutti_err err = tutti__arena_or_default(options->arena, &arena);
	if (!err)
		err = new_handle(&event);
	if (err)
		return err;
	err = tutti__object_create(arena, TUTTI__KIND_EVENT, sizeof(struct event), options->name, &object);
	if (err) {
		free(event);
		return err;
	}
	event->shared = (struct event *)object;
	tutti__object_publish(arena, TUTTI__KIND_EVENT, object, &event->reference);
	*result = event;
	return TUTTI_OK;
}

tutti_err tutti_event_at(tutti_event **result, tutti_arena *given, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_event *event;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (!err)
		err = new_handle(&event);
	if (err)
		return err;
	err = tutti__reference_open(&event->reference, arena, TUTTI__KIND_EVENT, handle);
	if (err) {
		free(event);
		return err;
	}
	event->shared = (struct event *)event->reference.object;
	*result = event;
	return TUTTI_OK;
}

void tutti_event_close(tutti_event *event)
{
	if (!event)
		return;
	tutti__poll_list_close(&event->polls);
	tutti__reference_close(&event->reference);
	free(event);
}

tutti_handle tutti_event_handle(const tutti_event *event) { return tutti__reference_handle(&event->reference); }

/* Any thread, any signal handler: atomic operations and futex calls, no lock. */
tutti_err tutti_event_set(tutti_event *event)
{
	tutti_err err;
	if (tutti__use(&event->reference, &err) == 0)
		return err;
	tutti__stamp_partner(&event->shared->partner);
	/* Release: what the setter wrote before is visible to whoever sees SET. */
	if (exchange_acq_rel(&event->shared->word, SET) & WAITERS)
		tutti__os.futex_wake(&event->shared->word, INT_MAX);
	fence_after_rmw(); /* set, then look who polls: station.h */
	tutti__ring(event->reference.arena, &event->shared->object.pollable);
	return TUTTI_OK;
}

tutti_err tutti_event_clear(tutti_event *event)
{
	tutti_err err;
	if (tutti__use(&event->reference, &err) == 0)
		return err;
	cas_u32(&event->shared->word, SET, 0);
	tutti__poll_refresh(&event->polls);
	return TUTTI_OK;
}

bool tutti_event_is_set(const tutti_event *event) { return load_acquire(&event->shared->word) & SET; }

static bool is_set(void *context) { return load_acquire(&((struct event *)context)->word) & SET; }

tutti_err tutti_event_wait(tutti_event *event, tutti_time timeout)
{
	tutti_err err;
	struct event *shared = event->shared;
	if (tutti__use(&event->reference, &err) == 0)
		return err;
	if (is_set(shared))
		return TUTTI_OK;
	struct tutti__waiting waiting = {.arena = event->reference.arena,
	                                 .patience = &event->patience,
	                                 .hints = &shared->hints,
	                                 .object = event->reference.offset,
	                                 .is_ready = is_set,
	                                 .context = shared,
	                                 .deadline = tutti__deadline(timeout)};
	err = TUTTI_OK;
	while (!err && !(timeout > 0 && tutti__wait_spin(&waiting, &shared->partner))) {
		uint32_t word = load_acquire(&shared->word);
		if (word & SET)
			return TUTTI_OK;
		/* Mark, then sleep only while it is marked and not set. */
		if (word == WAITERS || cas_u32(&shared->word, 0, WAITERS))
			err = tutti__wait_sleep(&waiting, &shared->word, WAITERS);
	}
	if (err == TUTTI_ETIMEDOUT)
		tutti__poll_refresh(&event->polls);
	if (err == TUTTI_ETIMEDOUT)
		return tutti__fail(err, "event \"%s\" was not set in time.", shared->object.name);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting for event \"%s\". Wait again.",
		                   shared->object.name);
	return TUTTI_OK;
}

static tutti_err watch_event(void *handle, struct tutti__watch *watch)
{
	tutti_event *event = handle;
	*watch = (struct tutti__watch){&event->shared->object.pollable, is_set, event->shared, &event->polls};
	return TUTTI_OK;
}

tutti_err tutti_event_fd(tutti_event *event, int *fd) { return tutti__handle_fd(&event->reference, fd); }

const struct tutti__kind tutti__event_kind = {.name = "event", .is_object = true, .watch = watch_event};
