/* SPDX-License-Identifier: MIT */
/*
 * A recursive lock: the thread that holds it may take it again, and must release it as
 * often. Otherwise as lock.h: it knows its holder, and one that is killed hands it on.
 *
 * Threads: held by one thread of one member. Fork: what the parent holds, the parent
 * holds. Signals: not in handlers. Kill: promise K3 of docs/architecture.md; only the
 * death of the process counts, never that of the thread.
 */
#ifndef TUTTI_RLOCK_H
#define TUTTI_RLOCK_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_rlock tutti_rlock;

typedef struct tutti_rlock_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "recursive lock" */
} tutti_rlock_options;

/* Makes one, free. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_rlock_open(tutti_rlock **rlock, const tutti_rlock_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_rlock_at(tutti_rlock **rlock, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the recursive lock lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_rlock_close(tutti_rlock *rlock);

TUTTI_API tutti_handle tutti_rlock_handle(const tutti_rlock *rlock);

/*
 * Takes it, waiting up to `timeout`; at once if the calling thread holds it already.
 * TUTTI_OK: held. TUTTI_EOWNERDEAD: held too, but its last holder was killed and what it
 * guards may be half changed. TUTTI_EBUSY: TUTTI_NOW was given and somebody else holds it.
 * TUTTI_ETIMEDOUT. Not interrupted by signals.
 */
TUTTI_API tutti_err tutti_rlock_acquire(tutti_rlock *rlock, tutti_time timeout);

/*
 * Undoes one acquire. TUTTI_EPERM: the calling thread does not hold it. Any member may release one whose holder exited
 * cleanly without releasing it.
 */
TUTTI_API tutti_err tutti_rlock_release(tutti_rlock *rlock);

/* Undoes all of the caller's acquires, unrepaired: the next who asks is told, as if the caller had been killed. */
TUTTI_API tutti_err tutti_rlock_abandon(tutti_rlock *rlock);

/*
 * Undoes all of the caller's acquires and tells how many they were; and takes it that many
 * times again. For waiting on a condition. Errors as above.
 */
TUTTI_API tutti_err tutti_rlock_release_all(tutti_rlock *rlock, uint32_t *depth);
TUTTI_API tutti_err tutti_rlock_acquire_all(tutti_rlock *rlock, uint32_t depth, tutti_time timeout);

/* How often the calling thread holds it; 0: it does not. */
TUTTI_API uint32_t tutti_rlock_depth(const tutti_rlock *rlock);

/* As tutti_lock_holder(): pid, 0 free, -1 its holder was killed. Recovers nothing, never waits. */
TUTTI_API int tutti_rlock_holder(const tutti_rlock *rlock);

/* As tutti_lock_fd(): readable while it is free; not while the calling thread holds it, which may take it all the same. */
TUTTI_API tutti_err tutti_rlock_fd(tutti_rlock *rlock, int *fd);

#ifdef __cplusplus
}
#endif

#endif
