/* SPDX-License-Identifier: MIT */
/* The workers of a pool: how many, how they begin, and when they are replaced by choice. */
#include <stdlib.h>
#include <string.h>

#include "pool_scene.h"

static int initialized_with; /* in a worker */

TUTTI_TASK(square)
{
	double x;
	memcpy(&x, tutti_task_input(task).data, sizeof x);
	x *= x;
	return tutti_task_return(task, &x, sizeof x);
}

TUTTI_TASK(initialize)
{
	initialized_with = *(const int *)tutti_task_input(task).data;
	return initialized_with == 13 ? tutti_task_fail(task, 13, "no luck with thirteen") : TUTTI_OK;
}

TUTTI_TASK(tell_initialized) { return tutti_task_return(task, &initialized_with, sizeof initialized_with); }

static void workers_default_to_the_environment(void **state)
{
	tutti_pool *pool;
	(void)state;
	setenv("TUTTI_WORKERS", "3", 1);
	arena = support_arena(0);
	OK(tutti_pool_open(&pool, &(tutti_pool_options){.arena = arena}));
	UNTIL(5000, tutti_pool_worker(pool, 2) != 0);
	assert_int_equal(tutti_pool_worker(pool, 3), 0);
	unsetenv("TUTTI_WORKERS");
	end(pool);
}

static void each_worker_is_initialized(void **state)
{
	int number = 99;
	(void)state;
	for (int i = 0; i < 2; i++) {
		tutti_pool *pool = open_pool((tutti_pool_options){.start = STARTS[i],
		                                                  .initializer = "initialize",
		                                                  .initializer_input = {&number, sizeof number}});
		for (int j = 0; j < 20; j++) {
			tutti_result result = result_of(pool, "tell_initialized", NULL, 0);
			assert_int_equal(*(const int *)result.view.data, 99);
			tutti_result_release(&result);
		}
		end(pool);
	}
}

static void a_failing_initializer_breaks_the_pool_with_its_text(void **state)
{
	int number = 13;
	tutti_result result;
	tutti_future *future = NULL;
	(void)state;
	tutti_pool *pool =
		open_pool((tutti_pool_options){.initializer = "initialize", .initializer_input = {&number, sizeof number}});
	tutti_err err = tutti_pool_submit(pool, &future, "tell_initialized", (tutti_view){NULL, 0});
	if (err == TUTTI_OK) {
		err = tutti_future_get(future, &result, tutti_seconds(10));
		if (err == TUTTI_OK) {
			assert_int_not_equal(result.err, TUTTI_OK);
			assert_non_null(strstr(result.text, "thirteen"));
			tutti_result_release(&result);
		}
		tutti_future_close(future);
	}
	if (err)
		assert_non_null(strstr(tutti_last_error(), "thirteen"));
	EXPECT_TEXT(TUTTI_EFAILED, "thirteen", tutti_pool_submit(pool, &future, "square", (tutti_view){NULL, 0}));
	end(pool);
}

static void workers_are_replaced_after_their_share(void **state)
{
	int last = 0, changes = 0;
	double x = 1;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1, .tasks_per_worker = 3});
	for (int i = 0; i < 12; i++) {
		tutti_result result = result_of(pool, "square", &x, sizeof x);
		assert_int_equal(result.err, TUTTI_OK);
		changes += result.pid != last;
		last = result.pid;
		tutti_result_release(&result);
	}
	assert_int_equal(changes, 4);
	end(pool);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_worker[] = {
		TEST(workers_default_to_the_environment),
		TEST(each_worker_is_initialized),
		TEST(a_failing_initializer_breaks_the_pool_with_its_text),
		TEST(workers_are_replaced_after_their_share),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool_worker);
}
