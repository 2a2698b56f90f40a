/* SPDX-License-Identifier: MIT */
/*
 * A stream: the results of a map, in the order of the inputs or as they come, with a
 * bounded number of jobs under way.
 *
 * The jobs under way stand in an array in the order of their submission. Jobs of one priority start in
 * that order, so a finished one is found among the first few: at most one per worker is
 * passed over. That makes a queue of completions, and its repair, needless.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"

enum { AHEAD_PER_WORKER = 64, LATER_TICK = 10 * 1000000 };

struct tutti_stream {
	tutti_pool *pool;
	uint64_t task;
	tutti_inputs inputs;
	uint64_t next_index;
	int priority;
	bool unordered;
	bool exhausted; /* the inputs have ended */
	bool later; /* the inputs have nothing for now */
	size_t capacity; /* of jobs */
	size_t first, count; /* jobs[first ... first + count - 1], modulo capacity */
	uint64_t *jobs;
};

static bool next_string(void *context, uint64_t index, tutti_view *input)
{
	const tutti_stream *stream = context;
	const char *string;
	if (index >= stream->inputs.count)
		return false;
	string = ((char *const *)stream->inputs.context)[index];
	*input = (tutti_view){string, strlen(string)};
	return true;
}

static bool next_element(void *context, uint64_t index, tutti_view *input)
{
	const tutti_stream *stream = context;
	if (index >= stream->inputs.count)
		return false;
	*input = (tutti_view){(const char *)stream->inputs.context + index * stream->inputs.stride, stream->inputs.stride};
	return true;
}

/* A stride of 0 stands for strings, whose lengths differ. */
tutti_inputs tutti_strings(char *const *strings, size_t count)
{
	return (tutti_inputs){.context = (void *)(uintptr_t)strings, .count = count};
}

tutti_inputs tutti_array(const void *elements, size_t count, size_t stride)
{
	return (tutti_inputs){.context = (void *)(uintptr_t)elements, .count = count, .stride = stride};
}

tutti_inputs tutti_generator(tutti_next_input next, void *context)
{
	return (tutti_inputs){.next = next, .context = context};
}

static bool next_input(tutti_stream *stream, tutti_view *input)
{
	if (stream->inputs.next)
		return stream->inputs.next(stream->inputs.context, stream->next_index, input);
	return (stream->inputs.stride ? next_element : next_string)(stream, stream->next_index, input);
}

tutti_err tutti_pool_map(tutti_pool *pool, tutti_stream **result, const char *task, tutti_inputs inputs,
                         const tutti_map_options *options)
{
	static const tutti_map_options defaults;
	options = options ? options : &defaults;
	uint64_t hash;
	tutti_err err = tutti__pool_find_task(task, &hash);
	if (err)
		return err;
	size_t ahead = options->read_ahead ? options->read_ahead : (size_t)pool->shared->worker_count * AHEAD_PER_WORKER;
	tutti_stream *stream = calloc(1, sizeof *stream);
	uint64_t *jobs = calloc(ahead, sizeof *jobs);
	if (!stream || !jobs) {
		free(stream);
		free(jobs);
		return tutti__fail(TUTTI_ENOMEM, "no memory for a stream that reads %zu inputs ahead", ahead);
	}
	*stream = (tutti_stream){.pool = pool,
	                         .task = hash,
	                         .inputs = inputs,
	                         .priority = options->priority,
	                         .unordered = options->unordered,
	                         .capacity = ahead,
	                         .jobs = jobs};
	tutti__pool_hold(pool);
	*result = stream;
	return TUTTI_OK;
}

static uint64_t *job_slot(tutti_stream *stream, size_t i)
{
	return &stream->jobs[(stream->first + i) % stream->capacity];
}

/* Submits inputs until enough are under way, or there are no more (for now). */
static tutti_err fill(tutti_stream *stream)
{
	tutti_view input;
	stream->later = false;
	while (stream->count < stream->capacity && !stream->exhausted) {
		if (!next_input(stream, &input)) {
			stream->exhausted = true;
			break;
		}
		if (input.size == TUTTI_LATER) {
			stream->later = true;
			break;
		}
		struct tutti__order order = tutti__pool_default_order(stream->pool, stream->task, &input, stream->next_index);
		order.priority = stream->priority;
		uint32_t sequence;
		tutti_err err = tutti__pool_order(stream->pool, &order, job_slot(stream, stream->count), &sequence);
		if (err)
			return err;
		stream->count++;
		stream->next_index++;
	}
	return TUTTI_OK;
}

/* The place of a finished job that may be returned now; count if there is none. */
static size_t find_done(tutti_stream *stream)
{
	size_t limit = stream->unordered ? stream->count : stream->count > 0;
	for (size_t i = 0; i < limit; i++)
		if (tutti__job_is_done(tutti__job_at(stream->pool->arena, *job_slot(stream, i))))
			return i;
	return stream->count;
}

static bool has_done(void *context)
{
	tutti_stream *stream = context;
	return stream->count > 0 && find_done(stream) < stream->count;
}

/* Takes the job at place i out; those before it move up by one. */
static uint64_t take(tutti_stream *stream, size_t i)
{
	uint64_t job = *job_slot(stream, i);
	for (; i > 0; i--)
		*job_slot(stream, i) = *job_slot(stream, i - 1);
	stream->first = (stream->first + 1) % stream->capacity;
	stream->count--;
	return job;
}

/* Waits for a result that may be returned. In order that is one job's, else any job's. */
static tutti_err wait_for_result(tutti_stream *stream, int64_t deadline)
{
	struct tutti__job *head = NULL;
	if (!stream->unordered && stream->count > 0 && !stream->later)
		head = tutti__job_at(stream->pool->arena, *job_slot(stream, 0));
	return tutti__pool_wait(stream->pool, has_done, stream, head, deadline, stream->later ? LATER_TICK : 0);
}

/* Refilling in gulps wakes sleeping workers less often; a stream of slow tasks never notices. */
static bool wants_input(const tutti_stream *stream)
{
	return !stream->exhausted && (stream->later || stream->count <= stream->capacity - (stream->capacity + 3) / 4);
}

tutti_err tutti_stream_next(tutti_stream *stream, tutti_result *result, tutti_time timeout)
{
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout);
	*result = (tutti_result){.text = ""};
	for (;;) {
		tutti_err err = wants_input(stream) ? fill(stream) : TUTTI_OK;
		size_t place = find_done(stream);
		if (place < stream->count) {
			tutti__job_read(stream->pool->arena, take(stream, place), result);
			return TUTTI_OK;
		}
		if (!err)
			err = tutti__pool_check(stream->pool);
		if (err)
			return err;
		if (stream->count == 0 && stream->exhausted)
			return tutti__fail_plain(TUTTI_EOF, "all results were returned.");
		err = timeout <= 0 ? TUTTI_ETIMEDOUT : wait_for_result(stream, deadline);
		if (err == TUTTI_ETIMEDOUT)
			return tutti__fail_plain(err, "no further result is there yet. Wait longer.");
		if (err == TUTTI_EINTR)
			return tutti__fail_plain(err, "a signal handler ran while waiting for a result. Ask again.");
	}
}

void tutti_stream_close(tutti_stream *stream)
{
	if (!stream)
		return;
	tutti_pool *pool = stream->pool;
	for (size_t i = 0; i < stream->count; i++) {
		uint64_t job = *job_slot(stream, i);
		uint32_t sequence = tutti__job_sequence(load_relaxed(&tutti__job_at(pool->arena, job)->state)); /* it is ours */
		tutti__pool_cancel(pool, job, sequence, "the task was cancelled: its stream was closed");
		tutti__pool_drop(pool, job);
	}
	tutti__pool_release(pool);
	free(stream->jobs);
	free(stream);
}
