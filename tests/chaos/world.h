/* SPDX-License-Identifier: MIT */
/* The objects that all members share, and one member's handles on them. */
#ifndef TUTTI_TESTS_CHAOS_WORLD_H
#define TUTTI_TESTS_CHAOS_WORLD_H

#include "ledger.h"

enum { PLAIN_LOCKS = 3, NUMBER_OF_RLOCK = PLAIN_LOCKS, NUMBER_OF_SEMAPHORE, NUMBER_OF_RWLOCK };

struct world {
	tutti_arena *arena;
	tutti_queue *queues[QUEUES]; /* two unbounded ones, one bounded by items, one by bytes */
	tutti_queue *mail; /* handles travel here */
	tutti_queue *courier; /* and here with what they name */
	tutti_queue *jobs; /* joinable */
	tutti_lock *locks[PLAIN_LOCKS]; /* the first of the LOCKS; then one of each other kind */
	tutti_rlock *rlock;
	tutti_semaphore *semaphore; /* of one */
	tutti_rwlock *rwlock;
	tutti_event *events[EVENTS];
	tutti_condition *condition;
	tutti_barrier *barrier; /* of three */
	tutti_waitset *set; /* of all these, made at its first use */
};

/* Makes arena and objects. */
void world_make(struct world *world);
/* Another member's handles on the same objects; it joins by the arena's descriptor. False if something is refused. */
bool world_join(struct world *world, const struct world *original);
/* Closes the handles; with `leave` also the arena. */
void world_close(struct world *world, bool leave);

/* Takes and releases the lock with this number, 0 ... LOCKS - 1, whatever its kind. */
tutti_err world_acquire(struct world *world, unsigned number, tutti_time timeout);
tutti_err world_release(struct world *world, unsigned number);

#endif
