/* SPDX-License-Identifier: MIT */
/*
 * What is more than a queue of bytes: messages that carry handles, and joinable queues. An object lives exactly as long
 * as somebody or some message holds it; an item is unfinished until it is done.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/joinable.h"
#include "messages.h"
#include "ring.h"

enum { SMALL = 64, BIG = 5000, ITEMS = 3, INSIDE = 77 };

/* The survivor's, inherited by victim and checker. */
static tutti_queue *jobs;

/* What is put next, written before: its writing is nothing to step through. */
static unsigned char ready[LARGEST];

/* The victim's. */
static tutti_queue *mailed;

/* Puts a message that carries the handle. */
static tutti_err put_ready(tutti_queue *queue, size_t size, tutti_handle handle)
{
	return tutti_queue_put_with(queue, &(tutti_view){ready, size}, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW);
}

static void take_reference(void *handle)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(handle, &err) == 0) /* a handle begins with its reference */
		must(err, "an inherited handle");
}

/* --- handles in messages ---------------------------------------------------------------------------------------- */

static void open_mailed(struct stage *stage)
{
	must(tutti_queue_open(&mailed, &(tutti_queue_options){.arena = stage->arena, .name = "mailed"}), "open");
	must(message_put(mailed, SMALL, INSIDE, TUTTI_NOW), "put");
	message_write(ready, stage->operation->size, 0);
}

static void put_mailed(struct stage *stage)
{
	must(put_ready(stage->queue, stage->operation->size, tutti_queue_handle(mailed)), "put_with");
	tutti_queue_close(mailed);
}

/* By the survivor: the message has the only handle. */
static void mail(struct stage *stage)
{
	open_mailed(stage);
	put_mailed(stage);
}

static void get_mailed(struct stage *stage)
{
	must(tutti_queue_get(stage->queue, &stage->message, TUTTI_NOW), "get");
	tutti_message_release(&stage->message);
}

static void get_mailed_into(struct stage *stage)
{
	static unsigned char buffer[LARGEST];
	must(tutti_queue_get_into(stage->queue, buffer, sizeof buffer, NULL, TUTTI_NOW), "get_into");
}

static void drop_mailed(struct stage *stage) { must(tutti_queue_shutdown_now(stage->queue), "shutdown_now"); }

static void open_nest(struct stage *stage)
{
	open_mailed(stage);
	must(tutti_queue_open(&stage->own_queue, &(tutti_queue_options){.arena = stage->arena}), "open");
	must(message_put_with(stage->own_queue, SMALL, 0, tutti_queue_handle(mailed)), "put_with");
	must(message_put_with(stage->own_queue, BIG, 1, tutti_queue_handle(mailed)), "put_with");
	tutti_queue_close(mailed);
}

static void close_nest(struct stage *stage) { tutti_queue_close(stage->own_queue); }

/* What the message carries is there, with what is in it. */
static void open_carried(struct stage *stage, const tutti_message *message)
{
	tutti_message inside;
	if (message->carried_count != 1)
		fail(TORN, "K2: a message carries %zu handles, not 1", message->carried_count);
	tutti_err err = tutti_queue_at(&mailed, stage->arena, message->carried[0]);
	if (err)
		fail(LOST, "K2: opening what a message carries answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (tutti_queue_get(mailed, &inside, TUTTI_NOW) != TUTTI_OK ||
	    message_read(inside.view.data, inside.view.size) != INSIDE)
		fail(LOST, "K2: the queue that a message carries has lost its message");
	tutti_message_release(&inside);
	tutti_queue_close(mailed);
}

/* True if the message is still in the queue. */
static bool find_mailed(struct stage *stage)
{
	tutti_message message;
	tutti_err err = tutti_queue_get(stage->queue, &message, TUTTI_NOW);
	if (err == TUTTI_EEMPTY || err == TUTTI_EOF)
		return false;
	if (err)
		fail(HUNG, "K1: get answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (message.view.size != stage->operation->size || message_read(message.view.data, message.view.size) != 0)
		fail(TORN, "K2: a message of %zu bytes is not what was put", message.view.size);
	open_carried(stage, &message);
	tutti_message_release(&message);
	return true;
}

static void check_put(struct stage *stage)
{
	bool found = find_mailed(stage);
	if (board->has_returned && !found)
		fail(LOST, "K2: the put had returned, but its message is not there");
	board->outcome = found;
}

static void check_get(struct stage *stage)
{
	bool found = find_mailed(stage);
	if (board->has_returned && found)
		fail(TORN, "K2: the get had returned, but its message is still there");
	board->outcome = !found;
}

static void check_nothing(struct stage *stage) { (void)stage; }

/* --- the joinable queue ------------------------------------------------------------------------------------------ */

static void open_jobs(struct stage *stage)
{
	must(tutti_queue_open(&jobs, &(tutti_queue_options){.arena = stage->arena, .name = "jobs", .joinable = true}),
	     "open");
	for (unsigned id = 0; id < ITEMS; id++)
		must(message_put(jobs, stage->operation->size, id, TUTTI_NOW), "put");
}

static void open_jobs_and_get(struct stage *stage)
{
	open_jobs(stage);
	must(tutti_queue_get(jobs, &stage->message, TUTTI_NOW), "get");
	tutti_message_release(&stage->message);
}

/* Item 0 was a killed getter's. */
static void open_jobs_and_die(struct stage *stage)
{
	open_jobs(stage);
	pid_t pid = fork();
	if (pid == 0) {
		must(tutti_queue_get(jobs, &stage->message, TUTTI_NOW), "get");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	tutti_arena_sweep(stage->arena);
}

static void end_job(struct stage *stage)
{
	(void)stage;
	must(tutti_queue_task_done(jobs), "task_done");
}

static void open_jobs_and_end_ahead(struct stage *stage)
{
	open_jobs(stage);
	end_job(stage);
}

static void find_jobs(struct stage *stage)
{
	take_reference(jobs);
	message_write(ready, stage->operation->size, ITEMS);
}

static void get_job(struct stage *stage)
{
	must(tutti_queue_get(jobs, &stage->message, TUTTI_NOW), "get");
	tutti_message_release(&stage->message);
}

static void get_job_into(struct stage *stage)
{
	static unsigned char buffer[LARGEST];
	(void)stage;
	must(tutti_queue_get_into(jobs, buffer, sizeof buffer, NULL, TUTTI_NOW), "get_into");
}

static void get_two_jobs(struct stage *stage)
{
	get_job(stage);
	get_job(stage);
}

static void put_job(struct stage *stage)
{
	must(tutti_queue_put(jobs, ready, stage->operation->size, TUTTI_NOW), "put");
}

static void put_job_in_two_steps(struct stage *stage)
{
	tutti_draft draft;
	must(tutti_queue_put_begin(jobs, &draft, stage->operation->size), "put_begin");
	memcpy(draft.data, ready, draft.size);
	must(tutti_queue_put_commit(&draft, TUTTI_NOW), "put_commit");
}

static void join_in_vain(struct stage *stage)
{
	(void)stage;
	if (tutti_queue_join(jobs, tutti_ms(1)) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a join of what is not done");
}

static void drop_jobs(struct stage *stage)
{
	(void)stage;
	must(tutti_queue_shutdown_now(jobs), "shutdown_now");
}

static void open_own_jobs(struct stage *stage)
{
	open_mailed(stage);
	must(tutti_queue_open(&stage->own_queue, &(tutti_queue_options){.arena = stage->arena, .joinable = true}), "open");
	for (unsigned id = 0; id < ITEMS; id++)
		must(message_put_with(stage->own_queue, id == 1 ? BIG : SMALL, id, tutti_queue_handle(mailed)), "put_with");
	tutti_queue_close(mailed);
	for (unsigned i = 0; i < 2; i++) {
		must(tutti_queue_get(stage->own_queue, &stage->message, TUTTI_NOW), "get");
		tutti_message_release(&stage->message);
	}
}

struct seen {
	unsigned count, first, redelivered;
	bool is_in[ITEMS + 1];
};

static void take_jobs(struct stage *stage, struct seen *seen)
{
	tutti_message message;
	tutti_err err;
	while ((err = tutti_queue_get(jobs, &message, TUTTI_NOW)) == TUTTI_OK) {
		unsigned id = message_read(message.view.data, message.view.size);
		if (id > ITEMS || message.view.size != stage->operation->size || seen->is_in[id])
			fail(TORN, "K2: item %u of %zu bytes comes out of the joinable queue%s", id, message.view.size,
			     id <= ITEMS && seen->is_in[id] ? " a second time" : "");
		seen->is_in[id] = true;
		seen->first = id < seen->first ? id : seen->first;
		seen->redelivered += message.redelivered;
		seen->count++;
		tutti_message_release(&message);
	}
	if (err != TUTTI_EEMPTY && err != TUTTI_EOF)
		fail(HUNG, "K1: get answers %s: %s", tutti_error_name(err), tutti_last_error());
}

static unsigned end_all_jobs(void)
{
	unsigned count = 0;
	tutti_err err;
	while ((err = tutti_queue_task_done(jobs)) == TUTTI_OK)
		count++;
	if (err != TUTTI_EBOUND)
		fail(HUNG, "K1: task_done answers %s: %s", tutti_error_name(err), tutti_last_error());
	if ((err = tutti_queue_join(jobs, TUTTI_NOW)) != TUTTI_OK)
		fail(HUNG, "K2: all is done, but join answers %s: %s", tutti_error_name(err), tutti_last_error());
	return count;
}

struct expected {
	unsigned adds; /* items that the victim puts */
	unsigned ends; /* that it, or the survivor before, ends */
	/* Of those that were there, come out once the operation has returned, or at most. Both 0: what is not ended. */
	unsigned least, most;
};

static void check_items(struct stage *stage, struct expected expected)
{
	struct seen seen = {.first = ITEMS + 1};
	take_jobs(stage, &seen);
	tutti_arena_sweep(stage->arena); /* the survivor notices at the latest now */
	take_jobs(stage, &seen);
	tutti_err joined = tutti_queue_join(jobs, TUTTI_NOW); /* drops what is given back to a queue that drops all */
	if (joined != TUTTI_OK && joined != TUTTI_ETIMEDOUT)
		fail(HUNG, "K1: join answers %s: %s", tutti_error_name(joined), tutti_last_error());
	unsigned put = seen.is_in[ITEMS], all = ITEMS + put, unfinished = end_all_jobs(), ended = all - unfinished;
	if (unfinished > all || ended > expected.ends || put > expected.adds)
		fail(LOST, "K2: %u of %u items are unfinished, where %u can have been ended", unfinished, all, expected.ends);
	if (board->has_returned && (ended != expected.ends || put != expected.adds))
		fail(LOST, "K2: the operation had returned; %u of %u items are ended, %u of %u put", ended, expected.ends, put,
		     expected.adds);
	unsigned out = seen.count - put, least = expected.most ? expected.least : ITEMS - ended;
	unsigned most = expected.most && !board->has_returned ? expected.most : least;
	if (out < least || out > most || (out && seen.first != ITEMS - out))
		fail(LOST, "K2: %u items come out, from %u on, where %u to %u are due, the last ones", out, seen.first, least,
		     most);
	board->outcome = put + ended;
	tutti_queue_close(jobs);
}

static void check_job_put(struct stage *stage) { check_items(stage, (struct expected){.adds = 1}); }
static void check_job_get(struct stage *stage) { check_items(stage, (struct expected){0}); }
static void check_job_end(struct stage *stage) { check_items(stage, (struct expected){.ends = 1}); }
static void check_jobs_dropped(struct stage *stage) { check_items(stage, (struct expected){.ends = ITEMS}); }

static void check_job_end_of_others(struct stage *stage)
{
	check_items(stage, (struct expected){.ends = 1, .least = ITEMS - 1, .most = ITEMS - 1});
}

static void check_job_end_ahead(struct stage *stage)
{
	check_items(stage, (struct expected){.ends = 1, .least = ITEMS, .most = ITEMS});
}

/* The survivor has said that one is done: the one that is got. */
static void check_job_get_ahead(struct stage *stage)
{
	check_items(stage, (struct expected){.ends = 1, .least = ITEMS - 1, .most = ITEMS});
	if (board->outcome != 1)
		fail(LOST, "K2: what the survivor had counted as done is not any more");
}

const struct operation channel_operations[] = {
	{.name = "put with the last handle of a queue",
     .size = SMALL,
     .prepare = open_mailed,
     .operate = put_mailed,
     .check = check_put},
	{.name = "put with the last handle of a queue, a body",
     .size = BIG,
     .warm = BIG,
     .prepare = open_mailed,
     .operate = put_mailed,
     .check = check_put},
	{.name = "get of a message with a handle",
     .size = SMALL,
     .arrange = mail,
     .operate = get_mailed,
     .check = check_get},
	{.name = "get of a message with a handle, a body",
     .size = BIG,
     .arrange = mail,
     .operate = get_mailed,
     .check = check_get},
	{.name = "get by copy of a message with a handle",
     .size = SMALL,
     .arrange = mail,
     .operate = get_mailed_into,
     .check = check_get},
	{.name = "shutdown at once, a message with a handle in it",
     .size = SMALL,
     .arrange = mail,
     .operate = drop_mailed,
     .check = check_get},
	{.name = "queue close, messages with handles in it",
     .prepare = open_nest,
     .operate = close_nest,
     .check = check_nothing},
	{.name = "joinable put",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = put_job,
     .check = check_job_put},
	{.name = "joinable put, a body",
     .size = BIG,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = put_job,
     .check = check_job_put},
	{.name = "joinable put in two steps",
     .size = BIG,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = put_job_in_two_steps,
     .check = check_job_put},
	{.name = "joinable get",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = get_job,
     .check = check_job_get},
	{.name = "joinable get by copy",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = get_job_into,
     .check = check_job_get},
	{.name = "joinable get, others open",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = get_job,
     .operate = get_job_into,
     .check = check_job_get},
	{.name = "joinable get of what was given back",
     .size = SMALL,
     .arrange = open_jobs_and_die,
     .prepare = find_jobs,
     .operate = get_job_into,
     .check = check_job_get},
	{.name = "task_done",
     .is_short = true,
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = get_two_jobs,
     .operate = end_job,
     .check = check_job_end},
	{.name = "task_done, the only open item",
     .size = BIG,
     .arrange = open_jobs,
     .prepare = get_job,
     .operate = end_job,
     .check = check_job_end},
	{.name = "task_done, another's item",
     .size = SMALL,
     .arrange = open_jobs_and_get,
     .prepare = find_jobs,
     .operate = end_job,
     .check = check_job_end_of_others},
	{.name = "task_done of what was given back",
     .size = SMALL,
     .arrange = open_jobs_and_die,
     .prepare = find_jobs,
     .operate = end_job,
     .check = check_job_end},
	{.name = "task_done, before any get",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = end_job,
     .check = check_job_end_ahead},
	{.name = "joinable get of what is done",
     .size = SMALL,
     .arrange = open_jobs_and_end_ahead,
     .prepare = find_jobs,
     .operate = get_job,
     .check = check_job_get_ahead},
	{.name = "joinable get by copy of what is done, a body",
     .size = BIG,
     .arrange = open_jobs_and_end_ahead,
     .prepare = find_jobs,
     .operate = get_job_into,
     .check = check_job_get_ahead},
	{.name = "join, not done",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = get_job,
     .operate = join_in_vain,
     .check = check_job_get},
	{.name = "shutdown at once of a joinable queue",
     .size = SMALL,
     .arrange = open_jobs,
     .prepare = find_jobs,
     .operate = drop_jobs,
     .check = check_jobs_dropped},
	{.name = "joinable queue close, the last handle",
     .prepare = open_own_jobs,
     .operate = close_nest,
     .check = check_nothing},
	{.name = NULL},
};
