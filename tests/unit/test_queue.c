/* SPDX-License-Identifier: MIT */
/* One queue and its messages in one process: order, sizes, bounds, drafts, ends. */
#include <stdlib.h>
#include <string.h>

#include "queue_scene.h"

static void first_in_first_out(void **state)
{
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	for (uint64_t i = 0; i < 10000; i++)
		put_number(queue, i);
	assert_int_equal(tutti_queue_size(queue), 10000);
	for (uint64_t i = 0; i < 10000; i++)
		get_number(queue, i);
	assert_int_equal(tutti_queue_size(queue), 0);
	end(queue);
}

static void a_queue_may_fill_and_drain_again_and_again(void **state)
{
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	uint64_t put = 0, got = 0;
	for (int round = 1; round < 300; round++) {
		for (int i = 0; i < round * 7 % 400; i++)
			put_number(queue, put++);
		assert_true(tutti__queue_is_valid(arena, queue->shared, NULL, NULL));
		while (got < put - (uint64_t)(round % 3))
			get_number(queue, got++);
		assert_true(tutti__queue_is_valid(arena, queue->shared, NULL, NULL));
	}
	end(queue);
}

static void near_round_trip(tutti_queue *queue, const void *data, size_t size)
{
	tutti_message message;
	tutti_block *block;
	unsigned char near[TUTTI_NEAR];
	OK(tutti_queue_put(queue, data, size, TUTTI_NOW));
	OK(tutti_queue_get_near(queue, &message, near, TUTTI_NOW));
	assert_int_equal(message.view.size, size);
	assert_true((message.view.data == near) == (size <= TUTTI_NEAR));
	assert_true(size == 0 || memcmp(message.view.data, data, size) == 0);
	if (size <= TUTTI_NEAR)
		EXPECT_TEXT(TUTTI_EINVAL, "Copy it", tutti_block_adopt(&block, &message));
	tutti_message_release(&message);
	tutti_message_release(&message);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get_near(queue, &message, near, TUTTI_NOW));
	assert_null(message.view.data);
}

static void round_trip(tutti_queue *queue, const void *data, size_t size)
{
	tutti_message message;
	OK(tutti_queue_put(queue, data, size, TUTTI_NOW));
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.view.size, size);
	assert_int_equal((uintptr_t)message.view.data % 8, 0);
	if (size >= 4096)
		assert_int_equal((uintptr_t)message.view.data % 64, 0);
	assert_true(size == 0 || memcmp(message.view.data, data, size) == 0);
	tutti_message_release(&message);
	tutti_message_release(&message);
	near_round_trip(queue, data, size);
}

static void messages_of_all_sizes_arrive_whole(void **state)
{
	static const size_t large[] = {32767, 32768, 32769, 65535, 65536, 65537, 1000003, 8 * 1024 * 1024};
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	char *data = malloc(8 * MEBIBYTE);
	support_fill(data, 8 * MEBIBYTE, 3);
	for (size_t size = 0; size < 600; size++)
		round_trip(queue, data, size);
	for (size_t size = 4080; size < 4112; size++)
		round_trip(queue, data, size);
	for (size_t size = 601; size < 20000; size += 367)
		round_trip(queue, data, size);
	for (size_t i = 0; i < sizeof large / sizeof *large; i++)
		round_trip(queue, data, large[i]);
	free(data);
	end(queue);
}

/* A segment's end must fall on every place in a message, for every size around it. */
static void messages_meet_the_end_of_a_segment_everywhere(void **state)
{
	(void)state;
	char data[5000], back[5000];
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	for (size_t size = 0; size < 260; size += 3)
		for (uint64_t i = 0; i < 40; i++) {
			support_fill(data, size, i);
			OK(tutti_queue_put(queue, data, size, TUTTI_NOW));
			if (i % 4 == 3) {
				assert_true(tutti__queue_is_valid(arena, queue->shared, NULL, NULL));
				continue;
			}
			OK(tutti_queue_put(queue, data, (size * 16 + i) % sizeof data, TUTTI_NOW));
		}
	for (size_t size = 0; size < 260; size += 3)
		for (uint64_t i = 0; i < 40; i++) {
			size_t got;
			OK(tutti_queue_get_into(queue, back, sizeof back, &got, TUTTI_NOW));
			assert_true(got == size && support_is_filled(back, size, i));
			if (i % 4 == 3)
				continue;
			OK(tutti_queue_get_into(queue, back, sizeof back, &got, TUTTI_NOW));
			assert_int_equal(got, (size * 16 + i) % sizeof data);
			assert_true(support_is_filled(back, got < size ? got : size, i));
		}
	end(queue);
}

static void an_empty_queue_says_so(void **state)
{
	tutti_message message;
	size_t size = 9, count = 9;
	char byte;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	EXPECT(TUTTI_EEMPTY, tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.view.size, 0);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get_into(queue, &byte, 1, &size, TUTTI_NOW));
	assert_int_equal(size, 0);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get_many(queue, &message, 1, &count, TUTTI_NOW));
	assert_int_equal(count, 0);
	for (int milliseconds = 1; milliseconds < 400; milliseconds += 130) {
		int64_t start = support_now();
		EXPECT(TUTTI_EEMPTY, tutti_queue_get(queue, &message, tutti_ms(milliseconds)));
		assert_true(support_now() - start >= milliseconds * 1000000LL);
		assert_true(support_now() - start < milliseconds * 1000000LL + 900000000);
	}
	assert_true(strlen(tutti_last_error()) > 10);
	end(queue);
}

static void items_are_bounded(void **state)
{
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_items = 3, .name = "narrow"});
	for (uint64_t i = 0; i < 3; i++)
		put_number(queue, i);
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, "x", 1, TUTTI_NOW));
	int64_t start = support_now();
	EXPECT_TEXT(TUTTI_EFULL, "narrow", tutti_queue_put(queue, "x", 1, tutti_ms(50)));
	assert_true(support_now() - start >= 50000000);
	assert_non_null(strstr(tutti_last_error(), "max_items"));
	get_number(queue, 0);
	put_number(queue, 3);
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, "x", 1, TUTTI_NOW));
	for (uint64_t i = 1; i < 4; i++)
		get_number(queue, i);
	end(queue);
}

static void bytes_are_bounded(void **state)
{
	char data[10000] = {0}, back[10000];
	size_t size;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_bytes = 6000});
	OK(tutti_queue_put(queue, data, 5000, TUTTI_NOW));
	OK(tutti_queue_put(queue, data, 1000, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, data, 1, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EFULL, "max_bytes", tutti_queue_put(queue, data, 1, tutti_ms(1)));
	OK(tutti_queue_put(queue, data, 0, TUTTI_NOW));
	OK(tutti_queue_get_into(queue, back, sizeof back, &size, TUTTI_NOW));
	OK(tutti_queue_put(queue, data, 5000, TUTTI_NOW));
	while (tutti_queue_get_into(queue, back, sizeof back, &size, TUTTI_NOW) == TUTTI_OK)
		;
	/* One that is larger than the bound enters an empty queue, and only such a one. */
	OK(tutti_queue_put(queue, data, 10000, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, data, 10000, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, data, 1, TUTTI_NOW));
	OK(tutti_queue_get_into(queue, back, sizeof back, &size, TUTTI_NOW));
	assert_int_equal(size, 10000);
	end(queue);
}

static void a_message_over_the_limit_is_refused(void **state)
{
	tutti_draft draft;
	char data[200] = {0};
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_message = 100, .name = "small"});
	OK(tutti_queue_put(queue, data, 100, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_ETOOBIG, "small", tutti_queue_put(queue, data, 101, TUTTI_NOW));
	assert_non_null(strstr(tutti_last_error(), "max_message"));
	tutti_view parts[2] = {{data, 60}, {data, 60}};
	EXPECT(TUTTI_ETOOBIG, tutti_queue_put_gather(queue, parts, 2, TUTTI_RAW, TUTTI_NOW));
	EXPECT(TUTTI_ETOOBIG, tutti_queue_put_begin(queue, &draft, 101));
	tutti_queue_put_abort(&draft);
	size_t accepted = 9;
	tutti_view many[3] = {{data, 1}, {data, 101}, {data, 2}};
	EXPECT(TUTTI_ETOOBIG, tutti_queue_put_many(queue, many, 3, &accepted, TUTTI_NOW));
	assert_int_equal(accepted, 1);
	assert_int_equal(tutti_queue_size(queue), 2);
	end(queue);
}

static void parts_are_gathered_with_their_tag(void **state)
{
	tutti_message message;
	char large[9000];
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	support_fill(large, sizeof large, 5);
	tutti_view parts[4] = {{"one", 3}, {NULL, 0}, {"three", 5}, {large, sizeof large}};
	OK(tutti_queue_put_gather(queue, parts, 3, TUTTI_MSGPACK, TUTTI_NOW));
	OK(tutti_queue_put_gather(queue, parts, 4, TUTTI_ENCODING_USER + 3, TUTTI_NOW));
	OK(tutti_queue_put_gather(queue, parts, 0, TUTTI_PICKLE, TUTTI_NOW));
	OK(tutti_queue_put(queue, "raw", 3, TUTTI_NOW));
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.encoding, TUTTI_MSGPACK);
	assert_int_equal(message.view.size, 8);
	assert_memory_equal(message.view.data, "onethree", 8);
	tutti_message_release(&message);
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.encoding, TUTTI_ENCODING_USER + 3);
	assert_int_equal(message.view.size, 8 + sizeof large);
	assert_memory_equal((const char *)message.view.data + 8, large, sizeof large);
	tutti_message_release(&message);
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.encoding, TUTTI_PICKLE);
	assert_int_equal(message.view.size, 0);
	tutti_message_release(&message);
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.encoding, TUTTI_RAW);
	tutti_message_release(&message);
	end(queue);
}

static void batches_keep_order_and_tell_how_many(void **state)
{
	enum { COUNT = 200 };
	static uint64_t numbers[COUNT];
	static tutti_view views[COUNT];
	static tutti_message messages[COUNT];
	size_t accepted = 0, count = 0;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_items = 150});
	for (uint64_t i = 0; i < COUNT; i++) {
		numbers[i] = i;
		views[i] = (tutti_view){&numbers[i], sizeof numbers[i]};
	}
	EXPECT(TUTTI_EFULL, tutti_queue_put_many(queue, views, COUNT, &accepted, TUTTI_NOW));
	assert_int_equal(accepted, 150);
	OK(tutti_queue_put_many(queue, views, 0, &accepted, TUTTI_NOW));
	assert_int_equal(accepted, 0);
	OK(tutti_queue_get_many(queue, messages, 70, &count, TUTTI_NOW));
	assert_int_equal(count, 70);
	OK(tutti_queue_put_many(queue, views + 150, 50, NULL, TUTTI_NOW));
	for (size_t i = 0; i < 70; i++) {
		assert_int_equal(*(const uint64_t *)messages[i].view.data, i);
		tutti_message_release(&messages[i]);
	}
	OK(tutti_queue_get_many(queue, messages, COUNT, &count, TUTTI_NOW));
	assert_int_equal(count, 130);
	for (size_t i = 0; i < 130; i++) {
		assert_int_equal(*(const uint64_t *)messages[i].view.data, i + 70);
		tutti_message_release(&messages[i]);
	}
	end(queue);
}

static void large_messages_go_in_batches_too(void **state)
{
	static char data[40][10000];
	tutti_view views[40];
	tutti_message messages[40];
	size_t accepted, count;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_items = 35});
	for (uint64_t i = 0; i < 40; i++) {
		support_fill(data[i], sizeof data[i], i);
		views[i] = (tutti_view){data[i], i % 2 ? 100 : sizeof data[i]};
	}
	EXPECT(TUTTI_EFULL, tutti_queue_put_many(queue, views, 40, &accepted, tutti_ms(1)));
	assert_int_equal(accepted, 35);
	OK(tutti_queue_get_many(queue, messages, 40, &count, TUTTI_NOW));
	assert_int_equal(count, 35);
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(messages[i].view.size, views[i].size);
		assert_true(support_is_filled(messages[i].view.data, messages[i].view.size, i));
		tutti_message_release(&messages[i]);
	}
	end(queue);
}

static void a_buffer_that_is_too_small_leaves_the_message(void **state)
{
	char data[9000], back[9000];
	size_t size = 0;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.name = "wide"});
	support_fill(data, sizeof data, 7);
	static const size_t sizes[] = {100, 9000};
	for (int i = 0; i < 2; i++) {
		OK(tutti_queue_put(queue, data, sizes[i], TUTTI_NOW));
		EXPECT_TEXT(TUTTI_ETOOBIG, "wide", tutti_queue_get_into(queue, back, sizes[i] - 1, &size, TUTTI_NOW));
		assert_int_equal(size, sizes[i]);
		assert_int_equal(tutti_queue_size(queue), 1);
		EXPECT(TUTTI_ETOOBIG, tutti_queue_get_into(queue, back, 0, &size, TUTTI_NOW));
		OK(tutti_queue_get_into(queue, back, size, &size, TUTTI_NOW));
		assert_true(support_is_filled(back, sizes[i], 7));
	}
	end(queue);
}

static void asking_for_the_size_needs_no_buffer(void **state)
{
	char data[9000] = {0};
	size_t size = 0;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	static const size_t sizes[] = {100, 9000};
	for (int i = 0; i < 2; i++) {
		OK(tutti_queue_put(queue, data, sizes[i], TUTTI_NOW));
		EXPECT(TUTTI_ETOOBIG, tutti_queue_get_into(queue, NULL, 0, &size, TUTTI_NOW));
		assert_int_equal(size, sizes[i]);
		OK(tutti_queue_get_into(queue, data, sizeof data, &size, TUTTI_NOW));
		assert_int_equal(size, sizes[i]);
	}
	end(queue);
}

static void the_size_need_not_be_asked_for(void **state)
{
	char byte = 0;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	OK(tutti_queue_put(queue, "a", 1, TUTTI_NOW));
	OK(tutti_queue_get_into(queue, &byte, 1, NULL, TUTTI_NOW));
	assert_int_equal(byte, 'a');
	end(queue);
}

static void shutdown_refuses_puts_and_drains_gets(void **state)
{
	tutti_message message;
	size_t size;
	char byte;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.name = "ending"});
	put_number(queue, 1);
	put_number(queue, 2);
	OK(tutti_queue_shutdown(queue));
	OK(tutti_queue_shutdown(queue));
	EXPECT_TEXT(TUTTI_ESHUTDOWN, "ending", tutti_queue_put(queue, "x", 1, TUTTI_FOREVER));
	EXPECT(TUTTI_ESHUTDOWN, tutti_queue_put_many(queue, &(tutti_view){"x", 1}, 1, NULL, TUTTI_NOW));
	get_number(queue, 1);
	get_number(queue, 2);
	EXPECT_TEXT(TUTTI_EOF, "ending", tutti_queue_get(queue, &message, TUTTI_FOREVER));
	EXPECT(TUTTI_EOF, tutti_queue_get_into(queue, &byte, 1, &size, TUTTI_NOW));
	EXPECT(TUTTI_EOF, tutti_queue_get_many(queue, &message, 1, &size, tutti_seconds(5)));
	end(queue);
}

static void a_closed_queue_takes_its_messages_with_it(void **state)
{
	char data[6000] = {0};
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	for (int i = 0; i < 500; i++)
		OK(tutti_queue_put(queue, data, (size_t)i * 12, TUTTI_NOW));
	end(queue);
}

/* A view is the getter's until it is released, also when the queue is gone. */
static void a_view_outlives_its_queue(void **state)
{
	tutti_message small, large;
	char data[9000];
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	tutti_queue *other = new_queue((tutti_queue_options){0});
	support_fill(data, sizeof data, 11);
	OK(tutti_queue_put(queue, data, 50, TUTTI_NOW));
	OK(tutti_queue_put(queue, data, 9000, TUTTI_NOW));
	OK(tutti_queue_get(queue, &small, TUTTI_NOW));
	OK(tutti_queue_get(queue, &large, TUTTI_NOW));
	tutti_queue_close(queue);
	for (int i = 0; i < 200; i++)
		OK(tutti_queue_put(other, "noise that overwrites what is free", 34, TUTTI_NOW));
	assert_true(support_is_filled(small.view.data, 50, 11));
	assert_true(support_is_filled(large.view.data, 9000, 11));
	tutti_message_release(&small);
	tutti_message_release(&large);
	tutti_message_release(&(tutti_message){0});
	end(other);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue[] = {
		TEST(first_in_first_out),
		TEST(a_queue_may_fill_and_drain_again_and_again),
		TEST(messages_of_all_sizes_arrive_whole),
		TEST(messages_meet_the_end_of_a_segment_everywhere),
		TEST(an_empty_queue_says_so),
		TEST(items_are_bounded),
		TEST(bytes_are_bounded),
		TEST(a_message_over_the_limit_is_refused),
		TEST(parts_are_gathered_with_their_tag),
		TEST(batches_keep_order_and_tell_how_many),
		TEST(large_messages_go_in_batches_too),
		TEST(a_buffer_that_is_too_small_leaves_the_message),
		TEST(asking_for_the_size_needs_no_buffer),
		TEST(the_size_need_not_be_asked_for),
		TEST(shutdown_refuses_puts_and_drains_gets),
		TEST(a_closed_queue_takes_its_messages_with_it),
		TEST(a_view_outlives_its_queue),
	};
	return RUN_TESTS(queue);
}
