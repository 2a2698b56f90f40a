/* SPDX-License-Identifier: MIT */
/*
 * A counting semaphore, bounded or not.
 *
 * It records what each member has acquired and not released. What a killed member had
 * is given back when a waiter would otherwise sleep, and the taker is told; a surplus of
 * releases is kept. After a clean exit nothing is given back.
 *
 * Threads: any. Fork: inherited; a child has acquired nothing. Signals: not in handlers.
 * Kill: promise K3 of docs/architecture.md.
 */
#ifndef TUTTI_SEMAPHORE_H
#define TUTTI_SEMAPHORE_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_semaphore tutti_semaphore;

typedef struct tutti_semaphore_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "semaphore" */
	uint32_t max_value; /* a release beyond it is refused; default: 2^31 - 1 */
} tutti_semaphore_options;

/* Makes one with `value` permits (at most max_value). `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_semaphore_open(tutti_semaphore **semaphore, uint32_t value,
                                         const tutti_semaphore_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_semaphore_at(tutti_semaphore **semaphore, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the semaphore lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_semaphore_close(tutti_semaphore *semaphore);

TUTTI_API tutti_handle tutti_semaphore_handle(const tutti_semaphore *semaphore);

/*
 * Takes one permit, waiting up to `timeout`.
 * TUTTI_OK. TUTTI_EOWNERDEAD: taken too, but it was given back for a member that was killed.
 * TUTTI_EBUSY: TUTTI_NOW was given and none is left. TUTTI_ETIMEDOUT. TUTTI_EINTR: a signal
 * handler ran; nothing was taken. At a member's first use TUTTI_ENOMEM, TUTTI_EMEMBERS.
 */
TUTTI_API tutti_err tutti_semaphore_acquire(tutti_semaphore *semaphore, tutti_time timeout);

/* Gives back `count` permits at once, whoever took them. TUTTI_EBOUND: that would be more than max_value. */
TUTTI_API tutti_err tutti_semaphore_release(tutti_semaphore *semaphore, uint32_t count);

/*
 * Gives back one permit unrepaired: it is lent out again, and told of, as if the caller had been killed with it.
 * TUTTI_EPERM: this member has acquired no more than it has released. TUTTI_ENOMEM, TUTTI_EMEMBERS: nothing was given
 * back.
 */
TUTTI_API tutti_err tutti_semaphore_abandon(tutti_semaphore *semaphore);

/* How many permits are left. Recovers nothing, never waits. */
TUTTI_API uint32_t tutti_semaphore_value(const tutti_semaphore *semaphore);

/*
 * A descriptor for poll, epoll and event loops: readable while a permit may be had, for a moment perhaps when none may
 * any more. Try it then with TUTTI_NOW: others may be faster. Never read it. It belongs to the handle.
 * TUTTI_EDESCRIPTORS. A member that asks for descriptors has one helper thread.
 */
TUTTI_API tutti_err tutti_semaphore_fd(tutti_semaphore *semaphore, int *fd);

#ifdef __cplusplus
}
#endif

#endif
