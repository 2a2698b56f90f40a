/* SPDX-License-Identifier: MIT */
/* What becomes of a job's result: counted, logged, printed in its turn, and perhaps the end of the run. */
#include "map.h"

#include "output.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void result_output_failed(struct map *map, const char *name)
{
	if (errno == EINTR)
		return;
	if (errno == EPIPE)
		map->output_closed = true;
	else
		map_fail(map, "cannot write to %s: %s", name, strerror(errno));
	groups_stop(STOP_NOW);
}

static void print_part(struct map *map, int fd, const char *tag, const void *data, size_t size)
{
	if (size == 0 || map->output_closed || map->failure || map_signal)
		return;
	progress_hide(&map->progress, fd);
	if (!output_write(fd, tag, data, size, &map_signal))
		result_output_failed(map, fd == STDOUT_FILENO ? "standard output" : "standard error");
}

/* A job that the pool could not bring to an end: its worker died too often, or its output does not fit. */
static void print_failure(struct map *map, const struct pending_job *job)
{
	progress_hide(&map->progress, STDERR_FILENO);
	fprintf(stderr, "tutti map: job %" PRIu64 " (%s): %s\n", job->number, job->command, job->result.text);
}

static void print(struct map *map, const struct pending_job *job)
{
	if (job->outcome.skipped)
		return;
	if (job->result.err) {
		print_failure(map, job);
		return;
	}
	const char *output = (const char *)job->result.view.data + sizeof job->outcome;
	print_part(map, STDOUT_FILENO, job->tag, output, job->outcome.output_size);
	print_part(map, STDERR_FILENO, job->tag, output + job->outcome.output_size, job->outcome.error_size);
	if (job->outcome.timed_out) {
		progress_hide(&map->progress, STDERR_FILENO);
		fprintf(stderr, "tutti map: job %" PRIu64 " (%s) ran out of its time and was killed\n", job->number,
		        job->command);
	}
}

/* --- its outcome --- */

static struct outcome outcome_of(const struct pending_job *job)
{
	struct outcome outcome = {.exit_status = 255};
	const tutti_result *result = &job->result;
	if (result->err == TUTTI_OK && result->view.size >= sizeof outcome) {
		memcpy(&outcome, result->view.data, sizeof outcome);
		return outcome;
	}
	outcome.skipped = result->err == TUTTI_ECANCELLED;
	if (result->err == TUTTI_EWORKERDIED && result->code > 0) {
		outcome.exit_status = 0;
		outcome.signal_number = result->code;
	}
	return outcome;
}

/* As a shell would have it. */
static int status_of(const struct outcome *outcome)
{
	return outcome->signal_number && outcome->exit_status == 0 ? 128 + outcome->signal_number
	                                                           : outcome->exit_status & 255;
}

/* "failed with exit status 3" */
static const char *way_of(const struct outcome *outcome, char *text, size_t size)
{
	if (outcome->timed_out)
		snprintf(text, size, "ran out of its time");
	else if (outcome->signal_number)
		snprintf(text, size, "was killed by signal %d", outcome->signal_number);
	else if (outcome->exit_status)
		snprintf(text, size, "failed with exit status %d", outcome->exit_status);
	else
		snprintf(text, size, "succeeded");
	return text;
}

/* The text that says why, to be freed. */
static char *halt(struct map *map, const struct pending_job *job)
{
	char way[64], *text = NULL;
	const struct halt *rule = &map->options.halt;
	map->halted = true;
	map->halt_status = -1;
	if (!rule->percent && rule->what != HALT_DONE)
		map->halt_status = rule->what == HALT_FAIL ? status_of(&job->outcome) : 0;
	groups_stop(rule->level);
	if (asprintf(&text, "tutti map: job %" PRIu64 " (%s) %s; %s (--halt %s)\n", job->number, job->command,
	             way_of(&job->outcome, way, sizeof way),
	             rule->level == STOP_NOW ? "all others are stopped" : "no more are started",
	             map->options.halt_text) < 0)
		return NULL;
	return text;
}

static void count(struct map *map, const struct pending_job *job)
{
	map->counts.done++;
	map->counts.failed += !outcome_is_success(&job->outcome);
	if (job->result.runs > 1)
		map->retried += job->result.runs - 1;
	if (job->outcome.runs > 1)
		map->retried += job->outcome.runs - 1;
	if (!joblog_add(map->joblog, job->number, &job->outcome, job->command))
		map_fail(map, "cannot write to job log %s: %s", map->options.joblog, strerror(errno));
}

void result_update_total(struct map *map)
{
	uint64_t inputs, per_job = map->options.per_job;
	map->counts.total_is_known = input_total(map->input, &inputs);
	map->counts.total = (inputs + per_job - 1) / per_job - map->skipped;
}

/* --- its turn --- */

static uint64_t held_size(const struct pending_job *job) { return job->result.view.size; }

static void print_turns(struct map *map)
{
	struct pending_job *job;
	while ((job = pending_find(&map->pending, map->next_print)) && job->ended) {
		print(map, job);
		map->held_bytes -= held_size(job);
		map->next_print++;
		pending_remove(&map->pending, job);
	}
}

/* A held job stays until its turn; the others are printed as they come. */
static void hand_out(struct map *map, struct pending_job *job)
{
	if (map->options.keep_order) {
		map->held_bytes += held_size(job);
		print_turns(map);
		return;
	}
	print(map, job);
	pending_remove(&map->pending, job);
}

void result_take(struct map *map, uint64_t place, tutti_result *result)
{
	struct pending_job *job = pending_find(&map->pending, place);
	if (!job) {
		tutti_result_release(result);
		return;
	}
	job->ended = true;
	job->result = *result;
	job->outcome = outcome_of(job);
	if (result->err == TUTTI_EWORKERDIED)
		groups_kill_job(job->number, NULL);
	char *halt_text = NULL;
	if (job->outcome.skipped)
		map->unrun++;
	else {
		count(map, job);
		result_update_total(map);
		if (!map->halted && halt_reached(&map->options.halt, &map->counts))
			halt_text = halt(map, job);
	}
	hand_out(map, job);
	if (halt_text) {
		progress_hide(&map->progress, STDERR_FILENO);
		fputs(halt_text, stderr);
		free(halt_text);
	}
}

void result_flush(struct map *map)
{
	for (uint64_t place = map->next_print; map->options.keep_order && place < map->next_place; place++) {
		struct pending_job *job = pending_find(&map->pending, place);
		if (job && job->ended)
			print(map, job);
	}
}

void result_drop(struct map *map)
{
	for (size_t i = 0; i < PENDING_BUCKETS; i++)
		while (map->pending.buckets[i])
			pending_remove(&map->pending, map->pending.buckets[i]);
}
