/* SPDX-License-Identifier: MIT */
/* A full arena and a stopped member, as seen from a queue: errors in time, nothing lost, all well afterwards. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "arena/latch.h"
#include "channel/queue.h"
#include "support.h"

static tutti_queue *new_queue(tutti_arena *arena)
{
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	return queue;
}

static void end(tutti_arena *arena, tutti_queue *queue)
{
	REQUIRE(tutti__queue_is_valid(arena, queue->shared, NULL, NULL));
	tutti_queue_close(queue);
	support_end_arena(arena);
}

/* Fills the arena through the queue; gives how many messages went in. */
static uint64_t fill(tutti_queue *queue, size_t size)
{
	static char data[300000];
	uint64_t count = 0;
	tutti_err err;
	while ((err = (memcpy(data, &count, sizeof count), tutti_queue_put(queue, data, size, TUTTI_NOW))) == TUTTI_OK)
		REQUIRE(++count < 1000000);
	REQUIRE(err == TUTTI_ENOMEM);
	REQUIRE(strstr(tutti_last_error(), "TUTTI_ARENA_MAX"));
	return count;
}

static const size_t sizes[] = {8, 64, 1000, 4096, 5000, 40000, 300000};

/* Drains with get(), as most programs would; each message is released before the next is asked for. */
static void a_full_arena_loses_nothing(size_t size)
{
	tutti_arena *arena = support_arena(4 * MEBIBYTE);
	tutti_queue *queue = new_queue(arena);
	for (int round = 0; round < 3; round++) {
		uint64_t count = fill(queue, size);
		/* The rest goes to size classes and whole units. */
		if (count * (size + 16) < 2 * MEBIBYTE)
			fail_msg("only %lu messages of %lu bytes", (unsigned long)count, (unsigned long)size);
		for (uint64_t i = 0; i < count; i++) {
			tutti_message message;
			OK(tutti_queue_get(queue, &message, TUTTI_NOW));
			assert_int_equal(*(const uint64_t *)message.view.data, i);
			assert_int_equal(message.view.size, size);
			tutti_message_release(&message);
		}
	}
	end(arena, queue);
}

/* A test of its own: a hundred thousand of them take long under the thread sanitizer. */
static void the_smallest_messages_can_be_drained_from_a_full_arena(void **state)
{
	(void)state;
	a_full_arena_loses_nothing(sizes[0]);
}

static void small_messages_can_be_drained_from_a_full_arena(void **state)
{
	(void)state;
	for (size_t i = 1; i < 4; i++)
		a_full_arena_loses_nothing(sizes[i]);
}

static void large_messages_can_be_drained_from_a_full_arena(void **state)
{
	(void)state;
	for (size_t i = 4; i < sizeof sizes / sizeof *sizes; i++)
		a_full_arena_loses_nothing(sizes[i]);
}

static void copies_can_be_drained_from_a_full_arena(void **state)
{
	static char back[300000];
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		tutti_arena *arena = support_arena(4 * MEBIBYTE);
		tutti_queue *queue = new_queue(arena);
		uint64_t count = fill(queue, sizes[i]);
		for (uint64_t j = 0; j < count; j++) {
			tutti_message message;
			unsigned char near[TUTTI_NEAR];
			if (j % 2) {
				OK(tutti_queue_get_near(queue, &message, near, TUTTI_NOW));
				assert_memory_equal(message.view.data, &j, sizeof j);
				assert_true((message.block == 0) == (sizes[i] <= TUTTI_NEAR)); /* needs nothing from the arena */
				tutti_message_release(&message);
			} else {
				OK(tutti_queue_get_into(queue, back, sizeof back, NULL, TUTTI_NOW));
				assert_memory_equal(back, &j, sizeof j);
			}
		}
		end(arena, queue);
	}
}

/* One fills, another, who never allocated before, drains, and then needs large memory itself. */
struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	uint64_t count;
	size_t size;
};

static void drain_in_child(void *context)
{
	struct scene *scene = context;
	for (uint64_t i = 0; i < scene->count; i++) {
		tutti_message message;
		OK(tutti_queue_get(scene->queue, &message, TUTTI_NOW));
		REQUIRE(*(const uint64_t *)message.view.data == i);
		tutti_message_release(&message);
	}
	tutti_draft draft;
	OK(tutti_queue_put_begin(scene->queue, &draft, 3 * MEBIBYTE));
	tutti_queue_put_abort(&draft);
	tutti_queue_close(scene->queue);
}

static void another_member_can_drain_a_full_arena(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		scene->arena = support_arena(4 * MEBIBYTE);
		scene->queue = new_queue(scene->arena);
		scene->size = sizes[i];
		scene->count = fill(scene->queue, scene->size);
		support_join_child(support_fork(drain_in_child, scene));
		end(scene->arena, scene->queue);
	}
}

static void a_full_arena_refuses_objects_and_drafts(void **state)
{
	tutti_draft draft;
	tutti_lock *lock = NULL;
	(void)state;
	tutti_arena *arena = support_arena(4 * MEBIBYTE);
	tutti_queue *queue = new_queue(arena);
	fill(queue, 65536);
	EXPECT_TEXT(TUTTI_ENOMEM, "full", tutti_queue_put_begin(queue, &draft, 65537));
	assert_null(draft.queue);
	tutti_err err = tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena});
	assert_true(err == TUTTI_ENOMEM);
	tutti_view many[3] = {{"a", 1}, {"b", 1}, {sizes, 100000}};
	size_t accepted = 9;
	EXPECT(TUTTI_ENOMEM, tutti_queue_put_many(queue, many, 3, &accepted, TUTTI_NOW));
	assert_true(accepted <= 2);
	end(arena, queue);
}

/* A member that is stopped in the middle of a put: others are told in time, with its pid. */
static void stop_in_put(void *context)
{
	struct scene *scene = context;
	uint32_t id = tutti__enter(scene->arena);
	OK(tutti__latch_acquire(scene->arena, &scene->queue->shared->put_latch, id, INT64_MAX));
	OK(tutti__latch_acquire(scene->arena, &scene->queue->shared->get_latch, id, INT64_MAX));
	scene->count = 1;
	support_pause_forever();
}

static void a_stopped_putter_holds_up_nobody_beyond_his_time(void **state)
{
	tutti_message message;
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	scene->queue = new_queue(scene->arena);
	pid_t child = support_fork(stop_in_put, scene);
	UNTIL(5000, *(volatile uint64_t *)&scene->count == 1 && support_is_asleep(child));
	support_stop(child);
	int64_t start = support_now();
	EXPECT_TEXT(TUTTI_EBUSY, "stopped", tutti_queue_put(scene->queue, "x", 1, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_queue_get(scene->queue, &message, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_queue_put(scene->queue, "x", 1, tutti_ms(100)));
	EXPECT(TUTTI_EBUSY, tutti_queue_get(scene->queue, &message, tutti_ms(100)));
	assert_true(support_now() - start < 1200000000);
	assert_int_equal(tutti_queue_size(scene->queue), 0);
	support_kill(child);
	/* Dead, it is in nobody's way. */
	OK(tutti_queue_put(scene->queue, "x", 1, tutti_seconds(2)));
	OK(tutti_queue_get(scene->queue, &message, tutti_seconds(2)));
	tutti_message_release(&message);
	end(scene->arena, scene->queue);
}

/* A handler that puts into the queue in whose middle its own thread is: an error, no hang. */
static tutti_queue *handlers_queue;
static tutti_err handlers_answer;

static void put_in_handler(int signal)
{
	(void)signal;
	handlers_answer = tutti_queue_put(handlers_queue, "h", 1, tutti_ms(300));
}

static void a_handler_in_the_middle_of_an_operation_is_told(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	handlers_queue = new_queue(arena);
	signal(SIGUSR1, put_in_handler);
	OK(tutti__latch_acquire(arena, &handlers_queue->shared->put_latch, tutti__enter(arena), INT64_MAX));
	raise(SIGUSR1);
	tutti__latch_release(&handlers_queue->shared->put_latch);
	assert_int_equal(handlers_answer, TUTTI_EDEADLK);
	OK(tutti_queue_put(handlers_queue, "x", 1, TUTTI_NOW));
	assert_int_equal(tutti_queue_size(handlers_queue), 1);
	end(arena, handlers_queue);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue_full[] = {
		TEST(the_smallest_messages_can_be_drained_from_a_full_arena),
		TEST(small_messages_can_be_drained_from_a_full_arena),
		TEST(large_messages_can_be_drained_from_a_full_arena),
		TEST(copies_can_be_drained_from_a_full_arena),
		TEST(another_member_can_drain_a_full_arena),
		TEST(a_full_arena_refuses_objects_and_drafts),
		TEST(a_stopped_putter_holds_up_nobody_beyond_his_time),
		TEST(a_handler_in_the_middle_of_an_operation_is_told),
	};
	return RUN_TESTS(queue_full);
}
