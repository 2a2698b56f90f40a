/* SPDX-License-Identifier: MIT */
/*
 * Task functions, known by name: a name means the same function in a forked, a
 * spawned, and later a remote member.
 *
 *     TUTTI_TASK(square)
 *     {
 *         double x = *(const double *)tutti_task_input(task).data;
 *         double y = x * x;
 *         return tutti_task_return(task, &y, sizeof y);
 *     }
 */
#ifndef TUTTI_TASK_H
#define TUTTI_TASK_H

#include <tutti/base.h>
#include <tutti/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One run of a task function: its input, and where its result goes. */
typedef struct tutti_task tutti_task;
typedef tutti_err (*tutti_task_function)(tutti_task *task);

typedef struct tutti_task_entry {
	const char *name;
	tutti_task_function function;
	struct tutti_task_entry *next;
} tutti_task_entry;

/* Enters a function in this program's table. TUTTI_TASK does it before main(). */
TUTTI_API void tutti_task_register(tutti_task_entry *entry);

/* Defines the task function `name`, whose parameter is `tutti_task *task`. */
#define TUTTI_TASK(name)                                                                                               \
	static tutti_err name(tutti_task *task);                                                                           \
	__attribute__((constructor)) static void tutti_register_##name(void)                                               \
	{                                                                                                                  \
		static tutti_task_entry entry = {#name, name, NULL};                                                           \
		tutti_task_register(&entry);                                                                                   \
	}                                                                                                                  \
	static tutti_err name(__attribute__((unused)) tutti_task *task)

/* The input, valid until the function returns. 8-byte aligned. */
TUTTI_API tutti_view tutti_task_input(const tutti_task *task);

/* Which run this is: 1, then 2 and more after a worker that ran it was killed. */
TUTTI_API unsigned tutti_task_attempt(const tutti_task *task);

/*
 * Room for a result of up to `size` bytes, to be written in place and then returned with
 * `return tutti_task_return(task, data, size)`. TUTTI_ENOMEM.
 */
TUTTI_API tutti_err tutti_task_reserve(tutti_task *task, size_t size, void **data);

/* Sets the result, copied unless it was reserved. Returns TUTTI_OK or what went wrong: return that. */
TUTTI_API tutti_err tutti_task_return(tutti_task *task, const void *data, size_t size);

/* Reports an error: a code of yours (errno, say) and a text. Returns TUTTI_EFAILED: return that. */
TUTTI_API tutti_err tutti_task_fail(tutti_task *task, int code, const char *format, ...) TUTTI_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
