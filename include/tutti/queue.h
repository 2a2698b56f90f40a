/* SPDX-License-Identifier: MIT */
/*
 * A queue of messages: any number of putters and getters, in any members, any
 * size of message, in order per putter.
 *
 * A put copies into the arena at once and is delivered to exactly one get, also if
 * the putter is killed right after. What a get hands out is a view into the arena,
 * owned by the getter until it is released.
 *
 * Threads: any thread may use any handle. Fork: inherited. Signals: not in
 * handlers (TUTTI_EDEADLK where that can be seen). Kill: promise K2 of
 * docs/architecture.md.
 */
#ifndef TUTTI_QUEUE_H
#define TUTTI_QUEUE_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_queue tutti_queue;

typedef struct tutti_queue_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes; default: "queue" */
	uint64_t max_items; /* messages; 0: unbounded */
	uint64_t max_bytes; /* payload bytes in the queue; 0: unbounded. A larger single message enters an empty queue */
	uint64_t max_message; /* payload bytes of one message; 0: as much as the arena holds */
	bool joinable; /* each message counts as unfinished until tutti_queue_task_done() */
} tutti_queue_options;

/* How a message is encoded. The core carries the tag and never looks inside. */
typedef enum tutti_encoding {
	TUTTI_RAW,
	TUTTI_MSGPACK,
	TUTTI_PICKLE,
	TUTTI_PYTHON, /* Tutti's own form for Python's built-in types */
	TUTTI_PYTHON_BUFFERS, /* a pickle beside its large buffers */
	TUTTI_ENCODING_USER = 16
} tutti_encoding;

/* A received message. Release it when done; until then `view` stays valid. */
typedef struct tutti_message {
	tutti_view view; /* 8-byte aligned; 64-byte aligned from 4 KiB on */
	uint32_t encoding; /* tutti_encoding */
	bool redelivered; /* of a joinable queue: a getter that was killed had it before */
	const tutti_handle *carried; /* the objects that it holds, which can be opened until it is released */
	size_t carried_count;
	tutti_arena *arena; /* the rest is Tutti's */
	uint64_t block;
} tutti_message;

/* A message that is being written in place, between put_begin and put_commit or put_abort. */
typedef struct tutti_draft {
	void *data; /* write here, 64-byte aligned */
	size_t size; /* may be lowered before put_commit */
	uint32_t encoding; /* may be set before put_commit */
	tutti_queue *queue; /* the rest is Tutti's */
	uint64_t block;
	size_t capacity;
} tutti_draft;

/* Makes a queue. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_queue_open(tutti_queue **queue, const tutti_queue_options *options);

/* Opens an existing queue. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_queue_at(tutti_queue **queue, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle only. The queue and its messages live while some member has a handle. NULL is fine. */
TUTTI_API void tutti_queue_close(tutti_queue *queue);

TUTTI_API tutti_handle tutti_queue_handle(const tutti_queue *queue);

/*
 * Puts one message, waiting up to `timeout` for room. `data` is copied.
 * TUTTI_EFULL: no room in time (with TUTTI_NOW at once). TUTTI_ESHUTDOWN.
 * TUTTI_ETOOBIG. TUTTI_ENOMEM. TUTTI_EBUSY: a member that was stopped in the middle
 * of a put holds it up. TUTTI_EINTR: a signal handler ran; nothing was put.
 */
TUTTI_API tutti_err tutti_queue_put(tutti_queue *queue, const void *data, size_t size, tutti_time timeout);

/* The same from several parts, which become one message with an encoding tag. */
TUTTI_API tutti_err tutti_queue_put_gather(tutti_queue *queue, const tutti_view *parts, size_t count,
                                           tutti_encoding encoding, tutti_time timeout);

/*
 * The same, with handles that the message carries: it holds each of these objects until its getter releases it, or
 * it is dropped, so that the last handle of a queue or a lock can travel. The handles must be open, here or elsewhere.
 * TUTTI_ESTALE, TUTTI_EFOREIGN: one is not. TUTTI_EINVAL: more than 1000. Else as tutti_queue_put().
 */
TUTTI_API tutti_err tutti_queue_put_with(tutti_queue *queue, const tutti_view *parts, size_t count,
                                         tutti_encoding encoding, const tutti_handle *carried, size_t carried_count,
                                         tutti_time timeout);

/*
 * Puts `count` messages in order. `*accepted` (may be NULL) tells how many are in, also
 * on an error. Other putters' messages may stand between them.
 */
TUTTI_API tutti_err tutti_queue_put_many(tutti_queue *queue, const tutti_view *messages, size_t count, size_t *accepted,
                                         tutti_time timeout);

/* The same, with the encoding of each; NULL: TUTTI_RAW for all. */
TUTTI_API tutti_err tutti_queue_put_many_encoded(tutti_queue *queue, const tutti_view *messages,
                                                 const tutti_encoding *encodings, size_t count, size_t *accepted,
                                                 tutti_time timeout);

/* Gives room for a message of up to `size` bytes in the arena, to be written in place. TUTTI_ENOMEM, TUTTI_ETOOBIG. */
TUTTI_API tutti_err tutti_queue_put_begin(tutti_queue *queue, tutti_draft *draft, size_t size);

/* Puts the draft. On an error the draft stays open: commit again, or abort. */
TUTTI_API tutti_err tutti_queue_put_commit(tutti_draft *draft, tutti_time timeout);

/* Drops the draft. Safe on a zeroed or finished one. */
TUTTI_API void tutti_queue_put_abort(tutti_draft *draft);

/*
 * Gets one message, waiting up to `timeout`. Release it with tutti_message_release().
 * TUTTI_EEMPTY: nothing came in time. TUTTI_EOF: shut down and drained.
 * TUTTI_EBUSY, TUTTI_EINTR: nothing was taken.
 */
TUTTI_API tutti_err tutti_queue_get(tutti_queue *queue, tutti_message *message, tutti_time timeout);

/*
 * As tutti_queue_get(), but a message of at most TUTTI_NEAR bytes may lie in `near`, copied there: it needs no block, and is
 * had faster. Look at message->view all the same: what carries handles, or was in a joinable queue, lies elsewhere. In
 * `near` it is aligned as that is. Release it before `near` is gone. For who looks at a message and is done with it.
 */
enum { TUTTI_NEAR = 4096 }; /* for good: programs are compiled with it */
TUTTI_API tutti_err tutti_queue_get_near(tutti_queue *queue, tutti_message *message, unsigned char near[TUTTI_NEAR],
                                         tutti_time timeout);

/*
 * Gets one message by copy into `buffer`: the fastest way for small ones. What it carries is
 * let go: use tutti_queue_get() for that, or to be told of a redelivery. `*size` tells its size. TUTTI_ETOOBIG: it has more than `capacity` bytes; it stays in the queue and
 * `*size` says how many.
 */
TUTTI_API tutti_err tutti_queue_get_into(tutti_queue *queue, void *buffer, size_t capacity, size_t *size,
                                         tutti_time timeout);

/* Waits for a first message, then takes as many as are there, `capacity` at most. */
TUTTI_API tutti_err tutti_queue_get_many(tutti_queue *queue, tutti_message *messages, size_t capacity, size_t *count,
                                         tutti_time timeout);

/* Gives a received message back. Idempotent; safe on a zeroed one. */
TUTTI_API void tutti_message_release(tutti_message *message);

/* Refuses further puts everywhere, lets getters drain what is there, wakes every waiter. Idempotent. */
TUTTI_API tutti_err tutti_queue_shutdown(tutti_queue *queue);

/*
 * The same, and drops what is in it, at once: messages, and items that are given back from now on. They count as
 * done. A member killed in the middle of this leaves the rest to getters.
 */
TUTTI_API tutti_err tutti_queue_shutdown_now(tutti_queue *queue);

/*
 * Says that an item of a joinable queue is done: the oldest that this member got and has not ended, else the
 * oldest of all that were got (also what was given back since, which nobody gets then), else one that is got later:
 * its get ends it. TUTTI_EBOUND: as many are done as were put. TUTTI_EINVAL: not joinable.
 */
TUTTI_API tutti_err tutti_queue_task_done(tutti_queue *queue);

/*
 * Waits until everything that was put into a joinable queue is done. What a killed getter had is given back and
 * stays unfinished until somebody else has done it; so does what was got by a member that exited cleanly, which
 * is not given back: any member's tutti_queue_task_done() can end it.
 * TUTTI_ETIMEDOUT; TUTTI_EINTR: a signal handler ran; TUTTI_EBUSY; TUTTI_EINVAL: not joinable.
 */
TUTTI_API tutti_err tutti_queue_join(tutti_queue *queue, tutti_time timeout);

/* How many messages are in it: exact when nobody is putting or getting. */
TUTTI_API uint64_t tutti_queue_size(const tutti_queue *queue);

/*
 * A descriptor for poll, epoll and event loops: readable while messages are there (or the
 * queue is shut down), for a moment perhaps when none is. Never read it. It belongs to the
 * queue handle. TUTTI_EDESCRIPTORS. A member that polls has one helper thread.
 */
TUTTI_API tutti_err tutti_queue_fd(tutti_queue *queue, int *fd);

/*
 * The same for those who put: readable while there is room (or the queue is shut down), for as large a message as the
 * one that was refused last through this handle (TUTTI_EFULL). Put with TUTTI_NOW then: others may be faster.
 */
TUTTI_API tutti_err tutti_queue_room_fd(tutti_queue *queue, int *fd);

/*
 * The same for those who join: readable while everything that was put is done. tutti_queue_join() with TUTTI_NOW has
 * the exact answer. TUTTI_EINVAL: not joinable.
 */
TUTTI_API tutti_err tutti_queue_done_fd(tutti_queue *queue, int *fd);

#ifdef __cplusplus
}
#endif

#endif
