/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "os/identity.h"
#include "world.h"

enum {
	CALL_TIME = 200, /* ns that a look at the clock takes in bent time */
	MAX_SLEEPS = 64, /* in one operation */
	REAL_LIMIT = 5, /* s; for a machine that does other things as well */
};
static const int64_t PROMISED = 1000000000; /* ns */

static int64_t now, begun;
static unsigned sleeps;
static bool is_bent;
static const char *doing = "nothing";

static bool is_on_board(const struct tutti__identity *identity)
{
	uint32_t count = load_acquire(&board->dead_count);
	for (uint32_t i = 0; i < count; i++)
		if (board->dead[i] == identity->pid)
			return true;
	return false;
}

static bool bent_is_alive(const struct tutti__identity *identity)
{
	return !is_on_board(identity) && tutti__identity_is_alive(identity);
}

static bool board_is_alive(const struct tutti__identity *identity) { return !is_on_board(identity); }

void world_trust_board(void) { tutti__os.is_alive = board_is_alive; }

void world_bend_death(void) { tutti__os.is_alive = bent_is_alive; }

void world_declare_dead(pid_t pid)
{
	uint32_t count = load_relaxed(&board->dead_count);
	board->dead[count] = pid;
	store_release(&board->dead_count, count + 1);
}

void world_forget_dead(void) { store_release(&board->dead_count, 0); }

static int64_t bent_clock_now(void) { return now += CALL_TIME; }

static void look_at_the_time(void)
{
	if (now - begun > PROMISED || sleeps > MAX_SLEEPS)
		fail(HUNG, "K1: %s waits for the dead (%u sleeps, %lld ms)", doing, sleeps,
		     (long long)((now - begun) / 1000000));
}

static int bent_futex_wait(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	if (load_acquire(word) != expected)
		return 0;
	sleeps++;
	if (deadline == INT64_MAX)
		fail(HUNG, "K1: %s sleeps without a tick", doing);
	if (deadline > now)
		now = deadline;
	look_at_the_time();
	return ETIMEDOUT;
}

static int bent_futex_wake(atomic_u32 *word, int count)
{
	(void)word, (void)count;
	return 0;
}

void world_bend_time(void)
{
	now = tutti__os.clock_now();
	is_bent = true;
	tutti__os.clock_now = bent_clock_now;
	tutti__os.futex_wait = bent_futex_wait;
	tutti__os.futex_wake = bent_futex_wake;
}

bool world_time_is_bent(void) { return is_bent; }

void world_begin(const char *what)
{
	doing = what;
	begun = now;
	sleeps = 0;
	alarm(REAL_LIMIT);
}

void world_end(void)
{
	if (is_bent)
		look_at_the_time();
	alarm(0);
	doing = "nothing";
}
