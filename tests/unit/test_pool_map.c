/* SPDX-License-Identifier: MIT */
/* Streams of results: ordered and unordered, bounded in what they read ahead. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "pool_scene.h"

TUTTI_TASK(square)
{
	uint64_t x;
	memcpy(&x, tutti_task_input(task).data, sizeof x);
	x *= x;
	return tutti_task_return(task, &x, sizeof x);
}

TUTTI_TASK(measure)
{
	uint64_t size = tutti_task_input(task).size;
	return tutti_task_return(task, &size, sizeof size);
}

/* The first input takes as long as the gate is closed. */
TUTTI_TASK(wait_if_first)
{
	struct {
		tutti_handle event;
		uint64_t index;
	} input;
	memcpy(&input, tutti_task_input(task).data, sizeof input);
	tutti_event *event;
	OK(tutti_event_at(&event, NULL, input.event));
	tutti_err err = input.index == 0 ? tutti_event_wait(event, tutti_seconds(15)) : TUTTI_OK;
	tutti_event_close(event);
	return err ? err : tutti_task_return(task, &input.index, sizeof input.index);
}

TUTTI_TASK(fail_if_odd)
{
	uint64_t x;
	memcpy(&x, tutti_task_input(task).data, sizeof x);
	return x % 2 ? tutti_task_fail(task, (int)x, "%d is odd", (int)x) : TUTTI_OK;
}

static uint64_t value_of(const tutti_result *result)
{
	uint64_t value;
	assert_int_equal(result->err, TUTTI_OK);
	assert_int_equal(result->view.size, sizeof value);
	memcpy(&value, result->view.data, sizeof value);
	return value;
}

static void results_come_in_the_order_of_the_inputs(void **state)
{
	enum { COUNT = 3000 };
	static uint64_t numbers[COUNT];
	tutti_stream *stream;
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 3});
	for (uint64_t i = 0; i < COUNT; i++)
		numbers[i] = i;
	OK(tutti_pool_map(pool, &stream, "square", tutti_array(numbers, COUNT, sizeof *numbers), NULL));
	for (uint64_t i = 0; i < COUNT; i++) {
		OK(tutti_stream_next(stream, &result, tutti_seconds(10)));
		assert_int_equal(result.index, i);
		assert_int_equal(value_of(&result), i * i);
		tutti_result_release(&result);
	}
	EXPECT(TUTTI_EOF, tutti_stream_next(stream, &result, tutti_seconds(10)));
	EXPECT(TUTTI_EOF, tutti_stream_next(stream, &result, TUTTI_NOW));
	tutti_stream_close(stream);
	tutti_stream_close(NULL);
	end(pool);
}

static void unordered_ones_come_each_once(void **state)
{
	enum { COUNT = 3000 };
	static uint64_t numbers[COUNT];
	static bool seen[COUNT];
	tutti_stream *stream;
	tutti_result result;
	tutti_err err;
	unsigned count = 0;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 3});
	for (uint64_t i = 0; i < COUNT; i++)
		numbers[i] = i;
	OK(tutti_pool_map(pool, &stream, "square", tutti_array(numbers, COUNT, sizeof *numbers),
	                  &(tutti_map_options){.unordered = true, .read_ahead = 10}));
	while ((err = tutti_stream_next(stream, &result, tutti_seconds(10))) == TUTTI_OK) {
		assert_in_range(result.index, 0, COUNT - 1);
		assert_false(seen[result.index]);
		seen[result.index] = true;
		assert_int_equal(value_of(&result), result.index * result.index);
		tutti_result_release(&result);
		count++;
	}
	assert_int_equal(err, TUTTI_EOF);
	assert_int_equal(count, COUNT);
	tutti_stream_close(stream);
	end(pool);
}

struct gated {
	tutti_handle event;
	uint64_t index;
};

/* The first is slow: unordered, the others come before it; ordered, they wait for it. */
static void a_slow_task_holds_up_ordered_results_only(void **state)
{
	enum { COUNT = 20 };
	struct gated inputs[COUNT];
	tutti_stream *stream;
	tutti_result result;
	tutti_event *event;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	OK(tutti_event_open(&event, &(tutti_event_options){.arena = arena}));
	for (uint64_t i = 0; i < COUNT; i++)
		inputs[i] = (struct gated){tutti_event_handle(event), i};
	for (int unordered = 0; unordered < 2; unordered++) {
		OK(tutti_event_clear(event));
		OK(tutti_pool_map(pool, &stream, "wait_if_first", tutti_array(inputs, COUNT, sizeof *inputs),
		                  &(tutti_map_options){.unordered = unordered}));
		for (uint64_t i = 1; unordered && i < COUNT; i++) {
			OK(tutti_stream_next(stream, &result, tutti_seconds(5)));
			assert_int_not_equal(result.index, 0);
			tutti_result_release(&result);
		}
		EXPECT(TUTTI_ETIMEDOUT, tutti_stream_next(stream, &result, tutti_ms(50)));
		EXPECT(TUTTI_ETIMEDOUT, tutti_stream_next(stream, &result, TUTTI_NOW));
		OK(tutti_event_set(event));
		for (uint64_t i = 0; i < (unordered ? 1 : COUNT); i++) {
			OK(tutti_stream_next(stream, &result, tutti_seconds(5)));
			assert_int_equal(value_of(&result), i);
			tutti_result_release(&result);
		}
		EXPECT(TUTTI_EOF, tutti_stream_next(stream, &result, tutti_seconds(5)));
		tutti_stream_close(stream);
	}
	tutti_event_close(event);
	end(pool);
}

struct source {
	uint64_t given, returned, most, limit;
	uint64_t number;
};

/* One buffer for all inputs: it may be overwritten next time. */
static bool give_number(void *context, uint64_t index, tutti_view *input)
{
	struct source *source = context;
	REQUIRE(index == source->given);
	if (index == source->limit)
		return false;
	source->number = index;
	source->given++;
	if (source->given - source->returned > source->most)
		source->most = source->given - source->returned;
	*input = (tutti_view){&source->number, sizeof source->number};
	return true;
}

static void reading_ahead_is_bounded(void **state)
{
	(void)state;
	for (int unordered = 0; unordered < 2; unordered++) {
		struct source source = {.limit = 1000};
		tutti_stream *stream;
		tutti_result result;
		tutti_err err;
		tutti_pool *pool = open_pool((tutti_pool_options){0});
		OK(tutti_pool_map(pool, &stream, "square", tutti_generator(give_number, &source),
		                  &(tutti_map_options){.unordered = unordered, .read_ahead = 7}));
		while ((err = tutti_stream_next(stream, &result, tutti_seconds(10))) == TUTTI_OK) {
			source.returned++;
			assert_int_equal(value_of(&result), result.index * result.index);
			tutti_result_release(&result);
		}
		assert_int_equal(err, TUTTI_EOF);
		assert_int_equal(source.returned, 1000);
		assert_in_range(source.most, 1, 8); /* one more while the next is being returned */
		tutti_stream_close(stream);
		end(pool);
	}
}

static void strings_are_inputs_without_their_zero(void **state)
{
	char *strings[] = {"", "a", "four", "twelve bytes"};
	static const uint64_t sizes[] = {0, 1, 4, 12};
	tutti_stream *stream;
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	OK(tutti_pool_map(pool, &stream, "measure", tutti_strings(strings, 4), NULL));
	for (int i = 0; i < 4; i++) {
		OK(tutti_stream_next(stream, &result, tutti_seconds(5)));
		assert_int_equal(value_of(&result), sizes[i]);
		tutti_result_release(&result);
	}
	tutti_stream_close(stream);
	OK(tutti_pool_map(pool, &stream, "measure", tutti_strings(strings, 0), NULL));
	EXPECT(TUTTI_EOF, tutti_stream_next(stream, &result, tutti_seconds(5)));
	tutti_stream_close(stream);
	end(pool);
}

static void failures_stand_in_the_stream(void **state)
{
	struct source source = {.limit = 100};
	tutti_stream *stream;
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	OK(tutti_pool_map(pool, &stream, "fail_if_odd", tutti_generator(give_number, &source), NULL));
	for (int i = 0; i < 100; i++) {
		OK(tutti_stream_next(stream, &result, tutti_seconds(5)));
		assert_int_equal(result.err, i % 2 ? TUTTI_EFAILED : TUTTI_OK);
		assert_true(i % 2 == 0 || (result.code == i && strstr(result.text, "is odd")));
		tutti_result_release(&result);
	}
	EXPECT(TUTTI_EOF, tutti_stream_next(stream, &result, tutti_seconds(5)));
	tutti_stream_close(stream);
	end(pool);
}

static void a_stream_may_be_closed_early(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	for (uint64_t taken = 0; taken < 40; taken += 13) {
		struct source source = {.limit = 100000};
		tutti_stream *stream;
		tutti_result result;
		OK(tutti_pool_map(pool, &stream, "square", tutti_generator(give_number, &source), NULL));
		for (uint64_t i = 0; i < taken; i++) {
			OK(tutti_stream_next(stream, &result, tutti_seconds(5)));
			tutti_result_release(&result);
		}
		tutti_stream_close(stream);
		assert_true(source.given < 1000);
	}
	end(pool);
}

static void two_streams_share_a_pool(void **state)
{
	struct source sources[2] = {{.limit = 500}, {.limit = 500}};
	tutti_stream *streams[2];
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	for (int i = 0; i < 2; i++)
		OK(tutti_pool_map(pool, &streams[i], i ? "square" : "measure", tutti_generator(give_number, &sources[i]),
		                  NULL));
	for (uint64_t i = 0; i < 500; i++)
		for (int j = 0; j < 2; j++) {
			OK(tutti_stream_next(streams[j], &result, tutti_seconds(5)));
			assert_int_equal(value_of(&result), j ? i * i : sizeof i);
			tutti_result_release(&result);
		}
	for (int i = 0; i < 2; i++)
		tutti_stream_close(streams[i]);
	end(pool);
}

/* A result is the caller's until he releases it, also when stream and pool are gone. */
static void a_result_outlives_stream_and_pool(void **state)
{
	struct source source = {.limit = 3};
	tutti_stream *stream;
	tutti_result results[3];
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	OK(tutti_pool_map(pool, &stream, "square", tutti_generator(give_number, &source), NULL));
	for (int i = 0; i < 3; i++)
		OK(tutti_stream_next(stream, &results[i], tutti_seconds(5)));
	tutti_stream_close(stream);
	tutti_pool_close(pool);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(value_of(&results[i]), i * i);
		tutti_result_release(&results[i]);
	}
	end(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_map[] = {
		TEST(results_come_in_the_order_of_the_inputs),
		TEST(unordered_ones_come_each_once),
		TEST(a_slow_task_holds_up_ordered_results_only),
		TEST(reading_ahead_is_bounded),
		TEST(strings_are_inputs_without_their_zero),
		TEST(failures_stand_in_the_stream),
		TEST(a_stream_may_be_closed_early),
		TEST(two_streams_share_a_pool),
		TEST(a_result_outlives_stream_and_pool),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool_map);
}
