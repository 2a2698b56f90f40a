/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

static tutti_event *shared_event; /* of the running test: for children and handlers */

static tutti_event *new_event(tutti_arena *arena)
{
	OK(tutti_event_open(&shared_event, &(tutti_event_options){.arena = arena, .name = "bell"}));
	return shared_event;
}

static void it_stays_set_until_cleared(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	assert_false(tutti_event_is_set(event));
	OK(tutti_event_set(event));
	OK(tutti_event_set(event));
	assert_true(tutti_event_is_set(event));
	OK(tutti_event_wait(event, TUTTI_NOW));
	OK(tutti_event_wait(event, TUTTI_FOREVER));
	OK(tutti_event_clear(event));
	OK(tutti_event_clear(event));
	assert_false(tutti_event_is_set(event));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "bell", tutti_event_wait(event, TUTTI_NOW));
	tutti_event_close(event);
	tutti_arena_close(arena);
}

static void waiting_ends_at_its_time(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	static const int milliseconds[] = {1, 30, 300};
	for (int i = 0; i < 3; i++) {
		int64_t start = support_now();
		EXPECT(TUTTI_ETIMEDOUT, tutti_event_wait(event, tutti_ms(milliseconds[i])));
		int64_t took = support_now() - start;
		assert_true(took >= milliseconds[i] * 1000000LL);
		assert_true(took < milliseconds[i] * 1000000LL + 900000000);
	}
	EXPECT(TUTTI_ETIMEDOUT, tutti_event_wait(event, -5));
	tutti_event_close(event);
	tutti_arena_close(arena);
}

static void wait_for_event(void *context)
{
	(void)context;
	OK(tutti_event_wait(shared_event, tutti_seconds(8)));
	tutti_event_close(shared_event);
}

static void setting_wakes_every_waiter(void **state)
{
	pid_t children[5];
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	for (int i = 0; i < 5; i++)
		children[i] = support_fork(wait_for_event, NULL);
	for (int i = 0; i < 5; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	OK(tutti_event_set(event));
	for (int i = 0; i < 5; i++)
		support_join_child(children[i]);
	tutti_event_close(event);
	tutti_arena_close(arena);
}

/* What the setter wrote before, the waiter sees. */
struct ping_pong {
	tutti_event *ping, *pong;
	uint64_t value;
};

enum { ROUNDS = 3000 };

static void answer_pings(void *context)
{
	struct ping_pong *game = context;
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		OK(tutti_event_wait(game->ping, tutti_seconds(8)));
		OK(tutti_event_clear(game->ping));
		REQUIRE(game->value == 2 * i);
		game->value++;
		OK(tutti_event_set(game->pong));
	}
}

static void what_was_written_before_setting_is_seen_after_waiting(void **state)
{
	(void)state;
	struct ping_pong *game = support_shared(sizeof *game);
	tutti_arena *arena = support_arena(0);
	game->ping = new_event(arena);
	game->pong = new_event(arena);
	pid_t child = support_fork(answer_pings, game);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		game->value = 2 * i;
		OK(tutti_event_set(game->ping));
		OK(tutti_event_wait(game->pong, tutti_seconds(8)));
		OK(tutti_event_clear(game->pong));
		assert_int_equal(game->value, 2 * i + 1);
	}
	support_join_child(child);
	tutti_event_close(game->ping);
	tutti_event_close(game->pong);
	tutti_arena_close(arena);
}

static void set_in_handler(int signal)
{
	(void)signal;
	if (tutti_event_set(shared_event) != TUTTI_OK)
		_exit(9);
}

/* A handler runs again and again amid waits, sets and clears of the same event. */
static void set_under_alarms(void *context)
{
	(void)context;
	struct sigaction action = {.sa_handler = set_in_handler};
	struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
	OK(tutti_event_clear(shared_event));
	alarm(0); /* setitimer and alarm share the timer; the test's own limit stays */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 500; i++) {
		tutti_err err;
		while ((err = tutti_event_wait(shared_event, tutti_seconds(5))) == TUTTI_EINTR)
			;
		REQUIRE(err == TUTTI_OK);
		OK(tutti_event_clear(shared_event));
	}
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	tutti_event_close(shared_event);
}

static void a_signal_handler_may_set_it(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	support_join_child(support_fork(set_under_alarms, NULL));
	tutti_event_close(event);
	tutti_arena_close(arena);
}

static void do_nothing(int signal) { (void)signal; }

static void wait_and_be_interrupted(void *context)
{
	struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &action, NULL);
	store_release((atomic_u32 *)context, 1);
	EXPECT_TEXT(TUTTI_EINTR, "bell", tutti_event_wait(shared_event, tutti_seconds(8)));
	tutti_event_close(shared_event);
}

static void a_signal_interrupts_waiting(void **state)
{
	(void)state;
	atomic_u32 *ready = support_shared(sizeof *ready);
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	pid_t child = support_fork(wait_and_be_interrupted, ready);
	UNTIL(5000, load_acquire(ready) && support_is_asleep(child));
	kill(child, SIGUSR1);
	support_join_child(child);
	tutti_event_close(event);
	tutti_arena_close(arena);
}

static void set_and_die(void *context)
{
	(void)context;
	tutti_event_set(shared_event);
	kill(getpid(), SIGKILL);
}

static void waiters_and_setters_may_be_killed(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_event *event = new_event(arena);
	for (int i = 0; i < 10; i++) {
		pid_t victim = support_fork(wait_for_event, NULL);
		UNTIL(5000, support_is_asleep(victim));
		support_kill(victim);
		pid_t waiter = support_fork(wait_for_event, NULL);
		UNTIL(5000, support_is_asleep(waiter));
		support_wait(support_fork(set_and_die, NULL));
		support_join_child(waiter);
		OK(tutti_event_clear(event));
	}
	tutti_event_close(event);
	tutti_arena_sweep(arena);
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(arena);
}

static bool is_readable(int fd, int milliseconds)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	return poll(&poller, 1, milliseconds) == 1;
}

static void set_and_clear_in_child(void *context)
{
	tutti_event *event = context;
	OK(tutti_event_clear(event));
	tutti_event_close(event);
}

static void its_descriptor_is_lit_while_it_is_set(void **state)
{
	int fd, again;
	tutti_event *event;
	(void)state;
	tutti_arena *arena = support_arena(0);
	OK(tutti_event_open(&event, &(tutti_event_options){.arena = arena}));
	OK(tutti_event_fd(event, &fd));
	OK(tutti_event_fd(event, &again));
	assert_int_equal(fd, again);
	for (int i = 0; i < 20; i++) {
		assert_false(is_readable(fd, 0));
		OK(tutti_event_set(event));
		assert_true(is_readable(fd, 2000));
		assert_true(is_readable(fd, 0));
		OK(tutti_event_clear(event));
	}
	OK(tutti_event_set(event));
	assert_true(is_readable(fd, 2000));
	/* Cleared by another one: dark by the helper's next look. */
	support_join_child(support_fork(set_and_clear_in_child, event));
	UNTIL(2000, !is_readable(fd, 0));
	OK(tutti_event_set(event));
	assert_true(is_readable(fd, 2000));
	tutti_event_close(event);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest event[] = {
		TEST(it_stays_set_until_cleared),        TEST(waiting_ends_at_its_time),
		TEST(setting_wakes_every_waiter),        TEST(what_was_written_before_setting_is_seen_after_waiting),
		TEST(a_signal_handler_may_set_it),       TEST(a_signal_interrupts_waiting),
		TEST(waiters_and_setters_may_be_killed), TEST(its_descriptor_is_lit_while_it_is_set),
	};
	return RUN_TESTS(event);
}
