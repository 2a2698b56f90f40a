/* SPDX-License-Identifier: MIT */
/* The condition among members that live; those that are killed: test_condition_death. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

static struct scene {
	tutti_arena *arena;
	tutti_condition *condition;
	tutti_lock *lock;
	struct seen {
		atomic_u32 value, woken, order[8];
		uint64_t data;
	} * seen; /* shared with children */
} scene;

static void open_scene(void)
{
	scene.arena = support_arena(0);
	OK(tutti_condition_open(&scene.condition, &(tutti_condition_options){.arena = scene.arena, .name = "news"}));
	OK(tutti_lock_open(&scene.lock, &(tutti_lock_options){.arena = scene.arena, .name = "guard"}));
	scene.seen = support_shared(sizeof *scene.seen);
}

/* Everything is given back. */
static void close_scene(void)
{
	tutti_arena_usage usage;
	tutti_condition_close(scene.condition);
	tutti_lock_close(scene.lock);
	tutti_arena_sweep(scene.arena);
	OK(tutti_arena_usage_read(scene.arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(scene.arena);
}

static void acquire(void) { OK(tutti_lock_acquire(scene.lock, tutti_seconds(8))); }
static void release(void) { OK(tutti_lock_release(scene.lock)); }

static void it_wants_its_lock(void **state)
{
	(void)state;
	open_scene();
	EXPECT_TEXT(TUTTI_EPERM, "news", tutti_condition_wait(scene.condition, scene.lock, TUTTI_NOW));
	assert_int_equal(tutti_lock_holder(scene.lock), 0);
	tutti_arena *other = support_join(scene.arena);
	tutti_lock *theirs;
	OK(tutti_lock_at(&theirs, other, tutti_lock_handle(scene.lock)));
	OK(tutti_lock_acquire(theirs, TUTTI_NOW));
	EXPECT(TUTTI_EPERM, tutti_condition_wait(scene.condition, scene.lock, TUTTI_NOW));
	OK(tutti_lock_release(theirs));
	tutti_lock_close(theirs);
	tutti_arena_close(other);
	assert_int_equal(tutti_condition_waiters(scene.condition), 0);
	close_scene();
}

static void waiting_ends_at_its_time_with_the_lock_held(void **state)
{
	(void)state;
	static const int milliseconds[] = {0, 1, 40, 300};
	open_scene();
	for (int i = 0; i < 4; i++) {
		acquire();
		int64_t start = support_now();
		EXPECT_TEXT(TUTTI_ETIMEDOUT, "news",
		            tutti_condition_wait(scene.condition, scene.lock, tutti_ms(milliseconds[i])));
		assert_true(support_now() - start >= milliseconds[i] * 1000000LL);
		assert_true(support_now() - start < milliseconds[i] * 1000000LL + 900000000);
		assert_int_equal(tutti_lock_holder(scene.lock), getpid());
		release();
	}
	assert_int_equal(tutti_condition_waiters(scene.condition), 0);
	close_scene();
}

static void notifying_nobody_is_forgotten(void **state)
{
	uint32_t notified = 7;
	(void)state;
	open_scene();
	OK(tutti_condition_notify(scene.condition, UINT32_MAX, &notified));
	assert_int_equal(notified, 0);
	OK(tutti_condition_notify(scene.condition, 0, NULL));
	acquire();
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_wait(scene.condition, scene.lock, tutti_ms(5)));
	release();
	close_scene();
}

static void wait_in_line(void *context)
{
	(void)context;
	acquire();
	OK(tutti_condition_wait(scene.condition, scene.lock, tutti_seconds(8)));
	store_relaxed(&scene.seen->order[fetch_add_relaxed(&scene.seen->woken, 1)], (uint32_t)getpid());
	release();
	tutti_condition_close(scene.condition);
	tutti_lock_close(scene.lock);
}

/* Starts waiters one after the other, so that their order is known. */
static void start_waiters(pid_t *children, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		children[i] = support_fork(wait_in_line, NULL);
		UNTIL(5000, tutti_condition_waiters(scene.condition) == i + 1);
	}
}

static void who_came_first_is_notified_first(void **state)
{
	pid_t children[5];
	uint32_t notified;
	(void)state;
	open_scene();
	start_waiters(children, 5);
	for (unsigned i = 0; i < 3; i++) {
		acquire();
		OK(tutti_condition_notify(scene.condition, 1, &notified));
		release();
		assert_int_equal(notified, 1);
		UNTIL(5000, load_acquire(&scene.seen->woken) == i + 1);
		assert_int_equal(load_relaxed(&scene.seen->order[i]), children[i]);
	}
	acquire();
	OK(tutti_condition_notify(scene.condition, 7, &notified));
	assert_int_equal(notified, 2);
	release();
	for (unsigned i = 0; i < 5; i++)
		support_join_child(children[i]);
	close_scene();
}

static void all_are_notified_also_a_hundred(void **state)
{
	enum { MANY = 100 };
	pid_t children[MANY];
	uint32_t notified;
	(void)state;
	open_scene();
	for (unsigned i = 0; i < 8; i++)
		children[i] = support_fork(wait_in_line, NULL);
	/* More than the object has room for by itself: further entries are chained. */
	uint64_t tickets[MANY];
	for (unsigned i = 0; i < MANY; i++)
		OK(tutti_condition_enlist(scene.condition, &tickets[i]));
	UNTIL(5000, tutti_condition_waiters(scene.condition) == MANY + 8);
	acquire();
	OK(tutti_condition_notify(scene.condition, UINT32_MAX, &notified));
	release();
	assert_int_equal(notified, MANY + 8);
	for (unsigned i = 0; i < MANY; i++)
		OK(tutti_condition_sleep(scene.condition, tickets[i], TUTTI_NOW));
	for (unsigned i = 0; i < 8; i++)
		support_join_child(children[i]);
	close_scene();
}

static void tickets_are_for_one_sleep_of_their_member(void **state)
{
	uint64_t ticket, other;
	(void)state;
	open_scene();
	for (uint64_t wrong = 0; wrong < 2000; wrong++) /* any number, also of entries that are not there */
		EXPECT(TUTTI_EINVAL, tutti_condition_sleep(scene.condition, wrong << 31 | wrong, TUTTI_NOW));
	OK(tutti_condition_enlist(scene.condition, &ticket));
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_sleep(scene.condition, ticket, tutti_ms(3)));
	EXPECT_TEXT(TUTTI_EINVAL, "Enlist", tutti_condition_sleep(scene.condition, ticket, TUTTI_NOW));
	OK(tutti_condition_enlist(scene.condition, &ticket));
	OK(tutti_condition_enlist(scene.condition, &other));
	assert_false(tutti_condition_leave(scene.condition, ticket));
	assert_false(tutti_condition_leave(scene.condition, ticket));
	OK(tutti_condition_notify(scene.condition, 1, NULL));
	assert_true(tutti_condition_leave(scene.condition, other));
	/* Another member's. */
	tutti_arena *joined = support_join(scene.arena);
	tutti_condition *theirs;
	OK(tutti_condition_at(&theirs, joined, tutti_condition_handle(scene.condition)));
	OK(tutti_condition_enlist(scene.condition, &ticket));
	EXPECT(TUTTI_EINVAL, tutti_condition_sleep(theirs, ticket, TUTTI_NOW));
	assert_false(tutti_condition_leave(theirs, ticket));
	OK(tutti_condition_notify(theirs, 1, NULL));
	OK(tutti_condition_sleep(scene.condition, ticket, TUTTI_NOW));
	tutti_condition_close(theirs);
	tutti_arena_close(joined);
	close_scene();
}

static void *sleep_on_ticket(void *context)
{
	uint64_t ticket = *(uint64_t *)context;
	tutti_err err = tutti_condition_sleep(scene.condition, ticket, tutti_seconds(8));
	store_release(&scene.seen->woken, (uint32_t)err + 1);
	return NULL;
}

/* Enlisted here, slept on by another thread, given up here. */
static void another_thread_may_sleep_on_a_ticket(void **state)
{
	static uint64_t ticket;
	pthread_t thread;
	(void)state;
	open_scene();
	for (int i = 0; i < 2; i++) {
		store_relaxed(&scene.seen->woken, 0);
		OK(tutti_condition_enlist(scene.condition, &ticket));
		assert_int_equal(pthread_create(&thread, NULL, sleep_on_ticket, &ticket), 0);
		if (i == 0)
			OK(tutti_condition_notify(scene.condition, 1, NULL));
		else
			assert_false(tutti_condition_leave(scene.condition, ticket));
		pthread_join(thread, NULL);
		tutti_err err = (tutti_err)(load_acquire(&scene.seen->woken) - 1);
		assert_true(i == 0 ? err == TUTTI_OK : err == TUTTI_ECANCELLED || err == TUTTI_EINVAL);
	}
	close_scene();
}

/* Whatever an await answers, the ticket stays enlisted until it is given up. */
static void an_awaited_ticket_stays_enlisted(void **state)
{
	uint64_t ticket;
	(void)state;
	open_scene();
	OK(tutti_condition_enlist(scene.condition, &ticket));
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_await(scene.condition, ticket, TUTTI_NOW));
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_await(scene.condition, ticket, tutti_ms(3)));
	assert_int_equal(tutti_condition_waiters(scene.condition), 1);
	OK(tutti_condition_notify(scene.condition, 1, NULL));
	OK(tutti_condition_await(scene.condition, ticket, TUTTI_NOW));
	OK(tutti_condition_await(scene.condition, ticket, TUTTI_FOREVER));
	assert_true(tutti_condition_leave(scene.condition, ticket));
	EXPECT(TUTTI_EINVAL, tutti_condition_await(scene.condition, ticket, TUTTI_NOW));
	close_scene();
}

static bool is_seven(void *context) { return load_relaxed(&((struct seen *)context)->value) == 7; }

static void wait_for_seven(void *context)
{
	(void)context;
	acquire();
	OK(tutti_condition_wait_for(scene.condition, scene.lock, is_seven, scene.seen, tutti_seconds(8)));
	REQUIRE(is_seven(scene.seen));
	release();
	tutti_condition_close(scene.condition);
	tutti_lock_close(scene.lock);
}

static void wait_for_waits_until_it_is_true(void **state)
{
	(void)state;
	open_scene();
	EXPECT(TUTTI_EPERM, tutti_condition_wait_for(scene.condition, scene.lock, is_seven, scene.seen, TUTTI_NOW));
	acquire();
	int64_t start = support_now();
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_wait_for(scene.condition, scene.lock, is_seven, scene.seen, tutti_ms(30)));
	assert_true(support_now() - start >= 30000000);
	release();
	pid_t child = support_fork(wait_for_seven, NULL);
	for (uint32_t value = 1; value <= 7; value++) {
		UNTIL(5000, tutti_condition_waiters(scene.condition) == 1);
		acquire();
		store_relaxed(&scene.seen->value, value);
		OK(tutti_condition_notify(scene.condition, UINT32_MAX, NULL));
		release();
	}
	support_join_child(child);
	acquire();
	OK(tutti_condition_wait_for(scene.condition, scene.lock, is_seven, scene.seen, TUTTI_NOW));
	release();
	close_scene();
}

static void do_nothing(int signal) { (void)signal; }

static void wait_and_be_interrupted(void *context)
{
	(void)context;
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing, .sa_flags = SA_RESTART}, NULL);
	acquire();
	EXPECT_TEXT(TUTTI_EINTR, "news", tutti_condition_wait(scene.condition, scene.lock, tutti_seconds(8)));
	REQUIRE(tutti_lock_holder(scene.lock) == getpid());
	release();
	tutti_condition_close(scene.condition);
	tutti_lock_close(scene.lock);
}

static void a_signal_interrupts_waiting(void **state)
{
	(void)state;
	open_scene();
	pid_t child = support_fork(wait_and_be_interrupted, NULL);
	UNTIL(5000, tutti_condition_waiters(scene.condition) == 1 && support_is_asleep(child));
	kill(child, SIGUSR1);
	support_join_child(child);
	close_scene();
}

static tutti_rlock *rlock;

static void wait_deep(void *context)
{
	(void)context;
	for (int i = 0; i < 3; i++)
		OK(tutti_rlock_acquire(rlock, tutti_seconds(8)));
	OK(tutti_condition_wait_rlock(scene.condition, rlock, tutti_seconds(8)));
	REQUIRE(tutti_rlock_depth(rlock) == 3);
	for (int i = 0; i < 3; i++)
		OK(tutti_rlock_release(rlock));
	tutti_condition_close(scene.condition);
	tutti_rlock_close(rlock);
}

/* However often it is held, it is free while its holder waits, and held as often afterwards. */
static void a_recursive_lock_is_given_up_as_a_whole(void **state)
{
	(void)state;
	open_scene();
	OK(tutti_rlock_open(&rlock, &(tutti_rlock_options){.arena = scene.arena}));
	EXPECT_TEXT(TUTTI_EPERM, "news", tutti_condition_wait_rlock(scene.condition, rlock, TUTTI_NOW));
	pid_t child = support_fork(wait_deep, NULL);
	UNTIL(5000, tutti_condition_waiters(scene.condition) == 1);
	OK(tutti_rlock_acquire(rlock, tutti_seconds(5)));
	OK(tutti_rlock_acquire(rlock, tutti_seconds(5)));
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_wait_rlock(scene.condition, rlock, tutti_ms(5)));
	assert_int_equal(tutti_rlock_depth(rlock), 2);
	OK(tutti_condition_notify(scene.condition, 1, NULL));
	OK(tutti_rlock_release(rlock));
	OK(tutti_rlock_release(rlock));
	support_join_child(child);
	tutti_rlock_close(rlock);
	close_scene();
}

/* A handle by message: opened in another member. Of another kind, or gone: refused. */
static void handles_travel(void **state)
{
	tutti_condition *again;
	(void)state;
	open_scene();
	tutti_handle handle = tutti_condition_handle(scene.condition);
	OK(tutti_condition_at(&again, scene.arena, handle));
	tutti_condition_close(again);
	EXPECT(TUTTI_EKIND, tutti_condition_at(&again, scene.arena, tutti_lock_handle(scene.lock)));
	EXPECT(TUTTI_EINVAL,
	       tutti_condition_open(&again,
	                            &(tutti_condition_options){.arena = scene.arena,
	                                                       .name = "a name that is far too long for any object here"}));
	tutti_condition_close(NULL);
	close_scene();
}

enum { ROUNDS = 4000 };

/* Takes turns: even values here, odd ones in the child. What was written with the lock held is seen. */
static void play(uint32_t side)
{
	struct seen *seen = scene.seen;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		acquire();
		while (load_relaxed(&seen->value) % 2 != side)
			OK(tutti_condition_wait(scene.condition, scene.lock, tutti_seconds(8)));
		REQUIRE(seen->data == load_relaxed(&seen->value) * 3ULL);
		store_relaxed(&seen->value, load_relaxed(&seen->value) + 1);
		seen->data += 3;
		OK(tutti_condition_notify(scene.condition, 1, NULL));
		release();
	}
}

static void play_odd(void *context)
{
	(void)context;
	play(1);
	tutti_condition_close(scene.condition);
	tutti_lock_close(scene.lock);
}

static void two_members_take_turns(void **state)
{
	(void)state;
	open_scene();
	pid_t child = support_fork(play_odd, NULL);
	play(0);
	support_join_child(child);
	assert_int_equal(load_relaxed(&scene.seen->value), 2 * ROUNDS);
	close_scene();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest condition[] = {
		TEST(it_wants_its_lock),
		TEST(waiting_ends_at_its_time_with_the_lock_held),
		TEST(notifying_nobody_is_forgotten),
		TEST(who_came_first_is_notified_first),
		TEST(all_are_notified_also_a_hundred),
		TEST(tickets_are_for_one_sleep_of_their_member),
		TEST(an_awaited_ticket_stays_enlisted),
		TEST(another_thread_may_sleep_on_a_ticket),
		TEST(wait_for_waits_until_it_is_true),
		TEST(a_signal_interrupts_waiting),
		TEST(a_recursive_lock_is_given_up_as_a_whole),
		TEST(handles_travel),
		TEST(two_members_take_turns),
	};
	return RUN_TESTS(condition);
}
