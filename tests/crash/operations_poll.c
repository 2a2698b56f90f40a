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
#include "world.h"

enum { SMALL = 64 };

/* The survivor's, inherited by victim and checker. */
static tutti_pipe *near, *far;
static tutti_queue *jobs;

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

static void poll_rlock(struct stage *stage)
{
	must(tutti_rlock_open(&stage->rlock, &(tutti_rlock_options){.arena = stage->arena}), "rlock");
	must(tutti_rlock_acquire(stage->rlock, TUTTI_NOW), "acquire");
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_rlock(stage->rlock, stage->rlock)), "add");
	expect_quiet(stage);
	must(tutti_rlock_release(stage->rlock), "release");
}

static void poll_semaphore(struct stage *stage)
{
	must(tutti_semaphore_open(&stage->semaphore, 1, &(tutti_semaphore_options){.arena = stage->arena}), "semaphore");
	must(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), "acquire");
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_semaphore(stage->semaphore, stage->semaphore)), "add");
	expect_quiet(stage);
	must(tutti_semaphore_release(stage->semaphore, 1), "release");
}

static void poll_jobs(struct stage *stage)
{
	must(tutti_queue_open(&jobs, &(tutti_queue_options){.arena = stage->arena, .joinable = true}), "queue");
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_queue(jobs, jobs)), "add");
	expect_quiet(stage);
	must(message_put(jobs, SMALL, 0, TUTTI_NOW), "put");
}

/* The survivor polls the near end; the victim finds the far one in the queue. */
static void poll_pipe(struct stage *stage)
{
	must(tutti_pipe_open(&near, &far, &(tutti_pipe_options){.arena = stage->arena}), "pipe");
	open_set(stage);
	must(tutti_waitset_add(stage->set, tutti_wait_pipe(near, near)), "add");
	expect_quiet(stage);
	must(message_put_with(stage->queue, SMALL, 0, tutti_pipe_handle(far)), "put_with");
	tutti_pipe_close(far);
}

/* The checker is a member of its own, and goes on with the survivor's set as if it had made it. */
static void adopt_set(struct stage *stage)
{
	struct tutti__poller *poller = &stage->set->poller;
	if (tutti__member_is_dead(stage->arena, load_acquire(&poller->station->owner)))
		fail(HUNG, "the living survivor's station is taken away (owner %#x)", load_relaxed(&poller->station->owner));
	poller->member = tutti__enter(stage->arena);
}

/*
 * What is not ready with certainty, with nobody to repair anything, is waited for less long where that takes real
 * time, but for one tick: only a false report could come, and in bent time one is waited for as long as ever.
 */
static tutti_time patience_for(bool may_be_ready) { return tutti_ms(may_be_ready || world_time_is_bent() ? 900 : 300); }

/* Is it reported? Anything that is has to be what was added. */

static bool is_reported_if(struct stage *stage, const void *key, bool may_be_ready)
{
	tutti_wait_item item;
	adopt_set(stage);
	tutti_err err = tutti_waitset_next(stage->set, &item, patience_for(may_be_ready));
	if (err != TUTTI_OK && err != TUTTI_ETIMEDOUT)
		fail(HUNG, "K1: the wait set answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (err == TUTTI_OK && item.key != key)
		fail(TORN, "the wait set reports what is not in it");
	return err == TUTTI_OK;
}

static bool is_reported(struct stage *stage, const void *key) { return is_reported_if(stage, key, true); }

/* A dead one's latch may mean a message that the recovery finishes. */
static bool may_have_message(const struct stage *stage)
{
	struct tutti__queue *queue = stage->queue->shared;
	return load_acquire(&queue->put_latch.word) || tutti__queue_is_ready(stage->arena, queue);
}

static void check_polled_queue(struct stage *stage)
{
	static unsigned char bytes[LARGEST];
	size_t size;
	bool reported = is_reported_if(stage, stage->queue, may_have_message(stage));
	if (!reported && tutti_queue_get_into(stage->queue, bytes, sizeof bytes, &size, TUTTI_NOW) != TUTTI_EEMPTY)
		fail(HUNG, "a message is there, but who polls the queue was not told within a second");
	tutti_waitset_close(stage->set);
	messages_check(stage, false);
	if (reported && board->outcome == 0)
		fail(TORN, "the queue was reported as ready, and nothing is there");
}

static void check_polled_event(struct stage *stage)
{
	bool reported = is_reported_if(stage, stage->event, tutti_event_is_set(stage->event));
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

/* The same. */
static void check_polled_rlock(struct stage *stage)
{
	if (!is_reported(stage, stage->rlock))
		fail(HUNG, "K3: the recursive lock may be had, but who polls it was not told within a second");
	tutti_err err = tutti_rlock_acquire(stage->rlock, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_EOWNERDEAD)
		fail(HUNG, "K3: a recursive lock that is reported as ready answers %s", tutti_error_name(err));
	board->outcome = err == TUTTI_OK;
	must(tutti_rlock_release(stage->rlock), "release");
	tutti_waitset_close(stage->set);
}

/* The victim's permit is there: released, or to be had from the dead. */
static tutti_err take_polled_permit(struct stage *stage)
{
	if (!is_reported(stage, stage->semaphore))
		fail(HUNG, "K3: a permit may be had, but who polls the semaphore was not told within a second");
	tutti_err err = tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_EOWNERDEAD)
		fail(HUNG, "K3: a semaphore that is reported as ready answers %s", tutti_error_name(err));
	must(tutti_semaphore_release(stage->semaphore, 1), "release");
	tutti_waitset_close(stage->set);
	return err;
}

static void check_permit_taken(struct stage *stage) { board->outcome = take_polled_permit(stage) == TUTTI_EOWNERDEAD; }
static void check_permit_released(struct stage *stage) { board->outcome = take_polled_permit(stage) == TUTTI_OK; }

/* Not got yet, or given back by the dead. */
static void check_polled_jobs(struct stage *stage)
{
	unsigned char bytes[SMALL];
	if (!is_reported(stage, jobs))
		fail(HUNG, "K2: the item is there or was given back, but who polls the queue was not told within a second");
	tutti_err err = tutti_queue_get_into(jobs, bytes, SMALL, NULL, TUTTI_NOW);
	if (err != TUTTI_OK || message_read(bytes, SMALL) != 0)
		fail(LOST, "K2: a joinable queue that is reported as ready answers %s", tutti_error_name(err));
	tutti_waitset_close(stage->set);
	tutti_queue_close(jobs);
}

static void send(struct stage *stage) { must(tutti_pipe_send(far, stage->bytes[0], SMALL, TUTTI_NOW), "send"); }

/* The other end is dead: what it has sent, then the end. */
static void check_polled_pipe(struct stage *stage)
{
	unsigned char bytes[SMALL];
	unsigned count = 0;
	tutti_err err;
	if (!is_reported(stage, near))
		fail(HUNG, "K1: the other end of the pipe is dead, but who polls it was not told within a second");
	while ((err = tutti_pipe_receive_into(near, bytes, SMALL, NULL, TUTTI_FOREVER)) == TUTTI_OK)
		if (count++ || message_read(bytes, SMALL) != 0)
			fail(TORN, "K2: a message comes out of the pipe that nobody sent");
	if (err != TUTTI_EOF)
		fail(HUNG, "K1: the other end is dead, but receive answers %s", tutti_error_name(err));
	if (board->has_returned && stage->operation->operate == send && count == 0)
		fail(LOST, "K2: the send had returned, but its message is not there");
	board->outcome = count;
	tutti_waitset_close(stage->set);
	tutti_pipe_close(near);
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

static void wait_by_hand(struct stage *stage, bool may_be_ready)
{
	struct tutti__wait_point *point = &hand.poller.station->point;
	int64_t deadline = tutti__deadline(patience_for(may_be_ready));
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
	struct tutti__queue *queue = stage->own_queue->shared;
	wait_by_hand(stage, load_acquire(&queue->get_latch.word) || has_room(queue));
	tutti_err err = tutti_queue_put(stage->own_queue, stage->bytes[0], SMALL, TUTTI_NOW);
	if (err != TUTTI_OK && err != TUTTI_EFULL)
		fail(HUNG, "K1: put answers %s: %s", tutti_error_name(err), tutti_last_error());
	tutti_queue_close(stage->own_queue);
	check_told(err == TUTTI_OK, "room");
}

static void check_done(struct stage *stage)
{
	wait_by_hand(stage, true);
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

static void acquire_rlock(struct stage *stage) { must(tutti_rlock_acquire(stage->rlock, TUTTI_NOW), "acquire"); }
static void release_rlock(struct stage *stage) { must(tutti_rlock_release(stage->rlock), "release"); }

static void acquire_permit(struct stage *stage)
{
	must(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), "acquire");
}

static void release_permit(struct stage *stage) { must(tutti_semaphore_release(stage->semaphore, 1), "release"); }

static void get_job(struct stage *stage)
{
	(void)stage;
	static unsigned char bytes[SMALL];
	must(tutti_queue_get_into(jobs, bytes, SMALL, NULL, TUTTI_NOW), "get");
}

static void find_far_end(struct stage *stage)
{
	must(tutti_queue_get(stage->queue, &stage->message, TUTTI_NOW), "get");
	must(tutti_pipe_at(&far, stage->arena, stage->message.carried[0]), "at");
	tutti_message_release(&stage->message);
	message_write(stage->bytes[0], SMALL, 0);
}

static void close_far_end(struct stage *stage)
{
	(void)stage;
	tutti_pipe_close(far);
}

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
	{.name = "rlock release, polled by a wait set",
     .arrange = poll_rlock,
     .prepare = acquire_rlock,
     .operate = release_rlock,
     .check = check_polled_rlock},
	{.name = "semaphore acquire, polled by a wait set",
     .arrange = poll_semaphore,
     .operate = acquire_permit,
     .check = check_permit_taken},
	{.name = "semaphore release, polled by a wait set",
     .arrange = poll_semaphore,
     .prepare = acquire_permit,
     .operate = release_permit,
     .check = check_permit_released},
	{.name = "joinable get, polled by a wait set",
     .arrange = poll_jobs,
     .operate = get_job,
     .check = check_polled_jobs},
	{.name = "pipe send, polled by a wait set",
     .arrange = poll_pipe,
     .prepare = find_far_end,
     .operate = send,
     .check = check_polled_pipe},
	{.name = "pipe close, polled by a wait set",
     .arrange = poll_pipe,
     .prepare = find_far_end,
     .operate = close_far_end,
     .check = check_polled_pipe},
	{.name = "wait set opened, used and closed",
     .queued = 1,
     .size = SMALL,
     .arrange = poll_queue,
     .operate = poll_once,
     .check = check_queue_and_set},
	{.name = NULL},
};
