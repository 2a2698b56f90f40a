/* SPDX-License-Identifier: MIT */
/*
 * A pool of worker processes that run tasks.
 *
 * A worker that is killed costs the task that it ran, not the others, and is
 * replaced; the task is run again as often as `retries` allow, else it fails with
 * TUTTI_EWORKERDIED and a text that names task, pid and signal (promise K6).
 *
 * Deaths are noticed, and workers replaced, while some thread of the owner is in a
 * call on the pool, its futures or its streams.
 *
 * Threads: any; a stream by one thread at a time. Calls that are under way when
 * another thread closes the pool come to their end. Fork: a child must not use the
 * parent's pool. Signals: not in handlers. Kill: workers end when the process that
 * opened the pool is killed.
 */
#ifndef TUTTI_POOL_H
#define TUTTI_POOL_H

#include <tutti/process.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_pool tutti_pool;
typedef struct tutti_future tutti_future;
typedef struct tutti_stream tutti_stream;

#define TUTTI_ANY_CODE INT32_MIN

/* Of tasks that wait, those with the highest priority start first; of one priority, in the order of submission. */
#define TUTTI_PRIORITY_MIN (-10)
#define TUTTI_PRIORITY_MAX 10

typedef struct tutti_pool_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* default: "pool" */
	unsigned workers; /* 1 to 256; default: the CPUs that this process may use. TUTTI_WORKERS */
	tutti_start start; /* how workers are started */
	const char *initializer; /* a task that each worker runs first; its failure breaks the pool with its text */
	tutti_view initializer_input;
	unsigned tasks_per_worker; /* a worker is replaced after so many tasks; 0: never */
	unsigned retries; /* further runs of a task whose worker died; default 0 */
	const int32_t *retry_on; /* error codes of tutti_task_fail() that use up retries too; TUTTI_ANY_CODE: all */
	size_t retry_on_count; /* at most 8 */
	tutti_time task_timeout; /* a task that runs longer has its worker killed and counts as a death; 0: none */
	bool own_workers; /* the caller starts them: <tutti/worker.h> */
} tutti_pool_options;

/* What a task gave. Release it when done. */
typedef struct tutti_result {
	tutti_err err; /* TUTTI_OK, or TUTTI_EFAILED, TUTTI_EWORKERDIED, TUTTI_ECANCELLED, TUTTI_ENOMEM */
	int32_t code; /* of tutti_task_fail(); of a death: the signal, or minus the exit code */
	const char *text; /* "" or what went wrong, with task and pid; valid until released */
	tutti_view view; /* the result's bytes, valid until released */
	uint32_t encoding; /* what they are: a tutti_encoding; of a task in C: TUTTI_RAW */
	uint64_t index; /* place in the inputs of a map; 0 for a future */
	unsigned runs; /* how often it was started */
	int pid; /* of the worker that ran it last, 0 if none */
	tutti_arena *arena; /* the rest is Tutti's */
	uint64_t task;
} tutti_result;

/*
 * Gives input number `index` and returns true; false when there are no more. The view may be
 * overwritten next time. A source that would have to wait may answer true with the size
 * TUTTI_LATER instead: it is asked again (with the same index) after the next result, or
 * after 10 ms, and finished results are not held up by it.
 */
typedef bool (*tutti_next_input)(void *context, uint64_t index, tutti_view *input);
#define TUTTI_LATER SIZE_MAX

/* Where the inputs of a map come from. Make one with tutti_strings, tutti_array or tutti_generator. */
typedef struct tutti_inputs {
	tutti_next_input next;
	void *context;
	size_t count, stride;
} tutti_inputs;

/* `count` strings, each without its final zero byte. The array must outlive the stream. */
TUTTI_API tutti_inputs tutti_strings(char *const *strings, size_t count);
/* An array of `count` elements of `stride` bytes each. The array must outlive the stream. */
TUTTI_API tutti_inputs tutti_array(const void *elements, size_t count, size_t stride);
/* Inputs from a function, called in the thread that reads the stream, once per input. */
TUTTI_API tutti_inputs tutti_generator(tutti_next_input next, void *context);

/* How one task is to be run. */
typedef struct tutti_task_options {
	uint64_t index; /* comes back with the result */
	unsigned retries; /* further runs after a death */
	tutti_time timeout; /* that one run may take; 0: any */
	int priority; /* -10 to 10 */
} tutti_task_options;

typedef struct tutti_map_options {
	bool unordered; /* results as they come; default: in the order of the inputs */
	int priority; /* -10 to 10 */
	size_t read_ahead; /* inputs that are submitted and not yet returned; default: 64 per worker */
} tutti_map_options;

/*
 * Starts the workers. TUTTI_EFORKBOMB: called in a spawned process before tutti_init().
 * TUTTI_ENOENT: no such initializer. TUTTI_EINVAL, TUTTI_ENOMEM, TUTTI_ESYSTEM.
 */
TUTTI_API tutti_err tutti_pool_open(tutti_pool **pool, const tutti_pool_options *options);

/* Cancels what has not started, lets running tasks end, ends the workers and reaps them. NULL is fine. */
TUTTI_API void tutti_pool_close(tutti_pool *pool);

/*
 * Runs what was submitted, up to `timeout`, and takes no more. TUTTI_ETIMEDOUT, TUTTI_EINTR. TUTTI_ESHUTDOWN: another
 * thread has closed it meanwhile. Close it afterwards.
 */
TUTTI_API tutti_err tutti_pool_drain(tutti_pool *pool, tutti_time timeout);

/* Cancels what has not started; the pool goes on. */
TUTTI_API void tutti_pool_cancel_waiting(tutti_pool *pool);

/* How many tasks wait or run. One that is just being taken may count twice. */
TUTTI_API size_t tutti_pool_unfinished(const tutti_pool *pool);

/* Kills the workers at once; waiting tasks fail as cancelled, running ones as died. Close it afterwards. */
TUTTI_API tutti_err tutti_pool_kill(tutti_pool *pool);

/* The pid of worker `index`, 0 when it is just being replaced or `index` is too large. */
TUTTI_API int tutti_pool_worker(tutti_pool *pool, unsigned index);

/*
 * Submits one task; `input` is copied. TUTTI_ENOENT: no such task in this program. TUTTI_ESHUTDOWN.
 * TUTTI_ENOMEM. TUTTI_EFAILED, here and below: the pool is broken (its initializer failed, or its
 * workers end before they are ready); the text says why.
 */
TUTTI_API tutti_err tutti_pool_submit(tutti_pool *pool, tutti_future **future, const char *task, tutti_view input);

/* The same with options of its own, instead of the pool's; NULL: with the pool's. TUTTI_EINVAL: there is no such priority. */
TUTTI_API tutti_err tutti_pool_submit_with(tutti_pool *pool, tutti_future **future, const char *task, tutti_view input,
                                           const tutti_task_options *options);

/* Waits until it is done. TUTTI_ETIMEDOUT, TUTTI_EINTR. */
TUTTI_API tutti_err tutti_future_wait(tutti_future *future, tutti_time timeout);

/*
 * Waits until one of several futures of one pool is done, in the order of their submission the first that is; `*done`
 * is its place; it is `count` if another thread called tutti_pool_wake() meanwhile. TUTTI_ETIMEDOUT, TUTTI_EINTR.
 * TUTTI_EINVAL: there are none.
 */
TUTTI_API tutti_err tutti_future_wait_any(tutti_future *const *futures, size_t count, size_t *done, tutti_time timeout);

/* Has the waits for any of several futures return that are under way in this process. */
TUTTI_API void tutti_pool_wake(tutti_pool *pool);

/*
 * Waits and gives the result, once: it then belongs to `result`. The return value is that of
 * the waiting (TUTTI_OK, TUTTI_ETIMEDOUT, TUTTI_EINTR; TUTTI_EINVAL: taken before); how the
 * task went is in `result->err`.
 */
TUTTI_API tutti_err tutti_future_get(tutti_future *future, tutti_result *result, tutti_time timeout);

/* Whether it has started: it runs, or is done. Never waits. */
TUTTI_API bool tutti_future_has_started(const tutti_future *future);

/* Cancels it if it has not started. TUTTI_EBUSY: it runs or is done. */
TUTTI_API tutti_err tutti_future_cancel(tutti_future *future);

/*
 * Cancels it whether it has started or not, retries or not: the worker that runs it is killed, and replaced, and the result
 * is TUTTI_ECANCELLED as soon as that has ended; others of the pool never notice. Does not wait for that. Of a pool of own
 * workers the owner kills it: tutti_pool_worker_condemned(). TUTTI_EBUSY: it is done.
 */
TUTTI_API tutti_err tutti_future_terminate(tutti_future *future);

/* Gives the future back; its task runs on unless cancelled. NULL is fine. */
TUTTI_API void tutti_future_close(tutti_future *future);

/* Runs `task` on each input. Results are read with tutti_stream_next(). `options` may be NULL. TUTTI_ENOENT, TUTTI_ENOMEM. */
TUTTI_API tutti_err tutti_pool_map(tutti_pool *pool, tutti_stream **stream, const char *task, tutti_inputs inputs,
                                   const tutti_map_options *options);

/*
 * The next result. TUTTI_OK: `result` is filled, release it; how the task went is in
 * `result->err`. TUTTI_EOF: all were returned. TUTTI_ETIMEDOUT, TUTTI_EINTR: call again.
 * Anything else: the pool is broken.
 */
TUTTI_API tutti_err tutti_stream_next(tutti_stream *stream, tutti_result *result, tutti_time timeout);

/* Ends the stream; what has not started is cancelled. NULL is fine. */
TUTTI_API void tutti_stream_close(tutti_stream *stream);

/* Gives a result back. Idempotent; safe on a zeroed one. */
TUTTI_API void tutti_result_release(tutti_result *result);

#ifdef __cplusplus
}
#endif

#endif
