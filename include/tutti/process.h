/* SPDX-License-Identifier: MIT */
/*
 * Processes: start a member that runs a task function, watch it, stop it.
 *
 * Threads: any; one tutti_process by one thread at a time. Fork: a child must not
 * use the parent's tutti_process. Signals: not in handlers. Kill: a started
 * process ends when the process that started it is killed.
 */
#ifndef TUTTI_PROCESS_H
#define TUTTI_PROCESS_H

#include <tutti/arena.h>
#include <tutti/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The first line of main(): `tutti_init(&argc, &argv);`. In a process that Tutti spawned
 * it runs what the process was started for and does not return; elsewhere it returns
 * at once. Needed for TUTTI_SPAWN only, harmless always.
 */
TUTTI_API void tutti_init(int *argc, char ***argv);

typedef enum tutti_start {
	TUTTI_START_DEFAULT, /* fork while this process has one thread, else spawn. TUTTI_START=fork|spawn overrides */
	TUTTI_FORK, /* a copy of this process: cheap, and unsafe while other threads hold locks */
	TUTTI_SPAWN /* this program executed again, with the arena passed on */
} tutti_start;

typedef struct tutti_process tutti_process;

typedef struct tutti_process_options {
	tutti_arena *arena; /* default: the default arena */
	const char *name; /* member name; default: the task's name */
	tutti_start start;
	tutti_view input; /* what tutti_task_input() gives there; copied */
} tutti_process_options;

typedef struct tutti_exit {
	bool known; /* false: somebody else reaped it */
	int code; /* exit status, or -1 */
	int signal; /* what killed it, or 0 */
} tutti_exit;

/*
 * Starts a process that runs the task function `task` and exits with 0, or with 1 if the
 * task failed (its text goes to stderr).
 * TUTTI_ENOENT: no such task. TUTTI_EFORKBOMB: called in a spawned process before
 * tutti_init(). TUTTI_ESYSTEM, TUTTI_EDESCRIPTORS, TUTTI_ENOMEM.
 */
TUTTI_API tutti_err tutti_process_start(tutti_process **process, const char *task,
                                        const tutti_process_options *options);

TUTTI_API int tutti_process_pid(const tutti_process *process);

/* A descriptor that is readable when the process has ended. Belongs to the process handle. */
TUTTI_API int tutti_process_fd(const tutti_process *process);

/* Asks it to end (SIGTERM); kill makes it end (SIGKILL). Both are fine on an ended one. */
TUTTI_API tutti_err tutti_process_stop(tutti_process *process);
TUTTI_API tutti_err tutti_process_kill(tutti_process *process);

/* Waits for its end and tells how. `status` may be NULL. TUTTI_ETIMEDOUT, TUTTI_EINTR. May be called again. */
TUTTI_API tutti_err tutti_process_wait(tutti_process *process, tutti_exit *status, tutti_time timeout);

/* Kills it if it still runs, reaps it, and gives the handle back. NULL is fine. */
TUTTI_API void tutti_process_close(tutti_process *process);

#ifdef __cplusplus
}
#endif

#endif
