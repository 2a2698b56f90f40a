/* SPDX-License-Identifier: MIT */
/* Pools whose workers their owner starts: messages, what they carry, what is published, places. */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "own_workers_scene.h"

/* --- there and back ---------------------------------------------------------------------------------------------- */

static void messages_go_there_and_back(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	assert_int_equal(tutti_pool_worker_count(pool), 1);
	assert_int_equal(tutti_pool_worker(pool, 0), 0); /* the pool has started none */
	pid_t worker = hire(pool, 0, echo);
	for (unsigned i = 0; i < 2 * SIZE_COUNT; i++) {
		size_t size = SIZES[i / 2];
		tutti_result result = get(submit(pool, size, (tutti_task_options){.index = i, .retries = i % 2}));
		expect_echo(&result, size);
		assert_int_equal(result.index, i);
		assert_int_equal(result.runs, 1);
		assert_int_equal(result.pid, worker);
		tutti_result_release(&result);
		tutti_result_release(&result);
	}
	end_with(pool, worker);
}

static void all_that_was_submitted_is_run_before_the_end(void **state)
{
	enum { COUNT = 200 };
	tutti_future *futures[COUNT];
	(void)state;
	tutti_pool *pool = open_own(2);
	for (unsigned i = 0; i < COUNT; i++)
		futures[i] = submit(pool, i, (tutti_task_options){.index = i});
	pid_t workers[] = {hire(pool, 0, echo), hire(pool, 1, echo)};
	OK(tutti_pool_drain(pool, tutti_seconds(10)));
	for (unsigned i = 0; i < 2; i++) {
		support_join_child(workers[i]); /* TUTTI_EOF sent it home */
		OK(tell_end(pool, i, 0));
	}
	for (unsigned i = 0; i < COUNT; i++) {
		tutti_result result = get(futures[i]);
		expect_echo(&result, i);
		assert_int_equal(result.index, i);
		tutti_result_release(&result);
	}
	tutti_future *late;
	EXPECT(TUTTI_ESHUTDOWN, submit_with(pool, &late, 5000, NULL, 0, (tutti_task_options){0}));
	end(pool);
}

/* A worker and its owner may even be one process: nothing here waits for another. */
static void a_worker_without_jobs_is_told_so(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_worker *worker;
	tutti_message input;
	unsigned run;
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	tutti_worker_ready(worker);
	EXPECT(TUTTI_EEMPTY, tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	EXPECT(TUTTI_EEMPTY, tutti_worker_next(worker, &input, &run, tutti_ms(1)));
	tutti_future *cancelled = submit(pool, 10, (tutti_task_options){0});
	tutti_future *future = submit(pool, 100, (tutti_task_options){0});
	OK(tutti_future_cancel(cancelled));
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	assert_int_equal(run, 1);
	echo(worker, &input, run);
	tutti_message_release(&input);
	EXPECT(TUTTI_EEMPTY, tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	tutti_result result = get(future);
	expect_echo(&result, 100);
	tutti_result_release(&result);
	OK(tutti_pool_submit_message(pool, &future, NULL, 0, TUTTI_RAW, NULL, 0, NULL)); /* as little as there can be */
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	assert_int_equal(input.view.size, 0);
	OK(tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, NULL, 0));
	result = get(future);
	assert_int_equal(result.view.size, 0);
	tutti_result_release(&result);
	tutti_future_close(cancelled);
	OK(tutti_pool_drain(pool, TUTTI_NOW));
	EXPECT(TUTTI_EOF, tutti_worker_next(worker, &input, &run, tutti_seconds(5)));
	tutti_worker_close(worker);
	tutti_worker_close(NULL);
	end(pool);
}

static void what_is_unfinished_waits_or_runs(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(2);
	tutti_worker *worker;
	tutti_message input;
	unsigned run;
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	tutti_worker_ready(worker);
	assert_int_equal(tutti_pool_unfinished(pool), 0);
	tutti_future *futures[] = {submit(pool, 10, (tutti_task_options){0}), submit(pool, 20, (tutti_task_options){0})};
	assert_int_equal(tutti_pool_unfinished(pool), 2);
	for (size_t left = 2; left > 0; left--) {
		OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
		assert_int_equal(tutti_pool_unfinished(pool), left);
		echo(worker, &input, run);
		tutti_message_release(&input);
		assert_int_equal(tutti_pool_unfinished(pool), left - 1);
	}
	tutti_future_close(futures[0]);
	tutti_future_close(futures[1]);
	OK(tutti_pool_drain(pool, TUTTI_NOW));
	tutti_worker_close(worker);
	end(pool);
}

static void fail_as_told(tutti_worker *worker, tutti_message *input, unsigned run)
{
	static const char text[] = "it failed, with a text that is longer than what fits into a job by itself";
	(void)run;
	tutti_encoding encoding = input->view.size == 1 ? TUTTI_RAW : TUTTI_PICKLE;
	OK(tutti_worker_finish(worker, TUTTI_EFAILED, 5, &(tutti_view){text, sizeof text}, 1, encoding, NULL, 0));
}

/* Bytes of another encoding are not for reading: the caller, who knows it, has them as they are. */
static void a_failure_is_a_text_or_a_message(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, fail_as_told);
	for (size_t size = 1; size <= 2; size++) {
		tutti_result result = get(submit(pool, size, (tutti_task_options){.retries = 3}));
		assert_int_equal(result.err, TUTTI_EFAILED);
		assert_int_equal(result.code, 5);
		assert_int_equal(result.runs, 1); /* only deaths are run again: what a code means is for the caller */
		assert_int_equal(result.encoding, size == 1 ? TUTTI_RAW : TUTTI_PICKLE);
		assert_non_null(strstr(size == 1 ? result.text : result.view.data, "longer than what fits"));
		assert_int_equal(size == 1 ? result.view.size : strlen(result.text), 0);
		tutti_result_release(&result);
	}
	end_with(pool, worker);
}

static void a_large_result_that_was_taken_outlives_it(void **state)
{
	tutti_message messages[SIZE_COUNT];
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	for (unsigned i = 0; i < SIZE_COUNT; i++) {
		tutti_result result = get(submit(pool, SIZES[i], (tutti_task_options){0}));
		tutti_result_take(&result, &messages[i]);
		expect_echo(&result, SIZES[i]);
		assert_int_equal(messages[i].view.size, SIZES[i]);
		assert_int_equal(messages[i].encoding, TUTTI_PICKLE);
		assert_int_equal(messages[i].carried_count, 0);
		assert_true(support_is_filled(messages[i].view.data, SIZES[i], SIZES[i]));
		tutti_result_release(&result);
	}
	OK(tutti_pool_drain(pool, tutti_seconds(5)));
	support_join_child(worker);
	tutti_pool_close(pool);
	for (unsigned i = 0; i < SIZE_COUNT; i++) {
		if (SIZES[i] > 64)
			assert_true(support_is_filled(messages[i].view.data, SIZES[i], SIZES[i]));
		tutti_message_release(&messages[i]);
	}
	end(NULL);
}

/* A result is its reader's until it is released, and no longer the pool's. */
static void a_result_outlives_its_pool(void **state)
{
	static const size_t sizes[] = {40, 1000, MEBIBYTE / 2};
	tutti_result results[3];
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	for (unsigned i = 0; i < 3; i++)
		results[i] = get(submit(pool, sizes[i], (tutti_task_options){0}));
	OK(tutti_pool_drain(pool, tutti_seconds(5)));
	support_join_child(worker);
	OK(tell_end(pool, 0, 0));
	tutti_pool_close(pool);
	pool = open_own(1); /* what is free is used again */
	tutti_future *others[3];
	for (unsigned i = 0; i < 3; i++)
		others[i] = submit(pool, sizes[i] + 1, (tutti_task_options){0});
	for (unsigned i = 0; i < 3; i++) {
		expect_echo(&results[i], sizes[i]);
		tutti_result_release(&results[i]);
	}
	worker = hire(pool, 0, echo);
	for (unsigned i = 0; i < 3; i++) {
		tutti_result result = get(others[i]);
		expect_echo(&result, sizes[i] + 1);
		tutti_result_release(&result);
	}
	end_with(pool, worker);
}

/* There is nothing left to take: no bytes of others may come instead. */
static void a_result_is_taken_once(void **state)
{
	tutti_message first, second;
	tutti_result none = {.text = ""};
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	tutti_result result = get(submit(pool, 5000, (tutti_task_options){0}));
	tutti_result_take(&result, &first);
	tutti_result_take(&result, &second);
	assert_int_equal(first.view.size, 5000);
	assert_int_equal(second.view.size, 0);
	tutti_message_release(&second);
	tutti_message_release(&first);
	tutti_result_release(&result);
	tutti_result_take(&none, &first);
	assert_int_equal(first.view.size, 0);
	tutti_message_release(&first);
	end_with(pool, worker);
}

/* --- handles ----------------------------------------------------------------------------------------------------- */

/* On every run, and not on the last alone. */
static void input_and_result_keep_what_they_carry_alive(void **state)
{
	tutti_future *future;
	tutti_message message;
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	for (unsigned i = 0; i < 2 * SIZE_COUNT; i++) {
		size_t size = SIZES[i / 2];
		tutti_handle handle = send_queue(pool, &future, size, i, i % 2);
		tutti_result result = get(future);
		expect_echo(&result, size);
		tutti_result_take(&result, &message);
		tutti_result_release(&result);
		assert_int_equal(message.carried_count, 1);
		assert_memory_equal(&message.carried[0], &handle, sizeof handle);
		assert_true(support_is_filled(message.view.data, size, size));
		support_take_number(arena, message.carried[0], i);
		tutti_message_release(&message);
		expect_gone(handle);
	}
	end_with(pool, worker);
}

static void a_result_that_nobody_takes_lets_go(void **state)
{
	tutti_future *future;
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	tutti_handle read = send_queue(pool, &future, 5000, 1, 0);
	tutti_result result = get(future);
	tutti_result_release(&result);
	expect_gone(read);
	tutti_handle unread = send_queue(pool, &future, 10, 2, 1);
	OK(tutti_future_wait(future, tutti_seconds(10)));
	tutti_future_close(future);
	expect_gone(unread);
	tutti_handle unwanted = send_queue(pool, &future, 10, 3, 0);
	tutti_future_close(future); /* the worker drops it */
	end_with(pool, worker);
	(void)unwanted; /* an object that were left would be found by end() */
}

static void handles_that_are_none_are_refused(void **state)
{
	static tutti_handle many[1001];
	tutti_worker *worker;
	tutti_message input;
	tutti_future *future;
	unsigned run;
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_queue *queue = open_queue(1);
	tutti_handle handle = tutti_queue_handle(queue), foreign = handle;
	foreign.arena++;
	for (unsigned i = 0; i < 1001; i++)
		many[i] = handle;
	EXPECT(TUTTI_EFOREIGN, submit_with(pool, &future, 10, &foreign, 1, (tutti_task_options){0}));
	EXPECT_TEXT(TUTTI_EINVAL, "1000", submit_with(pool, &future, 4095, many, 1001, (tutti_task_options){0}));
	OK(submit_with(pool, &future, 4095, many, 1000, (tutti_task_options){0}));
	tutti_queue_close(queue);
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	assert_int_equal(input.carried_count, 1000);
	assert_true(support_is_filled(input.view.data, 4095, 4095));
	tutti_message_release(&input);
	expect_gone(handle);
	/* The job is not finished by what could not be sent; then it is. */
	EXPECT(TUTTI_ESTALE, tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, &handle, 1));
	EXPECT(TUTTI_EINVAL, tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, many, 1001));
	OK(tutti_worker_finish(worker, TUTTI_EFAILED, 1, &(tutti_view){"no", 3}, 1, TUTTI_RAW, NULL, 0));
	tutti_worker_close(worker);
	tutti_result result = get(future);
	assert_int_equal(result.err, TUTTI_EFAILED);
	assert_string_equal(result.text, "no");
	tutti_result_release(&result);
	end(pool);
}

/* --- what is published ------------------------------------------------------------------------------------------- */

/* Answers with what was published under the number in the input, or with the error's text. */
static void look_up(tutti_worker *worker, tutti_message *input, unsigned run)
{
	uint32_t number;
	tutti_view bytes;
	(void)run;
	memcpy(&number, input->view.data, sizeof number);
	tutti_err err = tutti_worker_published(worker, number, &bytes);
	if (err)
		bytes = (tutti_view){tutti_last_error(), strlen(tutti_last_error()) + 1};
	OK(tutti_worker_finish(worker, err ? TUTTI_EFAILED : TUTTI_OK, (int32_t)err, &bytes, 1, TUTTI_RAW, NULL, 0));
}

static tutti_result ask_for(tutti_pool *pool, uint32_t number)
{
	tutti_future *future;
	tutti_task_options options = {.retries = 1};
	OK(tutti_pool_submit_message(pool, &future, &(tutti_view){&number, sizeof number}, 1, TUTTI_RAW, NULL, 0,
	                             &options));
	return get(future);
}

static void expect_published(tutti_pool *pool, uint32_t number, size_t size)
{
	tutti_result result = ask_for(pool, number);
	assert_int_equal(result.err, TUTTI_OK);
	assert_int_equal(result.view.size, size);
	assert_true(support_is_filled(result.view.data, size, number));
	tutti_result_release(&result);
}

static void workers_read_what_was_published(void **state)
{
	static const size_t sizes[] = {0, 10, 5000, 100000};
	static unsigned char bytes[100000];
	uint32_t number;
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, look_up);
	for (unsigned i = 0; i < 4; i++) { /* also to workers that are there already */
		support_fill(bytes, sizes[i], i);
		OK(tutti_pool_publish(pool, (tutti_view){bytes, sizes[i]}, &number));
		assert_int_equal(number, i);
		expect_published(pool, i, sizes[i]);
	}
	for (uint32_t unknown = 4; unknown != 0; unknown = unknown == 4 ? UINT32_MAX : 0) {
		tutti_result result = ask_for(pool, unknown);
		assert_int_equal(result.code, TUTTI_ENOENT);
		assert_non_null(strstr(result.text, "published nothing"));
		tutti_result_release(&result);
	}
	kill(worker, SIGKILL);
	bury(pool, 0, worker);
	worker = hire(pool, 0, look_up); /* it outlives those who read it */
	for (unsigned i = 0; i < 4; i++)
		expect_published(pool, i, sizes[i]);
	end_with(pool, worker);
}

static void the_catalogue_has_room_for_256(void **state)
{
	uint32_t number;
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, look_up);
	for (uint32_t i = 0; i < 256; i++) {
		unsigned char bytes[100];
		support_fill(bytes, sizeof bytes, i);
		OK(tutti_pool_publish(pool, (tutti_view){bytes, sizeof bytes}, &number));
		assert_int_equal(number, i);
	}
	EXPECT_TEXT(TUTTI_EFULL, "256", tutti_pool_publish(pool, (tutti_view){"x", 1}, &number));
	EXPECT(TUTTI_EFULL, tutti_pool_publish(pool, (tutti_view){"x", 1}, &number));
	expect_published(pool, 0, 100);
	expect_published(pool, 255, 100);
	end_with(pool, worker);
}

/* --- places, and the end ----------------------------------------------------------------------------------------- */

static void a_place_that_is_none_is_refused(void **state)
{
	static const unsigned places[] = {2, 256, UINT_MAX};
	tutti_exit status = {.known = true};
	tutti_worker *worker;
	(void)state;
	tutti_pool *pool = open_own(2);
	tutti_handle handle = tutti_pool_handle(pool);
	for (unsigned i = 0; i < 3; i++) {
		EXPECT_TEXT(TUTTI_EINVAL, "2 workers", tutti_pool_worker_begin(pool, places[i]));
		EXPECT_TEXT(TUTTI_EINVAL, "2 workers", tutti_pool_worker_ended(pool, places[i], &status));
		EXPECT_TEXT(TUTTI_EINVAL, "2 workers", tutti_worker_open(&worker, arena, handle, places[i]));
		assert_false(tutti_pool_worker_condemned(pool, places[i]));
	}
	tutti_pool_close(pool);
	EXPECT(TUTTI_ESTALE, tutti_worker_open(&worker, arena, handle, 0));
	end(NULL);
}

static void closing_cancels_what_waits_and_leaves_nothing(void **state)
{
	tutti_future *futures[6];
	tutti_result result;
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	uint32_t number;
	OK(tutti_pool_publish(pool, (tutti_view){"bytes", 5}, &number));
	for (unsigned i = 0; i < 6; i++)
		send_queue(pool, &futures[i], SIZES[i], i, i % 2);
	pid_t worker = hire_busy(pool, 0);
	tutti_future_close(futures[0]); /* that which runs */
	tutti_future_close(futures[1]);
	tutti_pool_close(pool); /* does not wait for a worker that is not its own */
	for (unsigned i = 2; i < 6; i++) {
		OK(tutti_future_get(futures[i], &result, TUTTI_NOW));
		assert_int_equal(result.err, TUTTI_ECANCELLED);
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	support_kill(worker);
	end(NULL);
}

static void a_worker_that_is_late_finishes_for_nobody(void **state)
{
	tutti_worker *worker;
	tutti_message input;
	unsigned run;
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 5000, (tutti_task_options){.retries = 1});
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	tutti_future_close(future);
	tutti_pool_close(pool);
	echo(worker, &input, run);
	tutti_message_release(&input);
	EXPECT(TUTTI_EOF, tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	tutti_worker_close(worker);
	end(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_own_workers[] = {
		TEST(messages_go_there_and_back),
		TEST(all_that_was_submitted_is_run_before_the_end),
		TEST(a_worker_without_jobs_is_told_so),
		TEST(what_is_unfinished_waits_or_runs),
		TEST(a_failure_is_a_text_or_a_message),
		TEST(a_large_result_that_was_taken_outlives_it),
		TEST(a_result_outlives_its_pool),
		TEST(a_result_is_taken_once),
		TEST(input_and_result_keep_what_they_carry_alive),
		TEST(a_result_that_nobody_takes_lets_go),
		TEST(handles_that_are_none_are_refused),
		TEST(workers_read_what_was_published),
		TEST(the_catalogue_has_room_for_256),
		TEST(a_place_that_is_none_is_refused),
		TEST(closing_cancels_what_waits_and_leaves_nothing),
		TEST(a_worker_that_is_late_finishes_for_nobody),
	};
	return RUN_TESTS(pool_own_workers);
}
