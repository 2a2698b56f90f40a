/* SPDX-License-Identifier: MIT */
/*
 * Somebody sleeps while the victim does what would wake him, and the victim is killed: before that, between the store
 * and the wake, or behind. The wake never comes (sleeper.h). Who sleeps looks by himself, at the next tick, and has
 * what he waits for within a second; if it was never done, the checker does it first.
 */
#include "messages.h"
#include "ring.h"
#include "sleeper.h"

enum { SMALL = 64, ID = 7 };

static unsigned char ready[SMALL], received[SMALL];

/* What the survivor sleeps at. */
static tutti_pipe *near, *far;
static tutti_queue *jobs;
static bool is_mine;

static void note(bool is_done)
{
	board->outcome = is_done;
	if (board->has_returned && !is_done)
		fail(LOST, "the operation had returned, but has no effect");
}

static void expect_end(tutti_err due)
{
	tutti_err err = sleeper_end();
	if (err != due)
		fail(HUNG, "K1: who slept is answered %s, where %s is due: %s", tutti_error_name(err), tutti_error_name(due),
		     tutti_last_error());
}

/* --- locks ------------------------------------------------------------------------------------------------------ */

static void open_lock(struct stage *stage)
{
	must(tutti_lock_open(&stage->own_lock, &(tutti_lock_options){.arena = stage->arena}), "lock");
}

static void acquire(struct stage *stage) { must(tutti_lock_acquire(stage->own_lock, TUTTI_NOW), "acquire"); }
static void release(struct stage *stage) { must(tutti_lock_release(stage->own_lock), "release"); }
static tutti_err wait_for_lock(struct stage *stage) { return tutti_lock_acquire(stage->own_lock, TUTTI_FOREVER); }
static void look_at_lock(struct stage *stage) { stage->victim_held_lock = tutti_lock_holder(stage->own_lock) == -1; }

static void expect_end_of_holding(struct stage *stage)
{
	note(!stage->victim_held_lock);
	expect_end(stage->victim_held_lock ? TUTTI_EOWNERDEAD : TUTTI_OK);
}

static void check_lock(struct stage *stage)
{
	expect_end_of_holding(stage);
	tutti_lock_close(stage->own_lock);
}

static void open_rlock(struct stage *stage)
{
	must(tutti_rlock_open(&stage->rlock, &(tutti_rlock_options){.arena = stage->arena}), "rlock");
}

static void acquire_rlock(struct stage *stage) { must(tutti_rlock_acquire(stage->rlock, TUTTI_NOW), "acquire"); }
static void release_rlock(struct stage *stage) { must(tutti_rlock_release(stage->rlock), "release"); }
static tutti_err wait_for_rlock(struct stage *stage) { return tutti_rlock_acquire(stage->rlock, TUTTI_FOREVER); }
static void look_at_rlock(struct stage *stage) { stage->victim_held_lock = tutti_rlock_holder(stage->rlock) == -1; }

/* One for the victim, one that the survivor has. */
static void open_semaphore(struct stage *stage)
{
	must(tutti_semaphore_open(&stage->semaphore, 2, &(tutti_semaphore_options){.arena = stage->arena}), "semaphore");
	must(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), "acquire");
}

static void acquire_permit(struct stage *stage)
{
	must(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), "acquire");
}

static void release_permit(struct stage *stage) { must(tutti_semaphore_release(stage->semaphore, 1), "release"); }

static tutti_err wait_for_permit(struct stage *stage)
{
	return tutti_semaphore_acquire(stage->semaphore, TUTTI_FOREVER);
}

static void look_at_semaphore(struct stage *stage)
{
	stage->victim_held_lock = tutti_semaphore_value(stage->semaphore) == 0;
}

static void open_rwlock(struct stage *stage)
{
	must(tutti_rwlock_open(&stage->rwlock, &(tutti_rwlock_options){.arena = stage->arena}), "rwlock");
}

static void acquire_read(struct stage *stage) { must(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), "read"); }
static void release_read(struct stage *stage) { must(tutti_rwlock_release_read(stage->rwlock), "release read"); }
static void acquire_write(struct stage *stage) { must(tutti_rwlock_acquire_write(stage->rwlock, TUTTI_NOW), "write"); }
static void release_write(struct stage *stage) { must(tutti_rwlock_release_write(stage->rwlock), "release write"); }

static tutti_err wait_to_write(struct stage *stage) { return tutti_rwlock_acquire_write(stage->rwlock, TUTTI_FOREVER); }

static tutti_err wait_to_read(struct stage *stage) { return tutti_rwlock_acquire_read(stage->rwlock, TUTTI_FOREVER); }
static void look_at_writer(struct stage *stage) { stage->victim_held_lock = tutti_rwlock_writer(stage->rwlock) == -1; }

/* A reader's death is nobody's affair. */
static void check_reader_gone(struct stage *stage)
{
	(void)stage;
	expect_end(TUTTI_OK);
}

static void open_once(struct stage *stage)
{
	must(tutti_once_open(&stage->once, &(tutti_once_options){.arena = stage->arena}), "once");
}

static void begin_once(struct stage *stage) { must(tutti_once_begin(stage->once, &is_mine, TUTTI_NOW), "begin"); }
static void end_once(struct stage *stage) { must(tutti_once_end(stage->once, true), "end"); }
static tutti_err wait_for_once(struct stage *stage) { return tutti_once_begin(stage->once, &is_mine, TUTTI_FOREVER); }

static void check_once(struct stage *stage)
{
	bool is_done = tutti_once_is_done(stage->once);
	note(is_done);
	expect_end(is_done ? TUTTI_OK : TUTTI_EOWNERDEAD);
	if (is_mine == is_done)
		fail(TORN, "K3: once is %s, and who slept is told %s", is_done ? "done" : "not done",
		     is_mine ? "to do it" : "that it is done");
}

/* --- events, conditions, barriers -------------------------------------------------------------------------------- */

static void open_event(struct stage *stage)
{
	must(tutti_event_open(&stage->event, &(tutti_event_options){.arena = stage->arena}), "event");
}

static void set_event(struct stage *stage) { must(tutti_event_set(stage->event), "set"); }
static tutti_err wait_for_event(struct stage *stage) { return tutti_event_wait(stage->event, TUTTI_FOREVER); }

static void check_event(struct stage *stage)
{
	note(tutti_event_is_set(stage->event));
	if (!board->outcome)
		set_event(stage);
	expect_end(TUTTI_OK);
}

static void open_condition(struct stage *stage)
{
	must(tutti_condition_open(&stage->condition, &(tutti_condition_options){.arena = stage->arena}), "condition");
}

static void notify(struct stage *stage) { must(tutti_condition_notify(stage->condition, 1, NULL), "notify"); }

static tutti_err wait_for_notification(struct stage *stage)
{
	must(tutti_condition_enlist(stage->condition, &stage->ticket), "enlist");
	return tutti_condition_sleep(stage->condition, stage->ticket, TUTTI_FOREVER);
}

static void check_condition(struct stage *stage)
{
	note(tutti_condition_waiters(stage->condition) == 0);
	if (!board->outcome)
		notify(stage);
	expect_end(TUTTI_OK);
}

static void open_barrier(struct stage *stage)
{
	must(tutti_barrier_open(&stage->barrier, 2, &(tutti_barrier_options){.arena = stage->arena}), "barrier");
}

static void pass_barrier(struct stage *stage)
{
	must(tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_FOREVER), "wait");
}

static tutti_err wait_for_party(struct stage *stage)
{
	return tutti_barrier_wait(stage->barrier, NULL, NULL, NULL, TUTTI_FOREVER);
}

/* Met, or broken: by the death of a party that had arrived, or, where none has, by the checker. */
static void check_barrier(struct stage *stage)
{
	if (tutti_barrier_waiting(stage->barrier) == 1)
		must(tutti_barrier_abort(stage->barrier), "abort");
	tutti_err err = sleeper_end();
	if (err != TUTTI_OK && (err != TUTTI_EBROKEN || board->has_returned))
		fail(HUNG, "K1: a party that slept is answered %s: %s", tutti_error_name(err), tutti_last_error());
}

/* --- channels ---------------------------------------------------------------------------------------------------- */

static void write_message(struct stage *stage)
{
	(void)stage;
	message_write(ready, SMALL, ID);
}

static void put(struct stage *stage) { must(tutti_queue_put(stage->queue, ready, SMALL, TUTTI_NOW), "put"); }

static tutti_err wait_for_message(struct stage *stage)
{
	return tutti_queue_get_into(stage->queue, received, SMALL, NULL, TUTTI_FOREVER);
}

static void expect_message(void)
{
	expect_end(TUTTI_OK);
	if (message_read(received, SMALL) != ID)
		fail(TORN, "K2: who slept got a message that nobody put");
}

/* What is committed may not be counted yet: then there are two, the victim's and the checker's. */
static void check_queue(struct stage *stage)
{
	unsigned char bytes[SMALL];
	bool is_counted = tutti_queue_size(stage->queue) > 0;
	if (!is_counted) {
		write_message(stage);
		put(stage);
	}
	expect_message();
	note(is_counted || tutti_queue_get_into(stage->queue, bytes, SMALL, NULL, TUTTI_NOW) == TUTTI_OK);
}

static void open_full_queue(struct stage *stage)
{
	must(tutti_queue_open(&stage->own_queue, &(tutti_queue_options){.arena = stage->arena, .max_items = 1}), "queue");
	must(message_put(stage->own_queue, SMALL, ID, TUTTI_NOW), "put");
}

static tutti_err wait_for_room(struct stage *stage) { return message_put(stage->own_queue, SMALL, ID, TUTTI_FOREVER); }

static void get(struct stage *stage)
{
	must(tutti_queue_get_into(stage->own_queue, received, SMALL, NULL, TUTTI_NOW), "get");
}

static void check_room(struct stage *stage)
{
	unsigned char bytes[SMALL];
	tutti_err err = tutti_queue_get_into(stage->own_queue, bytes, SMALL, NULL, TUTTI_NOW);
	note(err == TUTTI_EEMPTY);
	expect_end(TUTTI_OK);
	tutti_queue_close(stage->own_queue);
}

static void open_jobs_not_got(struct stage *stage)
{
	must(tutti_queue_open(&jobs, &(tutti_queue_options){.arena = stage->arena, .joinable = true}), "queue");
	must(message_put(jobs, SMALL, ID, TUTTI_NOW), "put");
}

static void open_jobs(struct stage *stage)
{
	open_jobs_not_got(stage);
	must(tutti_queue_get_into(jobs, received, SMALL, NULL, TUTTI_NOW), "get");
}

static void end_job(struct stage *stage)
{
	(void)stage;
	must(tutti_queue_task_done(jobs), "task_done");
}

static tutti_err join(struct stage *stage)
{
	(void)stage;
	return tutti_queue_join(jobs, TUTTI_FOREVER);
}

static void check_joined(struct stage *stage)
{
	(void)stage;
	note(tutti_queue_task_done(jobs) == TUTTI_EBOUND);
	expect_end(TUTTI_OK);
	tutti_queue_close(jobs);
}

/* The victim has the far end; the survivor finds the near one in the queue. */
static void open_pipe(struct stage *stage)
{
	write_message(stage);
	must(tutti_pipe_open(&near, &far, &(tutti_pipe_options){.arena = stage->arena}), "pipe");
	must(message_put_with(stage->queue, SMALL, 0, tutti_pipe_handle(near)), "put_with");
	tutti_pipe_close(near);
}

static void send(struct stage *stage)
{
	(void)stage;
	must(tutti_pipe_send(far, ready, SMALL, TUTTI_NOW), "send");
}

static void close_far_end(struct stage *stage)
{
	(void)stage;
	tutti_pipe_close(far);
}

static tutti_err wait_to_receive(struct stage *stage)
{
	tutti_message message;
	must(tutti_queue_get(stage->queue, &message, TUTTI_NOW), "get");
	must(tutti_pipe_at(&near, stage->arena, message.carried[0]), "at");
	tutti_message_release(&message);
	return tutti_pipe_receive_into(near, received, SMALL, NULL, TUTTI_FOREVER);
}

/* The message that was sent, or the end of a pipe whose other end has died. */
static void check_pipe(struct stage *stage)
{
	tutti_err err = sleeper_end();
	bool is_due = board->has_returned && stage->operation->operate == send;
	if (err != TUTTI_OK && (err != TUTTI_EOF || is_due))
		fail(err == TUTTI_EOF ? LOST : HUNG, "K1: who slept at the end of a pipe is answered %s: %s",
		     tutti_error_name(err), tutti_last_error());
	if (err == TUTTI_OK && message_read(received, SMALL) != ID)
		fail(TORN, "K2: who slept received a message that nobody sent");
}

const struct operation sleep_operations[] = {
	{.name = "lock release, somebody sleeps",
     .is_short = true,
     .arrange = open_lock,
     .prepare = acquire,
     .wait = wait_for_lock,
     .operate = release,
     .look = look_at_lock,
     .check = check_lock},
	{.name = "rlock release, somebody sleeps",
     .arrange = open_rlock,
     .prepare = acquire_rlock,
     .wait = wait_for_rlock,
     .operate = release_rlock,
     .look = look_at_rlock,
     .check = expect_end_of_holding},
	{.name = "semaphore release, somebody sleeps",
     .is_short = true,
     .arrange = open_semaphore,
     .prepare = acquire_permit,
     .wait = wait_for_permit,
     .operate = release_permit,
     .look = look_at_semaphore,
     .check = expect_end_of_holding},
	{.name = "rwlock release read, a writer sleeps",
     .arrange = open_rwlock,
     .prepare = acquire_read,
     .wait = wait_to_write,
     .operate = release_read,
     .check = check_reader_gone},
	{.name = "rwlock release write, a reader sleeps",
     .arrange = open_rwlock,
     .prepare = acquire_write,
     .wait = wait_to_read,
     .operate = release_write,
     .look = look_at_writer,
     .check = expect_end_of_holding},
	{.name = "once end, somebody sleeps",
     .arrange = open_once,
     .prepare = begin_once,
     .wait = wait_for_once,
     .operate = end_once,
     .check = check_once},
	{.name = "event set, somebody sleeps",
     .is_short = true,
     .arrange = open_event,
     .wait = wait_for_event,
     .operate = set_event,
     .check = check_event},
	{.name = "condition notify, somebody sleeps",
     .arrange = open_condition,
     .wait = wait_for_notification,
     .operate = notify,
     .check = check_condition},
	{.name = "barrier wait, the other party sleeps",
     .arrange = open_barrier,
     .wait = wait_for_party,
     .operate = pass_barrier,
     .check = check_barrier},
	{.name = "put, a getter sleeps",
     .prepare = write_message,
     .wait = wait_for_message,
     .operate = put,
     .check = check_queue},
	{.name = "get, a putter sleeps",
     .arrange = open_full_queue,
     .wait = wait_for_room,
     .operate = get,
     .check = check_room},
	{.name = "task_done, who joins sleeps",
     .arrange = open_jobs,
     .wait = join,
     .operate = end_job,
     .check = check_joined},
	{.name = "task_done before the get, who joins sleeps",
     .arrange = open_jobs_not_got,
     .wait = join,
     .operate = end_job,
     .check = check_joined},
	{.name = "pipe send, the other end sleeps",
     .prepare = open_pipe,
     .wait = wait_to_receive,
     .operate = send,
     .check = check_pipe},
	{.name = "pipe close, the other end sleeps",
     .prepare = open_pipe,
     .wait = wait_to_receive,
     .operate = close_far_end,
     .check = check_pipe},
	{.name = NULL},
};
