/* SPDX-License-Identifier: MIT */
/*
 * A barrier: `parties` members or threads wait for each other, again and again.
 *
 * A party that is killed while it waits breaks it, as does one whose wait runs out of time:
 * all that wait get TUTTI_EBROKEN, and so does everyone who comes, until it is reset.
 *
 * Threads: any. Fork: inherited. Signals: not in handlers. Kill: see above.
 */
#ifndef TUTTI_BARRIER_H
#define TUTTI_BARRIER_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_barrier tutti_barrier;

typedef struct tutti_barrier_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "barrier" */
} tutti_barrier_options;

/* Makes one for `parties` (1 to 1,048,576). `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_barrier_open(tutti_barrier **barrier, uint32_t parties, const tutti_barrier_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_barrier_at(tutti_barrier **barrier, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the barrier lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_barrier_close(tutti_barrier *barrier);

TUTTI_API tutti_handle tutti_barrier_handle(const tutti_barrier *barrier);

/*
 * Waits until all parties are there. The one that comes last runs `action(context)` (may be
 * NULL) while the others still wait; false from it breaks the barrier.
 * `index` (may be NULL): 0 to parties - 1, a different one for each party of a round.
 * TUTTI_EBROKEN: broken, by a time-out, an abort, a reset, a failed action or a death (the text says
 * which). The caller's own time-out is TUTTI_EBROKEN too. TUTTI_EINTR: a signal handler ran; the caller
 * no longer waits, the barrier is as before (not while an action runs). If one party too many came, while the
 * action of a complete round ran, its time-out is TUTTI_EBROKEN as well, but the barrier is as before. TUTTI_ENOMEM.
 */
TUTTI_API tutti_err tutti_barrier_wait(tutti_barrier *barrier, bool (*action)(void *context), void *context,
                                       uint32_t *index, tutti_time timeout);

/*
 * The same in steps that do not wait, for event loops. tutti_barrier_enlist() gives a ticket, a value of the calling
 * member. tutti_barrier_try() arrives, the first time; then it looks. TUTTI_EBUSY: not all are there, try again when
 * the descriptor is readable. All other answers, as above, use the ticket up. `action` is run by the try that
 * completes the round.
 * tutti_barrier_fd(): readable while the round of this ticket, or of another for which this was asked, is over and
 * nobody has tried since. One for all tickets of the handle, to which it belongs; never read it.
 * tutti_barrier_leave() gives a ticket up: without `breaks_it` the party takes no part any more, unless the round was
 * complete. Nothing if the ticket is used up.
 */
TUTTI_API tutti_err tutti_barrier_enlist(tutti_barrier *barrier, uint64_t *ticket);
TUTTI_API tutti_err tutti_barrier_try(tutti_barrier *barrier, uint64_t ticket, bool (*action)(void *context),
                                      void *context, uint32_t *index);
TUTTI_API tutti_err tutti_barrier_fd(tutti_barrier *barrier, uint64_t ticket, int *fd);
TUTTI_API void tutti_barrier_leave(tutti_barrier *barrier, uint64_t ticket, bool breaks_it);

/* Breaks it. */
TUTTI_API tutti_err tutti_barrier_abort(tutti_barrier *barrier);

/* Makes it whole and empty again; those that wait now get TUTTI_EBROKEN. */
TUTTI_API tutti_err tutti_barrier_reset(tutti_barrier *barrier);

TUTTI_API bool tutti_barrier_is_broken(const tutti_barrier *barrier);
TUTTI_API uint32_t tutti_barrier_waiting(const tutti_barrier *barrier);
TUTTI_API uint32_t tutti_barrier_parties(const tutti_barrier *barrier);

#ifdef __cplusplus
}
#endif

#endif
