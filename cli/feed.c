/* SPDX-License-Identifier: MIT */
/*
 * Feeding the pool: inputs become jobs, as many as may be under way. Nothing here waits for an input
 * while results may come: an input that is not there yet is asked for again later.
 */
#include "map.h"

#include "output.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_AHEAD = 32, /* jobs for each worker, handed out and not yet back */
	MOST_HELD = 16384, /* jobs that wait for an earlier one, with --keep-order */
	TICK = 200, /* milliseconds between two looks at signals and the progress line */
	GATHER = 1 /* milliseconds in which results come together while the workers have enough to do */
};
#define MOST_HELD_BYTES ((uint64_t)1 << 30)

/* --- making jobs --- */

static void make_tag(struct map *map, size_t count)
{
	map->tag.size = 0;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_add_byte(&map->tag, ' ');
		buffer_add_text(&map->tag, map->values[i]);
	}
	buffer_add_byte(&map->tag, '\0');
}

/* Takes the inputs of the next job that is not to be skipped. False: there is none now. */
static bool take_inputs(struct map *map, struct inputs *inputs)
{
	do {
		enum input_state state = input_state(map->input, map->options.per_job);
		size_t count = state == INPUT_READY ? input_take(map->input, map->values, map->options.per_job) : 0;
		const char *failure = count == 0 ? input_failure(map->input) : NULL;
		map->input_ended = state == INPUT_END || failure;
		if (failure)
			map_fail(map, "%s", failure);
		if (count == 0)
			return false;
		*inputs = (struct inputs){map->values, count, ++map->next_number};
		map->skipped += joblog_has(map->joblog, inputs->number);
	} while (joblog_has(map->joblog, inputs->number));
	if (map->options.tag)
		make_tag(map, inputs->count);
	map->command.size = 0;
	template_text(map->template, inputs, &map->command);
	return true;
}

static void make_job(struct map *map, const struct inputs *inputs)
{
	struct job job = {.number = inputs->number, .timeout = map->options.timeout, .runs = map->options.runs};
	map->job.size = 0;
	buffer_add(&map->job, &job, sizeof job);
	job.argument_count = template_arguments(map->template, inputs, &map->job);
	memcpy(map->job.data, &job, sizeof job);
	pending_add(&map->pending, map->next_place++, job.number, map->command.data,
	            map->options.tag ? map->tag.data : NULL);
}

static bool is_window_open(const struct map *map)
{
	return !map->options.keep_order ||
	       (map->next_place - map->next_print < MOST_HELD && map->held_bytes < MOST_HELD_BYTES);
}

/* Called by the stream for each job. */
static bool next_job(void *context, uint64_t index, tutti_view *view)
{
	struct map *map = context;
	struct inputs inputs;
	(void)index;
	*view = (tutti_view){.size = TUTTI_LATER};
	if (groups_stop_level() != STOP_NOT)
		return false;
	if (!is_window_open(map))
		return true;
	if (!take_inputs(map, &inputs))
		return !map->input_ended;
	make_job(map, &inputs);
	*view = (tutti_view){map->job.data, map->job.size};
	return true;
}

/* --- taking results --- */

bool feed_open(struct map *map)
{
	tutti_map_options options = {.unordered = true, .read_ahead = (size_t)READ_AHEAD * map->options.jobs};
	tutti_err err = tutti_pool_map(map->pool, &map->stream, JOB_TASK, tutti_generator(next_job, map), &options);
	if (err)
		map_fail(map, "%s", tutti_last_error());
	return !err;
}

/* Nothing is under way and the input pauses: only more of it can change that. */
static bool only_input_helps(struct map *map)
{
	return map->pending.count == 0 && !map->input_ended && groups_stop_level() == STOP_NOT &&
	       input_state(map->input, map->options.per_job) == INPUT_PAUSED;
}

/*
 * The next result. Short commands end thousands of times a second; to be woken for each would take the CPUs
 * from them. So results gather for a moment, unless the workers might run out of jobs in it (with --keep-order also
 * when they might: results that are held for their turn count as jobs here).
 */
static tutti_err next_result(struct map *map, tutti_result *result)
{
	tutti_err err = tutti_stream_next(map->stream, result, TUTTI_NOW);
	if (err != TUTTI_ETIMEDOUT)
		return err;
	bool enough = map->pending.count > (size_t)READ_AHEAD / 2 * map->options.jobs;
	if (enough && nanosleep(&(struct timespec){.tv_nsec = GATHER * 1000000}, NULL))
		return TUTTI_EINTR;
	return tutti_stream_next(map->stream, result, tutti_ms(TICK));
}

bool feed_step(struct map *map)
{
	tutti_result result;
	if (only_input_helps(map) && !input_wait(map->input, TICK))
		return true;
	tutti_err err = next_result(map, &result);
	if (err == TUTTI_OK)
		result_take(map, result.index, &result);
	if (err == TUTTI_OK || err == TUTTI_ETIMEDOUT || err == TUTTI_EINTR)
		return true;
	if (err != TUTTI_EOF)
		map_fail(map, "%s", tutti_last_error());
	return false;
}

/* --- without running anything --- */

enum { PRINT_SIZE = 64 << 10 };

static void print_commands(struct map *map, struct buffer *commands)
{
	if (!output_write(STDOUT_FILENO, NULL, commands->data, commands->size, &map_signal))
		result_output_failed(map, "standard output");
	commands->size = 0;
}

static void add_command(struct map *map, struct buffer *commands)
{
	size_t size = map->command.size;
	map->command.data[size - 1] = '\n';
	output_add(commands, map->options.tag ? map->tag.data : NULL, map->command.data, size);
}

void feed_dry_run(struct map *map)
{
	struct inputs inputs;
	struct buffer commands = {0};
	while (!map->input_ended && !map_signal && groups_stop_level() == STOP_NOT) {
		bool paused = !take_inputs(map, &inputs);
		if (!paused)
			add_command(map, &commands);
		if (paused || commands.size > PRINT_SIZE)
			print_commands(map, &commands);
		if (paused && !map->input_ended)
			input_wait(map->input, TICK);
	}
	buffer_free(&commands);
}
