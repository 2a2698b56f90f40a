/* SPDX-License-Identifier: MIT */
/*
 * Empty C tasks through a pool of two: one at a time with the workers awake, and
 * in bulk, as a map and as futures. The owner has the first CPU, the workers have
 * the second.
 */
#include "tutti_check.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS 2
#define BATCH 20

static side *sides; /* the owner, then the workers */

TUTTI_TASK(empty)
{
	(void)task;
	return TUTTI_OK;
}

/* Tells on which CPUs the workers are; run before and after, not in between. */
TUTTI_TASK(tell_cpu)
{
	(void)task;
	note_cpu(sides + 1);
	return TUTTI_OK;
}

static void take(tutti_future *future)
{
	tutti_result result;
	check(tutti_future_get(future, &result, TUTTI_FOREVER), "tutti_future_get");
	if (result.err != TUTTI_OK)
		fail("an empty task failed: %s", result.text);
	tutti_result_release(&result);
	tutti_future_close(future);
}

static tutti_future *submit(tutti_pool *pool, const char *name)
{
	tutti_future *future;
	check(tutti_pool_submit(pool, &future, name, (tutti_view){0}), "tutti_pool_submit");
	return future;
}

static double trips_ns(tutti_pool *pool, uint64_t count)
{
	int64_t begin = now_ns();
	for (uint64_t i = 0; i < count; i++)
		take(submit(pool, "empty"));
	return (double)(now_ns() - begin) / (double)count;
}

static void measure_trips(tutti_pool *pool, uint64_t count)
{
	size_t samples = count / BATCH;
	double *times = malloc(samples * sizeof *times);
	trips_ns(pool, count / 10);
	for (size_t i = 0; i < samples; i++)
		times[i] = trips_ns(pool, BATCH);
	report("trip_ns", quantile(times, samples, 0.5));
	free(times);
}

static bool next_nothing(void *context, uint64_t index, tutti_view *input)
{
	*input = (tutti_view){0};
	return index < *(const uint64_t *)context;
}

static void run_map(tutti_pool *pool, uint64_t count)
{
	tutti_stream *stream;
	tutti_result result;
	uint64_t done = 0;
	tutti_err err;
	check(tutti_pool_map(pool, &stream, "empty", tutti_generator(next_nothing, &count),
	                     &(tutti_map_options){.unordered = true, .read_ahead = 4096}),
	      "tutti_pool_map");
	for (; (err = tutti_stream_next(stream, &result, TUTTI_FOREVER)) == TUTTI_OK; done++) {
		if (result.err != TUTTI_OK)
			fail("an empty task failed: %s", result.text);
		tutti_result_release(&result);
	}
	if (err != TUTTI_EOF || done != count)
		fail("a map ended with %s after %llu of %llu results", tutti_error_name(err), (unsigned long long)done,
		     (unsigned long long)count);
	tutti_stream_close(stream);
}

static void run_futures(tutti_pool *pool, uint64_t count)
{
	tutti_future **futures = malloc(count * sizeof *futures);
	for (uint64_t i = 0; i < count; i++)
		futures[i] = submit(pool, "empty");
	for (uint64_t i = 0; i < count; i++)
		take(futures[i]);
	free(futures);
}

static void measure_bulk(void (*run)(tutti_pool *pool, uint64_t count), tutti_pool *pool, uint64_t count)
{
	run(pool, count); /* warm: no page of the arena is touched for the first time while it is measured */
	int64_t begin = now_ns();
	run(pool, count);
	report("rate", (double)count * 1e9 / (double)(now_ns() - begin));
}

static tutti_pool *open_pinned(void)
{
	tutti_pool *pool;
	check(tutti_pool_open(&pool, &(tutti_pool_options){.workers = WORKERS, .start = TUTTI_FORK}), "tutti_pool_open");
	for (unsigned i = 0; i < WORKERS; i++)
		pin(tutti_pool_worker(pool, i), bench_cpu(1));
	pin(0, bench_cpu(0));
	return pool;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	bench_start(argv[0]);
	sides = share(2 * sizeof *sides);
	tutti_pool *pool = open_pinned();
	if (argc > 1 && !strcmp(argv[1], "trip"))
		measure_trips(pool, argument(argc, argv, 2, 20000));
	else if (argc > 1 && !strcmp(argv[1], "map"))
		measure_bulk(run_map, pool, argument(argc, argv, 2, 200000));
	else if (argc > 1 && !strcmp(argv[1], "futures"))
		measure_bulk(run_futures, pool, argument(argc, argv, 2, 20000));
	else
		fail("usage: %s trip|map|futures [COUNT]", argv[0]);
	for (unsigned i = 0; i < 4 * WORKERS; i++)
		take(submit(pool, "tell_cpu"));
	note_cpu(sides);
	report_cpus("from", sides[0].cpus);
	report_cpus("to", sides[1].cpus);
	tutti_pool_close(pool);
	return 0;
}
