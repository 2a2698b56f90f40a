/* SPDX-License-Identifier: MIT */
/*
 * One run of `tutti map`: inputs become jobs (feed.c), jobs run in the workers of a pool (job.c),
 * what comes back is printed, logged and counted (result.c), until all is done or something
 * stops it (map.c).
 */
#ifndef CLI_MAP_H
#define CLI_MAP_H

#include "groups.h"
#include "input.h"
#include "options.h"
#include "pending.h"
#include "progress.h"
#include "template.h"
#include <signal.h>

struct map {
	struct options options;
	struct template *template;
	struct input *input;
	struct joblog *joblog;
	struct progress progress;
	tutti_pool *pool;

	/* feed.c */
	tutti_stream *stream;
	bool input_ended;
	uint64_t next_number, next_place, skipped;
	char **values; /* room for the inputs of one job */
	struct buffer job, command, tag; /* of the job that is being made */

	/* result.c */
	struct pending pending;
	uint64_t next_print; /* with --keep-order: the place whose turn it is */
	uint64_t held_bytes; /* of results that wait for their turn */
	uint64_t retried;
	uint64_t unrun; /* jobs that came back without having been run */
	struct counts counts;

	/* What ended it early; see map.c. */
	int failure; /* exit status, or 0 */
	bool halted;
	int halt_status;
	bool output_closed; /* nobody reads standard output any more */
};

/* The signal that asked to stop, or 0. */
extern volatile sig_atomic_t map_signal;

/* Stops early with exit status 255, or says so first. */
void map_fail(struct map *map, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Opens the stream of jobs. False: it was said why. */
bool feed_open(struct map *map);

/* Takes the next result, or waits a while for it. False: all are taken. */
bool feed_step(struct map *map);

/* Prints what would be run. */
void feed_dry_run(struct map *map);

/* Takes over one result of the pool. */
void result_take(struct map *map, uint64_t place, tutti_result *result);

/* Counts how many jobs there are, as far as is known. */
void result_update_total(struct map *map);

/* Prints what still waits for its turn, though an earlier job never ended. */
void result_flush(struct map *map);

/* Output could not be written, errno says why: nothing more is to be done. */
void result_output_failed(struct map *map, const char *name);

/* Gives back all that is pending. */
void result_drop(struct map *map);

#endif
