/* SPDX-License-Identifier: MIT */
/* The command line of `tutti map`. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "halt.h"
#include "joblog.h"
#include <tutti/base.h>

enum { EXIT_USAGE = 255, MOST_JOBS = 256 };

struct options {
	unsigned jobs; /* at a time */
	size_t per_job; /* inputs */
	uint32_t runs;
	tutti_time timeout;
	struct halt halt;
	const char *halt_text;
	const char *joblog;
	enum resume resume;
	const char *input_file; /* NULL: standard input */
	char separator;
	bool keep_order, tag, dry_run;
	enum progress_mode { PROGRESS_IF_TERMINAL, PROGRESS_ON, PROGRESS_OFF } progress;
	char *const *command;
	size_t command_count;
	char *const *values; /* behind :::, or NULL */
	size_t value_count;
};

/* Reads them. True: go on. False: exit with `*status`; what there is to say was said. */
bool options_read(struct options *options, int argc, char **argv, int *status);

#endif
