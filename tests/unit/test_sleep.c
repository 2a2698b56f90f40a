/* SPDX-License-Identifier: MIT */
/* The hooks: a thread that sleeps anywhere in the library gives up what its language's other threads need. */
#include <pthread.h>

#include <tutti/barrier.h>
#include <tutti/queue.h>

#include "arena/latch.h"
#include "channel/queue.h"
#include "os/os.h"
#include "support.h"
#include "sync/permits.h"

/* The language's one lock, which the thread under test has while it runs. */
static pthread_mutex_t language = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool has_language;
static atomic_u32 begun, ended, asked, interrupts;

static void *before(void)
{
	if (!has_language)
		return NULL;
	fetch_add_relaxed(&begun, 1);
	pthread_mutex_unlock(&language);
	return &language;
}

static void after(void *given)
{
	if (!given)
		return;
	pthread_mutex_lock(given);
	fetch_add_relaxed(&ended, 1);
}

static bool interrupt(void)
{
	fetch_add_relaxed(&asked, 1);
	return load_relaxed(&interrupts) != 0;
}

static const tutti_wait_hooks hooks = {before, after, interrupt};

static void take_language(void)
{
	pthread_mutex_lock(&language);
	has_language = true;
}

static void drop_language(void)
{
	has_language = false;
	pthread_mutex_unlock(&language);
}

/* A joinable queue with an item that is got, and a child that stops in the middle of an operation on it. */
struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	atomic_u32 has_latches;
};

static void stop_with_latches(void *context)
{
	struct scene *scene = context;
	uint32_t id = tutti__enter(scene->arena);
	OK(tutti__latch_acquire(scene->arena, &scene->queue->shared->put_latch, id, INT64_MAX));
	OK(tutti__latch_acquire(scene->arena, &scene->queue->shared->get_latch, id, INT64_MAX));
	store_release(&scene->has_latches, 1);
	support_pause_forever();
}

static pid_t set(struct scene *scene)
{
	tutti_message message;
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena, .joinable = true}));
	OK(tutti_queue_put(scene->queue, "x", 1, TUTTI_NOW));
	OK(tutti_queue_get(scene->queue, &message, TUTTI_NOW));
	tutti_message_release(&message);
	pid_t child = support_fork(stop_with_latches, scene);
	UNTIL(5000, load_acquire(&scene->has_latches));
	support_stop(child);
	tutti_wait_hooks_set(&hooks);
	return child;
}

static void clear(struct scene *scene)
{
	tutti_wait_hooks_set(NULL);
	tutti_queue_close(scene->queue);
	tutti_arena_close(scene->arena);
}

/* As src/sync/semaphore.c has it. */
struct semaphore {
	struct tutti__object object;
	struct tutti__permits permits;
};

struct permit_scene {
	tutti_arena *arena;
	tutti_semaphore *semaphore;
	atomic_u32 has_latch;
};

static void stop_amid_permits(void *context)
{
	struct permit_scene *scene = context;
	struct semaphore *shared = (struct semaphore *)((struct tutti__reference *)scene->semaphore)->object;
	uint32_t id = tutti__enter(scene->arena);
	OK(tutti__latch_acquire(scene->arena, &shared->permits.shares.latch, id, INT64_MAX));
	store_release(&scene->has_latch, 1);
	support_pause_forever();
}

static void *release_permit(void *context)
{
	struct permit_scene *scene = context;
	take_language();
	OK(tutti_semaphore_release(scene->semaphore, 1));
	drop_language();
	return NULL;
}

static void a_release_leaves_the_language_to_others(void **state)
{
	(void)state;
	pthread_t thread;
	struct permit_scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_semaphore_open(&scene->semaphore, 1, &(tutti_semaphore_options){.arena = scene->arena}));
	pid_t child = support_fork(stop_amid_permits, scene);
	UNTIL(5000, load_acquire(&scene->has_latch));
	support_stop(child);
	tutti_wait_hooks_set(&hooks);
	pthread_create(&thread, NULL, release_permit, scene);
	UNTIL(5000, load_relaxed(&begun) > load_relaxed(&ended));
	take_language();
	assert_int_equal(tutti_semaphore_value(scene->semaphore), 1);
	drop_language();
	support_kill(child);
	pthread_join(thread, NULL);
	assert_int_equal(tutti_semaphore_value(scene->semaphore), 2);
	tutti_wait_hooks_set(NULL);
	tutti_semaphore_close(scene->semaphore);
	tutti_arena_close(scene->arena);
}

static void a_try_gives_it_up_while_it_sleeps(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	pid_t child = set(scene);
	take_language();
	EXPECT(TUTTI_EBUSY, tutti_queue_put(scene->queue, "x", 1, TUTTI_NOW));
	assert_true(load_relaxed(&begun) > 0);
	assert_int_equal(load_relaxed(&begun), load_relaxed(&ended));
	drop_language();
	support_kill(child);
	clear(scene);
}

static void *end_item(void *context)
{
	struct scene *scene = context;
	take_language();
	OK(tutti_queue_task_done(scene->queue));
	REQUIRE(load_relaxed(&begun) == load_relaxed(&ended));
	drop_language();
	return NULL;
}

/* An operation without a time-out waits as long as the other is stopped; the language goes on. */
static void one_without_a_time_out_leaves_the_language_to_others(void **state)
{
	(void)state;
	pthread_t thread;
	struct scene *scene = support_shared(sizeof *scene);
	pid_t child = set(scene);
	pthread_create(&thread, NULL, end_item, scene);
	UNTIL(5000, load_relaxed(&begun) > load_relaxed(&ended));
	take_language(); /* hangs if that thread has it */
	assert_true(load_relaxed(&begun) > 0);
	drop_language();
	support_kill(child);
	pthread_join(thread, NULL);
	clear(scene);
}

static pthread_mutex_t ours = PTHREAD_MUTEX_INITIALIZER;

static void *lock_ours(void *context)
{
	(void)context;
	take_language();
	tutti__mutex_lock(&ours);
	pthread_mutex_unlock(&ours);
	drop_language();
	return NULL;
}

/* Else two would wait for each other: one has the mutex and comes back from a sleep, the other has the language. */
static void who_waits_for_a_mutex_gives_it_up_too(void **state)
{
	(void)state;
	pthread_t thread;
	tutti_wait_hooks_set(&hooks);
	pthread_mutex_lock(&ours);
	pthread_create(&thread, NULL, lock_ours, NULL);
	UNTIL(5000, load_relaxed(&begun) == 1);
	take_language();
	pthread_mutex_unlock(&ours);
	drop_language();
	pthread_join(thread, NULL);
	assert_int_equal(load_relaxed(&ended), 1);
	tutti_wait_hooks_set(NULL);
}

static void an_interrupt_ends_a_wait_as_a_signal_does(void **state)
{
	(void)state;
	tutti_barrier *barrier;
	tutti_arena *arena = support_arena(0);
	OK(tutti_barrier_open(&barrier, 2, &(tutti_barrier_options){.arena = arena}));
	tutti_wait_hooks_set(&hooks);
	store_relaxed(&interrupts, 1);
	EXPECT(TUTTI_EINTR, tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(10)));
	assert_int_equal(tutti_barrier_waiting(barrier), 0);
	assert_false(tutti_barrier_is_broken(barrier));
	/* One that says no leaves the wait alone; the time-out is kept. */
	store_relaxed(&interrupts, 0);
	store_relaxed(&asked, 0);
	EXPECT(TUTTI_EBROKEN, tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_ms(600)));
	assert_in_range(load_relaxed(&asked), 1, 2);
	tutti_wait_hooks_set(NULL);
	tutti_barrier_close(barrier);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest sleep[] = {
		TEST(a_release_leaves_the_language_to_others),
		TEST(a_try_gives_it_up_while_it_sleeps),
		TEST(one_without_a_time_out_leaves_the_language_to_others),
		TEST(who_waits_for_a_mutex_gives_it_up_too),
		TEST(an_interrupt_ends_a_wait_as_a_signal_does),
	};
	return RUN_TESTS(sleep);
}
