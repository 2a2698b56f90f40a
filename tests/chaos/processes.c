/* SPDX-License-Identifier: MIT */
/*
 * Members as processes: killed by SIGKILL at random moments, stopped and continued, and
 * replaced. Every second one inherits the world by fork, the others join by descriptor.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos.h"

enum { MAX_MEMBERS = 64 };
static const int64_t PATIENCE = 5000000000; /* ns without a heartbeat: hung */

/* What the coordinator knows of a member. */
struct place {
	pid_t pid; /* 0: empty */
	uint32_t life;
	uint32_t heartbeat; /* when last looked at */
	int64_t seen; /* when it had changed */
};

static struct place places[MAX_MEMBERS];
static uint32_t next_life;

static _Noreturn void live_in_child(const struct options *options, const struct world *world, uint32_t number)
{
	static struct member member;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	member_begin(&member, number, options->seed);
	if (number % 2 == 0)
		member.world = *world;
	else if (!world_join(&member.world, world))
		exit(0);
	member_live(&member, NULL);
	member_end(&member);
	world_close(&member.world, number % 2 != 0);
	exit(0);
}

static void start(const struct options *options, const struct world *world, struct place *place)
{
	uint32_t number = next_life;
	if (number == LIVES)
		return;
	atomic_store(&ledger->lives[number].state, LIFE_RUNS);
	fflush(NULL);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		if (getppid() != parent)
			_exit(0);
		live_in_child(options, world, number);
	}
	if (pid < 0) {
		ledger_fail(CHECK_ERROR, "fork failed");
		return;
	}
	next_life++;
	*place = (struct place){.pid = pid, .life = number, .seen = chaos_now()};
}

/* A member's end, and whether it was one of those that may be. */
static void note_end(struct place *place, int status, bool killed)
{
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!clean && !killed)
		ledger_fail(CHECK_ERROR, "life %u (pid %d) ended with wait status %#x", place->life, (int)place->pid,
		            (unsigned)status);
	ledger_count(COUNT_EXITS, clean);
	atomic_store(&ledger->lives[place->life].state, clean ? LIFE_ENDED : LIFE_KILLED);
	place->pid = 0;
}

static void reap_ended(struct place *place)
{
	int status;
	if (place->pid && waitpid(place->pid, &status, WNOHANG) == place->pid)
		note_end(place, status, false);
}

static void kill_member(struct place *place)
{
	int status;
	kill(place->pid, SIGKILL);
	while (waitpid(place->pid, &status, 0) < 0 && errno == EINTR)
		;
	ledger_count(COUNT_KILLS, 1);
	note_end(place, status, true);
}

/* Stopped, it holds what it holds; the others must go on or be told so. */
static void stop_for_a_while(struct place *place, int64_t nanoseconds)
{
	kill(place->pid, SIGSTOP);
	chaos_pause(nanoseconds);
	kill(place->pid, SIGCONT);
	place->seen = chaos_now();
	ledger_count(COUNT_STOPS, 1);
}

static void look_for_hung(struct place *place)
{
	struct life *life = &ledger->lives[place->life];
	uint32_t heartbeat = atomic_load(&life->heartbeat);
	if (heartbeat != place->heartbeat) {
		place->heartbeat = heartbeat;
		place->seen = chaos_now();
	} else if (chaos_now() - place->seen > PATIENCE) {
		ledger_fail(CHECK_HUNG, "life %u (pid %d) in operation %u after %u operations", place->life, (int)place->pid,
		            atomic_load(&life->operation), heartbeat);
		kill_member(place);
	}
}

static void disturb(struct member *dice, struct place *place)
{
	uint32_t choice = member_random(dice, 10);
	if (place->pid == 0)
		return;
	if (choice < 6)
		kill_member(place);
	else if (choice < 8)
		stop_for_a_while(place, member_random(dice, 30000000));
}

/* All are told to stop; who does not end hangs. */
static void end_all(const struct options *options)
{
	bool any = true;
	int64_t end = chaos_now() + 2 * PATIENCE;
	atomic_store(&ledger->stop, 1);
	while (any && chaos_now() < end) {
		any = false;
		for (unsigned i = 0; i < options->members; i++) {
			reap_ended(&places[i]);
			any |= places[i].pid != 0;
		}
		chaos_pause(1000000);
	}
	for (unsigned i = 0; i < options->members; i++)
		if (places[i].pid) {
			ledger_fail(CHECK_HUNG, "life %u did not end, in operation %u", places[i].life,
			            atomic_load(&ledger->lives[places[i].life].operation));
			kill_member(&places[i]);
		}
}

void run_processes(const struct options *options, const struct world *world)
{
	struct member dice = {.random = options->seed * 2 + 1};
	int64_t end = chaos_now() + (int64_t)(options->seconds * 1e9);
	while (chaos_now() < end && next_life < LIVES) {
		for (unsigned i = 0; i < options->members; i++) {
			reap_ended(&places[i]);
			if (places[i].pid == 0)
				start(options, world, &places[i]);
			else
				look_for_hung(&places[i]);
		}
		chaos_pause(member_random(&dice, 12000000));
		disturb(&dice, &places[member_random(&dice, options->members)]);
	}
	end_all(options);
}
