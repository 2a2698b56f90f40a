/* SPDX-License-Identifier: MIT */
/* The pool: futures, errors, bounds and ends. Its workers: test_pool_worker.c; streams:
 * test_pool_map.c; deaths: test_pool_death.c. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "pool_scene.h"

TUTTI_TASK(square)
{
	double x;
	memcpy(&x, tutti_task_input(task).data, sizeof x);
	x *= x;
	return tutti_task_return(task, &x, sizeof x);
}

TUTTI_TASK(echo)
{
	tutti_view input = tutti_task_input(task);
	return tutti_task_return(task, input.data, input.size);
}

/* Writes its result in place. */
TUTTI_TASK(fill)
{
	void *data;
	size_t size;
	memcpy(&size, tutti_task_input(task).data, sizeof size);
	tutti_err err = tutti_task_reserve(task, size + 100, &data);
	if (err)
		return err;
	support_fill(data, size, size);
	return tutti_task_return(task, data, size);
}

TUTTI_TASK(say_nothing)
{
	(void)task;
	return TUTTI_OK;
}

TUTTI_TASK(fail_with)
{
	int code;
	memcpy(&code, tutti_task_input(task).data, sizeof code);
	return tutti_task_fail(task, code, "code %d, run %u", code, tutti_task_attempt(task));
}

/* Returns what a call of Tutti gave it. */
TUTTI_TASK(pass_error_on)
{
	tutti_queue *queue;
	(void)task;
	return tutti_queue_open(&queue, &(tutti_queue_options){.name = "a name that is much, much too long for a queue"});
}

TUTTI_TASK(ask_for_too_much)
{
	void *data;
	return tutti_task_reserve(task, (size_t)1 << 50, &data);
}

/* Sets the first event that it is given and waits for the second. */
TUTTI_TASK(wait_for_event)
{
	const tutti_handle *handles = tutti_task_input(task).data;
	tutti_event *started, *open;
	OK(tutti_event_at(&started, NULL, handles[0]));
	OK(tutti_event_at(&open, NULL, handles[1]));
	OK(tutti_event_set(started));
	tutti_err err = tutti_event_wait(open, tutti_seconds(15));
	tutti_event_close(started);
	tutti_event_close(open);
	return err;
}

static void a_task_gives_its_result(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		tutti_pool *pool = open_pool((tutti_pool_options){.start = STARTS[i]});
		for (double x = 0; x < 50; x++) {
			tutti_result result = result_of(pool, "square", &x, sizeof x);
			assert_int_equal(result.err, TUTTI_OK);
			assert_string_equal(result.text, "");
			assert_int_equal(result.view.size, sizeof x);
			assert_true(*(const double *)result.view.data == x * x);
			assert_int_equal(result.runs, 1);
			assert_true(result.pid == tutti_pool_worker(pool, 0) || result.pid == tutti_pool_worker(pool, 1));
			tutti_result_release(&result);
			tutti_result_release(&result);
		}
		end(pool);
	}
}

static void inputs_and_results_have_any_size(void **state)
{
	static const size_t sizes[] = {0, 1, 16, 63, 64, 65, 100, 4096, 4097, 70000, 3000000};
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	char *data = malloc(3000000);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		support_fill(data, sizes[i], i);
		tutti_result result = result_of(pool, "echo", data, sizes[i]);
		assert_int_equal(result.err, TUTTI_OK);
		assert_int_equal(result.view.size, sizes[i]);
		assert_true(support_is_filled(result.view.data, sizes[i], i));
		tutti_result_release(&result);
		result = result_of(pool, "fill", &sizes[i], sizeof sizes[i]);
		assert_int_equal(result.view.size, sizes[i]);
		assert_true(support_is_filled(result.view.data, sizes[i], sizes[i]));
		tutti_result_release(&result);
	}
	free(data);
	end(pool);
}

static void a_task_may_give_nothing(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	tutti_result result = result_of(pool, "say_nothing", NULL, 0);
	assert_int_equal(result.err, TUTTI_OK);
	assert_int_equal(result.view.size, 0);
	tutti_result_release(&result);
	end(pool);
}

static void a_failure_has_code_and_text(void **state)
{
	int code = -77;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.retries = 3});
	tutti_result result = result_of(pool, "fail_with", &code, sizeof code);
	assert_int_equal(result.err, TUTTI_EFAILED);
	assert_int_equal(result.code, -77);
	assert_non_null(strstr(result.text, "code -77, run 1")); /* not run again: it reported that itself */
	assert_int_equal(result.runs, 1);
	tutti_result_release(&result);
	result = result_of(pool, "pass_error_on", NULL, 0);
	assert_int_equal(result.err, TUTTI_EFAILED);
	assert_non_null(strstr(result.text, "too long"));
	tutti_result_release(&result);
	result = result_of(pool, "ask_for_too_much", NULL, 0);
	assert_true(result.err == TUTTI_EFAILED || result.err == TUTTI_ENOMEM);
	assert_non_null(strstr(result.text, "full"));
	tutti_result_release(&result);
	end(pool);
}

static void chosen_failures_are_run_again(void **state)
{
	static const int32_t codes[] = {5, 7};
	static const int32_t any[] = {TUTTI_ANY_CODE};
	(void)state;
	for (int code = 5; code <= 6; code++) {
		tutti_pool *pool = open_pool((tutti_pool_options){.retries = 2, .retry_on = codes, .retry_on_count = 2});
		tutti_result result = result_of(pool, "fail_with", &code, sizeof code);
		assert_int_equal(result.err, TUTTI_EFAILED);
		assert_int_equal(result.runs, code == 5 ? 3 : 1);
		tutti_result_release(&result);
		end(pool);
	}
	int code = 99;
	tutti_pool *pool = open_pool((tutti_pool_options){.retries = 1, .retry_on = any, .retry_on_count = 1});
	tutti_result result = result_of(pool, "fail_with", &code, sizeof code);
	assert_int_equal(result.runs, 2);
	assert_non_null(strstr(result.text, "run 2"));
	tutti_result_release(&result);
	end(pool);
}

static void bad_options_are_refused(void **state)
{
	tutti_pool *pool;
	tutti_future *future;
	(void)state;
	arena = support_arena(0);
	EXPECT_TEXT(TUTTI_EINVAL, "256", tutti_pool_open(&pool, &(tutti_pool_options){.arena = arena, .workers = 257}));
	EXPECT_TEXT(TUTTI_ENOENT, "no_such_task",
	            tutti_pool_open(&pool, &(tutti_pool_options){.arena = arena, .initializer = "no_such_task"}));
	int32_t codes[9] = {0};
	EXPECT(TUTTI_EINVAL,
	       tutti_pool_open(&pool, &(tutti_pool_options){.arena = arena, .retry_on = codes, .retry_on_count = 9}));
	pool = open_pool((tutti_pool_options){0});
	EXPECT_TEXT(TUTTI_ENOENT, "no_such_task", tutti_pool_submit(pool, &future, "no_such_task", (tutti_view){NULL, 0}));
	end(pool);
}

/* Keeps workers busy until it is opened; tells when one has come there. */
struct gate {
	tutti_event *reached, *open;
};

static struct gate new_gate(void)
{
	struct gate gate;
	OK(tutti_event_open(&gate.reached, &(tutti_event_options){.arena = arena}));
	OK(tutti_event_open(&gate.open, &(tutti_event_options){.arena = arena}));
	return gate;
}

static void end_gate(struct gate *gate)
{
	tutti_event_close(gate->reached);
	tutti_event_close(gate->open);
}

static tutti_future *submit_waiting(tutti_pool *pool, struct gate *gate)
{
	tutti_future *future;
	tutti_handle handles[2] = {tutti_event_handle(gate->reached), tutti_event_handle(gate->open)};
	OK(tutti_pool_submit(pool, &future, "wait_for_event", (tutti_view){handles, sizeof handles}));
	return future;
}

static void a_future_is_waited_for_in_time(void **state)
{
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	struct gate gate = new_gate();
	tutti_future *future = submit_waiting(pool, &gate);
	EXPECT(TUTTI_ETIMEDOUT, tutti_future_wait(future, TUTTI_NOW));
	int64_t start = support_now();
	EXPECT(TUTTI_ETIMEDOUT, tutti_future_wait(future, tutti_ms(50)));
	EXPECT(TUTTI_ETIMEDOUT, tutti_future_get(future, &result, tutti_ms(50)));
	assert_in_range(support_now() - start, 100000000, 1000000000);
	OK(tutti_event_set(gate.open));
	OK(tutti_future_wait(future, tutti_seconds(5)));
	OK(tutti_future_wait(future, TUTTI_NOW));
	OK(tutti_future_get(future, &result, TUTTI_NOW));
	assert_int_equal(result.err, TUTTI_OK);
	tutti_result_release(&result);
	EXPECT(TUTTI_EINVAL, tutti_future_get(future, &result, TUTTI_NOW));
	tutti_future_close(future);
	tutti_future_close(NULL);
	end_gate(&gate);
	end(pool);
}

static void what_has_not_started_can_be_cancelled(void **state)
{
	tutti_future *futures[5];
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	struct gate gate = new_gate();
	for (int i = 0; i < 5; i++)
		futures[i] = submit_waiting(pool, &gate);
	OK(tutti_future_cancel(futures[3]));
	OK(tutti_future_get(futures[3], &result, TUTTI_NOW));
	assert_int_equal(result.err, TUTTI_ECANCELLED);
	assert_int_equal(result.runs, 0);
	assert_int_equal(result.pid, 0);
	tutti_result_release(&result);
	OK(tutti_event_set(gate.open));
	OK(tutti_future_wait(futures[4], tutti_seconds(5)));
	EXPECT(TUTTI_EBUSY, tutti_future_cancel(futures[4]));
	for (int i = 0; i < 5; i++)
		tutti_future_close(futures[i]);
	end_gate(&gate);
	end(pool);
}

static void a_running_task_cannot_be_cancelled(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	struct gate gate = new_gate();
	tutti_future *future = submit_waiting(pool, &gate);
	OK(tutti_event_wait(gate.reached, tutti_seconds(5)));
	EXPECT_TEXT(TUTTI_EBUSY, "started", tutti_future_cancel(future));
	OK(tutti_event_set(gate.open));
	OK(tutti_future_wait(future, tutti_seconds(5)));
	tutti_future_close(future);
	end_gate(&gate);
	end(pool);
}

static void futures_may_be_closed_unseen(void **state)
{
	tutti_future *future;
	double x = 3;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	for (int i = 0; i < 2000; i++) {
		OK(tutti_pool_submit(pool, &future, i % 2 ? "square" : "say_nothing", (tutti_view){&x, sizeof x}));
		tutti_future_close(future);
	}
	tutti_result result = result_of(pool, "square", &x, sizeof x);
	assert_true(*(const double *)result.view.data == 9);
	tutti_result_release(&result);
	end(pool);
}

static void many_tasks_keep_their_results_apart(void **state)
{
	enum { COUNT = 5000 };
	tutti_future **futures = calloc(COUNT, sizeof *futures);
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 3});
	for (int i = 0; i < COUNT; i++) {
		double x = i;
		OK(tutti_pool_submit(pool, &futures[i], "square", (tutti_view){&x, sizeof x}));
	}
	for (int i = COUNT; i-- > 0;) {
		tutti_result result;
		OK(tutti_future_get(futures[i], &result, tutti_seconds(10)));
		assert_true(*(const double *)result.view.data == (double)i * i);
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	free(futures);
	end(pool);
}

/* Closing waits for what runs: somebody else must open the gate meanwhile. */
static void open_gate_later(void *context)
{
	struct gate *gate = context;
	EXPECT(TUTTI_ETIMEDOUT, tutti_event_wait(gate->open, tutti_ms(300)));
	OK(tutti_event_set(gate->open));
}

static void closing_lets_the_running_end_and_cancels_the_waiting(void **state)
{
	tutti_future *futures[4];
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	struct gate gate = new_gate();
	for (int i = 0; i < 4; i++)
		futures[i] = submit_waiting(pool, &gate);
	OK(tutti_event_wait(gate.reached, tutti_seconds(5)));
	pid_t child = support_fork(open_gate_later, &gate);
	tutti_pool_close(pool);
	for (int i = 0; i < 4; i++) {
		OK(tutti_future_get(futures[i], &result, TUTTI_NOW));
		assert_int_equal(result.err, i == 0 ? TUTTI_OK : TUTTI_ECANCELLED);
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	support_join_child(child);
	end_gate(&gate);
	end(NULL);
}

static void draining_runs_all_and_takes_no_more(void **state)
{
	enum { COUNT = 200 };
	tutti_future *futures[COUNT], *late;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	for (int i = 0; i < COUNT; i++) {
		double x = i;
		OK(tutti_pool_submit(pool, &futures[i], "square", (tutti_view){&x, sizeof x}));
	}
	OK(tutti_pool_drain(pool, tutti_seconds(10)));
	EXPECT(TUTTI_ESHUTDOWN, tutti_pool_submit(pool, &late, "square", (tutti_view){NULL, 0}));
	for (int i = 0; i < COUNT; i++) {
		tutti_result result;
		OK(tutti_future_get(futures[i], &result, TUTTI_NOW));
		assert_int_equal(result.err, TUTTI_OK);
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	end(pool);
}

static void draining_ends_at_its_time(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	struct gate gate = new_gate();
	tutti_future *future = submit_waiting(pool, &gate);
	EXPECT(TUTTI_ETIMEDOUT, tutti_pool_drain(pool, tutti_ms(100)));
	OK(tutti_event_set(gate.open));
	OK(tutti_pool_drain(pool, tutti_seconds(5)));
	OK(tutti_future_wait(future, TUTTI_NOW));
	tutti_future_close(future);
	end_gate(&gate);
	end(pool);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool[] = {
		TEST(a_task_gives_its_result),
		TEST(inputs_and_results_have_any_size),
		TEST(a_task_may_give_nothing),
		TEST(a_failure_has_code_and_text),
		TEST(chosen_failures_are_run_again),
		TEST(bad_options_are_refused),
		TEST(a_future_is_waited_for_in_time),
		TEST(what_has_not_started_can_be_cancelled),
		TEST(a_running_task_cannot_be_cancelled),
		TEST(futures_may_be_closed_unseen),
		TEST(many_tasks_keep_their_results_apart),
		TEST(closing_lets_the_running_end_and_cancels_the_waiting),
		TEST(draining_runs_all_and_takes_no_more),
		TEST(draining_ends_at_its_time),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool);
}
