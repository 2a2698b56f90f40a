/* SPDX-License-Identifier: MIT */
/* Room in a bounded queue: whom it does for gets it, whoever was woken; nothing is copied before it is there. */
#include <stdlib.h>

#include "channel/queue.h"
#include "os/os.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	size_t size; /* of what the next child puts */
	tutti_time timeout;
	tutti_err expected;
	atomic_u32 wakes; /* by any of the processes */
	atomic_u64 taken_at; /* when the last get began */
};

static const int64_t MARGIN = 20000000; /* ns: a getter may lose its CPU before its wake, and a tick come then */

static int (*real_wake)(atomic_u32 *word, int count);
static struct scene *counting;

static int count_wake(atomic_u32 *word, int count)
{
	fetch_add_relaxed(&counting->wakes, 1);
	return real_wake(word, count);
}

static void fail_by_tick(uint64_t object)
{
	int64_t since = support_now() - (int64_t)load_acquire(&counting->taken_at);
	if (object == counting->queue->reference.offset && since > MARGIN)
		support_fail(__FILE__, __LINE__, "room was found by a tick, not by a wake");
}

/* Full: two messages of 50 bytes, the bound is 100. */
static struct scene *set(void)
{
	char data[50] = {0};
	struct scene *scene = counting = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	tutti_queue_options options = {.arena = scene->arena, .max_bytes = 100};
	OK(tutti_queue_open(&scene->queue, &options));
	OK(tutti_queue_put(scene->queue, data, sizeof data, TUTTI_NOW));
	OK(tutti_queue_put(scene->queue, data, sizeof data, TUTTI_NOW));
	real_wake = tutti__os.futex_wake;
	tutti__os.futex_wake = count_wake;
	tutti__os.tick_found = fail_by_tick;
	return scene;
}

static void clear(struct scene *scene)
{
	tutti__os.futex_wake = real_wake;
	tutti__os.tick_found = NULL;
	REQUIRE(tutti__queue_is_valid(scene->arena, scene->queue->shared, NULL, NULL));
	tutti_queue_close(scene->queue);
	tutti_arena_close(scene->arena);
}

static void put_in_child(void *context)
{
	struct scene *scene = context;
	char data[100] = {0};
	EXPECT(scene->expected, tutti_queue_put(scene->queue, data, scene->size, scene->timeout));
	tutti_queue_close(scene->queue);
}

/* A child that sleeps for room. */
static pid_t start_putter(struct scene *scene, size_t size)
{
	scene->size = size;
	scene->timeout = tutti_seconds(10);
	scene->expected = TUTTI_OK;
	pid_t child = support_fork(put_in_child, scene);
	UNTIL(5000, support_is_asleep(child));
	return child;
}

static void take(struct scene *scene, size_t expected)
{
	char data[100];
	size_t size;
	store_release(&scene->taken_at, (uint64_t)support_now());
	OK(tutti_queue_get_into(scene->queue, data, sizeof data, &size, tutti_seconds(5)));
	assert_int_equal(size, expected);
}

static void room_too_small_for_the_one_that_is_woken_is_passed_on(void **state)
{
	(void)state;
	struct scene *scene = set();
	pid_t large = start_putter(scene, 80), other = start_putter(scene, 90), small = start_putter(scene, 30);
	take(scene, 50); /* wakes the one that came first */
	support_join_child(small);
	assert_int_equal(tutti_queue_size(scene->queue), 2);
	support_kill(other);
	take(scene, 50);
	take(scene, 30);
	take(scene, 80);
	support_join_child(large);
	clear(scene);
}

/* The least that was wanted may be that of one who has left: room for that one alone goes round once. */
static void room_that_does_for_nobody_is_passed_on_once(void **state)
{
	(void)state;
	struct scene *scene = set();
	scene->size = 30;
	scene->timeout = tutti_ms(20);
	scene->expected = TUTTI_EFULL;
	support_join_child(support_fork(put_in_child, scene));
	pid_t large[3];
	for (int i = 0; i < 3; i++)
		large[i] = start_putter(scene, 80);
	take(scene, 50);
	int64_t start = support_now();
	UNTIL(5000, support_now() - start > 300000000);
	assert_in_range(load_relaxed(&scene->wakes), 1, 20);
	take(scene, 50);
	for (int i = 0; i < 3; i++)
		take(scene, 80);
	for (int i = 0; i < 3; i++)
		support_join_child(large[i]);
	clear(scene);
}

static uint64_t touched(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage.touched_bytes;
}

static void a_full_queue_costs_no_copy(bool joinable)
{
	tutti_arena *arena = support_arena(0);
	tutti_queue *queue, *carried;
	size_t size = 8 * MEBIBYTE;
	void *data = calloc(1, size);
	tutti_view part = {data, size};
	tutti_message message;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena, .max_items = 1, .joinable = joinable}));
	OK(tutti_queue_open(&carried, &(tutti_queue_options){.arena = arena}));
	tutti_handle handle = tutti_queue_handle(carried);
	OK(tutti_queue_put(queue, "x", 1, TUTTI_NOW));
	uint64_t before = touched(arena);
	EXPECT(TUTTI_EFULL, tutti_queue_put_gather(queue, &part, 1, TUTTI_RAW, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put_gather(queue, &part, 1, TUTTI_RAW, tutti_ms(5)));
	EXPECT(TUTTI_EFULL, tutti_queue_put_with(queue, &part, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put_with(queue, &part, 1, TUTTI_RAW, &handle, 1, tutti_ms(5)));
	assert_int_equal(touched(arena), before);
	OK(tutti_queue_get_into(queue, data, 1, NULL, TUTTI_NOW));
	OK(tutti_queue_put_with(queue, &part, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	assert_true(touched(arena) >= before + size);
	OK(tutti_queue_shutdown(queue));
	EXPECT(TUTTI_ESHUTDOWN, tutti_queue_put_gather(queue, &part, 1, TUTTI_RAW, tutti_seconds(5)));
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.view.size, size);
	tutti_message_release(&message);
	tutti_queue_close(carried);
	tutti_queue_close(queue);
	free(data);
	tutti_arena_close(arena);
}

/* Who tries again and again, as a binding that looks for signals in between, copies once. */
static void a_large_message_is_copied_when_there_is_room(void **state)
{
	(void)state;
	a_full_queue_costs_no_copy(false);
	a_full_queue_costs_no_copy(true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue_room[] = {
		TEST(room_too_small_for_the_one_that_is_woken_is_passed_on),
		TEST(room_that_does_for_nobody_is_passed_on_once),
		TEST(a_large_message_is_copied_when_there_is_room),
	};
	return RUN_TESTS(queue_room);
}
