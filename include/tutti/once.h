/* SPDX-License-Identifier: MIT */
/*
 * Once: something that one member does and all others wait for.
 *
 * Whoever was doing it and is killed is succeeded by another, who is told.
 *
 * Threads: any. Fork: inherited. Signals: not in handlers. Kill: see above.
 */
#ifndef TUTTI_ONCE_H
#define TUTTI_ONCE_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_once tutti_once;

typedef struct tutti_once_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* at most 39 bytes, for errors and views; default: "once" */
} tutti_once_options;

/* Makes one, not done. `options` may be NULL. TUTTI_ENOMEM, TUTTI_EINVAL. */
TUTTI_API tutti_err tutti_once_open(tutti_once **once, const tutti_once_options *options);

/* Opens an existing one. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_once_at(tutti_once **once, tutti_arena *arena, tutti_handle handle);

/* Gives back this handle; the once lives while somebody has one. NULL is fine. */
TUTTI_API void tutti_once_close(tutti_once *once);

TUTTI_API tutti_handle tutti_once_handle(const tutti_once *once);

/*
 * `*mine` true: the caller is to do it, then call tutti_once_end(). False: it is done.
 * Waits up to `timeout` while another member does it. TUTTI_EOWNERDEAD: `*mine` is true, and another one
 * had begun and was killed. TUTTI_EBUSY, TUTTI_ETIMEDOUT, TUTTI_EINTR.
 */
TUTTI_API tutti_err tutti_once_begin(tutti_once *once, bool *mine, tutti_time timeout);

/* It is done (or, with `done` false, it failed and the next one is to do it). TUTTI_EPERM: not begun by this member. */
TUTTI_API tutti_err tutti_once_end(tutti_once *once, bool done);

TUTTI_API bool tutti_once_is_done(const tutti_once *once);

/* begin, `function(context)`, end: it is run by one member. False from it: failed, TUTTI_EFAILED. */
TUTTI_API tutti_err tutti_once_run(tutti_once *once, bool (*function)(void *context), void *context, tutti_time timeout);

#ifdef __cplusplus
}
#endif

#endif
