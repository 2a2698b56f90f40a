/* SPDX-License-Identifier: MIT */
/*
 * A condition variable. It goes with whatever lock guards the thing waited for; that lock
 * is named at each wait.
 *
 * A notify never waits for those it wakes, so a waiter that is killed holds up nobody, and
 * a notification that reached a waiter that was killed before it returned goes to the next.
 *
 * Threads: any. Fork: inherited. Signals: not in handlers. Kill: see above.
 */
#ifndef TUTTI_CONDITION_H
#define TUTTI_CONDITION_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tutti_lock;
struct tutti_rlock;

typedef struct tutti_condition tutti_condition;

typedef struct tutti_condition_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "condition" */
} tutti_condition_options;

/* Makes one. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_condition_open(tutti_condition **condition, const tutti_condition_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_condition_at(tutti_condition **condition, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the condition lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_condition_close(tutti_condition *condition);

TUTTI_API tutti_handle tutti_condition_handle(const tutti_condition *condition);

/*
 * With the lock held: gives it up, waits for a notification, takes it again (without limit).
 * TUTTI_OK: notified. TUTTI_ETIMEDOUT, TUTTI_EINTR: not; the lock is held all the same.
 * TUTTI_EOWNERDEAD: notified or not, the lock's last holder was killed. TUTTI_EPERM: the lock is not held.
 * TUTTI_ENOMEM: no room for one more waiter, the lock is held.
 */
TUTTI_API tutti_err tutti_condition_wait(tutti_condition *condition, struct tutti_lock *lock, tutti_time timeout);
TUTTI_API tutti_err tutti_condition_wait_rlock(tutti_condition *condition, struct tutti_rlock *rlock,
                                               tutti_time timeout);

/* The same until `predicate(context)`, called with the lock held, is true; `timeout` is for the whole. */
TUTTI_API tutti_err tutti_condition_wait_for(tutti_condition *condition, struct tutti_lock *lock,
                                             bool (*predicate)(void *context), void *context, tutti_time timeout);

/*
 * A wait in two steps, for any other lock: enlist with the lock held, release it, then sleep;
 * take the lock again afterwards. `ticket` is a value of the calling member, for one sleep by any thread of it.
 * tutti_condition_sleep: TUTTI_OK: notified. TUTTI_ETIMEDOUT, TUTTI_EINTR: no longer enlisted.
 * TUTTI_ECANCELLED: another thread gave it up meanwhile. TUTTI_EINVAL: used up, or another member's.
 * tutti_condition_leave gives a ticket up; true if it had been notified by then: the caller passes that on.
 *
 * tutti_condition_await waits as sleep does but leaves the ticket enlisted, whatever it answers: wait again,
 * or take the lock and leave. A notification then counts as delivered with the leave, so that one for a
 * waiter that is killed before it has the lock goes to the next.
 */
TUTTI_API tutti_err tutti_condition_enlist(tutti_condition *condition, uint64_t *ticket);
TUTTI_API tutti_err tutti_condition_sleep(tutti_condition *condition, uint64_t ticket, tutti_time timeout);
TUTTI_API tutti_err tutti_condition_await(tutti_condition *condition, uint64_t ticket, tutti_time timeout);
TUTTI_API bool tutti_condition_leave(tutti_condition *condition, uint64_t ticket);

/*
 * For event loops, in place of a sleep: a descriptor that is readable while this ticket, or another for which this
 * was asked, has been notified and nobody has looked. Look with tutti_condition_await() and TUTTI_NOW. One for all
 * tickets of the handle, to which it belongs; never read it. TUTTI_EINVAL, TUTTI_EDESCRIPTORS.
 */
TUTTI_API tutti_err tutti_condition_fd(tutti_condition *condition, uint64_t ticket, int *fd);

/*
 * Wakes up to `count` waiters, those that came first; UINT32_MAX: all. Call it with the lock held, as the
 * waiters do. Returns at once. `notified` (may be NULL): how many there were.
 */
TUTTI_API tutti_err tutti_condition_notify(tutti_condition *condition, uint32_t count, uint32_t *notified);

/* How many wait now. */
TUTTI_API uint32_t tutti_condition_waiters(const tutti_condition *condition);

#ifdef __cplusplus
}
#endif

#endif
