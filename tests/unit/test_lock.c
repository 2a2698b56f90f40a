/* SPDX-License-Identifier: MIT */
/* The lock between living members: exclusion, time, errors. What deaths do to it: test_lock_death.c. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

/* What children inherit. */
struct scene {
	tutti_lock *lock;
	atomic_u32 ready, go;
	uint64_t first, second; /* guarded; always equal outside */
};

static struct scene *new_scene(tutti_arena *arena)
{
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena, .name = "gate"}));
	return scene;
}

static void it_is_held_by_one(void **state)
{
	tutti_lock *second;
	char pid[16];
	(void)state;
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_at(&second, other, tutti_lock_handle(scene->lock)));
	assert_int_equal(tutti_lock_holder(second), 0);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	assert_int_equal(tutti_lock_holder(second), getpid());
	assert_true(tutti_lock_is_mine(scene->lock));
	assert_false(tutti_lock_is_mine(second)); /* another member, though of the same process */
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	EXPECT_TEXT(TUTTI_EBUSY, pid, tutti_lock_acquire(second, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EBUSY, "gate", tutti_lock_acquire(second, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	assert_int_equal(tutti_lock_holder(second), 0);
	OK(tutti_lock_acquire(second, TUTTI_FOREVER));
	OK(tutti_lock_release(second));
	tutti_lock_close(second);
	tutti_lock_close(scene->lock);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void only_its_holder_releases(void **state)
{
	tutti_lock *second;
	(void)state;
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_at(&second, other, tutti_lock_handle(scene->lock)));
	EXPECT_TEXT(TUTTI_EPERM, "nobody", tutti_lock_release(scene->lock));
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EPERM, "gate", tutti_lock_release(second));
	assert_int_equal(tutti_lock_holder(second), getpid());
	OK(tutti_lock_release(scene->lock));
	EXPECT(TUTTI_EPERM, tutti_lock_release(scene->lock));
	tutti_lock_close(second);
	tutti_lock_close(scene->lock);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void waiting_ends_at_its_time(void **state)
{
	tutti_lock *second;
	(void)state;
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_at(&second, other, tutti_lock_handle(scene->lock)));
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	static const int milliseconds[] = {1, 20, 150, 400};
	for (int i = 0; i < 4; i++) {
		int64_t start = support_now();
		EXPECT_TEXT(TUTTI_ETIMEDOUT, "gate", tutti_lock_acquire(second, tutti_ms(milliseconds[i])));
		int64_t took = support_now() - start;
		assert_true(took >= milliseconds[i] * 1000000LL);
		assert_true(took < milliseconds[i] * 1000000LL + 900000000);
	}
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(second, -7));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(second);
	tutti_lock_close(scene->lock);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

/* The same process once more, waiting, is no other member: it waits as threads of it do. */
static void a_second_acquire_of_the_same_member_waits(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	EXPECT(TUTTI_ETIMEDOUT, tutti_lock_acquire(scene->lock, tutti_ms(10)));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static void count_up(struct scene *scene, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		OK(tutti_lock_acquire(scene->lock, tutti_seconds(15)));
		REQUIRE(scene->first == scene->second);
		scene->first++;
		atomic_signal_fence(memory_order_seq_cst);
		scene->second++;
		OK(tutti_lock_release(scene->lock));
	}
}

static void count_in_child(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	count_up(scene, 20000);
	tutti_lock_close(scene->lock);
}

static void processes_exclude_each_other(void **state)
{
	pid_t children[4];
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(count_in_child, scene);
	store_release(&scene->go, 1);
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->first, 80000);
	assert_int_equal(scene->second, 80000);
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static void *count_in_thread(void *context)
{
	count_up(context, 20000);
	return NULL;
}

static void threads_of_one_member_exclude_each_other(void **state)
{
	pthread_t threads[4];
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_in_thread, scene), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(scene->first, 80000);
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static void *release_in_thread(void *context)
{
	OK(tutti_lock_release(context));
	return NULL;
}

static void any_thread_of_the_holder_may_release(void **state)
{
	pthread_t thread;
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	assert_int_equal(pthread_create(&thread, NULL, release_in_thread, scene->lock), 0);
	pthread_join(thread, NULL);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static tutti_lock *open_handover(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .name = "baton", .handover = true}));
	return lock;
}

static void with_handover_any_member_releases(void **state)
{
	tutti_lock *second;
	(void)state;
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	tutti_lock *lock = open_handover(arena);
	OK(tutti_lock_at(&second, other, tutti_lock_handle(lock)));
	for (int i = 0; i < 3; i++) {
		OK(tutti_lock_acquire(lock, TUTTI_NOW));
		EXPECT(TUTTI_EBUSY, tutti_lock_acquire(second, TUTTI_NOW));
		assert_int_equal(tutti_lock_holder(second), getpid());
		OK(tutti_lock_release(second));
		assert_int_equal(tutti_lock_holder(lock), 0);
	}
	tutti_lock_close(second);
	tutti_lock_close(lock);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void with_handover_releasing_too_often_is_refused(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_lock *lock = open_handover(arena);
	EXPECT_TEXT(TUTTI_EBOUND, "baton", tutti_lock_release(lock));
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_lock_release(lock));
	EXPECT(TUTTI_EBOUND, tutti_lock_release(lock));
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_lock_release(lock));
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

struct relay {
	tutti_lock *ping, *pong;
	uint64_t laps;
};

enum { LAPS = 2000 };

static void answer(void *context)
{
	struct relay *relay = context;
	for (unsigned i = 0; i < LAPS; i++) {
		OK(tutti_lock_acquire(relay->ping, tutti_seconds(15)));
		REQUIRE(relay->laps == i);
		relay->laps++;
		OK(tutti_lock_release(relay->pong));
	}
	tutti_lock_close(relay->ping);
	tutti_lock_close(relay->pong);
}

/* Two processes in turn, each releasing what the other has taken. */
static void with_handover_it_is_a_signal_between_processes(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct relay *relay = support_shared(sizeof *relay);
	relay->ping = open_handover(arena);
	relay->pong = open_handover(arena);
	OK(tutti_lock_acquire(relay->ping, TUTTI_NOW));
	OK(tutti_lock_acquire(relay->pong, TUTTI_NOW));
	pid_t child = support_fork(answer, relay);
	for (unsigned i = 0; i < LAPS; i++) {
		OK(tutti_lock_release(relay->ping));
		OK(tutti_lock_acquire(relay->pong, tutti_seconds(15)));
		assert_int_equal(relay->laps, i + 1);
	}
	support_join_child(child);
	tutti_lock_close(relay->ping);
	tutti_lock_close(relay->pong);
	tutti_arena_close(arena);
}

static void wait_in_child(void *context)
{
	struct scene *scene = context;
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(15)));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
}

/* Each sleeper is woken in its turn, none is forgotten. */
static void releasing_wakes_all_sleepers_one_by_one(void **state)
{
	pid_t children[6];
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	for (int i = 0; i < 6; i++)
		children[i] = support_fork(wait_in_child, scene);
	for (int i = 0; i < 6; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	OK(tutti_lock_release(scene->lock));
	for (int i = 0; i < 6; i++)
		support_join_child(children[i]);
	/* Woken, not found by their ticks of 100 ms one after the other. */
	assert_true(support_now() - start < 300000000 || support_is_slow());
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static void do_nothing(int signal) { (void)signal; }

static void wait_amid_signals(void *context)
{
	struct scene *scene = context;
	struct sigaction action = {.sa_handler = do_nothing};
	sigaction(SIGUSR1, &action, NULL);
	store_release(&scene->ready, 1);
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(8)));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
}

static void signals_do_not_interrupt_waiting(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	pid_t child = support_fork(wait_amid_signals, scene);
	for (int i = 0; i < 20; i++) {
		UNTIL(5000, load_acquire(&scene->ready) && support_is_asleep(child));
		kill(child, SIGUSR1);
	}
	OK(tutti_lock_release(scene->lock));
	support_join_child(child);
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest lock[] = {
		TEST(it_is_held_by_one),
		TEST(only_its_holder_releases),
		TEST(waiting_ends_at_its_time),
		TEST(a_second_acquire_of_the_same_member_waits),
		TEST(processes_exclude_each_other),
		TEST(threads_of_one_member_exclude_each_other),
		TEST(any_thread_of_the_holder_may_release),
		TEST(with_handover_any_member_releases),
		TEST(with_handover_releasing_too_often_is_refused),
		TEST(with_handover_it_is_a_signal_between_processes),
		TEST(releasing_wakes_all_sleepers_one_by_one),
		TEST(signals_do_not_interrupt_waiting),
	};
	return RUN_TESTS(lock);
}
