/* SPDX-License-Identifier: MIT */
/* The semaphore: counting, bounds, and whose permits the dead had. What all lock kinds share: test_lock_kinds.c. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_semaphore *semaphore;
	atomic_u32 ready, go, stop, inside, most;
	atomic_u32 done, told;
	uint32_t takes, gives; /* of a child */
};

static struct scene *open_scene(uint32_t value, uint32_t max)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_semaphore_open(&scene->semaphore, value,
	                        &(tutti_semaphore_options){.arena = scene->arena, .name = "slots", .max_value = max}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_semaphore_close(scene->semaphore);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(scene->arena);
}

static tutti_err take(struct scene *scene) { return tutti_semaphore_acquire(scene->semaphore, TUTTI_NOW); }
static tutti_err give(struct scene *scene, uint32_t count) { return tutti_semaphore_release(scene->semaphore, count); }
static uint32_t value(struct scene *scene) { return tutti_semaphore_value(scene->semaphore); }

static void it_counts(void **state)
{
	(void)state;
	struct scene *scene = open_scene(3, 0);
	for (uint32_t left = 3; left > 0; left--) {
		assert_int_equal(value(scene), left);
		OK(take(scene));
	}
	EXPECT_TEXT(TUTTI_EBUSY, "slots", take(scene));
	OK(give(scene, 5));
	assert_int_equal(value(scene), 5);
	for (int i = 0; i < 5; i++)
		OK(take(scene));
	EXPECT(TUTTI_EBUSY, take(scene));
	end_scene(scene);
}

static void a_bound_is_kept(void **state)
{
	(void)state;
	struct scene *scene = open_scene(2, 3);
	OK(give(scene, 1));
	EXPECT_TEXT(TUTTI_EBOUND, "slots", give(scene, 1));
	OK(take(scene));
	OK(take(scene));
	EXPECT(TUTTI_EBOUND, give(scene, 3));
	assert_int_equal(value(scene), 1);
	OK(give(scene, 2));
	EXPECT(TUTTI_EBOUND, give(scene, UINT32_MAX));
	assert_int_equal(value(scene), 3);
	end_scene(scene);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	tutti_semaphore *semaphore;
	(void)state;
	struct scene *scene = open_scene(0, 0);
	tutti_semaphore_options options = {.arena = scene->arena, .max_value = 2};
	EXPECT_TEXT(TUTTI_EINVAL, "3", tutti_semaphore_open(&semaphore, 3, &options));
	options.max_value = 0x80000000U;
	EXPECT_TEXT(TUTTI_EINVAL, "2147483647", tutti_semaphore_open(&semaphore, 3, &options));
	EXPECT_TEXT(TUTTI_EINVAL, "slots", give(scene, 0));
	OK(give(scene, 0x7fffffff));
	EXPECT(TUTTI_EBOUND, give(scene, 1));
	EXPECT(TUTTI_EBOUND, give(scene, UINT32_MAX));
	assert_int_equal(value(scene), 0x7fffffff);
	OK(take(scene));
	OK(give(scene, 1));
	end_scene(scene);
}

/* What is pending in the word has a limit; nothing is lost when it is reached. */
static void one_member_takes_and_gives_without_end(void **state)
{
	enum { MANY = 600000 };
	(void)state;
	struct scene *scene = open_scene(MANY, 0);
	for (int i = 0; i < MANY; i++)
		OK(take(scene));
	EXPECT(TUTTI_EBUSY, take(scene));
	for (int i = 0; i < MANY; i++)
		OK(give(scene, 1));
	OK(give(scene, MANY));
	assert_int_equal(value(scene), 2 * MANY);
	end_scene(scene);
}

/* --- more than one ---------------------------------------------------------------------------------------------- */

static void take_in_child(void *context)
{
	struct scene *scene = context;
	OK(tutti_semaphore_acquire(scene->semaphore, tutti_seconds(8)));
	fetch_add_relaxed(&scene->done, 1);
	tutti_semaphore_close(scene->semaphore);
}

static void one_release_wakes_as_many_as_it_gives(void **state)
{
	pid_t children[5];
	(void)state;
	struct scene *scene = open_scene(0, 0);
	for (int i = 0; i < 5; i++)
		children[i] = support_fork(take_in_child, scene);
	for (int i = 0; i < 5; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	OK(give(scene, 3));
	UNTIL(5000, load_acquire(&scene->done) == 3);
	assert_true(support_now() - start < 300000000 || support_is_slow()); /* not found by their ticks */
	assert_int_equal(value(scene), 0);
	OK(give(scene, 2));
	for (int i = 0; i < 5; i++)
		support_join_child(children[i]);
	assert_int_equal(load_acquire(&scene->done), 5);
	end_scene(scene);
}

static void note_most(struct scene *scene, uint32_t inside)
{
	uint32_t most = load_relaxed(&scene->most);
	while (inside > most && !cas_u32(&scene->most, most, inside))
		most = load_relaxed(&scene->most);
}

static void go_in_and_out(struct scene *scene, unsigned times)
{
	for (unsigned i = 0; i < times && !load_acquire(&scene->stop); i++) {
		tutti_err err = tutti_semaphore_acquire(scene->semaphore, tutti_seconds(8));
		REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
		note_most(scene, fetch_add_relaxed(&scene->inside, 1) + 1);
		fetch_sub_relaxed(&scene->inside, 1);
		OK(tutti_semaphore_release(scene->semaphore, 1));
		fetch_add_relaxed(&scene->done, 1);
	}
}

static void go_in_and_out_in_child(void *context)
{
	struct scene *scene = context;
	go_in_and_out(scene, 10000);
	tutti_semaphore_close(scene->semaphore);
}

static void *go_in_and_out_in_thread(void *context)
{
	go_in_and_out(context, 10000);
	return NULL;
}

static void no_more_are_inside_than_there_are_permits(void **state)
{
	pid_t children[3];
	pthread_t threads[2];
	(void)state;
	struct scene *scene = open_scene(2, 2);
	for (int i = 0; i < 3; i++)
		children[i] = support_fork(go_in_and_out_in_child, scene);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, go_in_and_out_in_thread, scene), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->done, 50000);
	assert_true(scene->most <= 2);
	assert_int_equal(value(scene), 2);
	end_scene(scene);
}

static void consume(void *context)
{
	struct scene *scene = context;
	for (int i = 0; i < 20000; i++)
		OK(tutti_semaphore_acquire(scene->semaphore, tutti_seconds(8)));
	tutti_semaphore_close(scene->semaphore);
}

static void it_counts_events_between_processes(void **state)
{
	pid_t children[2];
	(void)state;
	struct scene *scene = open_scene(0, 0);
	for (int i = 0; i < 2; i++)
		children[i] = support_fork(consume, scene);
	for (int i = 0; i < 40000; i++)
		OK(give(scene, 1));
	for (int i = 0; i < 2; i++)
		support_join_child(children[i]);
	assert_int_equal(value(scene), 0);
	end_scene(scene);
}

/* --- deaths ----------------------------------------------------------------------------------------------------- */

static void take_and_give(void *context)
{
	struct scene *scene = context;
	for (uint32_t i = 0; i < scene->takes; i++) {
		tutti_err err = tutti_semaphore_acquire(scene->semaphore, TUTTI_NOW);
		REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
		if (err)
			fetch_add_relaxed(&scene->told, 1);
	}
	if (scene->gives)
		OK(tutti_semaphore_release(scene->semaphore, scene->gives));
	store_release(&scene->ready, (uint32_t)getpid());
	if (load_acquire(&scene->go) == 0)
		support_pause_forever();
}

static void kill_one_with(struct scene *scene, uint32_t takes, uint32_t gives)
{
	scene->takes = takes;
	scene->gives = gives;
	pid_t child = support_fork(take_and_give, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	support_kill(child);
}

/* All that can be had now; how many of them the dead had. */
static uint32_t take_all(struct scene *scene, uint32_t *told)
{
	tutti_err err;
	uint32_t count = 0;
	*told = 0;
	for (; (err = take(scene)) == TUTTI_OK || err == TUTTI_EOWNERDEAD; count++)
		*told += err == TUTTI_EOWNERDEAD;
	EXPECT(TUTTI_EBUSY, err);
	return count;
}

static void what_the_killed_had_is_given_back_when_it_is_needed(void **state)
{
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(5, 5);
	kill_one_with(scene, 3, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(value(scene), 3); /* looking recovers nothing */
		tutti_arena_sweep(scene->arena);
	}
	for (int i = 0; i < 3; i++)
		OK(take(scene)); /* the others first: nobody is told before it must be */
	EXPECT_TEXT(TUTTI_EOWNERDEAD, "slots", take(scene));
	EXPECT(TUTTI_EOWNERDEAD, tutti_semaphore_acquire(scene->semaphore, tutti_ms(50)));
	EXPECT(TUTTI_EBUSY, take(scene));
	OK(give(scene, 5));
	assert_int_equal(take_all(scene, &told), 5);
	assert_int_equal(told, 0);
	end_scene(scene);
}

static void who_is_told_and_killed_leaves_it_to_be_told_again(void **state)
{
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(2, 0);
	kill_one_with(scene, 2, 0);
	kill_one_with(scene, 2, 0);
	kill_one_with(scene, 1, 0);
	assert_int_equal(load_acquire(&scene->told), 3);
	assert_int_equal(take_all(scene, &told), 2);
	assert_int_equal(told, 2);
	end_scene(scene);
}

static void a_surplus_of_the_killed_is_kept(void **state)
{
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(1, 0);
	kill_one_with(scene, 1, 4);
	kill_one_with(scene, 0, 2);
	assert_int_equal(take_all(scene, &told), 6);
	assert_int_equal(told, 0);
	end_scene(scene);
}

static void an_abandoned_permit_is_told_of(void **state)
{
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(3, 3);
	EXPECT_TEXT(TUTTI_EPERM, "slots", tutti_semaphore_abandon(scene->semaphore));
	for (int i = 0; i < 2; i++) {
		OK(take(scene));
		OK(tutti_semaphore_abandon(scene->semaphore));
	}
	kill_one_with(scene, 1, 0);
	assert_int_equal(value(scene), 0);
	assert_int_equal(take_all(scene, &told), 3);
	assert_int_equal(told, 3);
	OK(give(scene, 1));
	pid_t child = support_fork(take_in_child, scene);
	support_join_child(child);
	OK(tutti_semaphore_abandon(scene->semaphore));
	EXPECT(TUTTI_EOWNERDEAD, take(scene));
	EXPECT(TUTTI_EBUSY, take(scene));
	end_scene(scene);
}

static void a_clean_exit_gives_nothing_back(void **state)
{
	(void)state;
	struct scene *scene = open_scene(2, 2);
	scene->takes = 2;
	store_release(&scene->go, 1);
	support_join_child(support_fork(take_and_give, scene));
	EXPECT(TUTTI_EBUSY, take(scene));
	EXPECT(TUTTI_ETIMEDOUT, tutti_semaphore_acquire(scene->semaphore, tutti_ms(150)));
	tutti_arena_sweep(scene->arena);
	EXPECT(TUTTI_EBUSY, take(scene));
	OK(give(scene, 2));
	OK(take(scene));
	end_scene(scene);
}

/* More dead than there are shares in the object, each with a permit that nobody asks for. */
static void many_die_with_permits(void **state)
{
	enum { DEAD = 60 };
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(DEAD + 1, 0);
	for (int i = 0; i < DEAD; i++) {
		kill_one_with(scene, 1, 0);
		tutti_arena_sweep(scene->arena);
		if (i % 7 == 0) {
			OK(take(scene));
			OK(give(scene, 1));
		}
	}
	assert_int_equal(take_all(scene, &told), DEAD + 1);
	assert_int_equal(told, DEAD);
	end_scene(scene);
}

/* Shares beyond those in the object, all of members that live. */
static void more_members_than_fit_into_the_object(void **state)
{
	enum { MEMBERS = 40 };
	pid_t children[MEMBERS];
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(MEMBERS, 0);
	scene->takes = 1;
	for (int i = 0; i < MEMBERS; i++) {
		children[i] = support_fork(take_and_give, scene);
		UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)children[i]);
	}
	EXPECT(TUTTI_EBUSY, take(scene));
	for (int i = 0; i < MEMBERS; i++)
		support_kill(children[i]);
	assert_int_equal(take_all(scene, &told), MEMBERS);
	assert_int_equal(told, MEMBERS);
	end_scene(scene);
}

static void go_on_in_child(void *context)
{
	struct scene *scene = context;
	go_in_and_out(scene, UINT32_MAX);
	tutti_semaphore_close(scene->semaphore);
}

/* Whoever dies and where: afterwards there are as many as in the beginning, and every survivor got on. */
static void kills_amid_contention_lose_and_double_nothing(void **state)
{
	pid_t children[4];
	uint32_t told;
	(void)state;
	struct scene *scene = open_scene(3, 0);
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(go_on_in_child, scene);
	for (int i = 0; i < 100; i++) {
		uint32_t before = load_relaxed(&scene->done);
		UNTIL(5000, load_relaxed(&scene->done) > before + (uint32_t)i % 40);
		support_kill(children[i % 4]);
		children[i % 4] = support_fork(go_on_in_child, scene);
	}
	store_release(&scene->stop, 1);
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	assert_int_equal(take_all(scene, &told), 3);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest semaphore[] = {
		TEST(it_counts),
		TEST(a_bound_is_kept),
		TEST(numbers_that_cannot_be_are_refused),
		TEST(one_member_takes_and_gives_without_end),
		TEST(one_release_wakes_as_many_as_it_gives),
		TEST(no_more_are_inside_than_there_are_permits),
		TEST(it_counts_events_between_processes),
		TEST(what_the_killed_had_is_given_back_when_it_is_needed),
		TEST(who_is_told_and_killed_leaves_it_to_be_told_again),
		TEST(a_surplus_of_the_killed_is_kept),
		TEST(an_abandoned_permit_is_told_of),
		TEST(a_clean_exit_gives_nothing_back),
		TEST(many_die_with_permits),
		TEST(more_members_than_fit_into_the_object),
		TEST(kills_amid_contention_lose_and_double_nothing),
	};
	return RUN_TESTS(semaphore);
}
