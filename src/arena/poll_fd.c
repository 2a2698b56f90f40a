/* SPDX-License-Identifier: MIT */
/*
 * The descriptor of an object, for foreign event loops.
 *
 * It is an eventfd of the polling process alone: nothing has to cross to who makes the
 * object ready, who may have been spawned and knows no descriptor of ours. A helper thread of the
 * polling process sleeps at a station (station.h) and lights the eventfds of the objects that
 * are rung. Who finds an object not ready puts its eventfd out and arms the bell again; the
 * helper does so too, each 250 ms. Pollers never read it, so none is lost between two of them.
 *
 * While an eventfd is lit, no bell is armed for it and no put pays a system call.
 *
 * Fork: the child has no helper, and the parent's eventfds say nothing about its own handles. They are closed there,
 * and it makes one of its own when it first asks for a descriptor.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arena/poller.h"

/* One for each member that asked for a descriptor. */
struct helper {
	struct tutti__poller poller;
	pthread_t thread;
	atomic_bool stop;
	struct helper *next;
	struct tutti__poll_descriptor *descriptors; /* guarded by tutti__poll_mutex */
};

struct tutti__poll_descriptor {
	struct tutti__poll_source source;
	struct helper *helper;
	int fd;
	struct tutti__poll_descriptor *next, **link; /* in the helper's list */
};

static struct helper *helpers; /* guarded by tutti__poll_mutex */

/* In the child: the helpers that the parent has. Their threads are not here; handles still lead to their memory. */
static void forget_helpers(void)
{
	for (; helpers; helpers = helpers->next)
		for (struct tutti__poll_descriptor *descriptor = helpers->descriptors; descriptor;
		     descriptor = descriptor->next)
			close(descriptor->fd);
}

static void prepare_fork(void) { pthread_atfork(NULL, NULL, forget_helpers); }

static void light(struct tutti__poll_source *source)
{
	uint64_t one = 1;
	struct tutti__poll_descriptor *descriptor = (struct tutti__poll_descriptor *)source;
	source->is_lit = write(descriptor->fd, &one, sizeof one) == (ssize_t)sizeof one;
}

/* With the helper's mutex. */
static void refresh(struct tutti__poll_descriptor *descriptor)
{
	struct tutti__poll_source *source = &descriptor->source;
	uint64_t count;
	if (source->is_lit && !source->watch.is_ready(source->watch.context))
		source->is_lit = read(descriptor->fd, &count, sizeof count) < 0 && errno != EAGAIN;
	tutti__poll_source_check(source);
}

static void refresh_all(struct helper *helper)
{
	struct tutti__poller *poller = &helper->poller;
	tutti__poller_scan(poller);
	for (size_t i = 0; i < poller->bucket_count; i++)
		for (struct tutti__poll_source *source = poller->buckets[i]; source; source = source->next_in_bucket)
			if (source->is_lit)
				refresh((struct tutti__poll_descriptor *)source);
}

/* Sleeps at the station; false if nothing was rung until the tick. */
static bool sleep_at(struct helper *helper)
{
	struct tutti__station *station = helper->poller.station;
	/* Mark, then look: who rings after the look sees the mark. */
	uint32_t word = fetch_or_acq_rel(&station->point.word, 1) | 1;
	fence_after_rmw();
	if (load_acquire(&station->lines) || atomic_load(&helper->stop))
		return true;
	return tutti__os.futex_wait(&station->point.word, word, tutti__deadline(TUTTI__IDLE_TICK)) != ETIMEDOUT;
}

static void *help(void *context)
{
	struct helper *helper = context;
	while (!atomic_load(&helper->stop)) {
		bool rung = sleep_at(helper);
		pthread_mutex_lock(&helper->poller.mutex);
		tutti__poller_collect(&helper->poller);
		if (!rung || tutti__os.clock_now() - helper->poller.last_scan >= TUTTI__IDLE_TICK)
			refresh_all(helper);
		pthread_mutex_unlock(&helper->poller.mutex);
		if (!rung)
			tutti__look_after_the_dead(helper->poller.arena);
	}
	return NULL;
}

static tutti_err start_thread(struct helper *helper)
{
	sigset_t all, old;
	sigfillset(&all); /* the program's signals go to the program's threads */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&helper->thread, NULL, help, helper);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? tutti__fail_system(rc, "cannot start the polling helper thread") : TUTTI_OK;
}

static tutti_err make_helper(tutti_arena *arena, uint32_t member, struct helper **result)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct helper *helper = calloc(1, sizeof *helper);
	if (!helper)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a polling helper");
	pthread_once(&once, prepare_fork);
	tutti_err err = tutti__poller_init(&helper->poller, arena, member);
	if (!err) {
		err = start_thread(helper);
		if (err)
			tutti__poller_fini(&helper->poller);
	}
	if (err)
		free(helper);
	else
		*result = helper;
	return err;
}

/* With tutti__poll_mutex: the calling member's helper, made if need be. */
static tutti_err find_helper(tutti_arena *arena, uint32_t member, struct helper **result)
{
	for (struct helper *helper = helpers; helper; helper = helper->next)
		if (helper->poller.arena == arena && helper->poller.member == member) {
			*result = helper;
			return TUTTI_OK;
		}
	struct helper *helper = NULL;
	tutti_err err = make_helper(arena, member, &helper);
	if (err)
		return err;
	helper->next = helpers;
	helpers = helper;
	*result = helper;
	return TUTTI_OK;
}

/* With tutti__poll_mutex. */
static void enlist(struct tutti__poll_descriptor *descriptor)
{
	descriptor->link = &descriptor->helper->descriptors;
	descriptor->next = *descriptor->link;
	if (descriptor->next)
		descriptor->next->link = &descriptor->next;
	*descriptor->link = descriptor;
}

static void delist(struct tutti__poll_descriptor *descriptor)
{
	*descriptor->link = descriptor->next;
	if (descriptor->next)
		descriptor->next->link = descriptor->link;
}

/* With tutti__poll_mutex. */
static void unlist_helper(struct helper *helper)
{
	for (struct helper **link = &helpers; *link; link = &(*link)->next)
		if (*link == helper) {
			*link = helper->next;
			return;
		}
}

/* Ends the thread of a helper without sources, which nobody finds any more. It may be recovering somebody: without a mutex. */
static void stop_helper(struct helper *helper)
{
	atomic_store(&helper->stop, true);
	tutti__station_poke(helper->poller.arena, helper->poller.station);
	tutti__thread_join(helper->thread);
	tutti__poller_fini(&helper->poller);
	free(helper);
}

static tutti_err open_descriptor(tutti_arena *arena, const struct tutti__watch *watch, bool is_station,
                                 struct tutti__poll_descriptor **result)
{
	struct tutti__poll_descriptor *descriptor = calloc(1, sizeof *descriptor);
	if (!descriptor)
		return tutti__fail(TUTTI_ENOMEM, "no memory for an object's descriptor");
	descriptor->source = (struct tutti__poll_source){.watch = *watch, .on_ready = light, .is_station = is_station};
	descriptor->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tutti_err err =
		descriptor->fd < 0 ? tutti__fail_system(errno, "cannot make a descriptor for the object") : TUTTI_OK;
	if (!err)
		err = find_helper(arena, load_relaxed(&arena->local->id), &descriptor->helper);
	if (err) {
		if (descriptor->fd >= 0)
			close(descriptor->fd);
		free(descriptor);
		return err;
	}
	enlist(descriptor);
	pthread_mutex_lock(&descriptor->helper->poller.mutex);
	tutti__poller_add(&descriptor->helper->poller, &descriptor->source);
	pthread_mutex_unlock(&descriptor->helper->poller.mutex);
	*result = descriptor;
	return TUTTI_OK;
}

/* Inherited by fork: the parent's; the copy is left alone. */
static bool is_own(const struct tutti__poll_descriptor *descriptor)
{
	return tutti__poller_is_own(&descriptor->helper->poller);
}

tutti_err tutti__poll_fd(tutti_arena *arena, const struct tutti__watch *watch, bool is_station, int *fd)
{
	tutti_err err = TUTTI_OK;
	tutti__poll_lock();
	struct tutti__poll_descriptor *descriptor = load_relaxed(&watch->list->descriptor);
	if (!descriptor || !is_own(descriptor)) {
		err = open_descriptor(arena, watch, is_station, &descriptor);
		if (!err)
			store_release(&watch->list->descriptor, descriptor);
	}
	pthread_mutex_unlock(&tutti__poll_mutex);
	*fd = err ? -1 : descriptor->fd;
	/* Who asks is about to poll, and may then read without looking: what was got since is not shown any more. */
	if (!err)
		tutti__poll_descriptor_refresh(descriptor);
	return err;
}

void tutti__poll_descriptor_refresh(struct tutti__poll_descriptor *descriptor)
{
	if (!is_own(descriptor))
		return;
	pthread_mutex_lock(&descriptor->helper->poller.mutex);
	refresh(descriptor);
	pthread_mutex_unlock(&descriptor->helper->poller.mutex);
}

void tutti__poll_descriptor_close(struct tutti__poll_descriptor *descriptor)
{
	struct helper *helper = descriptor->helper;
	if (!is_own(descriptor))
		return;
	tutti__poll_lock();
	delist(descriptor);
	pthread_mutex_lock(&helper->poller.mutex);
	tutti__poller_remove(&helper->poller, &descriptor->source);
	bool last = helper->poller.source_count == 0;
	pthread_mutex_unlock(&helper->poller.mutex);
	if (last)
		unlist_helper(helper);
	pthread_mutex_unlock(&tutti__poll_mutex);
	if (last)
		stop_helper(helper);
	close(descriptor->fd);
	free(descriptor);
}
