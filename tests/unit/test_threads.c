/* SPDX-License-Identifier: MIT */
/* Several threads of one process with the same handles; also what ThreadSanitizer looks at. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/block.h"
#include "channel/queue.h"
#include "support.h"

enum { THREADS = 4, EACH = 5000 };

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	tutti_lock *lock;
	tutti_event *event;
	uint64_t guarded; /* by the lock */
	_Atomic uint32_t number, received;
	_Atomic uint8_t seen[THREADS][EACH];
};

static struct scene *new_scene(tutti_queue_options options)
{
	struct scene *scene = calloc(1, sizeof *scene);
	options.arena = scene->arena = support_arena(64 * MEBIBYTE);
	OK(tutti_queue_open(&scene->queue, &options));
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = scene->arena}));
	OK(tutti_event_open(&scene->event, &(tutti_event_options){.arena = scene->arena}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	assert_true(tutti__queue_is_valid(scene->arena, scene->queue->shared, NULL, NULL));
	tutti_queue_close(scene->queue);
	tutti_lock_close(scene->lock);
	tutti_event_close(scene->event);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_true(tutti__heap_is_valid(scene->arena));
	tutti_arena_close(scene->arena);
	free(scene);
}

static void run(void *(*function)(void *), struct scene *scene, pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, function, scene) == 0);
}

static void join(pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

struct numbered {
	uint32_t putter, number;
};

static void *put_numbered(void *context)
{
	struct scene *scene = context;
	char data[6000] = {0};
	uint32_t putter = atomic_fetch_add(&scene->number, 1) % THREADS;
	for (uint32_t i = 0; i < EACH; i++) {
		*(struct numbered *)data = (struct numbered){putter, i};
		OK(tutti_queue_put(scene->queue, data, i % 50 ? 8 + i % 100 : 6000, tutti_seconds(10)));
	}
	return NULL;
}

static void *get_numbered(void *context)
{
	struct scene *scene = context;
	tutti_message message;
	tutti_err err;
	while ((err = tutti_queue_get(scene->queue, &message, tutti_seconds(10))) == TUTTI_OK) {
		struct numbered numbered = *(const struct numbered *)message.view.data;
		REQUIRE(atomic_fetch_add(&scene->seen[numbered.putter][numbered.number], 1) == 0);
		atomic_fetch_add(&scene->received, 1);
		tutti_message_release(&message);
	}
	REQUIRE(err == TUTTI_EOF);
	return NULL;
}

static void run_queue(tutti_queue_options options)
{
	pthread_t putters[THREADS], getters[THREADS];
	struct scene *scene = new_scene(options);
	run(get_numbered, scene, getters);
	run(put_numbered, scene, putters);
	join(putters);
	OK(tutti_queue_shutdown(scene->queue));
	join(getters);
	assert_int_equal(atomic_load(&scene->received), THREADS * EACH);
	end_scene(scene);
}

static void threads_share_a_queue(void **state)
{
	(void)state;
	run_queue((tutti_queue_options){0});
}

static void threads_share_a_bounded_queue(void **state)
{
	(void)state;
	run_queue((tutti_queue_options){.max_items = 3});
}

static void *count_under_lock(void *context)
{
	struct scene *scene = context;
	for (int i = 0; i < EACH; i++) {
		OK(tutti_lock_acquire(scene->lock, tutti_seconds(10)));
		scene->guarded++;
		OK(tutti_lock_release(scene->lock));
	}
	return NULL;
}

static void threads_share_a_lock(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	run(count_under_lock, scene, threads);
	join(threads);
	assert_int_equal(scene->guarded, THREADS * EACH);
	end_scene(scene);
}

/* What a setter wrote, those who waited may read. */
static void *read_after_event(void *context)
{
	struct scene *scene = context;
	OK(tutti_event_wait(scene->event, tutti_seconds(10)));
	REQUIRE(scene->guarded == 77);
	return NULL;
}

static void an_event_publishes_to_threads(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	run(read_after_event, scene, threads);
	scene->guarded = 77;
	OK(tutti_event_set(scene->event));
	join(threads);
	end_scene(scene);
}

static void *allocate_and_free(void *context)
{
	struct scene *scene = context;
	uint64_t offsets[64] = {0}, random = 0x9e3779b97f4a7c15ULL + (uint64_t)(uintptr_t)&offsets;
	for (int i = 0; i < 4 * EACH; i++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		uint64_t *offset = &offsets[random % 64];
		if (*offset) {
			REQUIRE(*(uint64_t **)tutti__at(scene->arena, *offset) == offset);
			tutti__block_free(scene->arena, *offset);
			*offset = 0;
			continue;
		}
		OK(tutti__block_alloc(scene->arena, TUTTI__KIND_RAW, 8 + (random >> 32) % (i % 16 ? 3000 : 100000), INT64_MAX,
		                      offset));
		*(uint64_t **)tutti__at(scene->arena, *offset) = offset;
	}
	for (int i = 0; i < 64; i++)
		if (offsets[i])
			tutti__block_free(scene->arena, offsets[i]);
	return NULL;
}

static void threads_share_the_allocator(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	run(allocate_and_free, scene, threads);
	join(threads);
	end_scene(scene);
}

static void *open_and_close(void *context)
{
	struct scene *scene = context;
	for (int i = 0; i < 500; i++) {
		tutti_queue *queue;
		tutti_lock *lock;
		OK(tutti_queue_at(&queue, scene->arena, tutti_queue_handle(scene->queue)));
		OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
		OK(tutti_queue_put(queue, "x", 1, TUTTI_NOW));
		OK(tutti_lock_acquire(lock, TUTTI_NOW));
		OK(tutti_lock_release(lock));
		tutti_lock_close(lock);
		tutti_queue_close(queue);
	}
	return NULL;
}

static void threads_open_and_close_handles(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	run(open_and_close, scene, threads);
	join(threads);
	assert_int_equal(tutti_queue_size(scene->queue), 500 * THREADS);
	end_scene(scene);
}

/* Each thread its own member: the way ThreadSanitizer sees several members. */
static void *be_a_member(void *context)
{
	struct scene *scene = context;
	tutti_arena *arena = support_join(scene->arena);
	tutti_queue *queue;
	tutti_lock *lock;
	tutti_message message;
	OK(tutti_queue_at(&queue, arena, tutti_queue_handle(scene->queue)));
	OK(tutti_lock_at(&lock, arena, tutti_lock_handle(scene->lock)));
	static const char data[5000];
	for (int i = 0; i < 2000; i++) {
		OK(tutti_queue_put(queue, data, i % 20 ? 4 : sizeof data, TUTTI_NOW));
		OK(tutti_queue_get(queue, &message, tutti_seconds(10)));
		tutti_message_release(&message);
		OK(tutti_lock_acquire(lock, tutti_seconds(10)));
		scene->guarded++;
		OK(tutti_lock_release(lock));
	}
	tutti_lock_close(lock);
	tutti_queue_close(queue);
	tutti_arena_close(arena);
	return NULL;
}

static void members_in_threads_work_together(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	run(be_a_member, scene, threads);
	join(threads);
	assert_int_equal(scene->guarded, THREADS * 2000);
	end_scene(scene);
}

/* A process with threads runs out of memory while a dead member's last objects are to be destroyed. */
static void own_objects_and_die(void *context)
{
	struct scene *scene = context;
	tutti_queue *queue;
	static char data[3000];
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena}));
	for (int i = 0; i < 4000; i++)
		OK(tutti_queue_put(queue, data, sizeof data, TUTTI_NOW));
	kill(getpid(), SIGKILL);
}

static void *wait_for_event(void *context)
{
	struct scene *scene = context;
	while (tutti_event_wait(scene->event, tutti_seconds(10)) == TUTTI_EINTR)
		;
	return NULL;
}

static void recovery_from_inside_an_allocation_does_not_hang(void **state)
{
	pthread_t thread;
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, scene), 0);
	support_wait(support_fork(own_objects_and_die, scene));
	static char data[1000];
	tutti_err err = TUTTI_OK;
	uint64_t count = 0;
	for (; err == TUTTI_OK; count++)
		err = tutti_queue_put(scene->queue, data, sizeof data, TUTTI_NOW);
	assert_int_equal(err, TUTTI_ENOMEM);
	assert_true(count > 50000); /* what the dead had is in it */
	OK(tutti_event_set(scene->event));
	pthread_join(thread, NULL);
	end_scene(scene);
}

/* The same with small blocks: the allocator's caches are locked when it looks for the dead. */
static void nor_does_it_from_inside_a_small_one(void **state)
{
	enum { MANY = 1 << 20 };
	pthread_t thread;
	(void)state;
	struct scene *scene = new_scene((tutti_queue_options){0});
	uint64_t *offsets = calloc(MANY, sizeof *offsets), count = 0;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, scene), 0);
	support_wait(support_fork(own_objects_and_die, scene));
	while (tutti__block_alloc(scene->arena, TUTTI__KIND_RAW, 8000, INT64_MAX, &offsets[count]) == TUTTI_OK)
		assert_true(++count < MANY);
	assert_true(count > 7000);
	while (count > 0)
		tutti__block_free(scene->arena, offsets[--count]);
	free(offsets);
	OK(tutti_event_set(scene->event));
	pthread_join(thread, NULL);
	end_scene(scene);
}

/* A fork amid threads that allocate, put and open: the child's copy must be usable. */
static _Atomic bool stop_traffic;

static void *make_traffic(void *context)
{
	struct scene *scene = context;
	while (!atomic_load(&stop_traffic)) {
		tutti_lock *lock;
		char byte;
		OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
		OK(tutti_queue_put(scene->queue, "x", 1, tutti_seconds(5)));
		OK(tutti_queue_get_into(scene->queue, &byte, 1, NULL, tutti_seconds(5)));
		tutti_lock_close(lock);
	}
	return NULL;
}

static void use_all(void *context)
{
	struct scene *scene = context;
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
	OK(tutti_queue_put(scene->queue, "y", 1, tutti_seconds(5)));
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(lock);
}

static void a_fork_amid_threads_leaves_a_usable_child(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* it cannot follow */
	struct scene *scene = new_scene((tutti_queue_options){0});
	atomic_store(&stop_traffic, false);
	run(make_traffic, scene, threads);
	for (int i = 0; i < 40; i++)
		support_join_child(support_fork(use_all, scene));
	atomic_store(&stop_traffic, true);
	join(threads);
	assert_int_equal(tutti_queue_size(scene->queue), 40);
	tutti_arena_sweep(scene->arena);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest threads[] = {
		TEST(threads_share_a_queue),
		TEST(threads_share_a_bounded_queue),
		TEST(threads_share_a_lock),
		TEST(an_event_publishes_to_threads),
		TEST(threads_share_the_allocator),
		TEST(threads_open_and_close_handles),
		TEST(members_in_threads_work_together),
		TEST(recovery_from_inside_an_allocation_does_not_hang),
		TEST(nor_does_it_from_inside_a_small_one),
		TEST(a_fork_amid_threads_leaves_a_usable_child),
	};
	return RUN_TESTS(threads);
}
