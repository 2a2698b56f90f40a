/* SPDX-License-Identifier: MIT */
/* Runs one command in a worker: start, wait, time out, leave nothing of it behind. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "groups.h"
#include <stdbool.h>
#include <tutti/base.h>

struct command {
	char **arguments; /* up to a NULL */
	int output, error; /* descriptors that it writes to */
	tutti_time timeout;
	struct group_slot *slot;
};

struct command_end {
	int start_error; /* errno, if it could not be started; else 0 */
	int status; /* as of waitpid() */
	bool timed_out;
};

/*
 * Called once in a process that will run commands: notes which signals commands shall have at
 * their default again, and makes standard input /dev/null. False: errno says why.
 */
bool command_prepare(void);

/* Runs it to its end. */
struct command_end command_run(const struct command *command);

/* The file that a command's name stands for; NULL and errno if there is none. Valid until the next call. */
const char *command_find(const char *name);

#endif
