/* SPDX-License-Identifier: MIT */
/*
 * The inside of a pool whose workers its owner starts himself (tutti_pool_options.own_workers): for the runtime of a
 * language, whose workers run that language's functions, and for who starts them by other means than fork and spawn.
 *
 * The owner starts a process for each index, hands it the pool's handle and the index, and tells the pool when one
 * has ended. The worker opens its place, says that it is ready, and then takes and finishes one job after the other.
 * What a job's bytes mean is between the two. Promise K6 holds as for any pool, at whatever instruction one is killed.
 *
 * Threads: a worker by one thread at a time; the owner's calls by any. Fork: a worker must not fork between next and
 * finish and let the child go on with it. Signals: not in handlers.
 */
#ifndef TUTTI_WORKER_H
#define TUTTI_WORKER_H

#include <tutti/pool.h>
#include <tutti/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the owner ---- */

/* What its workers open. */
TUTTI_API tutti_handle tutti_pool_handle(const tutti_pool *pool);

TUTTI_API unsigned tutti_pool_worker_count(const tutti_pool *pool);

/*
 * Before the process of worker `index` is started: its place is made free. TUTTI_EINVAL: no such place, or the end of
 * the process that has a job there has not been told.
 */
TUTTI_API tutti_err tutti_pool_worker_begin(tutti_pool *pool, unsigned index);

/*
 * The process of worker `index` has ended: what it ran is run again, or fails with TUTTI_EWORKERDIED. TUTTI_EBUSY:
 * another process looks after that death at this moment, call again. TUTTI_EFAILED: the pool is broken, do not start
 * another one. TUTTI_EINVAL: no such place.
 */
TUTTI_API tutti_err tutti_pool_worker_ended(tutti_pool *pool, unsigned index, const tutti_exit *status);

/*
 * True if it is to be killed for what it runs: that was cancelled (tutti_future_terminate), or has run for longer than it
 * may. Asked now and then; the first question about a run starts its clock. From true on the worker can neither finish that job nor take another: the kill costs this one alone.
 */
TUTTI_API bool tutti_pool_worker_condemned(tutti_pool *pool, unsigned index);

/*
 * Puts bytes into the pool's catalogue, where its workers find them by `*number`, until the pool is closed.
 * TUTTI_EFULL: 256 are in. TUTTI_ENOMEM.
 */
TUTTI_API tutti_err tutti_pool_publish(tutti_pool *pool, tutti_view bytes, uint32_t *number);

/*
 * Submits a message, as tutti_queue_put_with() puts one. `options` may be NULL. Errors: as tutti_pool_submit(), and
 * those of the handles.
 */
TUTTI_API tutti_err tutti_pool_submit_message(tutti_pool *pool, tutti_future **future, const tutti_view *parts,
                                              size_t count, tutti_encoding encoding, const tutti_handle *carried,
                                              size_t carried_count, const tutti_task_options *options);

/*
 * Moves the bytes of a result into a message, which outlives it if they are more than 64; fewer are valid until the
 * result is released. Release both.
 */
TUTTI_API void tutti_result_take(tutti_result *result, tutti_message *message);

/* ---- a worker ---- */

typedef struct tutti_worker tutti_worker;

/* Becomes worker `index`. `arena` NULL: the default one. TUTTI_ESTALE: the pool is gone. TUTTI_EINVAL. TUTTI_ENOMEM. */
TUTTI_API tutti_err tutti_worker_open(tutti_worker **worker, tutti_arena *arena, tutti_handle pool, unsigned index);

/* It has initialised itself. */
TUTTI_API void tutti_worker_ready(tutti_worker *worker);

/* It cannot: the pool is broken, and `text` says why. The first such text stays. */
TUTTI_API void tutti_worker_refuse(tutti_worker *worker, const char *text);

/*
 * Takes the next job. `input` is valid until the job is finished, or longer, until it is released, if this is the
 * job's last run. `*run`: 1 for the first. TUTTI_EOF: the pool takes and has no more, or the worker is condemned.
 * TUTTI_EEMPTY: none in time. TUTTI_EINTR, TUTTI_EBUSY: call again. TUTTI_EINVAL: the last one is not finished.
 */
TUTTI_API tutti_err tutti_worker_next(tutti_worker *worker, tutti_message *input, unsigned *run, tutti_time timeout);

/*
 * Finishes the job with a message. `err`: TUTTI_OK, or TUTTI_EFAILED with a code. On an error (TUTTI_ENOMEM, and
 * those of the handles) it is not finished: say that, in fewer bytes; up to 64 always have room. TUTTI_ETIMEDOUT: it
 * was cancelled or has run for longer than it may, and this worker was not killed for a second: leave. TUTTI_EINVAL: there is no job.
 */
TUTTI_API tutti_err tutti_worker_finish(tutti_worker *worker, tutti_err err, int32_t code, const tutti_view *parts,
                                        size_t count, tutti_encoding encoding, const tutti_handle *carried,
                                        size_t carried_count);

/* What the owner published. TUTTI_ENOENT. Valid while the pool is open. */
TUTTI_API tutti_err tutti_worker_published(tutti_worker *worker, uint32_t number, tutti_view *bytes);

/* Leaves. NULL is fine. */
TUTTI_API void tutti_worker_close(tutti_worker *worker);

#ifdef __cplusplus
}
#endif

#endif
