/* SPDX-License-Identifier: MIT */
/*
 * A read-write lock: many readers, or one writer. A waiting writer keeps new readers out.
 *
 * A reader that is killed is dropped; after a writer that was killed everyone who takes it, for
 * reading or writing, is told, until a writer has held and released it: a reader cannot repair.
 *
 * Threads: any. Fork: what the parent holds, the parent holds. Signals: not in handlers.
 * Kill: promise K3 of docs/architecture.md.
 */
#ifndef TUTTI_RWLOCK_H
#define TUTTI_RWLOCK_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_rwlock tutti_rwlock;

typedef struct tutti_rwlock_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "read-write lock" */
} tutti_rwlock_options;

/* Makes one, free. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_rwlock_open(tutti_rwlock **rwlock, const tutti_rwlock_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_rwlock_at(tutti_rwlock **rwlock, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the read-write lock lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_rwlock_close(tutti_rwlock *rwlock);

TUTTI_API tutti_handle tutti_rwlock_handle(const tutti_rwlock *rwlock);

/*
 * Takes it for reading or for writing, waiting up to `timeout`. Not recursive; not interrupted by signals.
 * TUTTI_OK. TUTTI_EOWNERDEAD: taken too, but a writer was killed, and what it guards may be half changed.
 * TUTTI_EBUSY, TUTTI_ETIMEDOUT; at a member's first read TUTTI_ENOMEM, TUTTI_EMEMBERS.
 */
TUTTI_API tutti_err tutti_rwlock_acquire_read(tutti_rwlock *rwlock, tutti_time timeout);
TUTTI_API tutti_err tutti_rwlock_acquire_write(tutti_rwlock *rwlock, tutti_time timeout);

/*
 * Gives back what this member holds (any of its threads may), or what one that exited cleanly has left. TUTTI_EPERM: there
 * is nothing of that.
 */
TUTTI_API tutti_err tutti_rwlock_release_read(tutti_rwlock *rwlock);
TUTTI_API tutti_err tutti_rwlock_release_write(tutti_rwlock *rwlock);

/*
 * Releases what this member writes, unrepaired: everyone is told, as if the caller had been killed. TUTTI_EPERM. (Who reads
 * and is told need not do this: the next ones are told anyhow.)
 */
TUTTI_API tutti_err tutti_rwlock_abandon_write(tutti_rwlock *rwlock);

/* How many reads are held. Recovers nothing, never waits. */
TUTTI_API uint32_t tutti_rwlock_readers(const tutti_rwlock *rwlock);
/* Pid of the writer, 0: none, -1: it was killed, and none has repaired since. Recovers nothing, never waits. */
TUTTI_API int tutti_rwlock_writer(const tutti_rwlock *rwlock);

#ifdef __cplusplus
}
#endif

#endif
