/* SPDX-License-Identifier: MIT */
/*
 * Waiting for many things at once: queues, pipe ends, events, locks, semaphores, processes, plain descriptors.
 *
 * A wait set keeps its members between waits: the next ready one costs the same among 1 and
 * among 10,000. tutti_wait_any() is for a list that is waited for once.
 *
 * Ready means that the call which would wait need not: a queue or pipe end has a message or has
 * ended, an event is set, a lock or permit may be had now (try it: others may be faster), a process has
 * ended, a descriptor answers what was asked. A thing is reported again as long as it is ready. A lock that
 * the caller itself holds is not, a recursive one neither.
 *
 * Threads: any; several may wait in one set. Fork: a set belongs to the process that opened it. Signals: not
 * in handlers. Kill: a set is private to its process; a member that is killed on the way to
 * making something ready delays who waits by a quarter of a second at most.
 */
#ifndef TUTTI_WAITSET_H
#define TUTTI_WAITSET_H

#include <poll.h>

#include <tutti/event.h>
#include <tutti/lock.h>
#include <tutti/pipe.h>
#include <tutti/process.h>
#include <tutti/queue.h>
#include <tutti/rlock.h>
#include <tutti/semaphore.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tutti_wait_kind {
	TUTTI_WAIT_NOTHING, /* never ready: an unused place in a list */
	TUTTI_WAIT_QUEUE,
	TUTTI_WAIT_PIPE,
	TUTTI_WAIT_EVENT,
	TUTTI_WAIT_LOCK,
	TUTTI_WAIT_RLOCK,
	TUTTI_WAIT_SEMAPHORE,
	TUTTI_WAIT_PROCESS,
	TUTTI_WAIT_DESCRIPTOR
} tutti_wait_kind;

/* One thing to wait for; made by the functions below. */
typedef struct tutti_wait_item {
	tutti_wait_kind kind;
	void *object; /* the handle, NULL for a descriptor */
	int fd; /* of a process or descriptor, else -1 */
	short events; /* asked of a descriptor: POLLIN, POLLOUT, or both */
	short ready; /* answered: 0 not ready; POLLIN, or what poll() says of a descriptor */
	void *key; /* the caller's */
} tutti_wait_item;

static inline tutti_wait_item tutti_wait_item_make(tutti_wait_kind kind, void *object, int fd, short events, void *key)
{
	tutti_wait_item item = {kind, object, fd, events, 0, key};
	return item;
}
static inline tutti_wait_item tutti_wait_queue(tutti_queue *queue, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_QUEUE, queue, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_pipe(tutti_pipe *end, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_PIPE, end, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_event(tutti_event *event, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_EVENT, event, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_lock(tutti_lock *lock, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_LOCK, lock, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_rlock(tutti_rlock *rlock, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_RLOCK, rlock, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_semaphore(tutti_semaphore *semaphore, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_SEMAPHORE, semaphore, -1, POLLIN, key);
}
static inline tutti_wait_item tutti_wait_process(tutti_process *process, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_PROCESS, process, tutti_process_fd(process), POLLIN, key);
}
static inline tutti_wait_item tutti_wait_descriptor(int fd, short events, void *key)
{
	return tutti_wait_item_make(TUTTI_WAIT_DESCRIPTOR, NULL, fd, events, key);
}

/* A set of things to wait for. */
typedef struct tutti_waitset tutti_waitset;

typedef struct tutti_waitset_options {
	tutti_arena *arena; /* whose objects it waits for; default: the default arena */
} tutti_waitset_options;

/* Opens an empty set. `options` may be NULL. TUTTI_ENOMEM. TUTTI_EMEMBERS: the arena has 4,095 pollers. */
TUTTI_API tutti_err tutti_waitset_open(tutti_waitset **set, const tutti_waitset_options *options);

/* Gives the set back; its members are left as they are. No thread may wait in it. NULL is fine. */
TUTTI_API void tutti_waitset_close(tutti_waitset *set);

/*
 * Adds a thing. What is closed later leaves the set by itself. Takes a few hundred bytes; the
 * first descriptor or process takes one descriptor for the set, two beside arena objects.
 * TUTTI_EINVAL: it is in already, or not valid. TUTTI_EFOREIGN: it belongs to another arena.
 * TUTTI_EPERM: the set belongs to another process; or a pipe end that only sends. TUTTI_EDESCRIPTORS,
 * TUTTI_ENOMEM, TUTTI_ESTALE.
 */
TUTTI_API tutti_err tutti_waitset_add(tutti_waitset *set, tutti_wait_item item);

/* Takes it out; `key` does not matter. TUTTI_ENOENT: it is not in, or was closed. TUTTI_EPERM. */
TUTTI_API tutti_err tutti_waitset_remove(tutti_waitset *set, tutti_wait_item item);

/* How many things are in it. */
TUTTI_API size_t tutti_waitset_count(tutti_waitset *set);

/*
 * The next ready thing, waiting up to `timeout` for one: each of those that stay ready in turn. A
 * descriptor may have been used up by somebody else meanwhile.
 * TUTTI_ETIMEDOUT. TUTTI_EINTR: a signal handler ran meanwhile, call again. TUTTI_EPERM.
 */
TUTTI_API tutti_err tutti_waitset_next(tutti_waitset *set, tutti_wait_item *ready, tutti_time timeout);

/*
 * A descriptor for poll, epoll and event loops: readable while tutti_waitset_next() has something to
 * report. It stands for all members. Never read it. It belongs to the set. TUTTI_EDESCRIPTORS.
 */
TUTTI_API tutti_err tutti_waitset_fd(tutti_waitset *set, int *fd);

/*
 * Waits up to `timeout` until at least one thing in the list is ready, and sets `ready` of each. The
 * list is read once; when something is ready already there is no system call, or one if
 * there are descriptors in it. What was ready before a descriptor or the end of a process is marked
 * with it. `count_ready` may be NULL. A thing may stand there twice. An empty list waits for the time-out.
 * TUTTI_ETIMEDOUT, TUTTI_EINTR, TUTTI_EINVAL, TUTTI_EFOREIGN: objects of two arenas.
 */
TUTTI_API tutti_err tutti_wait_any(tutti_wait_item *items, size_t count, size_t *count_ready, tutti_time timeout);

#ifdef __cplusplus
}
#endif

#endif
