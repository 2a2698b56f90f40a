/* SPDX-License-Identifier: MIT */
/*
 * An event: a flag that members wait for. It stays set until it is cleared.
 *
 * Threads: any. Fork: inherited. Signals: tutti_event_set() may be called in a
 * handler; it takes no lock. Kill: setting and clearing are one store each.
 */
#ifndef TUTTI_EVENT_H
#define TUTTI_EVENT_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_event tutti_event;

typedef struct tutti_event_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* default: "event" */
} tutti_event_options;

TUTTI_API tutti_err tutti_event_open(tutti_event **event, const tutti_event_options *options);
TUTTI_API tutti_err tutti_event_at(tutti_event **event, tutti_arena *arena, tutti_handle handle);
TUTTI_API void tutti_event_close(tutti_event *event);
TUTTI_API tutti_handle tutti_event_handle(const tutti_event *event);

/* Sets the flag and wakes every waiter. Async-signal-safe in a process that used the event before. */
TUTTI_API tutti_err tutti_event_set(tutti_event *event);

/* Clears the flag. */
TUTTI_API tutti_err tutti_event_clear(tutti_event *event);

TUTTI_API bool tutti_event_is_set(const tutti_event *event);

/* Waits until the flag is set. TUTTI_ETIMEDOUT; TUTTI_EINTR: a signal handler ran meanwhile, call again. */
TUTTI_API tutti_err tutti_event_wait(tutti_event *event, tutti_time timeout);

/*
 * A descriptor for poll, epoll and event loops: readable while the event is set, for a
 * moment perhaps when it is not any more. Never read it. It belongs to the event handle.
 * TUTTI_EDESCRIPTORS. A member that asks for descriptors has one helper thread.
 */
TUTTI_API tutti_err tutti_event_fd(tutti_event *event, int *fd);

#ifdef __cplusplus
}
#endif

#endif
