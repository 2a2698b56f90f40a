/* SPDX-License-Identifier: MIT */
/*
 * Errors. Every function that can fail returns a tutti_err, 0 for success, and
 * leaves a text that says what happened, to which thing, and what to do.
 */
#ifndef TUTTI_ERROR_H
#define TUTTI_ERROR_H

#include <tutti/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One table makes codes, names and texts. Order is ABI: append only. */
#define TUTTI_ERRORS(X)                                                                                                \
	X(OK, "success")                                                                                                   \
	X(EINVAL, "an argument is not valid")                                                                              \
	X(ENOMEM, "the arena is full")                                                                                     \
	X(ETIMEDOUT, "the time ran out")                                                                                   \
	X(EEMPTY, "nothing is there")                                                                                      \
	X(EFULL, "the queue is full")                                                                                      \
	X(EBUSY, "it is held by another member")                                                                           \
	X(EOWNERDEAD, "the holder was killed; you hold it now")                                                            \
	X(EDEADLK, "waiting here would never end")                                                                         \
	X(EPERM, "not held by this member")                                                                                \
	X(ESHUTDOWN, "it was shut down and takes no more")                                                                 \
	X(EOF, "nothing is left and nothing more will come")                                                               \
	X(ESTALE, "the object is gone")                                                                                    \
	X(EFOREIGN, "the handle belongs to another arena")                                                                 \
	X(EKIND, "the object is of another kind")                                                                          \
	X(ETOOBIG, "the message is larger than allowed")                                                                   \
	X(EVERSION, "the arena was made by an incompatible version")                                                       \
	X(ENOTARENA, "this is not an arena")                                                                               \
	X(ENOENT, "no such thing")                                                                                         \
	X(EINTR, "a signal handler ran")                                                                                   \
	X(ESYSTEM, "a system call failed")                                                                                 \
	X(EMEMBERS, "the member table is full")                                                                            \
	X(EFORKBOMB, "a started process would start itself again")                                                         \
	X(EFAILED, "the task reported an error")                                                                           \
	X(EWORKERDIED, "the worker died")                                                                                  \
	X(ECANCELLED, "it was cancelled")                                                                                  \
	X(ECORRUPT, "the arena is damaged") /* reserved */                                                                 \
	X(EDESCRIPTORS, "no file descriptor is left")                                                                      \
	X(EBROKEN, "the barrier is broken")                                                                                \
	X(EBOUND, "released more often than acquired")

/* clang-format off */
typedef enum tutti_err {
#define TUTTI_ERROR_CODE(name, text) TUTTI_##name,
	TUTTI_ERRORS(TUTTI_ERROR_CODE)
#undef TUTTI_ERROR_CODE
	TUTTI_ERROR_COUNT
} tutti_err;
/* clang-format on */

/* "TUTTI_ENOMEM" for TUTTI_ENOMEM. Never NULL. Any thread, any signal handler. */
TUTTI_API const char *tutti_error_name(tutti_err err);

/* The general text of a code. Never NULL. Any thread, any signal handler. */
TUTTI_API const char *tutti_error_text(tutti_err err);

/*
 * The particular text of this thread's last error: which object, which pid, what
 * to do. Valid until this thread's next call of a function that fails.
 */
TUTTI_API const char *tutti_last_error(void);

/*
 * Prints "program: text of the last error" to stderr and returns 1, the exit
 * status for main: `return tutti_fatal(err);`. With TUTTI_OK it prints nothing
 * and returns 0.
 */
TUTTI_API int tutti_fatal(tutti_err err);

#ifdef __cplusplus
}
#endif

#endif
