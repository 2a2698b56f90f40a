/* SPDX-License-Identifier: MIT */
/* Waiters and notifiers that are killed: nobody waits for them, and what they had been told goes to the next. */
#include <signal.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

static tutti_arena *arena;
static tutti_condition *condition;
static tutti_lock *lock;
static atomic_u32 *woken;

static void open_scene(void)
{
	arena = support_arena(0);
	OK(tutti_condition_open(&condition, &(tutti_condition_options){.arena = arena}));
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	woken = support_shared(sizeof *woken);
}

static void close_handles(void)
{
	tutti_condition_close(condition);
	tutti_lock_close(lock);
}

static void close_scene(void)
{
	tutti_arena_usage usage;
	close_handles();
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(arena);
}

static void wait_once(void *context)
{
	(void)context;
	OK(tutti_lock_acquire(lock, tutti_seconds(8)));
	OK(tutti_condition_wait(condition, lock, tutti_seconds(8)));
	fetch_add_relaxed(woken, 1);
	OK(tutti_lock_release(lock));
	close_handles();
}

static pid_t start_waiter(uint32_t others)
{
	pid_t child = support_fork(wait_once, NULL);
	UNTIL(5000, tutti_condition_waiters(condition) == others + 1 && support_is_asleep(child));
	return child;
}

/* The first in line was killed; nobody has noticed yet. The notification reaches the second, within a second. */
static void a_notification_to_a_dead_waiter_goes_to_the_next(void **state)
{
	(void)state;
	open_scene();
	for (int i = 0; i < 5; i++) {
		pid_t victim = start_waiter(0);
		pid_t waiter = start_waiter(1);
		support_kill(victim);
		int64_t start = support_now();
		OK(tutti_lock_acquire(lock, tutti_seconds(5)));
		OK(tutti_condition_notify(condition, 1, NULL));
		OK(tutti_lock_release(lock));
		support_join_child(waiter);
		assert_true(support_now() - start < 1000000000);
		assert_int_equal(load_acquire(woken), i + 1);
		assert_int_equal(tutti_condition_waiters(condition), 0);
	}
	close_scene();
}

/* Notified, but killed before it got the lock back. */
static void a_waiter_killed_on_its_way_to_the_lock_passes_it_on(void **state)
{
	(void)state;
	open_scene();
	pid_t victim = start_waiter(0);
	pid_t waiter = start_waiter(1);
	OK(tutti_lock_acquire(lock, tutti_seconds(5)));
	OK(tutti_condition_notify(condition, 1, NULL));
	assert_int_equal(tutti_condition_waiters(condition), 1);
	UNTIL(5000, support_is_asleep(victim)); /* for the lock by now, or still there: the same */
	support_kill(victim);
	int64_t start = support_now();
	UNTIL(5000, tutti_condition_waiters(condition) == 0); /* the living waiter's tick looks after the dead */
	assert_true(support_now() - start < 1000000000);
	OK(tutti_lock_release(lock));
	support_join_child(waiter);
	assert_int_equal(load_acquire(woken), 1);
	close_scene();
}

static void notifying_does_not_wait_for_a_stopped_waiter(void **state)
{
	uint32_t notified;
	(void)state;
	open_scene();
	pid_t child = start_waiter(0);
	support_stop(child);
	int64_t start = support_now();
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_condition_notify(condition, UINT32_MAX, &notified));
	OK(tutti_lock_release(lock));
	assert_true(support_now() - start < 200000000);
	assert_int_equal(notified, 1);
	kill(child, SIGCONT);
	support_join_child(child);
	close_scene();
}

static void notify_and_die(void *context)
{
	(void)context;
	tutti_lock_acquire(lock, tutti_seconds(5));
	tutti_condition_notify(condition, UINT32_MAX, NULL);
	kill(getpid(), SIGKILL);
}

static void wait_and_be_told(void *context)
{
	(void)context;
	OK(tutti_lock_acquire(lock, tutti_seconds(8)));
	EXPECT(TUTTI_EOWNERDEAD, tutti_condition_wait(condition, lock, tutti_seconds(8)));
	OK(tutti_lock_release(lock));
	close_handles();
}

/* The waiter returns with the lock, and is told that what it guards may be half changed. */
static void a_notifier_killed_with_the_lock_is_reported(void **state)
{
	(void)state;
	open_scene();
	pid_t waiter = support_fork(wait_and_be_told, NULL);
	UNTIL(5000, tutti_condition_waiters(condition) == 1);
	support_wait(support_fork(notify_and_die, NULL));
	support_join_child(waiter);
	close_scene();
}

static void enlist_many_and_die(void *context)
{
	uint64_t ticket;
	(void)context;
	for (int i = 0; i < 1000; i++)
		OK(tutti_condition_enlist(condition, &ticket));
	kill(getpid(), SIGKILL);
}

static void the_entries_of_the_dead_are_used_again(void **state)
{
	tutti_arena_usage usage;
	(void)state;
	open_scene();
	uint64_t blocks = 0;
	for (int i = 0; i < 6; i++) {
		support_wait(support_fork(enlist_many_and_die, NULL));
		tutti_arena_sweep(arena);
		assert_int_equal(tutti_condition_waiters(condition), 0);
		OK(tutti_arena_usage_read(arena, &usage));
		assert_true(i == 0 || usage.live_blocks == blocks);
		blocks = usage.live_blocks;
	}
	close_scene();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest condition_death[] = {
		TEST(a_notification_to_a_dead_waiter_goes_to_the_next),
		TEST(a_waiter_killed_on_its_way_to_the_lock_passes_it_on),
		TEST(notifying_does_not_wait_for_a_stopped_waiter),
		TEST(a_notifier_killed_with_the_lock_is_reported),
		TEST(the_entries_of_the_dead_are_used_again),
	};
	return RUN_TESTS(condition_death);
}
