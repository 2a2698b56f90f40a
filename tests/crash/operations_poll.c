/* SPDX-License-Identifier: MIT */
/*
 * Polling: who waits in a wait set is told within a second, whatever became of those who made something
 * ready. The survivor's set was armed before there was a victim; its checker, a copy of the survivor,
 * waits in it.
 */
#include "arena/member.h"
#include "channel/waitset.h"
#include "messages.h"
#include "ring.h"

enum { SMALL = 64 };

static void open_set(struct stage *stage)
{
	must(tutti_waitset_open(&stage->set, &(tutti_waitset_options){.arena = stage->arena}), "wait set");
}

static void expect_quiet(struct stage *stage)
{
	tutti_wait_item item;
	if (tutti_waitset_next(stage->set, &item, TUTTI_NOW) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a set in which nothing is ready");
}

static void poll_queue(struct stage *stage)
{
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_queue(stage->queue, stage->queue)), "add");
	if (stage->operation->queued == 0)
		expect_quiet(stage);
}

static void poll_event(struct stage *stage)
{
	must(tutti_event_open(&stage->event, &(tutti_event_options){.arena = stage->arena}), "event");
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_event(stage->event, stage->event)), "add");
	expect_quiet(stage);
}

static void poll_lock(struct stage *stage)
{
	open_set(stage);
	must(tutti_lock_acquire(stage->lock, TUTTI_NOW), "acquire");
	must(tutti_waitset_add(stage->set, tutti_wait_lock(stage->lock, stage->lock)), "add");
	expect_quiet(stage);
	must(tutti_lock_release(stage->lock), "release");
}

/* The checker is a member of its own, and goes on with the survivor's set as if it had made it. */
static void adopt_set(struct stage *stage)
{
	struct tutti__poller *poller = &stage->set->poller;
	if (tutti__member_is_dead(stage->arena, load_acquire(&poller->station->owner)))
		fail(HUNG, "the living survivor's station is taken away (owner %#x)", load_relaxed(&poller->station->owner));
	poller->member = tutti__enter(stage->arena);
}

/* Is it reported? Anything that is has to be what was added. */
static bool is_reported(struct stage *stage, const void *key)
{
	tutti_wait_item item;
	adopt_set(stage);
	tutti_err err = tutti_waitset_next(stage->set, &item, tutti_ms(900));
	if (err != TUTTI_OK && err != TUTTI_ETIMEDOUT)
		fail(HUNG, "K1: the wait set answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (err == TUTTI_OK && item.key != key)
		fail(TORN, "the wait set reports what is not in it");
	return err == TUTTI_OK;
}

static void check_polled_queue(struct stage *stage)
{
	static unsigned char bytes[LARGEST];
	size_t size;
	bool reported = is_reported(stage, stage->queue);
	if (!reported && tutti_queue_get_into(stage->queue, bytes, sizeof bytes, &size, TUTTI_NOW) != TUTTI_EEMPTY)
		fail(HUNG, "a message is there, but who polls the queue was not told within a second");
	tutti_waitset_close(stage->set);
	messages_check(stage, false);
	if (reported && board->outcome == 0)
		fail(TORN, "the queue was reported as ready, and nothing is there");
}

static void check_polled_event(struct stage *stage)
{
	bool reported = is_reported(stage, stage->event);
	board->outcome = tutti_event_is_set(stage->event);
	if (board->has_returned && !board->outcome)
		fail(LOST, "the set had returned, but the event is not set");
	if (reported != board->outcome)
		fail(HUNG, "the event is %s, but who polls it was %s", board->outcome ? "set" : "not set",
		     reported ? "told that it is" : "not told within a second");
	tutti_waitset_close(stage->set);
}

/* Held by a dead one, or free: in either case it may be had now. */
static void check_polled_lock(struct stage *stage)
{
	if (!is_reported(stage, stage->lock))
		fail(HUNG, "K3: the lock may be had, but who polls it was not told within a second");
	tutti_err err = tutti_lock_acquire(stage->lock, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_EOWNERDEAD)
		fail(HUNG, "K3: a lock that is reported as ready answers %s", tutti_error_name(err));
	board->outcome = err == TUTTI_OK;
	must(tutti_lock_release(stage->lock), "release");
	tutti_waitset_close(stage->set);
}

static void check_queue_and_set(struct stage *stage)
{
	if (!is_reported(stage, stage->queue))
		fail(HUNG, "a message is there, but who polls the queue beside a dead one was not told");
	tutti_waitset_close(stage->set);
	messages_check(stage, false);
}

static void put(struct stage *stage)
{
	must(tutti_queue_put(stage->queue, stage->bytes[0], stage->operation->size, TUTTI_FOREVER), "put");
}

static void set_event(struct stage *stage) { must(tutti_event_set(stage->event), "set"); }
static void acquire(struct stage *stage) { must(tutti_lock_acquire(stage->lock, TUTTI_FOREVER), "acquire"); }
static void release(struct stage *stage) { must(tutti_lock_release(stage->lock), "release"); }

/* The victim polls too, and has its own station. */
static void poll_once(struct stage *stage)
{
	tutti_wait_item item;
	tutti_waitset *set;
	must(tutti_waitset_open(&set, &(tutti_waitset_options){.arena = stage->arena}), "wait set");
	must(tutti_waitset_add(set, tutti_wait_queue(stage->queue, NULL)), "add");
	must(tutti_waitset_next(set, &item, TUTTI_NOW), "next");
	tutti_waitset_close(set);
}

const struct operation poll_operations[] = {
	{.name = "put, polled by a wait set",
     .adds = 1,
     .size = SMALL,
     .arrange = poll_queue,
     .operate = put,
     .check = check_polled_queue},
	{.name = "event set, polled by a wait set",
     .is_short = true,
     .arrange = poll_event,
     .operate = set_event,
     .check = check_polled_event},
	{.name = "lock release, polled by a wait set",
     .is_short = true,
     .arrange = poll_lock,
     .prepare = acquire,
     .operate = release,
     .check = check_polled_lock},
	{.name = "wait set opened, used and closed",
     .queued = 1,
     .size = SMALL,
     .arrange = poll_queue,
     .operate = poll_once,
     .check = check_queue_and_set},
	{.name = NULL},
};
