/* SPDX-License-Identifier: MIT */
/*
 * A lock between members: threads and processes. It knows its holder; a holder
 * that is killed hands it on, and the next one is told.
 *
 * Threads: any. Fork: a child's inherited tutti_lock is its own handle on the same
 * lock; what the parent holds, the parent holds. Signals: not in handlers. Kill:
 * promise K3 of docs/architecture.md.
 */
#ifndef TUTTI_LOCK_H
#define TUTTI_LOCK_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_lock tutti_lock;

typedef struct tutti_lock_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "lock" */
	bool handover; /* any member may release it, as a semaphore of one; default: only the process that holds it */
} tutti_lock_options;

/* Makes a lock, free. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_lock_open(tutti_lock **lock, const tutti_lock_options *options);

/* Opens an existing lock. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_lock_at(tutti_lock **lock, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the lock lives while somebody has one. Does not release it. */
TUTTI_API void tutti_lock_close(tutti_lock *lock);

TUTTI_API tutti_handle tutti_lock_handle(const tutti_lock *lock);

/*
 * Takes the lock, waiting up to `timeout` nanoseconds.
 * TUTTI_OK: held. TUTTI_EOWNERDEAD: held too, but its last holder was killed and
 * what it guards may be half changed. TUTTI_EBUSY: TUTTI_NOW was given and a living
 * member holds it (the text has its pid). TUTTI_ETIMEDOUT. Not interrupted by signals.
 */
TUTTI_API tutti_err tutti_lock_acquire(tutti_lock *lock, tutti_time timeout);

/*
 * Releases it. TUTTI_EPERM: this process does not hold it. Any thread of the holder may release,
 * and any member a lock whose holder exited cleanly without releasing it, or one with `handover` (that of a
 * killed holder too: who hands over answers for the state). With `handover` TUTTI_EBOUND: nobody holds it.
 */
TUTTI_API tutti_err tutti_lock_release(tutti_lock *lock);

/*
 * Releases it unrepaired: the next who asks is told, as if the caller had been killed. TUTTI_EPERM, TUTTI_EBOUND: this
 * process does not hold it.
 */
TUTTI_API tutti_err tutti_lock_abandon(tutti_lock *lock);

/*
 * The holder's pid (also of one that exited cleanly without releasing), 0 if it is free, -1 if
 * its holder was killed. Recovers nothing, never waits.
 */
TUTTI_API int tutti_lock_holder(const tutti_lock *lock);

/* Whether this member, and so this process, holds it: one look, no system call. Recovers nothing, never waits. */
TUTTI_API bool tutti_lock_is_mine(const tutti_lock *lock);

/*
 * A descriptor for poll, epoll and event loops: readable while the lock may be had, for a moment perhaps when it may
 * not any more. Try it then with TUTTI_NOW: others may be faster. Never read it. It belongs to the handle.
 * TUTTI_EDESCRIPTORS. A member that asks for descriptors has one helper thread.
 */
TUTTI_API tutti_err tutti_lock_fd(tutti_lock *lock, int *fd);

#ifdef __cplusplus
}
#endif

#endif
