/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_POOL_POOL_H
#define TUTTI_POOL_POOL_H

#include <tutti/pool.h>

#include "channel/queue.h"
#include "pool/job.h"
#include "process/process.h"

/* When the owner first saw a worker run a job. */
struct tutti__clock {
	uint64_t job; /* offset; 0: it runs none */
	uint32_t sequence;
	int64_t since;
};

/* The owner's private side of one worker. */
struct tutti__worker {
	tutti_process *process; /* NULL while it is being replaced, and in a pool of own workers */
	struct tutti__clock clock;
};

struct tutti_pool {
	struct tutti__reference reference;
	struct tutti__pool *shared;
	tutti_arena *arena;
	struct tutti__backlog backlog;
	tutti_start start;
	tutti_time task_timeout;
	const char *initializer;
	pthread_mutex_t mutex; /* guards the workers and what follows */
	struct tutti__worker *workers;
	unsigned early_deaths; /* workers that ended before they were ready, and none has become so meanwhile */
	uint32_t ready_seen; /* the ready_count at the last death */
	bool closing; /* the ended are not replaced */
	bool killed;
	atomic_u64 last_tend; /* clock time */
	struct tutti__patience patience;
	atomic_u32 settled; /* claims of the dead */
	atomic_u32 wakes; /* calls of tutti_pool_wake */
	atomic_u32 users; /* the pool's handle, its open futures and streams, calls that are under way */
	atomic_u32 closed; /* the handle was given back */
};

/* What a pool's worker is told when it starts. */
struct tutti__worker_input {
	tutti_handle pool;
	uint32_t index;
};

/* The task that a worker process runs. A variable, so that who links pool.c statically links worker.c too. */
extern const char tutti__worker_task[];

/* Looks after the workers: replaces the dead, settles their jobs, ends those that run too long. */
void tutti__pool_tend(tutti_pool *pool);
/* The same after another thread that is at it, which may have looked at some of them before. */
void tutti__pool_tend_at_once(tutti_pool *pool);
/* The same, if it has not been done for a while. */
void tutti__pool_tend_now_and_then(tutti_pool *pool);

/*
 * Waits until is_ready(context) may be true; the caller's state must be such that a finished job wakes
 * `word` (NULL: the pool's own wait point). TUTTI_OK: look again. TUTTI_ETIMEDOUT, TUTTI_EINTR.
 */
tutti_err tutti__pool_wait(tutti_pool *pool, bool (*is_ready)(void *context), void *context, struct tutti__job *job,
                           int64_t deadline, int64_t tick);

/*
 * The process of worker `index` has ended: what it had is run again or fails, and its place is free. TUTTI_EBUSY: not
 * yet, its death is being recovered. With the mutex.
 */
tutti_err tutti__pool_settle(tutti_pool *pool, unsigned index, const tutti_exit *status);

/*
 * condemned.c: true if the worker is to be killed for its job, which it cannot finish: that was cancelled, or has run for
 * longer than it may. With the mutex.
 */
bool tutti__pool_is_condemned(tutti_pool *pool, unsigned index);

/* Cancels a job that waits or runs; a run's worker is to be killed. False: it is done, or another one by now. */
bool tutti__pool_cancel_run(tutti_pool *pool, uint64_t offset, uint32_t sequence);

/*
 * The pool takes no more jobs, and says why to those who wait. By its owner or a worker; the first text stays, as the
 * others fail for the same reason.
 */
void tutti__pool_break(struct tutti__pool *pool, const char *text);

/* TUTTI_EFAILED with the initializer's text, if that broke the pool. */
tutti_err tutti__pool_check(tutti_pool *pool);

/* An order of a task in C, as the pool's options say. `input` is copied later. */
static inline struct tutti__order tutti__pool_default_order(const tutti_pool *pool, uint64_t task,
                                                            const tutti_view *input, uint64_t index)
{
	return (struct tutti__order){.task = task,
	                             .index = index,
	                             .input = {.parts = input, .count = 1, .encoding = TUTTI_RAW},
	                             .retries = pool->shared->retries,
	                             .timeout = pool->task_timeout};
}

/* Makes a job of an order (but for its pool), and it waits. Its sequence is told: the job itself is a worker's by now. */
tutti_err tutti__pool_order(tutti_pool *pool, struct tutti__order *order, uint64_t *job, uint32_t *sequence);

/* The same with a future. */
tutti_err tutti__future_order(tutti_pool *pool, tutti_future **result, struct tutti__order *order);

/* The task's hash, if this program has it. */
tutti_err tutti__pool_find_task(const char *task, uint64_t *hash);

/* Cancels a job that has not started; false if it has, or if it is another one by now. */
bool tutti__pool_cancel(tutti_pool *pool, uint64_t offset, uint32_t sequence, const char *text);

/* The same by who submitted it. */
bool tutti__pool_cancel_pending(tutti_pool *pool, uint64_t offset, uint32_t sequence);

/* The caller has no further use for this job: frees it now, or when it is done. */
void tutti__pool_drop(tutti_pool *pool, uint64_t offset);

/* The handle stays as long as somebody holds it. Each call that may be under way when another thread closes it does. */
void tutti__pool_hold(tutti_pool *pool);
void tutti__pool_release(tutti_pool *pool);
static inline bool tutti__pool_is_closed(const tutti_pool *pool) { return load_acquire(&pool->closed); }
/* TUTTI_ESHUTDOWN. */
tutti_err tutti__pool_fail_closed(const tutti_pool *pool);

/* catalogue.c: the dead may have been about to add something, which is swept: then no place names it any more. */
void tutti__catalogue_recover(tutti_arena *arena, struct tutti__pool *pool, uint32_t dead);

/* A place of it, of a pool that nobody has any more. */
void tutti__catalogue_drop(tutti_arena *arena, atomic_u64 *place);

extern const struct tutti__kind tutti__pool_kind;

#endif
