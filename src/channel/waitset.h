/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_CHANNEL_WAITSET_H
#define TUTTI_CHANNEL_WAITSET_H

#include <tutti/waitset.h>

#include "arena/poller.h"

/* One member of a set. Its source is unused if it is a descriptor. */
struct tutti__wait_entry {
	struct tutti__poll_source source; /* first: on_ready and on_close get this */
	tutti_waitset *set;
	tutti_wait_item item;
	struct tutti__wait_entry *previous, *next; /* on the ready list; NULL: it is not on it */
};

/*
 * A set. The ready list holds what was ready when it was last looked at; everything else is armed at the
 * poller's station, or waits in the kernel for the epoll descriptor. The set is itself a source of
 * the process's helper, if it has descriptors: then the wait is for these, and a ring reaches it
 * through an eventfd. Without any, a ring wakes the waiter itself.
 *
 * Locks, outermost first: change, tutti__poll_mutex, the helper's, poller.mutex.
 */
struct tutti_waitset {
	struct tutti__poller poller; /* its mutex guards all below but what is said to be guarded by `change` */
	pthread_mutex_t change; /* adding, removing, making descriptors */
	struct tutti__wait_entry ready; /* the list's head */
	struct tutti__wait_entry turn; /* the place of the epoll descriptor on the list, while there are descriptors */
	size_t ready_count; /* without `turn` */
	struct tutti__wait_entry **by_fd;
	size_t fd_room, descriptor_count;
	int epoll; /* -1: none. Guarded by change; never changes once it is there */
	struct tutti__poll_list self; /* the set as a source of the helper */
	unsigned sleepers; /* threads that wait in it */
	unsigned calls;
	struct tutti__patience patience;
};

#define TUTTI__WAITSET_MARK UINT64_MAX /* epoll data of the helper's eventfd */

/* As tutti_waitset_add(); with `again` what is in already is fine. */
tutti_err tutti__waitset_add(tutti_waitset *set, const tutti_wait_item *item, bool again);

/* What the handle in an item is. TUTTI_EINVAL, TUTTI_ESTALE, TUTTI_EPERM. `*reference` for its arena. */
tutti_err tutti__wait_item_watch(const tutti_wait_item *item, struct tutti__watch *watch,
                                 struct tutti__reference **reference);

static inline bool tutti__wait_item_is_object(const tutti_wait_item *item)
{
	return item->kind >= TUTTI_WAIT_QUEUE && item->kind <= TUTTI_WAIT_SEMAPHORE;
}
static inline bool tutti__wait_item_is_descriptor(const tutti_wait_item *item)
{
	return item->kind == TUTTI_WAIT_PROCESS || item->kind == TUTTI_WAIT_DESCRIPTOR;
}

/* With the poller's mutex: puts an entry at the end of the ready list, takes it off. Both are fine twice. */
void tutti__waitset_link(tutti_waitset *set, struct tutti__wait_entry *entry);
void tutti__waitset_unlink(tutti_waitset *set, struct tutti__wait_entry *entry);

/* TUTTI_EPERM in a forked child. */
tutti_err tutti__waitset_check_own(const tutti_waitset *set);

/* The set as a source of the helper: is something to report? Takes the poller's mutex. */
bool tutti__waitset_is_ready(void *context);

#endif
