/* SPDX-License-Identifier: MIT */
/*
 * Pollers: a process's side of a station. A poller has sources (the objects that it looks after); it
 * arms those that are not ready and is told of those that are.
 *
 * Two kinds of users: the helper thread behind the descriptors (poll_fd.c), and wait sets.
 *
 * Death: a member killed between making an object ready and the ring is covered by
 * tutti__poller_scan(), which every user calls at least each 250 ms while it waits. A poller's own
 * death leaves a station, which its recovery gives back, and armed bits, which cost a ring.
 *
 * Fork: a poller is the member's that made it. The child has none and leaves the copies alone.
 *
 * Locks, outermost first: tutti__poll_mutex (which sources a handle has, the helpers), the
 * helper's poller->mutex, a wait set's poller->mutex. All are private to the process.
 */
#ifndef TUTTI_ARENA_POLLER_H
#define TUTTI_ARENA_POLLER_H

#include "arena/object.h"

struct tutti__poll_source;

/* In each handle of an object that can be waited for: who watches it in this process. */
struct tutti__poll_list {
	struct tutti__poll_source *sources; /* guarded by tutti__poll_mutex */
	_Atomic(struct tutti__poll_descriptor *) descriptor; /* made by the first question for the descriptor */
};

/* How to look at an object through a handle. */
struct tutti__watch {
	struct tutti__pollable *pollable;
	bool (*is_ready)(void *context); /* looks without changing anything; any thread; may be wrong for a moment */
	void *context;
	struct tutti__poll_list *list;
};

struct tutti__poller;

/* One object that a poller looks after. Guarded by the poller's mutex. */
struct tutti__poll_source {
	struct tutti__watch watch;
	struct tutti__poller *poller;
	void (*on_ready)(struct tutti__poll_source *source); /* under the poller's mutex; must not block */
	void (*on_close)(struct tutti__poll_source *source); /* the handle is closed: forget it. Under tutti__poll_mutex */
	uint32_t bell;
	bool is_lit; /* on_ready was called: nobody need ring, and no ring is asked for */
	bool is_station; /* watch.pollable is a station's */
	struct tutti__poll_source *next_in_bucket, *next_of_handle;
};

struct tutti__poller {
	tutti_arena *arena;
	uint32_t member; /* whose it is */
	uint32_t number; /* of the station */
	struct tutti__station *station;
	pthread_mutex_t mutex;
	struct tutti__poll_source **buckets;
	size_t bucket_count, source_count; /* buckets are a power of two */
	int64_t last_scan;
};

extern pthread_mutex_t tutti__poll_mutex;

/* Locks it; from the first time on a fork finds it free. */
void tutti__poll_lock(void);

tutti_err tutti__poller_init(struct tutti__poller *poller, tutti_arena *arena, uint32_t member);
void tutti__poller_fini(struct tutti__poller *poller);

/* True if the caller's process made it; false in a forked child. */
bool tutti__poller_is_own(const struct tutti__poller *poller);

/* With the poller's mutex: adds a source, and looks at it. */
void tutti__poller_add(struct tutti__poller *poller, struct tutti__poll_source *source);
void tutti__poller_remove(struct tutti__poller *poller, struct tutti__poll_source *source);
/* With the poller's mutex: takes some source out of a bucket; NULL if that is empty. */
struct tutti__poll_source *tutti__poller_pop(struct tutti__poller *poller, size_t bucket);

/* With the poller's mutex: looks at a source unless it is lit; arms it, or calls on_ready. */
void tutti__poll_source_check(struct tutti__poll_source *source);

/* With the poller's mutex: checks the sources that were rung; all that are not lit. */
void tutti__poller_collect(struct tutti__poller *poller);
void tutti__poller_scan(struct tutti__poller *poller);

/* With the poller's mutex: scans if the last scan is 250 ms ago. */
void tutti__poller_scan_if_due(struct tutti__poller *poller);

/* With tutti__poll_mutex: enters the source in its handle's list, takes it out. */
void tutti__poll_list_add(struct tutti__poll_source *source);
void tutti__poll_list_remove(struct tutti__poll_source *source);

/* The handle is closed: each source of it is forgotten, its descriptor closed. */
void tutti__poll_list_close(struct tutti__poll_list *list);

/* The process's descriptor for the object: an eventfd, lit while the object is ready. */
tutti_err tutti__poll_fd(tutti_arena *arena, const struct tutti__watch *watch, bool is_station, int *fd);
void tutti__poll_descriptor_close(struct tutti__poll_descriptor *descriptor);
void tutti__poll_descriptor_refresh(struct tutti__poll_descriptor *descriptor);

/* The caller found the object not ready (or may have left it ready): the descriptor is to show it. */
static inline void tutti__poll_refresh(struct tutti__poll_list *list)
{
	struct tutti__poll_descriptor *descriptor = load_acquire(&list->descriptor);
	if (unlikely(descriptor != NULL))
		tutti__poll_descriptor_refresh(descriptor);
}

#endif
