/* SPDX-License-Identifier: MIT */
/*
 * One job: what `tutti map` sends to a worker and what comes back.
 *
 * Both are a struct followed by bytes. Sender and receiver are the same program, so that
 * the layout needs no version.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <tutti/tutti.h>

/* The names of the tasks: run one job, and prepare a new worker. */
#define JOB_TASK "run_job"
#define JOB_INITIALIZER "prepare_worker"

/* A command to run. Its arguments follow, each with its final zero byte. */
struct job {
	uint64_t number;
	tutti_time timeout; /* of one run */
	uint32_t runs; /* at most so many, while it fails */
	uint32_t argument_count;
};

/* How it went. Its standard output and then its standard error follow. */
struct outcome {
	int32_t exit_status; /* -1 after a timeout, 0 if a signal ended it */
	int32_t signal_number; /* what ended it, or 0 */
	uint32_t runs;
	bool skipped; /* not run at all: --halt or a signal came first */
	bool timed_out;
	double started; /* seconds since 1970, of the last run */
	double seconds; /* that the last run took */
	uint64_t output_size, error_size;
};

static inline bool outcome_is_success(const struct outcome *outcome)
{
	return outcome->exit_status == 0 && outcome->signal_number == 0 && !outcome->timed_out;
}

#endif
