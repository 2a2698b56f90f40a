/* SPDX-License-Identifier: MIT */
/* The recursive lock: depth, and which thread holds it. What all lock kinds share: test_lock_kinds.c. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_rlock *rlock;
	atomic_u32 ready, go;
	tutti_err answer;
};

static struct scene *open_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_rlock_open(&scene->rlock, &(tutti_rlock_options){.arena = scene->arena, .name = "tree"}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_rlock_close(scene->rlock);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(scene->arena);
}

static void *ask_in_thread(void *context)
{
	struct scene *scene = context;
	scene->answer = tutti_rlock_acquire(scene->rlock, TUTTI_NOW);
	EXPECT(scene->answer ? TUTTI_EPERM : TUTTI_OK, tutti_rlock_release(scene->rlock));
	REQUIRE(tutti_rlock_depth(scene->rlock) == 0);
	return NULL;
}

static tutti_err answer_to_another_thread(struct scene *scene)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, ask_in_thread, scene), 0);
	pthread_join(thread, NULL);
	return scene->answer;
}

static void it_is_free_when_all_acquires_are_undone(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	assert_int_equal(tutti_rlock_depth(scene->rlock), 0);
	for (uint32_t depth = 1; depth <= 3; depth++) {
		OK(tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
		assert_int_equal(tutti_rlock_depth(scene->rlock), depth);
		EXPECT(TUTTI_EBUSY, answer_to_another_thread(scene));
	}
	assert_int_equal(tutti_rlock_holder(scene->rlock), getpid());
	for (uint32_t depth = 3; depth > 0; depth--) {
		EXPECT(TUTTI_EBUSY, answer_to_another_thread(scene));
		OK(tutti_rlock_release(scene->rlock));
		assert_int_equal(tutti_rlock_depth(scene->rlock), depth - 1);
	}
	assert_int_equal(tutti_rlock_holder(scene->rlock), 0);
	EXPECT_TEXT(TUTTI_EPERM, "nobody", tutti_rlock_release(scene->rlock));
	EXPECT(TUTTI_OK, answer_to_another_thread(scene));
	end_scene(scene);
}

static void all_acquires_are_undone_and_taken_again(void **state)
{
	uint32_t depth = 7;
	(void)state;
	struct scene *scene = open_scene();
	EXPECT_TEXT(TUTTI_EPERM, "tree", tutti_rlock_release_all(scene->rlock, &depth));
	assert_int_equal(depth, 0);
	OK(tutti_rlock_acquire_all(scene->rlock, 3, TUTTI_NOW));
	OK(tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	OK(tutti_rlock_release_all(scene->rlock, &depth));
	assert_int_equal(depth, 4);
	EXPECT(TUTTI_OK, answer_to_another_thread(scene));
	OK(tutti_rlock_acquire_all(scene->rlock, depth, TUTTI_NOW));
	assert_int_equal(tutti_rlock_depth(scene->rlock), 4);
	EXPECT(TUTTI_EBUSY, answer_to_another_thread(scene));
	OK(tutti_rlock_release_all(scene->rlock, &depth));
	EXPECT(TUTTI_EINVAL, tutti_rlock_acquire_all(scene->rlock, 0, TUTTI_NOW));
	OK(tutti_rlock_acquire_all(scene->rlock, UINT32_MAX, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EINVAL, "tree", tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	assert_int_equal(tutti_rlock_depth(scene->rlock), UINT32_MAX);
	OK(tutti_rlock_release_all(scene->rlock, &depth));
	end_scene(scene);
}

/* Members of one process are told apart, and so are handles of one member not. */
static void members_are_told_apart(void **state)
{
	tutti_rlock *second, *foreign;
	(void)state;
	struct scene *scene = open_scene();
	tutti_arena *other = support_join(scene->arena);
	OK(tutti_rlock_at(&second, scene->arena, tutti_rlock_handle(scene->rlock)));
	OK(tutti_rlock_at(&foreign, other, tutti_rlock_handle(scene->rlock)));
	OK(tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	OK(tutti_rlock_acquire(second, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_rlock_acquire(foreign, TUTTI_NOW));
	assert_int_equal(tutti_rlock_depth(second), 2);
	assert_int_equal(tutti_rlock_depth(foreign), 0);
	OK(tutti_rlock_release(second));
	OK(tutti_rlock_release(scene->rlock));
	tutti_rlock_close(foreign);
	tutti_rlock_close(second);
	tutti_arena_close(other);
	end_scene(scene);
}

static void hold_twice(void *context)
{
	struct scene *scene = context;
	scene->answer = tutti_rlock_acquire(scene->rlock, tutti_seconds(5));
	OK(tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	store_release(&scene->ready, (uint32_t)getpid());
	support_pause_forever();
}

static void *expect_none_in_thread(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_rlock_depth(scene->rlock) == 0);
	EXPECT(TUTTI_EBUSY, tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	return NULL;
}

/* The depth and the thread of a dead holder mean nothing to the next one, nor to its other threads. */
static void the_next_after_a_death_begins_anew(void **state)
{
	pthread_t threads[8];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 3; i++) {
		pid_t child = support_fork(hold_twice, scene);
		UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
		assert_int_equal(scene->answer, TUTTI_OK);
		support_kill(child);
		EXPECT_TEXT(TUTTI_EOWNERDEAD, "tree", tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
		assert_int_equal(tutti_rlock_depth(scene->rlock), 1);
		for (int k = 0; k < 8; k++)
			assert_int_equal(pthread_create(&threads[k], NULL, expect_none_in_thread, scene), 0);
		for (int k = 0; k < 8; k++)
			pthread_join(threads[k], NULL);
		OK(tutti_rlock_release(scene->rlock));
		EXPECT(TUTTI_EPERM, tutti_rlock_release(scene->rlock));
	}
	end_scene(scene);
}

static void an_abandoned_one_is_told_of(void **state)
{
	tutti_lock *lock;
	(void)state;
	struct scene *scene = open_scene();
	EXPECT(TUTTI_EPERM, tutti_rlock_abandon(scene->rlock));
	pid_t child = support_fork(hold_twice, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	support_kill(child);
	for (int i = 0; i < 3; i++) {
		EXPECT(TUTTI_EOWNERDEAD, tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
		OK(tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
		OK(tutti_rlock_abandon(scene->rlock));
		assert_int_equal(tutti_rlock_holder(scene->rlock), -1);
	}
	EXPECT(TUTTI_EOWNERDEAD, tutti_rlock_acquire(scene->rlock, TUTTI_NOW));
	OK(tutti_rlock_release(scene->rlock));
	for (int handover = 0; handover < 2; handover++) {
		OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena, .handover = handover}));
		EXPECT(handover ? TUTTI_EBOUND : TUTTI_EPERM, tutti_lock_abandon(lock));
		OK(tutti_lock_acquire(lock, TUTTI_NOW));
		OK(tutti_lock_abandon(lock));
		assert_int_equal(tutti_lock_holder(lock), -1);
		EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(lock, TUTTI_NOW));
		OK(tutti_lock_release(lock));
		tutti_lock_close(lock);
	}
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest rlock[] = {
		TEST(it_is_free_when_all_acquires_are_undone),
		TEST(all_acquires_are_undone_and_taken_again),
		TEST(members_are_told_apart),
		TEST(the_next_after_a_death_begins_anew),
		TEST(an_abandoned_one_is_told_of),
	};
	return RUN_TESTS(rlock);
}
