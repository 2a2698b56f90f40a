/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_PROCESS_PROCESS_H
#define TUTTI_PROCESS_PROCESS_H

#include <tutti/process.h>

#include "process/task.h"

/* Refuses, by name, to start anything in a process that Tutti spawned and that has not called tutti_init(). */
tutti_err tutti__check_fork_bomb(void);

/* "killed by signal 9 (SIGKILL)", "ended with exit code 1", ... */
void tutti__describe_exit(const tutti_exit *status, char *text, size_t size);

/* Reaps it if it has ended; false if it still runs. Never waits. */
bool tutti__process_poll(tutti_process *process, tutti_exit *status);

#endif
