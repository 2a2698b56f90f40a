/* SPDX-License-Identifier: MIT */
/* Priorities: which of the tasks that wait is next, who hears of it, and what their end does to them. */
#include "own_workers_scene.h"

enum { JOBS = 10 };

/* Each is as long as its place in the order of submission says, plus one. */
static tutti_future *submit_urgent(tutti_pool *pool, size_t size, int priority)
{
	return submit(pool, size, (tutti_task_options){.priority = priority});
}

/* The test's own process as worker 0. */
static tutti_worker *be_worker_here(tutti_pool *pool)
{
	tutti_worker *worker;
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	tutti_worker_ready(worker);
	return worker;
}

/* Runs what is next, which must be that one. */
static void expect_next(tutti_worker *worker, size_t size)
{
	tutti_message input;
	unsigned run;
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	assert_int_equal(input.view.size, size);
	OK(tutti_worker_finish(worker, TUTTI_OK, 0, &input.view, 1, TUTTI_PICKLE, NULL, 0));
	tutti_message_release(&input);
}

static void expect_nothing(tutti_worker *worker)
{
	tutti_message input;
	unsigned run;
	EXPECT(TUTTI_EEMPTY, tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	EXPECT(TUTTI_EEMPTY, tutti_worker_next(worker, &input, &run, tutti_ms(1)));
}

static void close_all(tutti_future **futures, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tutti_future_close(futures[i]);
}

static void the_highest_starts_first(void **state)
{
	static const int priorities[JOBS] = {0, 1, -1, 5, 0, -1, 1, 10, -10, 0};
	static const size_t order[JOBS] = {8, 4, 2, 7, 1, 5, 10, 3, 6, 9};
	tutti_future *futures[JOBS];
	(void)state;
	tutti_pool *pool = open_own(1);
	for (size_t i = 0; i < JOBS; i++)
		futures[i] = submit_urgent(pool, i + 1, priorities[i]);
	assert_int_equal(tutti_pool_unfinished(pool), JOBS);
	tutti_worker *worker = be_worker_here(pool);
	for (size_t i = 0; i < JOBS; i++)
		expect_next(worker, order[i]);
	expect_nothing(worker);
	assert_int_equal(tutti_pool_unfinished(pool), 0);
	tutti_worker_close(worker);
	close_all(futures, JOBS);
	end(pool);
}

/* Also of what came before anybody had a priority, and when a level is empty for a while. */
static void of_one_priority_the_first_goes_first(void **state)
{
	static const int priorities[] = {0, 0, -1, 0, 0};
	tutti_future *futures[8];
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_worker *worker = be_worker_here(pool);
	for (size_t i = 0; i < 5; i++)
		futures[i] = submit_urgent(pool, i + 1, priorities[i]);
	for (size_t size = 1; size < 3; size++)
		expect_next(worker, size);
	expect_next(worker, 4);
	expect_next(worker, 5);
	expect_next(worker, 3);
	expect_nothing(worker);
	for (size_t i = 5; i < 8; i++)
		futures[i] = submit_urgent(pool, i + 1, i == 7 ? 1 : 0);
	expect_next(worker, 8);
	expect_next(worker, 6);
	expect_next(worker, 7);
	tutti_worker_close(worker);
	close_all(futures, 8);
	end(pool);
}

/* In less than the tick after which a sleeper looks by itself: it was woken. Also for the first of a priority. */
static void a_sleeping_worker_is_woken(void **state)
{
	static const int priorities[] = {3, -3, 3, 0, -3, 9};
	(void)state;
	tutti_pool *pool = open_own(1);
	pid_t worker = hire(pool, 0, echo);
	for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
		UNTIL(5000, support_is_asleep(worker));
		int64_t start = support_now();
		tutti_result result = get(submit_urgent(pool, 100, priorities[i]));
		assert_true(support_now() - start < tutti_ms(100));
		expect_echo(&result, 100);
		tutti_result_release(&result);
	}
	end_with(pool, worker);
}

static void all_that_sleep_are_woken(void **state)
{
	enum { WORKERS = 4 };
	tutti_future *futures[WORKERS];
	pid_t workers[WORKERS];
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(WORKERS);
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = hire(pool, i, never_end);
	for (unsigned i = 0; i < WORKERS; i++)
		UNTIL(5000, support_is_asleep(workers[i]));
	for (size_t i = 0; i < WORKERS; i++)
		futures[i] = submit_urgent(pool, 10, 1);
	for (size_t i = 0; i < WORKERS; i++)
		UNTIL(5000, tutti_future_has_started(futures[i]));
	for (unsigned i = 0; i < WORKERS; i++) {
		kill(workers[i], SIGKILL);
		bury(pool, i, workers[i]);
	}
	close_all(futures, WORKERS);
	end(pool);
}

/* A further run has the priority that it had. */
static void what_is_run_again_keeps_its_priority(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_future *urgent = submit(pool, 3, (tutti_task_options){.priority = 2, .retries = 1});
	bury(pool, 0, hire(pool, 0, die_at_first));
	tutti_future *others[] = {submit_urgent(pool, 1, 0), submit_urgent(pool, 2, 1)};
	tutti_worker *worker = be_worker_here(pool);
	expect_next(worker, 3);
	expect_next(worker, 2);
	expect_next(worker, 1);
	tutti_worker_close(worker);
	tutti_future_close(urgent);
	close_all(others, 2);
	end(pool);
}

static void other_numbers_are_refused(void **state)
{
	static const int wrong[] = {11, -11, INT32_MAX, INT32_MIN};
	tutti_future *future;
	(void)state;
	tutti_pool *pool = open_own(1);
	for (size_t i = 0; i < 4; i++)
		EXPECT_TEXT(TUTTI_EINVAL, "-10 to 10",
		            submit_with(pool, &future, 1, NULL, 0, (tutti_task_options){.priority = wrong[i]}));
	assert_int_equal(tutti_pool_unfinished(pool), 0);
	end(pool);
}

/* A drain leaves nothing in a level, and then there is no way in, to one that is there or to another. */
static void a_drain_runs_them_all(void **state)
{
	tutti_future *futures[6], *late;
	(void)state;
	tutti_pool *pool = open_own(1);
	for (int i = 0; i < 6; i++)
		futures[i] = submit_urgent(pool, 10, i - 3);
	EXPECT(TUTTI_ETIMEDOUT, tutti_pool_drain(pool, TUTTI_NOW));
	pid_t worker = hire(pool, 0, echo);
	OK(tutti_pool_drain(pool, tutti_seconds(10)));
	for (int i = 0; i < 6; i++) {
		tutti_result result = get(futures[i]);
		expect_echo(&result, 10);
		tutti_result_release(&result);
	}
	for (int priority = -10; priority <= 10; priority++)
		EXPECT(TUTTI_ESHUTDOWN, submit_with(pool, &late, 1, NULL, 0, (tutti_task_options){.priority = priority}));
	end_with(pool, worker);
}

static void cancelling_reaches_them_all(void **state)
{
	tutti_future *futures[6];
	(void)state;
	tutti_pool *pool = open_own(1);
	for (int i = 0; i < 6; i++)
		futures[i] = submit_urgent(pool, 10, i - 3);
	tutti_pool_cancel_waiting(pool);
	assert_int_equal(tutti_pool_unfinished(pool), 0);
	tutti_worker *worker = be_worker_here(pool);
	expect_nothing(worker);
	tutti_worker_close(worker);
	for (int i = 0; i < 6; i++) {
		tutti_result result = get(futures[i]);
		assert_int_equal(result.err, TUTTI_ECANCELLED);
		tutti_result_release(&result);
	}
	end(pool);
}

/* Of those that are done the wait finds one, wherever it stands in the order of submission. */
static void a_wait_for_any_finds_the_last(void **state)
{
	enum { WAITING = 40 };
	tutti_future *futures[WAITING];
	size_t done = 0;
	(void)state;
	tutti_pool *pool = open_own(1);
	for (size_t i = 0; i < WAITING; i++)
		futures[i] = submit_urgent(pool, i + 1, i == WAITING - 1 ? 1 : 0);
	tutti_worker *worker = be_worker_here(pool);
	expect_next(worker, WAITING);
	OK(tutti_future_wait_any(futures, WAITING, &done, tutti_seconds(5)));
	assert_int_equal(done, WAITING - 1);
	tutti_worker_close(worker);
	close_all(futures, WAITING);
	end(pool);
}

/* --- tasks in C --- */

TUTTI_TASK(note)
{
	struct {
		tutti_handle queue;
		uint32_t number;
	} order;
	tutti_queue *queue;
	memcpy(&order, tutti_task_input(task).data, sizeof order);
	OK(tutti_queue_at(&queue, NULL, order.queue));
	OK(tutti_queue_put(queue, &order.number, sizeof order.number, TUTTI_NOW));
	tutti_queue_close(queue);
	return TUTTI_OK;
}

static void each_submit_and_each_map_has_one(void **state)
{
	struct {
		tutti_handle queue;
		uint32_t number;
	} orders[4];
	static const uint32_t expected[] = {2, 0, 3, 1};
	tutti_future *futures[2];
	tutti_stream *streams[2];
	tutti_queue *queue;
	tutti_result result;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	for (uint32_t i = 0; i < 4; i++) {
		memset(&orders[i], 0, sizeof orders[i]);
		orders[i].queue = tutti_queue_handle(queue);
		orders[i].number = i;
	}
	kill(tutti_pool_worker(pool, 0), SIGSTOP);
	for (int i = 0; i < 2; i++)
		OK(tutti_pool_submit_with(pool, &futures[i], "note", (tutti_view){&orders[i], sizeof *orders},
		                          &(tutti_task_options){.priority = i ? -2 : 1}));
	for (int i = 0; i < 2; i++) {
		OK(tutti_pool_map(pool, &streams[i], "note", tutti_array(&orders[2 + i], 1, sizeof *orders),
		                  &(tutti_map_options){.priority = i ? -1 : 2}));
		EXPECT(TUTTI_ETIMEDOUT, tutti_stream_next(streams[i], &result, TUTTI_NOW));
	}
	kill(tutti_pool_worker(pool, 0), SIGCONT);
	for (int i = 0; i < 4; i++) {
		uint32_t number = UINT32_MAX;
		OK(tutti_queue_get_into(queue, &number, sizeof number, NULL, tutti_seconds(10)));
		assert_int_equal(number, expected[i]);
	}
	close_all(futures, 2);
	for (int i = 0; i < 2; i++)
		tutti_stream_close(streams[i]);
	tutti_queue_close(queue);
	end(pool);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_priority[] = {
		TEST(the_highest_starts_first),
		TEST(of_one_priority_the_first_goes_first),
		TEST(a_sleeping_worker_is_woken),
		TEST(all_that_sleep_are_woken),
		TEST(what_is_run_again_keeps_its_priority),
		TEST(other_numbers_are_refused),
		TEST(a_drain_runs_them_all),
		TEST(cancelling_reaches_them_all),
		TEST(a_wait_for_any_finds_the_last),
		TEST(each_submit_and_each_map_has_one),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool_priority);
}
