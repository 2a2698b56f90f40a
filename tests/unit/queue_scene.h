/* SPDX-License-Identifier: MIT */
/* What the tests of the queue begin and end with: an arena, a queue in it, numbers as messages. */
#ifndef TUTTI_TESTS_UNIT_QUEUE_SCENE_H
#define TUTTI_TESTS_UNIT_QUEUE_SCENE_H

#include "channel/queue.h"
#include "support.h"

static tutti_arena *arena; /* of the running test */

static inline tutti_queue *new_queue(tutti_queue_options options)
{
	tutti_queue *queue;
	arena = arena ? arena : support_arena(0);
	options.arena = arena;
	OK(tutti_queue_open(&queue, &options));
	return queue;
}

/* Closes all; the arena must be as empty as it was. */
static inline void end(tutti_queue *queue)
{
	tutti_arena_sweep(arena);
	REQUIRE(tutti__queue_is_valid(arena, queue->shared, NULL, NULL));
	REQUIRE(tutti__heap_is_valid(arena));
	tutti_queue_close(queue);
	support_end_arena(arena);
	arena = NULL;
}

static inline void put_number(tutti_queue *queue, uint64_t number)
{
	OK(tutti_queue_put(queue, &number, sizeof number, TUTTI_NOW));
}

static inline void get_number(tutti_queue *queue, uint64_t expected)
{
	uint64_t number = 0;
	size_t size = 0;
	OK(tutti_queue_get_into(queue, &number, sizeof number, &size, TUTTI_NOW));
	assert_int_equal(size, sizeof number);
	assert_int_equal(number, expected);
}

#endif
