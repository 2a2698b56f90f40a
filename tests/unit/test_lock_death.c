/* SPDX-License-Identifier: MIT */
/* Promise K3: what the death, the exit and the stopping of a holder do to its lock. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct scene {
	tutti_lock *lock;
	atomic_u32 ready, go;
	tutti_err told[4]; /* what each child was told */
};

static struct scene *new_scene(tutti_arena *arena)
{
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena, .name = "gate"}));
	return scene;
}

static void end_scene(struct scene *scene, tutti_arena *arena)
{
	tutti_arena_usage usage;
	tutti_lock_close(scene->lock);
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(arena);
}

static void hold(void *context)
{
	struct scene *scene = context;
	tutti_err err = tutti_lock_acquire(scene->lock, tutti_seconds(5));
	REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
	store_release(&scene->ready, (uint32_t)getpid());
	support_pause_forever();
}

static pid_t start_holder(struct scene *scene)
{
	pid_t child = support_fork(hold, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	assert_int_equal(tutti_lock_holder(scene->lock), child);
	return child;
}

static void the_next_is_told_that_the_holder_was_killed(void **state)
{
	char pid[16];
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	pid_t child = start_holder(scene);
	support_kill(child);
	snprintf(pid, sizeof pid, "%d", (int)child);
	EXPECT_TEXT(TUTTI_EOWNERDEAD, pid, tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	assert_int_equal(tutti_lock_holder(scene->lock), getpid());
	OK(tutti_lock_release(scene->lock));
	/* Told once: the state was repaired. */
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void a_try_after_the_kill_gets_it_at_once(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	support_kill(start_holder(scene));
	EXPECT_TEXT(TUTTI_EOWNERDEAD, "gate", tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void looking_recovers_nothing(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	support_kill(start_holder(scene));
	for (int i = 0; i < 3; i++)
		assert_int_equal(tutti_lock_holder(scene->lock), -1);
	tutti_arena_sweep(arena);
	assert_int_equal(tutti_lock_holder(scene->lock), -1);
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void who_is_told_and_killed_leaves_it_to_be_told_again(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	for (int i = 0; i < 4; i++)
		support_kill(start_holder(scene));
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void wait_and_report(void *context)
{
	struct scene *scene = context;
	tutti_err err = tutti_lock_acquire(scene->lock, tutti_seconds(8));
	uint32_t turn = fetch_add_relaxed(&scene->ready, 1);
	scene->told[turn] = err;
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
}

/* Of several that wait one is told and has it; the others wait on and get it in order. */
/* With handover as without: killed means told. Handed over by another one, noticed or not, means free. */
static void a_death_is_told_of_with_handover_too(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena, .handover = true}));
	support_kill(start_holder(scene));
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	for (int noticed = 0; noticed < 2; noticed++) {
		support_kill(start_holder(scene));
		if (noticed)
			assert_int_equal(tutti_arena_sweep(arena), 1);
		OK(tutti_lock_release(scene->lock));
		EXPECT(TUTTI_EBOUND, tutti_lock_release(scene->lock));
		tutti_arena_sweep(arena);
		OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
		OK(tutti_lock_release(scene->lock));
	}
	end_scene(scene, arena);
}

static void hold_and_exit(void *context)
{
	struct scene *scene = context;
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(5)));
}

static void a_clean_exit_keeps_it(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	support_join_child(support_fork(hold_and_exit, scene));
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "exited", tutti_lock_acquire(scene->lock, tutti_ms(150)));
	tutti_arena_sweep(arena);
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	/* Handing over is legal for a lock that is a semaphore: anybody may release it. */
	OK(tutti_lock_release(scene->lock));
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void hold_and_leave(void *context)
{
	struct scene *scene = context;
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	_exit(0);
}

static void a_bare_exit_counts_as_killed(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	support_join_child(support_fork(hold_and_leave, scene));
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void hold_and_exec(void *context)
{
	struct scene *scene = context;
	OK(tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	execl("/bin/sleep", "sleep", "15", (char *)NULL);
	REQUIRE(!"exec");
}

/* The process lives on, as another program, and will never release it. */
static void exec_counts_as_killed(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	pid_t child = support_fork(hold_and_exec, scene);
	UNTIL(5000, tutti_lock_holder(scene->lock) == -1);
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	OK(tutti_lock_release(scene->lock));
	support_kill(child);
	end_scene(scene, arena);
}

static void a_stopped_holder_is_waited_for_in_time(void **state)
{
	char pid[16];
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	pid_t child = start_holder(scene);
	support_stop(child);
	snprintf(pid, sizeof pid, "%d", (int)child);
	EXPECT_TEXT(TUTTI_EBUSY, pid, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	int64_t start = support_now();
	EXPECT_TEXT(TUTTI_ETIMEDOUT, pid, tutti_lock_acquire(scene->lock, tutti_ms(200)));
	assert_true(support_now() - start < 1000000000);
	assert_int_equal(tutti_arena_sweep(arena), 0);
	assert_int_equal(tutti_lock_holder(scene->lock), child);
	support_kill(child);
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, tutti_seconds(5)));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

static void a_killed_waiter_stands_in_nobodys_way(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	for (int i = 0; i < 10; i++) {
		OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
		pid_t victim = support_fork(wait_and_report, scene);
		UNTIL(5000, support_is_asleep(victim));
		support_kill(victim);
		OK(tutti_lock_release(scene->lock));
		OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
		OK(tutti_lock_release(scene->lock));
	}
	end_scene(scene, arena);
}

static void a_fork_does_not_give_the_child_its_parents_lock(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	pid_t child = support_fork(wait_and_report, scene);
	UNTIL(5000, support_is_asleep(child));
	assert_int_equal(tutti_lock_holder(scene->lock), getpid());
	OK(tutti_lock_release(scene->lock));
	support_join_child(child);
	assert_int_equal(scene->told[0], TUTTI_OK);
	end_scene(scene, arena);
}

static void hold_and_die(void *context)
{
	struct scene *scene = context;
	tutti_lock_acquire(scene->lock, tutti_seconds(5));
	kill(getpid(), SIGKILL);
}

/* Slots of the dead are given to the next, whose ids must not be taken for theirs. */
static void many_deaths_in_a_row(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	for (int i = 0; i < 200; i++) {
		support_wait(support_fork(hold_and_die, scene));
		EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, TUTTI_NOW));
		OK(tutti_lock_release(scene->lock));
	}
	end_scene(scene, arena);
}

static void a_lock_that_cannot_be_repaired_is_abandoned_again(void **state)
{
	(void)state;
	char pid[16];
	tutti_arena *arena = support_arena(0);
	struct scene *scene = new_scene(arena);
	pid_t child = start_holder(scene);
	support_kill(child);
	snprintf(pid, sizeof pid, "pid %d", child);
	for (int round = 0; round < 2; round++) {
		EXPECT_TEXT(TUTTI_EOWNERDEAD, pid, tutti_lock_acquire(scene->lock, TUTTI_NOW));
		OK(tutti_lock_abandon(scene->lock));
		assert_int_equal(tutti_lock_holder(scene->lock), -1);
		EXPECT(TUTTI_EPERM, tutti_lock_abandon(scene->lock));
	}
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(scene->lock, tutti_seconds(1)));
	OK(tutti_lock_release(scene->lock));
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	end_scene(scene, arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest lock_death[] = {
		TEST(a_lock_that_cannot_be_repaired_is_abandoned_again),
		TEST(the_next_is_told_that_the_holder_was_killed),
		TEST(a_try_after_the_kill_gets_it_at_once),
		TEST(looking_recovers_nothing),
		TEST(who_is_told_and_killed_leaves_it_to_be_told_again),
		TEST(a_death_is_told_of_with_handover_too),
		TEST(a_clean_exit_keeps_it),
		TEST(a_bare_exit_counts_as_killed),
		TEST(exec_counts_as_killed),
		TEST(a_stopped_holder_is_waited_for_in_time),
		TEST(a_killed_waiter_stands_in_nobodys_way),
		TEST(a_fork_does_not_give_the_child_its_parents_lock),
		TEST(many_deaths_in_a_row),
	};
	return RUN_TESTS(lock_death);
}
