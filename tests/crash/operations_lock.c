/* SPDX-License-Identifier: MIT */
/* The lock: K3 says that the next one who asks is told of a killed holder, exactly then. */
#include <sys/wait.h>
#include <unistd.h>

#include "ring.h"
#include "world.h"

/* Is told before anybody recovers: -1 stands for a holder that is dead. */
static void look_at_lock(struct stage *stage) { stage->victim_held_lock = tutti_lock_holder(stage->lock) == -1; }

static void expect(tutti_err got, tutti_err wanted, const char *what)
{
	if (got != wanted)
		fail(wanted == TUTTI_EOWNERDEAD || got == TUTTI_EOWNERDEAD ? TORN : HUNG,
		     "K3: %s answers %s, where %s is due: %s", what, tutti_error_name(got), tutti_error_name(wanted),
		     tutti_last_error());
}

/* The next who asks is told, if there is something to tell; the one after that is not. */
static void check_lock(struct stage *stage)
{
	tutti_time timeout = stage->way == SWEEP_FIRST ? TUTTI_NOW : TUTTI_FOREVER;
	expect(tutti_lock_acquire(stage->lock, timeout), stage->victim_held_lock ? TUTTI_EOWNERDEAD : TUTTI_OK,
	       "the first acquire");
	expect(tutti_lock_acquire(stage->lock, TUTTI_NOW), TUTTI_EBUSY, "an acquire of a held lock");
	expect(tutti_lock_release(stage->lock), TUTTI_OK, "the release");
	expect(tutti_lock_acquire(stage->lock, TUTTI_NOW), TUTTI_OK, "the second acquire");
	expect(tutti_lock_release(stage->lock), TUTTI_OK, "the second release");
}

static void check_acquired(struct stage *stage)
{
	if (board->has_returned && !stage->victim_held_lock)
		fail(TORN, "K3: the acquire had returned, but the lock was not held");
	board->outcome = stage->victim_held_lock;
	check_lock(stage);
}

static void check_released(struct stage *stage)
{
	if (board->has_returned && stage->victim_held_lock)
		fail(TORN, "K3: the release had returned, but the lock was held");
	board->outcome = !stage->victim_held_lock;
	check_lock(stage);
}

static void acquire(struct stage *stage) { must(tutti_lock_acquire(stage->lock, TUTTI_FOREVER), "acquire"); }
static void release(struct stage *stage) { must(tutti_lock_release(stage->lock), "release"); }

/* Whoever was told and is killed himself leaves the next one to be told. */
static void die_holding_lock(struct stage *stage)
{
	pid_t pid = fork();
	if (pid == 0) {
		acquire(stage);
		_exit(0); /* not exit(): nobody is told */
	}
	waitpid(pid, NULL, 0);
}

static void abandon(struct stage *stage)
{
	die_holding_lock(stage);
	tutti_arena_sweep(stage->arena);
}

static void acquire_abandoned(struct stage *stage)
{
	if (tutti_lock_acquire(stage->lock, TUTTI_NOW) != TUTTI_EOWNERDEAD)
		must(TUTTI_EINVAL, "an abandoned lock");
}

static void check_still_told(struct stage *stage)
{
	if (!stage->victim_held_lock)
		fail(TORN, "K3: an abandoned lock is free before anybody was told and released it");
	check_lock(stage);
}

/* The survivor holds it, the victim asks in vain. */
static void survivor_acquires(struct stage *stage) { must(tutti_lock_acquire(stage->lock, TUTTI_NOW), "acquire"); }

static void acquire_in_vain(struct stage *stage)
{
	if (tutti_lock_acquire(stage->lock, tutti_ms(1)) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a lock that the survivor holds");
}

static void check_held_by_survivor(struct stage *stage)
{
	expect(tutti_lock_acquire(stage->lock, tutti_ms(10)), TUTTI_ETIMEDOUT, "an acquire of the survivor's lock");
	world_declare_dead(getppid());
	stage->victim_held_lock = true;
	check_lock(stage);
}

static void open_lock(struct stage *stage)
{
	must(tutti_lock_open(&stage->own_lock, &(tutti_lock_options){.arena = stage->arena}), "open");
}

static void close_lock(struct stage *stage) { tutti_lock_close(stage->own_lock); }

static void find_lock(struct stage *stage)
{
	must(tutti_lock_at(&stage->own_lock, stage->arena, tutti_lock_handle(stage->lock)), "at");
}

static void check_nothing(struct stage *stage) { (void)stage; }

static void open_event(struct stage *stage)
{
	must(tutti_event_open(&stage->event, &(tutti_event_options){.arena = stage->arena}), "event");
}

static void set_event(struct stage *stage) { must(tutti_event_set(stage->event), "set"); }

static void check_event(struct stage *stage)
{
	board->outcome = tutti_event_is_set(stage->event);
	if (board->has_returned && !board->outcome)
		fail(LOST, "the set had returned, but the event is not set");
	expect(tutti_event_wait(stage->event, TUTTI_NOW), board->outcome ? TUTTI_OK : TUTTI_ETIMEDOUT, "a wait");
	expect(tutti_event_set(stage->event), TUTTI_OK, "the next set");
	expect(tutti_event_wait(stage->event, TUTTI_FOREVER), TUTTI_OK, "the wait after it");
	expect(tutti_event_clear(stage->event), TUTTI_OK, "clear");
	expect(tutti_event_wait(stage->event, TUTTI_NOW), TUTTI_ETIMEDOUT, "a wait after clear");
}

const struct operation lock_operations[] = {
	{.name = "lock acquire", .is_short = true, .operate = acquire, .look = look_at_lock, .check = check_acquired},
	{.name = "lock release",
     .is_short = true,
     .prepare = acquire,
     .operate = release,
     .look = look_at_lock,
     .check = check_released},
	{.name = "lock acquire, abandoned",
     .arrange = abandon,
     .operate = acquire_abandoned,
     .look = look_at_lock,
     .check = check_still_told},
	{.name = "lock acquire, timed out",
     .arrange = survivor_acquires,
     .operate = acquire_in_vain,
     .check = check_held_by_survivor},
	{.name = "lock acquire, holder dead",
     .arrange = die_holding_lock,
     .operate = acquire_abandoned,
     .look = look_at_lock,
     .check = check_still_told},
	{.name = "lock open", .operate = open_lock, .check = check_nothing},
	{.name = "lock at", .operate = find_lock, .check = check_lock, .look = look_at_lock},
	{.name = "lock close", .prepare = open_lock, .operate = close_lock, .check = check_nothing},
	{.name = "event set", .is_short = true, .arrange = open_event, .operate = set_event, .check = check_event},
	{.name = NULL},
};
