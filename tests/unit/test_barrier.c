/* SPDX-License-Identifier: MIT */
/* The barrier: rounds, breaking, reset; parties that are killed. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

static tutti_arena *arena;
static tutti_barrier *barrier;
static struct seen {
	atomic_u32 arrived, left, indexes, actions, failed, mode, go;
} * seen;

static void open_scene(uint32_t parties)
{
	arena = support_arena(0);
	OK(tutti_barrier_open(&barrier, parties, &(tutti_barrier_options){.arena = arena, .name = "start"}));
	seen = support_shared(sizeof *seen);
}

static void close_scene(void)
{
	tutti_arena_usage usage;
	tutti_barrier_close(barrier);
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(arena);
}

static void it_needs_parties(void **state)
{
	tutti_barrier *none;
	(void)state;
	open_scene(3);
	EXPECT_TEXT(TUTTI_EINVAL, "0 parties", tutti_barrier_open(&none, 0, NULL));
	EXPECT(TUTTI_EINVAL, tutti_barrier_open(&none, UINT32_MAX, NULL));
	assert_int_equal(tutti_barrier_parties(barrier), 3);
	assert_int_equal(tutti_barrier_waiting(barrier), 0);
	assert_false(tutti_barrier_is_broken(barrier));
	OK(tutti_barrier_at(&none, arena, tutti_barrier_handle(barrier)));
	tutti_barrier_close(none);
	tutti_barrier_close(NULL);
	close_scene();
}

static bool count_action(void *context)
{
	fetch_add_relaxed(&((struct seen *)context)->actions, 1);
	return true;
}

static void alone_it_is_always_last(void **state)
{
	(void)state;
	open_scene(1);
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t index = 9;
		OK(tutti_barrier_wait(barrier, count_action, seen, &index, TUTTI_NOW));
		assert_int_equal(index, 0);
		assert_int_equal(load_relaxed(&seen->actions), i + 1);
	}
	close_scene();
}

enum { PARTIES = 5, ROUNDS = 300 };

/* Nobody leaves a round before all have arrived in it; each index comes once; the action runs once, before that. */
static void take_part(void *context)
{
	(void)context;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		uint32_t index = PARTIES;
		fetch_add_relaxed(&seen->arrived, 1);
		OK(tutti_barrier_wait(barrier, count_action, seen, &index, tutti_seconds(8)));
		REQUIRE(load_acquire(&seen->arrived) >= round * PARTIES);
		REQUIRE(load_acquire(&seen->actions) >= round);
		REQUIRE(index < PARTIES);
		fetch_add_relaxed(&seen->indexes, 1U << (6 * index)); /* 300 rounds would overflow: cleared below */
		OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
		REQUIRE(load_acquire(&seen->actions) == round);
		if (index == 0) {
			REQUIRE(load_acquire(&seen->indexes) == 0x1041041U);
			store_relaxed(&seen->indexes, 0);
		}
		OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
	}
	tutti_barrier_close(barrier);
}

static void all_leave_when_all_are_there(void **state)
{
	pid_t children[PARTIES];
	(void)state;
	open_scene(PARTIES);
	for (int i = 0; i < PARTIES; i++)
		children[i] = support_fork(take_part, NULL);
	for (int i = 0; i < PARTIES; i++)
		support_join_child(children[i]);
	close_scene();
}

static void *be_thread(void *context)
{
	tutti_err err = TUTTI_OK;
	for (uint32_t round = 1; round <= ROUNDS && !err; round++) {
		fetch_add_relaxed(&seen->arrived, 1);
		err = tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8));
		REQUIRE(load_acquire(&seen->arrived) >= round * 12);
	}
	*(tutti_err *)context = err;
	return NULL;
}

/* More than there is room for in the object itself. */
static void threads_are_parties_too(void **state)
{
	pthread_t threads[12];
	tutti_err results[12];
	(void)state;
	open_scene(12);
	for (int i = 0; i < 12; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, be_thread, &results[i]), 0);
	for (int i = 0; i < 12; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], TUTTI_OK);
	}
	close_scene();
}

static void wait_and_find_it_broken(void *context)
{
	EXPECT_TEXT(TUTTI_EBROKEN, (const char *)context, tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
	fetch_add_relaxed(&seen->failed, 1);
	tutti_barrier_close(barrier);
}

static void wait_in_time(void *context)
{
	(void)context;
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
	fetch_add_relaxed(&seen->left, 1);
	tutti_barrier_close(barrier);
}

static pid_t start_party(void (*run)(void *), const char *text, uint32_t others)
{
	pid_t child = support_fork(run, (void *)text);
	UNTIL(5000, tutti_barrier_waiting(barrier) == others + 1 && support_is_asleep(child));
	return child;
}

static void a_time_out_breaks_it(void **state)
{
	(void)state;
	open_scene(3);
	pid_t child = start_party(wait_and_find_it_broken, "in time", 0);
	int64_t start = support_now();
	EXPECT_TEXT(TUTTI_EBROKEN, "start", tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_ms(50)));
	assert_true(support_now() - start >= 50000000);
	support_join_child(child);
	assert_true(tutti_barrier_is_broken(barrier));
	assert_int_equal(tutti_barrier_waiting(barrier), 0);
	EXPECT(TUTTI_EBROKEN, tutti_barrier_wait(barrier, NULL, NULL, NULL, TUTTI_FOREVER));
	/* Whole again. */
	OK(tutti_barrier_reset(barrier));
	assert_false(tutti_barrier_is_broken(barrier));
	pid_t one = start_party(wait_in_time, NULL, 0), two = start_party(wait_in_time, NULL, 1);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, TUTTI_NOW));
	support_join_child(one);
	support_join_child(two);
	close_scene();
}

static void abort_breaks_it_until_reset(void **state)
{
	(void)state;
	open_scene(3);
	pid_t one = start_party(wait_and_find_it_broken, "aborted", 0);
	pid_t two = start_party(wait_and_find_it_broken, "aborted", 1);
	OK(tutti_barrier_abort(barrier));
	OK(tutti_barrier_abort(barrier));
	support_join_child(one);
	support_join_child(two);
	EXPECT_TEXT(TUTTI_EBROKEN, "Reset", tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_ms(10)));
	OK(tutti_barrier_reset(barrier));
	OK(tutti_barrier_reset(barrier));
	assert_false(tutti_barrier_is_broken(barrier));
	close_scene();
}

static void reset_sends_away_those_that_wait(void **state)
{
	(void)state;
	open_scene(2);
	for (uint32_t i = 0; i < 5; i++) {
		pid_t one = start_party(wait_and_find_it_broken, "reset", 0);
		OK(tutti_barrier_reset(barrier));
		support_join_child(one);
		assert_int_equal(load_acquire(&seen->failed), i + 1);
		assert_false(tutti_barrier_is_broken(barrier));
		one = start_party(wait_in_time, NULL, 0);
		OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
		support_join_child(one);
	}
	close_scene();
}

/* The round is complete, but a party has not come out of it yet: it was released, whatever comes after. */
static void a_reset_does_not_reach_those_already_released(void **state)
{
	(void)state;
	open_scene(2);
	pid_t slow = start_party(wait_in_time, NULL, 0);
	support_stop(slow);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
	OK(tutti_barrier_reset(barrier));
	OK(tutti_barrier_abort(barrier));
	assert_true(tutti_barrier_is_broken(barrier));
	OK(tutti_barrier_reset(barrier));
	/* Rounds of others, the slow one still inside. */
	for (int i = 0; i < 6; i++) {
		pid_t other = start_party(wait_in_time, NULL, 0);
		OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
		support_join_child(other);
	}
	kill(slow, SIGCONT);
	support_join_child(slow);
	assert_int_equal(load_acquire(&seen->left), 7);
	close_scene();
}

static bool refuse(void *context)
{
	fetch_add_relaxed(&((struct seen *)context)->actions, 1);
	return false;
}

static void a_failed_action_breaks_it(void **state)
{
	(void)state;
	open_scene(2);
	pid_t one = start_party(wait_and_find_it_broken, "action failed", 0);
	EXPECT_TEXT(TUTTI_EBROKEN, "action failed", tutti_barrier_wait(barrier, refuse, seen, NULL, tutti_seconds(5)));
	support_join_child(one);
	assert_true(tutti_barrier_is_broken(barrier));
	assert_int_equal(load_acquire(&seen->actions), 1);
	close_scene();
}

static bool wait_to_go(void *context)
{
	struct seen *shared = context;
	fetch_add_relaxed(&shared->actions, 1);
	UNTIL(8000, load_acquire(&shared->go));
	return true;
}

static void wait_with_action(void *context)
{
	(void)context;
	OK(tutti_barrier_wait(barrier, wait_to_go, seen, NULL, tutti_seconds(8)));
	tutti_barrier_close(barrier);
}

/* One party too many comes while the action runs: it is the first of the next round. */
static void who_comes_during_an_action_waits_for_its_end(void **state)
{
	(void)state;
	open_scene(2);
	pid_t one = start_party(wait_in_time, NULL, 0);
	pid_t last = support_fork(wait_with_action, NULL);
	UNTIL(5000, load_acquire(&seen->actions) == 1);
	assert_int_equal(tutti_barrier_waiting(barrier), 2);
	EXPECT_TEXT(TUTTI_EBROKEN, "action runs on", tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_ms(20)));
	assert_false(tutti_barrier_is_broken(barrier));
	pid_t more = support_fork(wait_in_time, NULL);
	UNTIL(5000, support_is_asleep(more));
	store_release(&seen->go, 1);
	support_join_child(one);
	support_join_child(last);
	UNTIL(5000, tutti_barrier_waiting(barrier) == 1);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
	support_join_child(more);
	close_scene();
}

static void a_party_killed_while_it_waits_breaks_it(void **state)
{
	(void)state;
	open_scene(3);
	for (int i = 0; i < 3; i++) {
		pid_t victim = start_party(wait_in_time, NULL, 0);
		pid_t other = start_party(wait_and_find_it_broken, "ended while it waited", 1);
		int64_t start = support_now();
		support_kill(victim);
		support_join_child(other); /* by its own tick: nobody else looks */
		assert_true(support_now() - start < 1000000000);
		assert_true(tutti_barrier_is_broken(barrier));
		OK(tutti_barrier_reset(barrier));
	}
	close_scene();
}

static void who_runs_the_action_and_is_killed_breaks_it(void **state)
{
	(void)state;
	open_scene(2);
	pid_t other = start_party(wait_and_find_it_broken, "ended while it waited", 0);
	pid_t last = support_fork(wait_with_action, NULL);
	UNTIL(5000, load_acquire(&seen->actions) == 1);
	int64_t start = support_now();
	support_kill(last);
	support_join_child(other);
	assert_true(support_now() - start < 1000000000);
	assert_true(tutti_barrier_is_broken(barrier));
	close_scene();
}

/* It had arrived, was killed, and the others came: complete, or broken if its death was noticed first. */
static void a_killed_party_that_nobody_missed_breaks_nothing(void **state)
{
	(void)state;
	open_scene(2);
	pid_t victim = start_party(wait_in_time, NULL, 0);
	support_stop(victim);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
	support_kill(victim); /* released, but not out yet */
	tutti_arena_sweep(arena);
	assert_false(tutti_barrier_is_broken(barrier));
	pid_t one = start_party(wait_in_time, NULL, 0);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(5)));
	support_join_child(one);
	close_scene();
}

static void do_nothing(int signal) { (void)signal; }

static void be_interrupted(void *context)
{
	(void)context;
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing, .sa_flags = SA_RESTART}, NULL);
	store_release(&seen->go, 1);
	EXPECT_TEXT(TUTTI_EINTR, "start", tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
	store_release(&seen->go, 2);
	UNTIL(8000, load_acquire(&seen->go) == 3);
	OK(tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_seconds(8)));
	tutti_barrier_close(barrier);
}

static void a_signal_takes_a_party_out(void **state)
{
	(void)state;
	open_scene(3);
	pid_t child = support_fork(be_interrupted, NULL);
	UNTIL(5000, load_acquire(&seen->go) == 1 && tutti_barrier_waiting(barrier) == 1 && support_is_asleep(child));
	pid_t other = start_party(wait_in_time, NULL, 1);
	kill(child, SIGUSR1);
	UNTIL(5000, load_acquire(&seen->go) == 2);
	assert_int_equal(tutti_barrier_waiting(barrier), 1);
	assert_false(tutti_barrier_is_broken(barrier));
	store_release(&seen->go, 3);
	UNTIL(5000, tutti_barrier_waiting(barrier) == 2);
	uint32_t index;
	OK(tutti_barrier_wait(barrier, NULL, NULL, &index, tutti_seconds(5)));
	assert_in_range(index, 0, 2);
	support_join_child(child);
	support_join_child(other);
	close_scene();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest barrier_tests[] = {
		TEST(it_needs_parties),
		TEST(alone_it_is_always_last),
		TEST(all_leave_when_all_are_there),
		TEST(threads_are_parties_too),
		TEST(a_time_out_breaks_it),
		TEST(abort_breaks_it_until_reset),
		TEST(reset_sends_away_those_that_wait),
		TEST(a_reset_does_not_reach_those_already_released),
		TEST(a_failed_action_breaks_it),
		TEST(who_comes_during_an_action_waits_for_its_end),
		TEST(a_party_killed_while_it_waits_breaks_it),
		TEST(who_runs_the_action_and_is_killed_breaks_it),
		TEST(a_killed_party_that_nobody_missed_breaks_nothing),
		TEST(a_signal_takes_a_party_out),
	};
	return RUN_TESTS(barrier_tests);
}
