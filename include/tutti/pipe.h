/* SPDX-License-Identifier: MIT */
/*
 * A pipe: two ends that send each other messages, or one that sends to the other.
 *
 * What was sent before an end was closed, or its last holder killed, is received; then the
 * other end gets TUTTI_EOF. Messages are those of queue.h.
 *
 * Threads: any. Fork: inherited; both processes hold the end then. Signals: not in handlers.
 * Kill: promise K2 of docs/architecture.md.
 */
#ifndef TUTTI_PIPE_H
#define TUTTI_PIPE_H

#include <tutti/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One end. Closing the last handle of an end, in all members, closes the end. */
typedef struct tutti_pipe tutti_pipe;

typedef struct tutti_pipe_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes; default: "pipe" */
	bool one_way; /* `first` only receives, `second` only sends; default: both do both */
	uint64_t max_items, max_bytes, max_message; /* each way, as in queue.h */
} tutti_pipe_options;

/* Makes a pipe and opens both ends. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_pipe_open(tutti_pipe **first, tutti_pipe **second, const tutti_pipe_options *options);

/* Opens an end by its handle. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_pipe_at(tutti_pipe **end, tutti_arena *arena, tutti_handle handle);

/* Gives this handle of the end back. NULL is fine. */
TUTTI_API void tutti_pipe_close(tutti_pipe *end);

TUTTI_API tutti_handle tutti_pipe_handle(const tutti_pipe *end);

/*
 * Sends a message, waiting up to `timeout` for room. TUTTI_ESHUTDOWN: the other end is closed or dead.
 * TUTTI_EPERM: this end only receives. Else as tutti_queue_put().
 */
TUTTI_API tutti_err tutti_pipe_send(tutti_pipe *end, const void *data, size_t size, tutti_time timeout);
TUTTI_API tutti_err tutti_pipe_send_gather(tutti_pipe *end, const tutti_view *parts, size_t count,
                                           tutti_encoding encoding, tutti_time timeout);
/* The same, with handles that the message carries: as tutti_queue_put_with(). */
TUTTI_API tutti_err tutti_pipe_send_with(tutti_pipe *end, const tutti_view *parts, size_t count,
                                         tutti_encoding encoding, const tutti_handle *carried, size_t carried_count,
                                         tutti_time timeout);

/*
 * Receives a message, waiting up to `timeout`. TUTTI_EEMPTY. TUTTI_EOF: the other end is closed or dead and
 * everything was received. TUTTI_EPERM: this end only sends. Else as tutti_queue_get().
 */
TUTTI_API tutti_err tutti_pipe_receive(tutti_pipe *end, tutti_message *message, tutti_time timeout);
/* As tutti_queue_get_near() to that. */
TUTTI_API tutti_err tutti_pipe_receive_near(tutti_pipe *end, tutti_message *message, unsigned char near[TUTTI_NEAR],
                                            tutti_time timeout);
TUTTI_API tutti_err tutti_pipe_receive_into(tutti_pipe *end, void *buffer, size_t capacity, size_t *size,
                                            tutti_time timeout);

/* Waits up to `timeout` until a receive would not: a message, or the end. TUTTI_EEMPTY. */
TUTTI_API tutti_err tutti_pipe_poll(tutti_pipe *end, tutti_time timeout);

/* As tutti_queue_fd(): readable while a receive would not wait. */
TUTTI_API tutti_err tutti_pipe_fd(tutti_pipe *end, int *fd);

#ifdef __cplusplus
}
#endif

#endif
