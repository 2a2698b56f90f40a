/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <tutti/block.h>

#include "support.h"

enum { BIG = 200000 };

static tutti_block *shared_block; /* of the running test: for children */

static uint64_t live_blocks(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage.live_blocks;
}

/* Puts `size` bytes and gets them again. */
static tutti_message received(tutti_queue *queue, size_t size)
{
	static unsigned char bytes[BIG];
	tutti_message message;
	memset(bytes, 'x', sizeof bytes);
	OK(tutti_queue_put(queue, bytes, size, TUTTI_NOW));
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	return message;
}

static void it_outlives_the_message(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_queue *queue;
	tutti_block *block;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	uint64_t before = live_blocks(arena);
	tutti_message message = received(queue, BIG);
	const void *place = message.view.data;
	OK(tutti_block_adopt(&block, &message));
	assert_int_equal(live_blocks(arena), before + 2);
	tutti_message_release(&message);
	tutti_view view = tutti_block_view(block);
	assert_ptr_equal(view.data, place);
	assert_int_equal(view.size, BIG);
	assert_int_equal(((const char *)view.data)[BIG - 1], 'x');
	tutti_block_close(block);
	assert_int_equal(live_blocks(arena), before);
	tutti_queue_close(queue);
	tutti_arena_close(arena);
}

static void it_takes_the_bytes_out_of_a_message_that_carries(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_queue *queue, *inner, *opened;
	tutti_block *block;
	tutti_message message;
	static char bytes[BIG];
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	uint64_t before = live_blocks(arena);
	OK(tutti_queue_open(&inner, &(tutti_queue_options){.arena = arena}));
	tutti_handle handle = tutti_queue_handle(inner);
	tutti_view part = {bytes, sizeof bytes};
	OK(tutti_queue_put_with(queue, &part, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	tutti_queue_close(inner);
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	OK(tutti_block_adopt(&block, &message));
	OK(tutti_queue_at(&opened, arena, handle));
	tutti_message_release(&message);
	tutti_queue_close(opened);
	EXPECT(TUTTI_ESTALE, tutti_queue_at(&opened, arena, handle));
	assert_int_equal(live_blocks(arena), before + 2);
	tutti_block_close(block);
	assert_int_equal(live_blocks(arena), before);
	tutti_queue_close(queue);
	tutti_arena_close(arena);
}

static void small_and_released_messages_are_refused(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_queue *queue;
	tutti_block *block;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	tutti_message message = received(queue, 100);
	EXPECT_TEXT(TUTTI_EINVAL, "4 KiB", tutti_block_adopt(&block, &message));
	assert_int_equal(message.view.size, 100);
	tutti_message_release(&message);
	EXPECT(TUTTI_EINVAL, tutti_block_adopt(&block, &message));
	tutti_queue_close(queue);
	tutti_arena_close(arena);
}

static void hold_and_be_killed(void *context)
{
	tutti_block *own;
	OK(tutti_block_at(&own, context, tutti_block_handle(shared_block)));
	assert_int_equal(((const char *)tutti_block_view(own).data)[0], 'x');
	kill(getpid(), SIGKILL);
}

static void a_killed_holder_lets_go(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	uint64_t before = live_blocks(arena);
	tutti_message message = received(queue, BIG);
	OK(tutti_block_adopt(&shared_block, &message));
	support_wait(support_fork(hold_and_be_killed, arena));
	tutti_arena_sweep(arena);
	assert_int_equal(((const char *)tutti_block_view(shared_block).data)[0], 'x');
	tutti_block_close(shared_block);
	assert_int_equal(live_blocks(arena), before);
	tutti_queue_close(queue);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(it_outlives_the_message),
		TEST(it_takes_the_bytes_out_of_a_message_that_carries),
		TEST(small_and_released_messages_are_refused),
		TEST(a_killed_holder_lets_go),
	};
	return RUN_TESTS(tests);
}
