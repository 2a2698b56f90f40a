/* SPDX-License-Identifier: MIT */
/* Once: one does it, all others wait; failures, deaths, signals. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_once *once;
	atomic_u32 ready, go, runs;
	tutti_err answer;
	bool mine, exits;
};

static struct scene *open_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_once_open(&scene->once, &(tutti_once_options){.arena = scene->arena, .name = "setup"}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_once_close(scene->once);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(scene->arena);
}

static void expect_done(struct scene *scene)
{
	bool mine = true;
	assert_true(tutti_once_is_done(scene->once));
	OK(tutti_once_begin(scene->once, &mine, TUTTI_NOW));
	assert_false(mine);
	EXPECT(TUTTI_EPERM, tutti_once_end(scene->once, true));
}

static void it_is_done_once(void **state)
{
	bool mine = false;
	(void)state;
	struct scene *scene = open_scene();
	EXPECT_TEXT(TUTTI_EPERM, "setup", tutti_once_end(scene->once, true));
	OK(tutti_once_begin(scene->once, &mine, TUTTI_NOW));
	assert_true(mine);
	assert_false(tutti_once_is_done(scene->once));
	EXPECT_TEXT(TUTTI_EBUSY, "setup", tutti_once_begin(scene->once, &mine, TUTTI_NOW));
	assert_false(mine);
	EXPECT(TUTTI_ETIMEDOUT, tutti_once_begin(scene->once, &mine, tutti_ms(20)));
	OK(tutti_once_end(scene->once, true));
	expect_done(scene);
	end_scene(scene);
}

static void what_failed_is_done_by_the_next(void **state)
{
	bool mine;
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 3; i++) {
		OK(tutti_once_begin(scene->once, &mine, TUTTI_NOW));
		assert_true(mine);
		OK(tutti_once_end(scene->once, i == 2));
	}
	expect_done(scene);
	end_scene(scene);
}

static bool run(void *context)
{
	struct scene *scene = context;
	support_pause();
	return fetch_add_relaxed(&scene->runs, 1) >= 2; /* fails twice */
}

static void run_until_done(struct scene *scene)
{
	tutti_err err;
	while ((err = tutti_once_run(scene->once, run, scene, tutti_seconds(8))) == TUTTI_EFAILED)
		;
	OK(err);
	REQUIRE(load_acquire(&scene->runs) == 3);
}

static void run_in_child(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	run_until_done(scene);
	tutti_once_close(scene->once);
}

static void *run_in_thread(void *context)
{
	run_until_done(context);
	return NULL;
}

static void of_many_who_ask_one_runs_it(void **state)
{
	pid_t children[4];
	pthread_t threads[3];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(run_in_child, scene);
	store_release(&scene->go, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_in_thread, scene), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->runs, 3);
	EXPECT(TUTTI_OK, tutti_once_run(scene->once, run, scene, TUTTI_NOW));
	assert_int_equal(scene->runs, 3);
	end_scene(scene);
}

static void begin_in_child(void *context)
{
	struct scene *scene = context;
	scene->answer = tutti_once_begin(scene->once, &scene->mine, tutti_seconds(8));
	store_release(&scene->ready, (uint32_t)getpid());
	if (!scene->exits)
		support_pause_forever();
}

static pid_t start(struct scene *scene)
{
	pid_t child = support_fork(begin_in_child, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	return child;
}

static void whoever_is_killed_is_succeeded(void **state)
{
	bool mine;
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 3; i++) {
		support_kill(start(scene));
		assert_true(scene->mine);
		assert_int_equal(scene->answer, i ? TUTTI_EOWNERDEAD : TUTTI_OK);
	}
	EXPECT_TEXT(TUTTI_EOWNERDEAD, "setup", tutti_once_begin(scene->once, &mine, TUTTI_NOW));
	assert_true(mine);
	OK(tutti_once_end(scene->once, true));
	expect_done(scene);
	end_scene(scene);
}

/* It will not do it any more: a clean exit leaves it to the next one too. */
static void whoever_exits_is_succeeded(void **state)
{
	bool mine;
	(void)state;
	struct scene *scene = open_scene();
	scene->exits = true;
	support_join_child(support_fork(begin_in_child, scene));
	EXPECT(TUTTI_EOWNERDEAD, tutti_once_begin(scene->once, &mine, tutti_seconds(5)));
	assert_true(mine);
	OK(tutti_once_end(scene->once, true));
	end_scene(scene);
}

static void a_sleeper_takes_over_within_a_second(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	pid_t first = start(scene), second = support_fork(begin_in_child, scene);
	UNTIL(5000, support_is_asleep(second));
	int64_t began = support_now();
	support_kill(first);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)second);
	assert_true(support_now() - began < 1000000000 || support_is_slow()); /* K1 */
	assert_true(scene->mine);
	assert_int_equal(scene->answer, TUTTI_EOWNERDEAD);
	support_kill(second);
	end_scene(scene);
}

static void do_nothing(int signal) { (void)signal; }

static void wait_for_signal(void *context)
{
	bool mine;
	struct scene *scene = context;
	struct sigaction action = {.sa_handler = do_nothing};
	sigaction(SIGUSR1, &action, NULL);
	store_release(&scene->go, 1);
	EXPECT(TUTTI_EINTR, tutti_once_begin(scene->once, &mine, tutti_seconds(8)));
	REQUIRE(!mine);
	OK(tutti_once_begin(scene->once, &mine, tutti_seconds(8)));
	REQUIRE(!mine);
	tutti_once_close(scene->once);
}

static void a_signal_ends_the_waiting(void **state)
{
	bool mine;
	(void)state;
	struct scene *scene = open_scene();
	OK(tutti_once_begin(scene->once, &mine, TUTTI_NOW));
	pid_t child = support_fork(wait_for_signal, scene);
	UNTIL(5000, load_acquire(&scene->go) && support_is_asleep(child));
	kill(child, SIGUSR1);
	UNTIL(5000, support_is_asleep(child));
	OK(tutti_once_end(scene->once, true));
	support_join_child(child);
	end_scene(scene);
}

static void handles_are_checked(void **state)
{
	tutti_once *found;
	(void)state;
	struct scene *scene = open_scene();
	tutti_handle handle = tutti_once_handle(scene->once);
	OK(tutti_once_at(&found, scene->arena, handle));
	tutti_once_close(found);
	tutti_once_close(scene->once);
	EXPECT(TUTTI_ESTALE, tutti_once_at(&found, scene->arena, handle));
	OK(tutti_once_open(&scene->once, &(tutti_once_options){.arena = scene->arena}));
	EXPECT(TUTTI_ESTALE, tutti_once_at(&found, scene->arena, handle));
	tutti_once_close(NULL);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest once[] = {
		TEST(it_is_done_once),
		TEST(what_failed_is_done_by_the_next),
		TEST(of_many_who_ask_one_runs_it),
		TEST(whoever_is_killed_is_succeeded),
		TEST(whoever_exits_is_succeeded),
		TEST(a_sleeper_takes_over_within_a_second),
		TEST(a_signal_ends_the_waiting),
		TEST(handles_are_checked),
	};
	return RUN_TESTS(once);
}
