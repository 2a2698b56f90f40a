/* SPDX-License-Identifier: MIT */
/* Queues between processes: who wakes whom, who gets what, what deaths and full arenas do. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/queue.h"
#include "support.h"

enum { PUTTERS = 3, GETTERS = 3, EACH = 20000 };

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	atomic_u32 ready, go, number;
	atomic_u32 last[GETTERS][PUTTERS]; /* of each putter's numbers the last that a getter saw */
	_Atomic uint8_t seen[PUTTERS][EACH]; /* the ledger */
};

static struct scene *new_scene(tutti_queue_options options)
{
	struct scene *scene = support_shared(sizeof *scene);
	options.arena = scene->arena = support_arena(256 * MEBIBYTE);
	OK(tutti_queue_open(&scene->queue, &options));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_sweep(scene->arena);
	assert_true(tutti__queue_is_valid(scene->arena, scene->queue->shared, NULL, NULL));
	tutti_queue_close(scene->queue);
	assert_true(tutti__heap_is_valid(scene->arena));
	support_end_arena(scene->arena);
}

struct numbered {
	uint32_t putter, number;
};

static size_t size_of(uint32_t number) { return number % 97 == 0 ? 6000 : sizeof(struct numbered) + number % 200; }

static void put_numbered(void *context)
{
	struct scene *scene = context;
	char data[6000];
	uint32_t putter = fetch_add_relaxed(&scene->number, 1) % PUTTERS;
	UNTIL(5000, load_acquire(&scene->go));
	for (uint32_t i = 0; i < EACH; i++) {
		*(struct numbered *)data = (struct numbered){putter, i};
		OK(tutti_queue_put(scene->queue, data, size_of(i), tutti_seconds(8)));
	}
	tutti_queue_close(scene->queue);
}

static void note(struct scene *scene, uint32_t getter, tutti_message *message)
{
	struct numbered numbered = *(const struct numbered *)message->view.data;
	REQUIRE(message->view.size == size_of(numbered.number));
	REQUIRE(atomic_fetch_add(&scene->seen[numbered.putter][numbered.number], 1) == 0);
	/* In order per putter, as far as one getter sees them. */
	REQUIRE(numbered.number + 1 > load_relaxed(&scene->last[getter][numbered.putter]));
	store_relaxed(&scene->last[getter][numbered.putter], numbered.number + 1);
	tutti_message_release(message);
}

static void get_numbered(void *context)
{
	struct scene *scene = context;
	uint32_t getter = fetch_add_relaxed(&scene->number, 1) % GETTERS;
	tutti_message messages[7];
	size_t count;
	tutti_err err;
	UNTIL(5000, load_acquire(&scene->go));
	while ((err = tutti_queue_get_many(scene->queue, messages, getter ? 1 : 7, &count, tutti_seconds(8))) == TUTTI_OK)
		for (size_t i = 0; i < count; i++)
			note(scene, getter, &messages[i]);
	REQUIRE(err == TUTTI_EOF);
	tutti_queue_close(scene->queue);
}

static void run_traffic(tutti_queue_options options)
{
	pid_t putters[PUTTERS], getters[GETTERS];
	struct scene *scene = new_scene(options);
	for (int i = 0; i < PUTTERS; i++)
		putters[i] = support_fork(put_numbered, scene);
	UNTIL(5000, load_acquire(&scene->number) == PUTTERS);
	store_release(&scene->number, 0);
	for (int i = 0; i < GETTERS; i++)
		getters[i] = support_fork(get_numbered, scene);
	store_release(&scene->go, 1);
	for (int i = 0; i < PUTTERS; i++)
		support_join_child(putters[i]);
	OK(tutti_queue_shutdown(scene->queue));
	for (int i = 0; i < GETTERS; i++)
		support_join_child(getters[i]);
	for (int i = 0; i < PUTTERS; i++)
		for (int j = 0; j < EACH; j++)
			assert_int_equal(scene->seen[i][j], 1);
	end_scene(scene);
}

static void many_putters_and_getters_lose_nothing(void **state)
{
	(void)state;
	run_traffic((tutti_queue_options){0});
}

static void nor_through_a_queue_bounded_by_items(void **state)
{
	(void)state;
	run_traffic((tutti_queue_options){.max_items = 5});
}

static void nor_through_a_queue_bounded_by_bytes(void **state)
{
	(void)state;
	run_traffic((tutti_queue_options){.max_bytes = 3000});
}

static void get_until_end(void *context)
{
	struct scene *scene = context;
	tutti_message message;
	EXPECT(TUTTI_EOF, tutti_queue_get(scene->queue, &message, tutti_seconds(8)));
	tutti_queue_close(scene->queue);
}

static void put_until_shut(void *context)
{
	struct scene *scene = context;
	EXPECT(TUTTI_ESHUTDOWN, tutti_queue_put(scene->queue, "x", 1, tutti_seconds(8)));
	tutti_queue_close(scene->queue);
}

static void shutdown_wakes(tutti_queue_options options, void (*waiter)(void *), unsigned items)
{
	pid_t children[5];
	struct scene *scene = new_scene(options);
	for (unsigned i = 0; i < items; i++)
		OK(tutti_queue_put(scene->queue, "y", 1, TUTTI_NOW));
	for (int i = 0; i < 5; i++)
		children[i] = support_fork(waiter, scene);
	for (int i = 0; i < 5; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	OK(tutti_queue_shutdown(scene->queue));
	for (int i = 0; i < 5; i++)
		support_join_child(children[i]);
	assert_true(support_now() - start < 200000000 || support_is_slow()); /* woken, not by their ticks of 250 ms */
	end_scene(scene);
}

static void shutdown_wakes_all_getters(void **state)
{
	(void)state;
	shutdown_wakes((tutti_queue_options){0}, get_until_end, 0);
}

static void shutdown_wakes_all_putters(void **state)
{
	(void)state;
	shutdown_wakes((tutti_queue_options){.max_items = 2}, put_until_shut, 2);
}

static void get_one(void *context)
{
	struct scene *scene = context;
	char byte;
	OK(tutti_queue_get_into(scene->queue, &byte, 1, NULL, tutti_seconds(8)));
	fetch_add_relaxed(&scene->ready, 1);
	tutti_queue_close(scene->queue);
}

static void put_one(void *context)
{
	struct scene *scene = context;
	OK(tutti_queue_put(scene->queue, "z", 1, tutti_seconds(8)));
	fetch_add_relaxed(&scene->ready, 1);
	tutti_queue_close(scene->queue);
}

/* Four sleep, four messages come at once: each sleeper gets one without waiting for its tick. */
static void a_burst_wakes_as_many_getters_as_it_feeds(void **state)
{
	pid_t children[4];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(get_one, scene);
	for (int i = 0; i < 4; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	for (int i = 0; i < 4; i++)
		OK(tutti_queue_put(scene->queue, "z", 1, TUTTI_NOW));
	UNTIL(5000, load_acquire(&scene->ready) == 4);
	assert_true(support_now() - start < 150000000 || support_is_slow());
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	end_scene(scene);
}

/* The same for putters that sleep for room. */
static void a_burst_of_gets_wakes_as_many_putters(void **state)
{
	pid_t children[4];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){.max_items = 4});
	for (int i = 0; i < 4; i++)
		OK(tutti_queue_put(scene->queue, "z", 1, TUTTI_NOW));
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(put_one, scene);
	for (int i = 0; i < 4; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	char byte;
	for (int i = 0; i < 4; i++)
		OK(tutti_queue_get_into(scene->queue, &byte, 1, NULL, TUTTI_NOW));
	UNTIL(5000, load_acquire(&scene->ready) == 4);
	assert_true(support_now() - start < 150000000 || support_is_slow());
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	end_scene(scene);
}

static void do_nothing(int signal) { (void)signal; }

static void be_interrupted(void *context)
{
	struct scene *scene = context;
	tutti_message message;
	struct sigaction action = {.sa_handler = do_nothing};
	sigaction(SIGUSR1, &action, NULL);
	store_release(&scene->ready, 1);
	EXPECT_TEXT(TUTTI_EINTR, "queue", tutti_queue_get(scene->queue, &message, tutti_seconds(8)));
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	store_release(&scene->ready, 2);
	EXPECT_TEXT(TUTTI_EINTR, "queue", tutti_queue_put(scene->queue, "b", 1, tutti_seconds(8)));
	tutti_queue_close(scene->queue);
}

static void signals_interrupt_waiting(void **state)
{
	char byte;
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){.max_items = 1});
	pid_t child = support_fork(be_interrupted, scene);
	for (uint32_t step = 1; step <= 2; step++) {
		UNTIL(5000, load_acquire(&scene->ready) == step && support_is_asleep(child));
		kill(child, SIGUSR1);
	}
	support_join_child(child);
	OK(tutti_queue_get_into(scene->queue, &byte, 1, NULL, TUTTI_NOW));
	assert_int_equal(byte, 'a');
	assert_int_equal(tutti_queue_size(scene->queue), 0);
	end_scene(scene);
}

static void put_and_die(void *context)
{
	struct scene *scene = context;
	char data[9000] = {0};
	for (uint32_t i = 0; i < 10; i++) {
		*(uint32_t *)data = i;
		OK(tutti_queue_put(scene->queue, data, i % 2 ? 9000 : 4, TUTTI_NOW));
	}
	kill(getpid(), SIGKILL);
}

static void what_was_put_survives_its_putter(void **state)
{
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	for (int round = 0; round < 5; round++) {
		support_wait(support_fork(put_and_die, scene));
		for (uint32_t i = 0; i < 10; i++) {
			tutti_message message;
			OK(tutti_queue_get(scene->queue, &message, TUTTI_NOW));
			assert_int_equal(*(const uint32_t *)message.view.data, i);
			tutti_message_release(&message);
		}
	}
	end_scene(scene);
}

static void get_and_hold(void *context)
{
	struct scene *scene = context;
	tutti_message messages[4];
	tutti_draft draft;
	size_t count;
	OK(tutti_queue_get_many(scene->queue, messages, 4, &count, tutti_seconds(5)));
	REQUIRE(count == 4);
	OK(tutti_queue_put_begin(scene->queue, &draft, 100000));
	store_release(&scene->ready, 1);
	support_pause_forever();
}

/* What a killed member had received dies with it; so does its draft. The rest stays. */
static void what_was_got_dies_with_its_getter(void **state)
{
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	char data[9000] = {0}, back[9000];
	for (int i = 0; i < 6; i++) {
		data[0] = (char)i;
		OK(tutti_queue_put(scene->queue, data, i % 2 ? 9000 : 4, TUTTI_NOW));
	}
	pid_t child = support_fork(get_and_hold, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	support_kill(child);
	for (int i = 4; i < 6; i++) {
		OK(tutti_queue_get_into(scene->queue, back, sizeof back, NULL, TUTTI_NOW));
		assert_int_equal(back[0], i);
	}
	assert_int_equal(tutti_queue_size(scene->queue), 0);
	end_scene(scene);
}

static void wait_for_message(void *context)
{
	struct scene *scene = context;
	tutti_message message;
	tutti_queue_get(scene->queue, &message, tutti_seconds(8));
	support_pause_forever();
}

/* The first is woken and killed at once: the others must not sleep on beside the message. */
static void a_killed_waiter_does_not_take_the_wake_with_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	for (int i = 0; i < 10; i++) {
		pid_t victim = support_fork(wait_for_message, scene);
		UNTIL(5000, support_is_asleep(victim));
		kill(victim, SIGSTOP);
		store_release(&scene->ready, 0);
		pid_t other = support_fork(get_one, scene);
		UNTIL(5000, support_is_asleep(other));
		OK(tutti_queue_put(scene->queue, "z", 1, TUTTI_NOW));
		support_kill(victim);
		int64_t start = support_now();
		UNTIL(5000, load_acquire(&scene->ready) == 1);
		assert_true(support_now() - start < 1000000000);
		support_join_child(other);
	}
	end_scene(scene);
}

static void many_queues_stay_cheap(void **state)
{
	enum { COUNT = 10000 };
	tutti_arena_usage before, after;
	(void)state;
	tutti_queue **queues = calloc(COUNT, sizeof *queues);
	tutti_arena *arena = support_arena(256 * MEBIBYTE);
	OK(tutti_arena_usage_read(arena, &before));
	for (uint32_t i = 0; i < COUNT; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = arena}));
		OK(tutti_queue_put(queues[i], &i, sizeof i, TUTTI_NOW));
	}
	OK(tutti_arena_usage_read(arena, &after));
	assert_true(after.live_bytes - before.live_bytes <= COUNT * 1024);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t number;
		OK(tutti_queue_get_into(queues[i * 7919ULL % COUNT], &number, sizeof number, NULL, TUTTI_NOW));
		assert_int_equal(number, i * 7919ULL % COUNT);
	}
	for (uint32_t i = 0; i < COUNT; i++)
		tutti_queue_close(queues[i]);
	OK(tutti_arena_usage_read(arena, &after));
	assert_int_equal(after.live_blocks, 0);
	tutti_arena_close(arena);
	free(queues);
}

/* A reply queue is mailed; the other side opens it, answers, and gives it back. */
static void answer_by_mailed_handle(void *context)
{
	struct scene *scene = context;
	tutti_handle handle;
	tutti_queue *reply;
	for (;;) {
		tutti_err err = tutti_queue_get_into(scene->queue, &handle, sizeof handle, NULL, tutti_seconds(8));
		if (err == TUTTI_EOF)
			break;
		OK(err);
		OK(tutti_queue_at(&reply, scene->arena, handle));
		OK(tutti_queue_put(reply, &handle.offset, sizeof handle.offset, TUTTI_NOW));
		tutti_queue_close(reply);
	}
	tutti_queue_close(scene->queue);
}

static void handles_travel_in_messages(void **state)
{
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	pid_t child = support_fork(answer_by_mailed_handle, scene);
	for (int i = 0; i < 1000; i++) {
		tutti_queue *reply;
		uint64_t offset;
		OK(tutti_queue_open(&reply, &(tutti_queue_options){.arena = scene->arena}));
		tutti_handle handle = tutti_queue_handle(reply);
		OK(tutti_queue_put(scene->queue, &handle, sizeof handle, TUTTI_NOW));
		OK(tutti_queue_get_into(reply, &offset, sizeof offset, NULL, tutti_seconds(5)));
		assert_int_equal(offset, handle.offset);
		tutti_queue_close(reply);
	}
	OK(tutti_queue_shutdown(scene->queue));
	support_join_child(child);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue_traffic[] = {
		TEST(many_putters_and_getters_lose_nothing),
		TEST(nor_through_a_queue_bounded_by_items),
		TEST(nor_through_a_queue_bounded_by_bytes),
		TEST(shutdown_wakes_all_getters),
		TEST(shutdown_wakes_all_putters),
		TEST(a_burst_wakes_as_many_getters_as_it_feeds),
		TEST(a_burst_of_gets_wakes_as_many_putters),
		TEST(signals_interrupt_waiting),
		TEST(what_was_put_survives_its_putter),
		TEST(what_was_got_dies_with_its_getter),
		TEST(a_killed_waiter_does_not_take_the_wake_with_it),
		TEST(many_queues_stay_cheap),
		TEST(handles_travel_in_messages),
	};
	return RUN_TESTS(queue_traffic);
}
