/* SPDX-License-Identifier: MIT */
/*
 * The next ready thing of a wait set.
 *
 * One pass: what was rung goes to the end of the ready list; then the first of the list that is still
 * ready is reported and goes to its end, so that all have their turn; one that is not
 * ready any more is armed again. Each look at something not ready was preceded by a report of it or
 * a ring, so a pass costs the same whatever the number of members. Descriptors have one place on
 * the list together; at their turn the kernel says which are ready.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "channel/waitset.h"

enum { EVENTS = 64, SCAN_EVERY = 64 /* calls that find something between looks at the clock */ };

/* With the poller's mutex: what the kernel said of descriptors. */
static void absorb(tutti_waitset *set, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t fd = events[i].data.u64;
		if (fd == TUTTI__WAITSET_MARK || fd >= set->fd_room || !set->by_fd[fd])
			continue;
		set->by_fd[fd]->item.ready = (short)events[i].events;
		tutti__waitset_link(set, set->by_fd[fd]);
	}
}

/* The descriptors' turn. False if there is nothing else on the list, and none of them is ready. */
static bool take_turn(tutti_waitset *set)
{
	struct epoll_event events[EVENTS];
	absorb(set, events, epoll_wait(set->epoll, events, EVENTS, 0));
	tutti__waitset_link(set, &set->turn);
	return set->ready_count > 0;
}

/* With the poller's mutex. */
static bool take_ready(tutti_waitset *set, tutti_wait_item *ready)
{
	while (set->ready.next != &set->ready) {
		struct tutti__wait_entry *entry = set->ready.next;
		tutti__waitset_unlink(set, entry);
		if (entry == &set->turn) {
			if (!take_turn(set))
				return false;
			continue;
		}
		*ready = entry->item;
		if (tutti__wait_item_is_descriptor(&entry->item))
			return true; /* if it stays ready, the kernel says so at the next turn */
		if (entry->source.watch.is_ready(entry->source.watch.context)) {
			tutti__waitset_link(set, entry);
			ready->ready = POLLIN;
			return true;
		}
		entry->source.is_lit = false;
		tutti__poll_source_check(&entry->source);
	}
	return false;
}

/* With the poller's mutex. */
static bool look(tutti_waitset *set, tutti_wait_item *ready)
{
	tutti__poller_collect(&set->poller);
	if (++set->calls % SCAN_EVERY == 0)
		tutti__poller_scan_if_due(&set->poller);
	if (take_ready(set, ready))
		return true;
	/* Nothing: it may be that somebody was killed before the ring. */
	tutti__poller_scan_if_due(&set->poller);
	return set->ready_count > 0 && take_ready(set, ready);
}

bool tutti__waitset_is_ready(void *context)
{
	tutti_waitset *set = context;
	if (load_acquire(&set->poller.station->lines))
		return true;
	pthread_mutex_lock(&set->poller.mutex);
	tutti__poller_scan_if_due(&set->poller);
	bool ready = set->ready_count > 0;
	pthread_mutex_unlock(&set->poller.mutex);
	return ready;
}

static bool is_rung(void *context) { return load_acquire(&((tutti_waitset *)context)->poller.station->lines) != 0; }

/* Milliseconds until the deadline, rounded up; at most a tick if a ring may be lost meanwhile. */
static int milliseconds_left(int64_t deadline, bool has_objects)
{
	int64_t now = tutti__os.clock_now();
	int64_t left = deadline <= now ? 0 : deadline - now;
	int64_t longest = has_objects ? TUTTI__IDLE_TICK : 60LL * 1000000000;
	return (int)((left < longest ? left + 999999 : longest) / 1000000);
}

static tutti_err wait_for_descriptors(tutti_waitset *set, const struct tutti__waiting *waiting, bool has_objects)
{
	struct epoll_event events[EVENTS];
	if (has_objects && tutti__wait_spin(waiting, &set->poller.station->point.partner))
		return TUTTI_OK;
	tutti__poll_refresh(&set->self); /* the helper lights its descriptor from now on */
	struct tutti__sleep sleep = tutti__sleep_begin();
	int count = epoll_wait(set->epoll, events, EVENTS, milliseconds_left(waiting->deadline, has_objects));
	tutti__sleep_end(sleep);
	if (count < 0)
		return errno == EINTR ? TUTTI_EINTR : tutti__fail_system(errno, "cannot wait for descriptors");
	if (count == 0) {
		tutti__look_after_the_dead(waiting->arena);
		return tutti__os.clock_now() >= waiting->deadline ? TUTTI_ETIMEDOUT : TUTTI_OK;
	}
	pthread_mutex_lock(&set->poller.mutex);
	absorb(set, events, count);
	pthread_mutex_unlock(&set->poller.mutex);
	return TUTTI_OK;
}

/* What must be known of the set while its mutex is free. */
struct shape {
	bool has_objects, has_descriptors;
};

static tutti_err wait_for_any(tutti_waitset *set, struct shape shape, int64_t deadline)
{
	struct tutti__station *station = set->poller.station;
	struct tutti__waiting waiting = {.arena = set->poller.arena,
	                                 .patience = &set->patience,
	                                 .hints = &station->hints,
	                                 .object = tutti__offset(set->poller.arena, station),
	                                 .is_ready = is_rung,
	                                 .context = set,
	                                 .deadline = deadline};
	if (shape.has_descriptors)
		return wait_for_descriptors(set, &waiting, shape.has_objects);
	return tutti__wait_at(&waiting, &station->point);
}

/* One look. If it finds nothing the caller goes to sleep, and is counted. */
static bool look_once(tutti_waitset *set, tutti_wait_item *ready, bool was_asleep, struct shape *shape)
{
	pthread_mutex_lock(&set->poller.mutex);
	set->sleepers -= was_asleep;
	bool found = look(set, ready);
	set->sleepers += !found;
	/* One ring may have stood for several things: the others that wait look too. */
	bool is_for_others = found && set->sleepers > 0 && set->ready_count > 0;
	*shape = (struct shape){set->poller.source_count > 0, set->descriptor_count > 0};
	pthread_mutex_unlock(&set->poller.mutex);
	if (is_for_others)
		tutti__station_poke(set->poller.arena, set->poller.station);
	return found;
}

static tutti_err give_up(tutti_waitset *set, tutti_err err, tutti_time timeout)
{
	pthread_mutex_lock(&set->poller.mutex);
	set->sleepers--;
	pthread_mutex_unlock(&set->poller.mutex);
	tutti__poll_refresh(&set->self);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting in a wait set. Wait again.");
	if (err == TUTTI_ETIMEDOUT && timeout > 0)
		return tutti__fail(err, "none of the %zu things in the wait set was ready in time.", tutti_waitset_count(set));
	return err == TUTTI_ETIMEDOUT ? tutti__fail_plain(err, "nothing in the wait set is ready.") : err;
}

tutti_err tutti_waitset_next(tutti_waitset *set, tutti_wait_item *ready, tutti_time timeout)
{
	tutti_err err = tutti__waitset_check_own(set);
	if (err)
		return err;
	int64_t deadline = timeout <= 0 ? 0 : tutti__deadline(timeout);
	bool was_asleep = false;
	struct shape shape;
	while (!look_once(set, ready, was_asleep, &shape)) {
		if (timeout <= 0 && !err)
			err = TUTTI_ETIMEDOUT;
		if (err)
			return give_up(set, err, timeout);
		/* After its end one more look: a ring may have come last. */
		err = wait_for_any(set, shape, deadline);
		was_asleep = true;
	}
	tutti__poll_refresh(&set->self); /* a foreign loop must see that there is more */
	return TUTTI_OK;
}
