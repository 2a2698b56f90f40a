/* SPDX-License-Identifier: MIT */
/* Condition and barrier: a notification is acted on or passed on; a party that had arrived breaks the round. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tutti/wait.h>

#include "ring.h"
#include "sync/condition.h"
#include "world.h"

static void expect(tutti_err got, tutti_err wanted, enum harm harm, const char *what)
{
	if (got != wanted)
		fail(harm, "%s answers %s, where %s is due: %s", what, tutti_error_name(got), tutti_error_name(wanted),
		     tutti_last_error());
}

/* --- condition -------------------------------------------------------------------------------------------------- */

enum { INLINE_ENTRIES = 3 };

static void open_condition(struct stage *stage)
{
	must(tutti_condition_open(&stage->condition, &(tutti_condition_options){.arena = stage->arena}), "condition");
}

static void enlist(struct stage *stage) { must(tutti_condition_enlist(stage->condition, &stage->ticket), "enlist"); }

static void survivor_waits(struct stage *stage)
{
	open_condition(stage);
	enlist(stage);
}

static void enlist_and_leave(struct stage *stage)
{
	enlist(stage);
	tutti_condition_leave(stage->condition, stage->ticket);
}

static void fill_entries(struct stage *stage)
{
	for (unsigned i = 0; i < INLINE_ENTRIES; i++)
		enlist(stage);
}

static void notify(struct stage *stage) { must(tutti_condition_notify(stage->condition, 1, NULL), "notify"); }

static void be_notified(struct stage *stage)
{
	enlist(stage);
	notify(stage);
}

static void sleep_on_ticket(struct stage *stage)
{
	must(tutti_condition_sleep(stage->condition, stage->ticket, TUTTI_FOREVER), "sleep");
}

static void sleep_in_vain(struct stage *stage)
{
	if (tutti_condition_sleep(stage->condition, stage->ticket, tutti_ms(1)) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a condition that nobody notifies");
}

static void leave(struct stage *stage) { tutti_condition_leave(stage->condition, stage->ticket); }

/* The victim's sleep: it is notified there, as if by somebody who did so at once. */
static struct stage *waiting_stage;

static int notify_instead_of_sleeping(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	(void)word, (void)expected, (void)deadline;
	notify(waiting_stage);
	board->was_notified = true;
	return 0;
}

/* The wait is given up in the moment in which it is notified. */
static int notify_and_interrupt(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	notify_instead_of_sleeping(word, expected, deadline);
	return EINTR;
}

static void prepare_wait(struct stage *stage)
{
	waiting_stage = stage;
	board->was_notified = false;
	tutti_wait_policy_set(&(tutti_wait_policy){.spin = TUTTI_SPIN_OFF}); /* steps */
	must(tutti_lock_acquire(stage->lock, TUTTI_NOW), "acquire");
	tutti__os.futex_wait = notify_instead_of_sleeping;
}

static void prepare_interrupted_wait(struct stage *stage)
{
	prepare_wait(stage);
	tutti__os.futex_wait = notify_and_interrupt;
}

static void wait_with_lock(struct stage *stage)
{
	must(tutti_condition_wait(stage->condition, stage->lock, TUTTI_FOREVER), "wait");
}

/* Before anybody recovers: what is owed to somebody else; then the checker waits in line behind the victim. */
static void stand_in_line(struct stage *stage)
{
	stage->victim_held_lock = tutti_lock_holder(stage->lock) == -1;
	stage->pending = tutti__condition_pending(stage->condition);
	enlist(stage);
}

/* The condition goes on working, for one that comes now. */
static void use_condition(struct stage *stage)
{
	uint32_t count;
	expect(tutti_condition_notify(stage->condition, UINT32_MAX, &count), TUTTI_OK, TORN, "notify all");
	enlist(stage);
	expect(tutti_condition_notify(stage->condition, 1, &count), TUTTI_OK, TORN, "notify");
	if (count != 1)
		fail(LOST, "the condition notified %u, where one waits", count);
	expect(tutti_condition_sleep(stage->condition, stage->ticket, TUTTI_NOW), TUTTI_OK, LOST, "a notified sleep");
	enlist(stage);
	expect(tutti_condition_sleep(stage->condition, stage->ticket, TUTTI_NOW), TUTTI_ETIMEDOUT, TORN, "a sleep");
}

/* What the victim had been told and not acted on reaches the next, within a second; and nothing else does. */
static void check_passed_on(struct stage *stage)
{
	bool owed = stage->pending > 0;
	expect(tutti_condition_sleep(stage->condition, stage->ticket, owed ? TUTTI_FOREVER : tutti_ms(1)),
	       owed ? TUTTI_OK : TUTTI_ETIMEDOUT, LOST, "the sleep of the next in line");
	if (board->has_returned && owed)
		fail(TORN, "the sleep had returned, and its notification was given again");
	use_condition(stage);
}

static void check_waited(struct stage *stage)
{
	if (board->was_notified && stage->pending == 0 && !stage->victim_held_lock)
		fail(LOST, "the notification is gone, though its waiter was killed before it had the lock back");
	check_passed_on(stage);
	expect(tutti_lock_acquire(stage->lock, tutti_seconds(0.5)), stage->victim_held_lock ? TUTTI_EOWNERDEAD : TUTTI_OK,
	       HUNG, "the lock of the condition");
	expect(tutti_lock_release(stage->lock), TUTTI_OK, TORN, "its release");
}

/* The survivor's process waits; it is notified or not. */
static void check_notified(struct stage *stage)
{
	uint32_t waiters = tutti_condition_waiters(stage->condition);
	board->outcome = waiters == 0;
	if (board->has_returned && waiters != 0)
		fail(LOST, "the notify had returned, and its waiter still waits");
	use_condition(stage);
}

static void check_nobody_waits(struct stage *stage)
{
	tutti_arena_sweep(stage->arena);
	if (tutti_condition_waiters(stage->condition) != 0)
		fail(TORN, "a dead member still waits");
	use_condition(stage);
}

const struct operation condition_operations[] = {
	{.name = "condition enlist and leave",
     .is_short = true,
     .arrange = open_condition,
     .operate = enlist_and_leave,
     .check = check_nobody_waits},
	{.name = "condition enlist, chains a block",
     .arrange = open_condition,
     .prepare = fill_entries,
     .operate = enlist,
     .check = check_nobody_waits},
	{.name = "condition notify",
     .is_short = true,
     .arrange = survivor_waits,
     .operate = notify,
     .check = check_notified},
	{.name = "condition sleep, notified",
     .arrange = open_condition,
     .prepare = be_notified,
     .operate = sleep_on_ticket,
     .look = stand_in_line,
     .check = check_passed_on},
	{.name = "condition sleep, timed out",
     .arrange = open_condition,
     .prepare = enlist,
     .operate = sleep_in_vain,
     .look = stand_in_line,
     .check = check_passed_on},
	{.name = "condition leave, notified",
     .is_short = true,
     .arrange = open_condition,
     .prepare = be_notified,
     .operate = leave,
     .look = stand_in_line,
     .check = check_passed_on},
	{.name = "condition wait",
     .arrange = open_condition,
     .prepare = prepare_wait,
     .operate = wait_with_lock,
     .look = stand_in_line,
     .check = check_waited},
	{.name = "condition wait, interrupted and notified at once",
     .arrange = open_condition,
     .prepare = prepare_interrupted_wait,
     .operate = wait_with_lock,
     .look = stand_in_line,
     .check = check_waited},
	{.name = NULL},
};

/* --- barrier ---------------------------------------------------------------------------------------------------- */

static void open_barrier(struct stage *stage, uint32_t parties)
{
	must(tutti_barrier_open(&stage->barrier, parties, &(tutti_barrier_options){.arena = stage->arena}), "barrier");
}

static void open_for_one(struct stage *stage) { open_barrier(stage, 1); }
static void open_for_two(struct stage *stage) { open_barrier(stage, 2); }

/* A member that has arrived and stands still: it sleeps, and is stopped so that its tick changes nothing. */
static void party_waits(struct stage *stage)
{
	open_for_two(stage);
	stage->party = fork();
	if (stage->party == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		tutti_wait_policy_set(&(tutti_wait_policy){.spin = TUTTI_SPIN_OFF});
		tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_FOREVER);
		_exit(0);
	}
	int64_t deadline = tutti__deadline(tutti_seconds(5));
	while (tutti_barrier_waiting(stage->barrier) != 1)
		if (tutti__os.clock_now() > deadline || sched_yield() != 0)
			must(TUTTI_ETIMEDOUT, "the party's arrival");
	siginfo_t info;
	kill(stage->party, SIGSTOP);
	must(waitid(P_PID, (id_t)stage->party, &info, WSTOPPED | WNOWAIT) == 0 ? TUTTI_OK : TUTTI_ESYSTEM, "stop");
}

static void abort_barrier(struct stage *stage) { must(tutti_barrier_abort(stage->barrier), "abort"); }
static void reset_barrier(struct stage *stage) { must(tutti_barrier_reset(stage->barrier), "reset"); }

static void pass_barrier(struct stage *stage)
{
	must(tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_FOREVER), "wait");
}

static bool do_nothing(void *context) { return context != NULL; }

static void pass_with_action(struct stage *stage)
{
	must(tutti_barrier_wait(stage->barrier, do_nothing, stage, NULL, TUTTI_FOREVER), "wait");
}

static void wait_in_vain(struct stage *stage)
{
	if (tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, tutti_ms(1)) != TUTTI_EBROKEN)
		must(TUTTI_EINVAL, "a barrier to which nobody comes");
}

static void pass_in_steps(struct stage *stage)
{
	uint64_t ticket;
	must(tutti_barrier_enlist(stage->barrier, &ticket), "enlist");
	must(tutti_barrier_try(stage->barrier, ticket, do_nothing, stage, NULL), "try");
}

static void arrive_and_leave(struct stage *stage)
{
	uint64_t ticket;
	must(tutti_barrier_enlist(stage->barrier, &ticket), "enlist");
	if (tutti_barrier_try(stage->barrier, ticket, NULL, NULL, NULL) != TUTTI_EBUSY)
		must(TUTTI_EINVAL, "a barrier to which nobody comes");
	tutti_barrier_leave(stage->barrier, ticket, false);
}

static void look_at_barrier(struct stage *stage)
{
	stage->arrived = tutti_barrier_waiting(stage->barrier);
	stage->was_broken = tutti_barrier_is_broken(stage->barrier);
}

/* The party that stood still ends too; then the barrier is whole again for who comes. */
static void use_barrier(struct stage *stage)
{
	if (stage->party)
		world_declare_dead(stage->party);
	tutti_arena_sweep(stage->arena);
	expect(tutti_barrier_reset(stage->barrier), TUTTI_OK, TORN, "reset");
	if (tutti_barrier_is_broken(stage->barrier) || tutti_barrier_waiting(stage->barrier) != 0)
		fail(TORN, "a barrier that was reset is broken, or not empty");
	expect(tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_NOW),
	       tutti_barrier_parties(stage->barrier) == 1 ? TUTTI_OK : TUTTI_EBROKEN, HUNG, "a wait after the reset");
}

/* For one party: who had arrived and was killed has broken it; any other has left nothing. */
static void check_alone(struct stage *stage)
{
	bool is_broken = stage->was_broken || stage->arrived > 0;
	if (board->has_returned && is_broken)
		fail(TORN, "the wait had returned, and the party is still there");
	expect(tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, tutti_seconds(5)), is_broken ? TUTTI_EBROKEN : TUTTI_OK,
	       HUNG, "the next wait");
	use_barrier(stage);
}

/* For two: the same, but who comes before the death is noticed completes the round. */
static void check_first_of_two(struct stage *stage)
{
	bool is_broken = stage->was_broken || stage->arrived > 0;
	if (board->has_returned && !stage->was_broken)
		fail(TORN, "the wait had returned, but the barrier is not broken");
	if (stage->way == SWEEP_FIRST && tutti_barrier_is_broken(stage->barrier) != is_broken)
		fail(TORN, "%u had arrived and was killed, but the barrier is %s", stage->arrived,
		     is_broken ? "whole" : "broken");
	bool completes = stage->way != SWEEP_FIRST && stage->arrived > 0 && !stage->was_broken;
	expect(tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_NOW), completes ? TUTTI_OK : TUTTI_EBROKEN, TORN,
	       "the next wait");
	use_barrier(stage);
}

/* In steps: the same, but who has left has broken nothing. */
static void check_left(struct stage *stage)
{
	bool is_broken = stage->arrived > 0;
	if (board->has_returned && is_broken)
		fail(TORN, "the party had left, and is still there");
	if (stage->way == SWEEP_FIRST && tutti_barrier_is_broken(stage->barrier) != is_broken)
		fail(TORN, "%u had arrived and was killed, but the barrier is %s", stage->arrived,
		     is_broken ? "whole" : "broken");
	use_barrier(stage);
}

/* The living party is released, or still waits, or was told that it broke; never waits for a round that has passed. */
static void check_with_party(struct stage *stage)
{
	tutti_arena_sweep(stage->arena);
	bool is_over = tutti_barrier_waiting(stage->barrier) == 0;
	if (board->has_returned && !is_over)
		fail(LOST, "the operation had returned, and the party still waits");
	board->outcome = is_over;
	use_barrier(stage);
}

static void check_aborted(struct stage *stage)
{
	board->outcome = tutti_barrier_is_broken(stage->barrier);
	if (board->has_returned && !board->outcome)
		fail(LOST, "the abort had returned, but the barrier is whole");
	use_barrier(stage);
}

static void check_reset(struct stage *stage)
{
	tutti_arena_sweep(stage->arena);
	board->outcome = !tutti_barrier_is_broken(stage->barrier);
	if (board->has_returned && !board->outcome)
		fail(LOST, "the reset had returned, but the barrier is broken");
	use_barrier(stage);
}

const struct operation barrier_operations[] = {
	{.name = "barrier wait, alone",
     .arrange = open_for_one,
     .operate = pass_barrier,
     .look = look_at_barrier,
     .check = check_alone},
	{.name = "barrier wait, alone, an action",
     .arrange = open_for_one,
     .operate = pass_with_action,
     .look = look_at_barrier,
     .check = check_alone},
	{.name = "barrier wait, first of two, timed out",
     .arrange = open_for_two,
     .operate = wait_in_vain,
     .look = look_at_barrier,
     .check = check_first_of_two},
	{.name = "barrier wait, last of two",
     .arrange = party_waits,
     .operate = pass_barrier,
     .look = look_at_barrier,
     .check = check_with_party},
	{.name = "barrier wait, last of two, an action",
     .arrange = party_waits,
     .operate = pass_with_action,
     .look = look_at_barrier,
     .check = check_with_party},
	{.name = "barrier in steps, first of two, left",
     .arrange = open_for_two,
     .operate = arrive_and_leave,
     .look = look_at_barrier,
     .check = check_left},
	{.name = "barrier in steps, last of two, an action",
     .arrange = party_waits,
     .operate = pass_in_steps,
     .look = look_at_barrier,
     .check = check_with_party},
	{.name = "barrier abort",
     .is_short = true,
     .arrange = open_for_two,
     .operate = abort_barrier,
     .check = check_aborted},
	{.name = "barrier abort, a party waits",
     .arrange = party_waits,
     .operate = abort_barrier,
     .check = check_with_party},
	{.name = "barrier reset, broken",
     .is_short = true,
     .arrange = open_for_two,
     .prepare = abort_barrier,
     .operate = reset_barrier,
     .check = check_reset},
	{.name = "barrier reset, a party waits",
     .arrange = party_waits,
     .operate = reset_barrier,
     .check = check_with_party},
	{.name = NULL},
};
