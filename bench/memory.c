/* SPDX-License-Identifier: MIT */
/*
 * What queues and messages take in the arena, and whether an operation costs the
 * same when there are many: the last tenth of the operations against the first.
 */
#include "tutti_check.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 64
#define TENTHS 10

static tutti_queue **queues;
static char message[MESSAGE_BYTES];

static tutti_arena_usage usage(void)
{
	tutti_arena *arena;
	tutti_arena_usage found;
	check(tutti_arena_default(&arena), "tutti_arena_default");
	check(tutti_arena_usage_read(arena, &found), "tutti_arena_usage_read");
	return found;
}

static void make_queue(uint64_t index) { check(tutti_queue_open(&queues[index], NULL), "tutti_queue_open"); }

static void put_message(uint64_t index)
{
	(void)index;
	check(tutti_queue_put(queues[0], message, sizeof message, TUTTI_NOW), "tutti_queue_put");
}

static void get_message(uint64_t index)
{
	size_t size;
	(void)index;
	check(tutti_queue_get_into(queues[0], message, sizeof message, &size, TUTTI_NOW), "tutti_queue_get_into");
}

static void put_and_get(uint64_t index)
{
	put_message(index);
	get_message(index);
}

/* Does it `count` times; returns ns an operation and reports the last tenth over the first. */
static double tenths(const char *key, void (*operation)(uint64_t index), uint64_t count)
{
	double first = 0, all = 0, took = 0;
	for (unsigned tenth = 0; tenth < TENTHS; tenth++) {
		int64_t begin = now_ns();
		for (uint64_t i = count * tenth / TENTHS; i < count * (tenth + 1) / TENTHS; i++)
			operation(i);
		took = (double)(now_ns() - begin);
		all += took;
		if (!tenth)
			first = took;
	}
	if (key)
		report(key, took / first);
	return all / (double)count;
}

/* How the cost of put and get beside `count` queues compares to that beside one. */
static void measure_queues(uint64_t count)
{
	queues = calloc(count + 1, sizeof *queues);
	make_queue(0);
	put_and_get(0);
	tenths(NULL, put_and_get, 10000);
	double beside_one = tenths(NULL, put_and_get, 100000);
	tutti_arena_usage before = usage();
	queues++;
	report("open_ns", tenths("open_last_over_first", make_queue, count));
	queues--;
	tutti_arena_usage after = usage();
	report("queue_bytes", (double)(after.live_bytes - before.live_bytes) / (double)count);
	report("queue_touched_bytes", (double)(after.touched_bytes - before.touched_bytes) / (double)count);
	report("many_over_one", tenths(NULL, put_and_get, 100000) / beside_one);
}

static void measure_messages(uint64_t count)
{
	queues = calloc(1, sizeof *queues);
	make_queue(0);
	tutti_arena_usage before = usage();
	report("put_ns", tenths("put_last_over_first", put_message, count));
	tutti_arena_usage after = usage();
	double bytes = (double)(after.live_bytes - before.live_bytes) / (double)count;
	double touched = (double)(after.touched_bytes - before.touched_bytes) / (double)count;
	report("over_payload_bytes", bytes - MESSAGE_BYTES);
	report("over_payload_touched_bytes", touched - MESSAGE_BYTES);
	report("get_ns", tenths("get_last_over_first", get_message, count));
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	side *self = share(sizeof *self);
	pin(0, bench_cpu(0));
	if (argc > 1 && !strcmp(argv[1], "queues"))
		measure_queues(argument(argc, argv, 2, 10000));
	else if (argc > 1 && !strcmp(argv[1], "messages"))
		measure_messages(argument(argc, argv, 2, 1000000));
	else
		fail("usage: %s queues|messages [COUNT]", argv[0]);
	note_cpu(self);
	report_cpus("from", self->cpus);
	return 0;
}
