/* SPDX-License-Identifier: MIT */
/*
 * A pool: one task as a future, and many as a stream. Some of the tasks go wrong: one
 * reports an error, one kills its worker the first time, and the others never notice.
 *
 *     pool
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <tutti/tutti.h>
#include <unistd.h>

enum { COUNT = 20, BAD = 13, DEADLY = 17 };

TUTTI_TASK(square) /* runs in a worker, found there by its name */
{
	uint64_t number = *(const uint64_t *)tutti_task_input(task).data;
	if (number == BAD)
		return tutti_task_fail(task, EDOM, "%" PRIu64 " is an unlucky number", number);
	if (number == DEADLY && tutti_task_attempt(task) == 1)
		kill(getpid(), SIGKILL);
	number *= number;
	return tutti_task_return(task, &number, sizeof number);
}

static tutti_err run_one(tutti_pool *pool, uint64_t number)
{
	tutti_future *future = NULL;
	tutti_result result;
	tutti_err err = tutti_pool_submit(pool, &future, "square", (tutti_view){&number, sizeof number});
	if (!err)
		err = tutti_future_get(future, &result, tutti_seconds(10));
	if (!err)
		printf("%" PRIu64 " squared is %" PRIu64 "\n", number, *(const uint64_t *)result.view.data);
	if (!err)
		tutti_result_release(&result);
	tutti_future_close(future);
	return err;
}

static tutti_err run_many(tutti_pool *pool)
{
	static uint64_t numbers[COUNT];
	for (uint64_t i = 0; i < COUNT; i++)
		numbers[i] = i + 1;
	tutti_stream *squares = NULL;
	tutti_inputs inputs = tutti_array(numbers, COUNT, sizeof *numbers);
	tutti_err err = tutti_pool_map(pool, &squares, "square", inputs, &(tutti_map_options){.unordered = true});
	uint64_t sum = 0;
	if (err)
		return err;
	for (tutti_result r; (err = tutti_stream_next(squares, &r, TUTTI_FOREVER)) == TUTTI_OK; tutti_result_release(&r))
		if (r.err)
			printf("%s, code %d: %s\n", tutti_error_name(r.err), r.code, r.text);
		else
			sum += *(const uint64_t *)r.view.data;
	printf("the sum of the other squares is %" PRIu64 "\n", sum);
	tutti_stream_close(squares);
	return err == TUTTI_EOF ? TUTTI_OK : err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_pool *pool = NULL;
	tutti_err err = tutti_pool_open(&pool, &(tutti_pool_options){.workers = 2, .retries = 1});
	if (!err)
		err = run_one(pool, 12);
	if (!err)
		err = run_many(pool);
	tutti_pool_close(pool);
	return tutti_fatal(err);
}
