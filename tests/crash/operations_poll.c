/* SPDX-License-Identifier: MIT */
/*
 * Polling: who waits in a wait set is told within a second, whatever became of those who made something
 * ready. The survivor's set was armed before there was a victim; its checker, a copy of the survivor,
 * waits in it.
 */
#include <string.h>

#include "arena/member.h"
#include "channel/queue.h"
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

/* Room, and that all is done, have descriptors alone: here their helper's part is played by hand. */
static struct {
	struct tutti__poller poller;
	struct tutti__poll_source source;
	bool is_told;
} hand;

static void note(struct tutti__poll_source *source)
{
	(void)source;
	hand.is_told = true;
}

static bool has_room(void *shared) { return tutti__queue_has_room(shared, 1); }

static void poll_by_hand(struct stage *stage, struct tutti__pollable *pollable, bool (*is_ready)(void *shared))
{
	memset(&hand, 0, sizeof hand);
	must(tutti__poller_init(&hand.poller, stage->arena, tutti__enter(stage->arena)), "poller");
	hand.source.watch =
		(struct tutti__watch){.pollable = pollable, .is_ready = is_ready, .context = stage->own_queue->shared};
	hand.source.on_ready = note;
	tutti__poller_add(&hand.poller, &hand.source);
	must(hand.is_told ? TUTTI_EINVAL : TUTTI_OK, "what is not ready yet");
}

static void open_with_one(struct stage *stage, const tutti_queue_options *options)
{
	must(tutti_queue_open(&stage->own_queue, options), "queue");
	must(tutti_queue_put(stage->own_queue, stage->bytes[0], SMALL, TUTTI_NOW), "put");
}

static void poll_room(struct stage *stage)
{
	open_with_one(stage, &(tutti_queue_options){.arena = stage->arena, .max_items = 1});
	poll_by_hand(stage, &stage->own_queue->shared->room_pollable, has_room);
}

static void poll_done(struct stage *stage)
{
	open_with_one(stage, &(tutti_queue_options){.arena = stage->arena, .joinable = true});
	poll_by_hand(stage, &stage->own_queue->shared->done_pollable, tutti__queue_may_be_done);
}

static void wait_by_hand(struct stage *stage)
{
	struct tutti__wait_point *point = &hand.poller.station->point;
	int64_t deadline = tutti__deadline(tutti_ms(900));
	hand.poller.member = tutti__enter(stage->arena); /* as adopt_set() */
	while (!hand.is_told && tutti__os.clock_now() < deadline) {
		int64_t tick = tutti__deadline(TUTTI__IDLE_TICK);
		tutti__poller_collect(&hand.poller);
		tutti__poller_scan_if_due(&hand.poller);
		tutti__look_after_the_dead(stage->arena);
		if (!hand.is_told && load_relaxed(&hand.poller.station->lines) == 0)
			tutti__os.futex_wait(&point->word, load_relaxed(&point->word), tick < deadline ? tick : deadline);
	}
	tutti__poller_fini(&hand.poller);
}

static void check_told(bool is_ready, const char *what)
{
	board->outcome = is_ready;
	if (board->has_returned && !is_ready)
		fail(LOST, "the operation had returned, but there is no %s", what);
	if (is_ready != hand.is_told)
		fail(HUNG, "there is %s%s, but who polls for it was %s", is_ready ? "" : "no ", what,
		     hand.is_told ? "told" : "not told within a second");
}

static void check_room(struct stage *stage)
{
	wait_by_hand(stage);
	tutti_err err = tutti_queue_put(stage->own_queue, stage->bytes[0], SMALL, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_EFULL)
		fail(HUNG, "K1: put answers %s: %s", tutti_error_name(err), tutti_last_error());
	tutti_queue_close(stage->own_queue);
	check_told(err == TUTTI_OK, "room");
}

static void check_done(struct stage *stage)
{
	wait_by_hand(stage);
	tutti_err err = tutti_queue_join(stage->own_queue, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_ETIMEDOUT)
		fail(HUNG, "K1: join answers %s: %s", tutti_error_name(err), tutti_last_error());
	tutti_queue_close(stage->own_queue);
	check_told(err == TUTTI_OK, "end of all work");
}

static void get(struct stage *stage)
{
	char buffer[SMALL];
	must(tutti_queue_get_into(stage->own_queue, buffer, sizeof buffer, NULL, TUTTI_FOREVER), "get");
}

static void end_task(struct stage *stage) { must(tutti_queue_task_done(stage->own_queue), "task_done"); }

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
	{.name = "get, room is polled", .arrange = poll_room, .operate = get, .check = check_room},
	{.name = "task_done, the end is polled",
     .arrange = poll_done,
     .prepare = get,
     .operate = end_task,
     .check = check_done},
	{.name = "wait set opened, used and closed",
     .queued = 1,
     .size = SMALL,
     .arrange = poll_queue,
     .operate = poll_once,
     .check = check_queue_and_set},
	{.name = NULL},
};
