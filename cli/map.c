/* SPDX-License-Identifier: MIT */
/*
 * tutti map: sets up a run, drives it, and sees to it that nothing of it is left behind.
 *
 * It ends early for one of four reasons: a rule of --halt, a signal, an error of its own
 * (map_fail), or because nobody reads its output. The stop level in the shared table tells the
 * workers; at STOP_NOW the running commands are asked to end, and killed a moment later.
 */
#include "command.h"
#include "map.h"
#include "quote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t map_signal;

/* How long commands have, after SIGTERM, before they are killed: in steps of a millisecond. */
enum { GRACE_STEPS = 200 };

/* --- signals --- */

static void note_signal(int signal_number)
{
	if (!map_signal)
		map_signal = signal_number;
}

/* Without SA_RESTART: what waits shall return. SIGHUP stays ignored under nohup. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = note_signal}, before;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Ends as the signal would have ended us, so that a calling shell sees it. */
static _Noreturn void end_by(int signal_number)
{
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	_exit(128 + signal_number);
}

/* --- stopping --- */

void map_fail(struct map *map, const char *format, ...)
{
	va_list arguments;
	if (map->failure)
		return;
	map->failure = EXIT_USAGE;
	progress_hide(&map->progress, STDERR_FILENO);
	fputs("tutti map: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n", stderr);
	groups_stop(STOP_SOON);
}

/* Commands are asked to end; then the workers are killed, and whatever is left of the commands. */
static void stop_all(struct map *map)
{
	groups_stop(STOP_NOW);
	for (int i = 0; i < GRACE_STEPS && groups_signal(i == 0 ? SIGTERM : 0); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	tutti_pool_kill(map->pool);
	groups_signal(SIGKILL);
}

/* --- setting up --- */

static bool open_input(struct map *map)
{
	const struct options *options = &map->options;
	if (options->values)
		map->input = input_of_arguments(options->values, options->value_count);
	else
		map->input = input_of_file(options->input_file, options->separator);
	if (!options->values && !options->input_file && isatty(STDIN_FILENO))
		fputs("tutti map: reading inputs from the terminal, one a line; end them with Ctrl-D\n", stderr);
	if (!map->input)
		map_fail(map, "cannot open input file %s: %s", options->input_file ? options->input_file : "-",
		         strerror(errno));
	return map->input;
}

static bool open_joblog(struct map *map)
{
	const char *failure = NULL;
	if (!map->options.joblog || (map->options.dry_run && !map->options.resume))
		return true;
	map->joblog = joblog_open(map->options.joblog, map->options.resume, &failure);
	if (failure)
		map_fail(map, "%s", failure);
	return !failure;
}

/* A command that no job could run is refused once, before the first, with a shell's exit status. */
static bool find_program(struct map *map)
{
	const char *name = template_program(map->template);
	if (!name || map->options.dry_run || command_find(name))
		return true;
	int error = errno;
	if (error == ENOENT && !strchr(name, '/'))
		map_fail(map, "%s: command not found; is it installed, and in PATH?", name);
	else
		map_fail(map, "cannot run %s: %s", name, strerror(error));
	map->failure = error == ENOENT ? 127 : 126;
	return false;
}

/* No more workers than jobs, where the number of jobs is known. */
static void limit_jobs(struct map *map)
{
	struct options *options = &map->options;
	uint64_t inputs;
	if (!input_total(map->input, &inputs))
		return;
	uint64_t jobs = (inputs + options->per_job - 1) / options->per_job;
	if (jobs < options->jobs)
		options->jobs = jobs > 0 ? (unsigned)jobs : 1;
}

static bool open_pool(struct map *map)
{
	quote_shell(); /* before the fork: it is known from this process's parent */
	tutti_err err = tutti_pool_open(&map->pool, &(tutti_pool_options){.name = "tutti map",
	                                                                  .workers = map->options.jobs,
	                                                                  .start = TUTTI_FORK,
	                                                                  .initializer = JOB_INITIALIZER,
	                                                                  .retries = 3});
	if (err)
		map_fail(map, "%s", tutti_last_error());
	return !err;
}

/* --- running --- */

static bool must_stop_now(void) { return map_signal || groups_stop_level() == STOP_NOW; }

static void run(struct map *map)
{
	while (!must_stop_now() && feed_step(map)) {
		if (!map->progress.enabled)
			continue;
		input_look_ahead(map->input);
		result_update_total(map);
		progress_draw(&map->progress, &map->counts, map->retried, false);
	}
	if (must_stop_now())
		stop_all(map);
	else if (map->unrun > 0 && !map->halted)
		map_fail(map, "%llu jobs were not run: a worker was killed just as --halt was reached; run them again",
		         (unsigned long long)map->unrun);
	if (!map_signal)
		result_flush(map);
	tutti_stream_close(map->stream);
	result_drop(map);
	progress_close(&map->progress, &map->counts, map->retried);
	tutti_pool_close(map->pool);
	groups_signal(SIGKILL); /* what killed workers left */
}

static int exit_status(const struct map *map)
{
	const struct counts *counts = &map->counts;
	if (map->failure)
		return map->failure;
	if (map->halted && map->halt_status >= 0)
		return map->halt_status;
	if (map->halted && map->options.halt.percent && counts->total)
		return (int)(counts->failed * 100 / counts->total);
	return counts->failed > 100 ? 101 : (int)counts->failed;
}

static void close_all(struct map *map)
{
	joblog_close(map->joblog);
	template_free(map->template);
	input_close(map->input);
	free(map->values);
	buffer_free(&map->job);
	buffer_free(&map->command);
	buffer_free(&map->tag);
}

int map_main(int argc, char **argv)
{
	static struct map map;
	int status;
	if (!options_read(&map.options, argc, argv, &status))
		return status;
	if (!groups_open()) {
		fprintf(stderr, "tutti map: no shared memory for the table of workers: %s\n", strerror(errno));
		return EXIT_USAGE;
	}
	groups_set_halt(&map.options.halt);
	catch_signals();
	map.template = template_parse(map.options.command, map.options.command_count);
	map.values = allocate(map.options.per_job * sizeof *map.values);
	if (find_program(&map) && open_input(&map) && open_joblog(&map)) {
		limit_jobs(&map);
		if (map.options.dry_run)
			feed_dry_run(&map);
		else if (open_pool(&map) && feed_open(&map)) {
			progress_open(&map.progress, map.options.progress);
			run(&map);
		}
	}
	status = exit_status(&map);
	close_all(&map);
	if (map_signal)
		end_by(map_signal);
	if (map.output_closed)
		end_by(SIGPIPE);
	return status;
}
