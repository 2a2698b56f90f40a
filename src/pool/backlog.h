/* SPDX-License-Identifier: MIT */
/*
 * The backlog: the jobs of a pool that wait, as messages of (offset, sequence).
 *
 * Those of priority 0 lie in one queue, at which the workers sleep. Each other priority gets a queue of its own, a level,
 * when the owner's process first submits a job with it. A worker that looks for a job looks at the levels above 0, then
 * at the queue of 0, then at those below, from the highest to the lowest. From the first level below 0 on, jobs of
 * priority 0 go into a level too: a worker that has found the queue empty could else take one of the levels below
 * although one of 0 has just come, and they would be asked in an order that no look can keep. Those that the queue still
 * has were there before, and go first.
 *
 * A put into a level rings a bell (a count in the pool's bytes), and wakes all who sleep at the queue. A worker reads
 * the count before it looks, and its sleep ends when the count has changed: what is put after its look rings after
 * its reading.
 *
 * Never a message without a job that waits, or a job in two places: the levels need no repair of their own. Death of the
 * owner: nobody puts any more, and the pool ends; a level that no worker has opened yet is gone with the owner, and its
 * jobs with the pool. Death of a worker between taking from a level and running: as with the
 * queue, its claim says what it had; the job goes back to its level. A worker that was woken by the bell and is killed
 * had promised nothing: all were woken.
 *
 * Shutting down: the levels first. What got into one came before its shutdown, and so before that of the queue: a
 * worker that finds the end of the queue looks at the levels once more, and leaves nothing there.
 */
#ifndef TUTTI_POOL_BACKLOG_H
#define TUTTI_POOL_BACKLOG_H

#include <pthread.h>

#include <tutti/pool.h>

#include "channel/queue.h"

enum { TUTTI__LEVELS = TUTTI_PRIORITY_MAX - TUTTI_PRIORITY_MIN + 1 };

struct tutti__shared_backlog {
	tutti_handle jobs; /* the queue of priority 0 */
	atomic_u32 levels; /* bit n: levels[n] is there, that of the priority TUTTI_PRIORITY_MIN + n. Never cleared */
	atomic_u32 bell;
	tutti_handle level[TUTTI__LEVELS];
};
_Static_assert(TUTTI__LEVELS <= 32, "a bit for each level");

/* A process's side of it. */
struct tutti__backlog {
	tutti_arena *arena;
	struct tutti__shared_backlog *shared;
	tutti_queue *jobs;
	_Atomic(tutti_queue *) level[TUTTI__LEVELS]; /* NULL: not opened yet */
	pthread_mutex_t mutex; /* of the owner's process: for opening levels */
	bool is_shut; /* with it */
};

/* Makes it, in the owner's process: the queue first, whose name is the pool's. The pool's bytes come later. */
tutti_err tutti__backlog_create(struct tutti__backlog *backlog, tutti_arena *arena, const char *name);
void tutti__backlog_publish(struct tutti__backlog *backlog, struct tutti__shared_backlog *shared);

/* Opens it as a worker. */
tutti_err tutti__backlog_open(struct tutti__backlog *backlog, tutti_arena *arena, struct tutti__shared_backlog *shared);
void tutti__backlog_close(struct tutti__backlog *backlog);

/* A job waits from now on. Only in the owner's process. TUTTI_ESHUTDOWN, TUTTI_ENOMEM. */
tutti_err tutti__backlog_put(struct tutti__backlog *backlog, const uint64_t message[2], int priority);

/* The next job becomes the caller's: tutti__queue_claim(). TUTTI_EOF: there are no more, and never will be. */
tutti_err tutti__backlog_claim(struct tutti__backlog *backlog, uint64_t message[2], atomic_u64 claim[2],
                               tutti_time timeout);

/* Takes one that waits, whichever, for who cancels them. False: none does. */
bool tutti__backlog_take(struct tutti__backlog *backlog, uint64_t message[2]);

/* How many wait. */
uint64_t tutti__backlog_size(const struct tutti__backlog *backlog);

/* Nothing is put any more. */
tutti_err tutti__backlog_shutdown(struct tutti__backlog *backlog);

/* True if jobs may start in another order than that of their submission. */
static inline bool tutti__backlog_has_levels(const struct tutti__backlog *backlog)
{
	return unlikely(load_acquire(&backlog->shared->levels) != 0);
}

#endif
