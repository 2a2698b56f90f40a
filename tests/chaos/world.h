/* SPDX-License-Identifier: MIT */
/* The objects that all members share, and one member's handles on them. */
#ifndef TUTTI_TESTS_CHAOS_WORLD_H
#define TUTTI_TESTS_CHAOS_WORLD_H

#include "ledger.h"

struct world {
	tutti_arena *arena;
	tutti_queue *queues[QUEUES]; /* two unbounded ones, one bounded by items, one by bytes */
	tutti_queue *mail; /* handles travel here */
	tutti_lock *locks[LOCKS];
	tutti_event *events[EVENTS];
	tutti_waitset *set; /* of all these, made at its first use */
};

/* Makes arena and objects. */
void world_make(struct world *world);
/* Another member's handles on the same objects; it joins by the arena's descriptor. False if something is refused. */
bool world_join(struct world *world, const struct world *original);
/* Closes the handles; with `leave` also the arena. */
void world_close(struct world *world, bool leave);

#endif
