/* SPDX-License-Identifier: MIT */
/* The one-shot wait: a look at each thing; only if none is ready, a wait set for the time of the call. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "channel/waitset.h"

enum { FEW = 32 };

struct list {
	tutti_wait_item *items;
	size_t count;
	size_t descriptors;
	tutti_arena *arena; /* of the objects in it; NULL: it has none */
};

/* Reads the list: what its things are, and which objects are ready. */
static tutti_err look_at_objects(struct list *list, size_t *ready)
{
	*ready = list->descriptors = 0;
	for (size_t i = 0; i < list->count; i++) {
		tutti_wait_item *item = &list->items[i];
		struct tutti__watch watch;
		struct tutti__reference *reference;
		item->ready = 0;
		list->descriptors += tutti__wait_item_is_descriptor(item);
		if (!tutti__wait_item_is_object(item))
			continue;
		tutti_err err = tutti__wait_item_watch(item, &watch, &reference);
		if (err)
			return err;
		if (list->arena && list->arena->base != reference->arena->base)
			return tutti__fail(TUTTI_EFOREIGN,
			                   "the list has things of two arenas, \"%s\" and \"%s\". Wait for each on its own.",
			                   list->arena->header->name, reference->arena->header->name);
		list->arena = reference->arena;
		item->ready = watch.is_ready(watch.context) ? POLLIN : 0;
		*ready += item->ready != 0;
	}
	return TUTTI_OK;
}

static size_t fill(const struct list *list, struct pollfd *polls)
{
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++)
		if (tutti__wait_item_is_descriptor(&list->items[i]))
			polls[count++] = (struct pollfd){.fd = list->items[i].fd, .events = list->items[i].events};
	return count;
}

static tutti_err read_answers(struct list *list, const struct pollfd *polls, size_t *ready)
{
	for (size_t i = 0; i < list->count; i++) {
		tutti_wait_item *item = &list->items[i];
		if (!tutti__wait_item_is_descriptor(item))
			continue;
		item->ready = polls++->revents;
		if (item->fd < 0 || (item->ready & POLLNVAL))
			return tutti__fail(TUTTI_EINVAL, "descriptor %d, number %zu of the list, is not open.", item->fd, i);
		*ready += item->ready != 0;
	}
	return TUTTI_OK;
}

/* One system call for all descriptors, which waits until the deadline (0: not at all). */
static tutti_err poll_descriptors(struct list *list, size_t *ready, int64_t deadline)
{
	struct pollfd few[FEW], *polls = few;
	int64_t now = deadline ? tutti__os.clock_now() : 0;
	int64_t left = deadline > now ? deadline - now : 0;
	struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	if (list->descriptors > FEW && !(polls = malloc(list->descriptors * sizeof *polls)))
		return tutti__fail(TUTTI_ENOMEM, "no memory to wait for %zu descriptors", list->descriptors);
	tutti_err err = TUTTI_OK;
	nfds_t count = fill(list, polls);
	struct tutti__sleep sleep = tutti__sleep_begin();
	int found = ppoll(polls, count, deadline == INT64_MAX ? NULL : &time, NULL);
	tutti__sleep_end(sleep);
	if (found >= 0)
		err = read_answers(list, polls, ready);
	else if (errno == EINTR)
		err = tutti__fail(TUTTI_EINTR, "a signal handler ran while waiting for descriptors. Wait again.");
	else
		err = tutti__fail_system(errno, "cannot wait for descriptors");
	if (polls != few)
		free(polls);
	return err;
}

/* Those that were not ready when they were looked at first. */
static tutti_err look_again(struct list *list, size_t *ready)
{
	for (size_t i = 0; i < list->count; i++) {
		tutti_wait_item *item = &list->items[i];
		struct tutti__watch watch;
		struct tutti__reference *reference;
		if (item->ready || !tutti__wait_item_is_object(item))
			continue;
		tutti_err err = tutti__wait_item_watch(item, &watch, &reference);
		if (err)
			return err;
		item->ready = watch.is_ready(watch.context) ? POLLIN : 0;
		*ready += item->ready != 0;
	}
	return TUTTI_OK;
}

/*
 * A list of descriptors alone waits in the kernel, and returns with the answers. Where a descriptor is ready, the objects
 * are looked at after it: what became ready before it did is found with it, a message before the end of who sent it.
 */
static tutti_err look_at_all(struct list *list, size_t *ready, int64_t deadline)
{
	tutti_err err = look_at_objects(list, ready);
	if (err || (list->descriptors == 0 && list->arena))
		return err;
	size_t objects_ready = *ready;
	err = poll_descriptors(list, ready, list->arena || *ready ? 0 : deadline);
	return err || *ready == objects_ready || !list->arena ? err : look_again(list, ready);
}

static tutti_err open_set(const struct list *list, tutti_waitset **set)
{
	tutti_err err = tutti_waitset_open(set, &(tutti_waitset_options){.arena = list->arena});
	for (size_t i = 0; i < list->count && !err; i++)
		if (list->items[i].kind != TUTTI_WAIT_NOTHING)
			err = tutti__waitset_add(*set, &list->items[i], true);
	return err;
}

static tutti_err wait_in_set(struct list *list, size_t *ready, int64_t deadline)
{
	tutti_waitset *set = NULL;
	tutti_wait_item first;
	tutti_err err = open_set(list, &set);
	while (!err && *ready == 0) {
		int64_t left = deadline == INT64_MAX ? TUTTI_FOREVER : deadline - tutti__os.clock_now();
		err = tutti_waitset_next(set, &first, left > 0 ? left : TUTTI_NOW);
		if (!err)
			err = look_at_all(list, ready, 0); /* the others too; and it may be gone by now */
	}
	tutti_waitset_close(set);
	return err == TUTTI_ETIMEDOUT ? TUTTI_OK : err; /* nothing is ready: the caller says so */
}

tutti_err tutti_wait_any(tutti_wait_item *items, size_t count, size_t *count_ready, tutti_time timeout)
{
	size_t ready = 0;
	struct list list = {.items = items, .count = count};
	int64_t deadline = timeout <= 0 ? 0 : tutti__deadline(timeout);
	tutti_err err = look_at_all(&list, &ready, deadline);
	if (!err && ready == 0 && timeout > 0 && list.arena)
		err = wait_in_set(&list, &ready, deadline);
	if (count_ready)
		*count_ready = err ? 0 : ready;
	if (!err && ready == 0)
		err = tutti__fail(TUTTI_ETIMEDOUT, "none of the %zu things in the list was ready in time.", count);
	return err;
}
