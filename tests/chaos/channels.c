/* SPDX-License-Identifier: MIT */
/* Messages that carry the last handle of something, and items of a joinable queue. */
#include <string.h>

#include "channel/joinable.h"
#include "member.h"

enum { MAX_ITEM = 9000 };

static bool is_expected(tutti_err err) { return err == TUTTI_EFULL || err == TUTTI_EEMPTY; }

/* Sends a message that carries the handle, whatever it is of. */
static tutti_err send_handle(struct member *member, tutti_handle handle)
{
	tutti_view part = {&handle, sizeof handle};
	tutti_err err = tutti_queue_put_with(member->world.courier, &part, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW);
	ledger_count(COUNT_CARRIED, err == TUTTI_OK);
	return err;
}

/* A queue with its handle in it: nobody but the message has it afterwards. */
static void carry_queue(struct member *member)
{
	tutti_queue *queue = NULL;
	tutti_err err = tutti_queue_open(&queue, &(tutti_queue_options){.arena = member->world.arena, .name = "carried"});
	tutti_handle handle = err ? (tutti_handle){0} : tutti_queue_handle(queue);
	if (!err)
		err = tutti_queue_put(queue, &handle, sizeof handle, TUTTI_NOW);
	if (!err)
		err = send_handle(member, handle);
	tutti_queue_close(queue);
	if (err && !is_expected(err))
		member_tolerates(err, "carrying a queue");
}

/* One end of a pipe, whose other end is closed behind a message. */
static void carry_pipe(struct member *member)
{
	tutti_pipe *first = NULL, *second = NULL;
	tutti_err err = tutti_pipe_open(&first, &second, &(tutti_pipe_options){.arena = member->world.arena});
	tutti_handle handle = err ? (tutti_handle){0} : tutti_pipe_handle(first);
	if (!err)
		err = tutti_pipe_send(second, &handle, sizeof handle, TUTTI_NOW);
	if (!err)
		err = send_handle(member, handle);
	tutti_pipe_close(first);
	tutti_pipe_close(second);
	if (err && !is_expected(err))
		member_tolerates(err, "carrying a pipe");
}

void member_carry(struct member *member) { (member_random(member, 2) ? carry_queue : carry_pipe)(member); }

static void expect_inside(tutti_err err, const tutti_handle *inside, const tutti_handle *handle, const char *what)
{
	if (err == TUTTI_EEMPTY || err == TUTTI_EOF)
		ledger_fail(CHECK_LOST, "a carried %s is empty", what);
	else if (err)
		member_tolerates(err, "reading what was carried");
	else if (memcmp(inside, handle, sizeof *inside) != 0)
		ledger_fail(CHECK_TORN, "a carried %s holds another's message", what);
}

static void look_into_queue(tutti_queue *queue, const tutti_handle *handle)
{
	tutti_handle inside;
	size_t size;
	expect_inside(tutti_queue_get_into(queue, &inside, sizeof inside, &size, TUTTI_NOW), &inside, handle, "queue");
	tutti_queue_close(queue);
}

static void look_into_pipe(tutti_pipe *end, const tutti_handle *handle)
{
	tutti_handle inside;
	size_t size;
	expect_inside(tutti_pipe_receive_into(end, &inside, sizeof inside, &size, TUTTI_NOW), &inside, handle, "pipe");
	tutti_err err = tutti_pipe_receive_into(end, &inside, sizeof inside, &size, tutti_seconds(5));
	if (err != TUTTI_EOF && err != TUTTI_EBUSY)
		ledger_fail(CHECK_HUNG, "the other end of a pipe is closed, but a receive gives %s", tutti_error_name(err));
	tutti_pipe_close(end);
}

/* What a message carries is there, whoever sent it and died. */
bool member_open_carried(struct member *member)
{
	tutti_message message;
	tutti_queue *queue;
	tutti_pipe *end;
	tutti_err err = tutti_queue_get(member->world.courier, &message, TUTTI_NOW);
	if (err) {
		if (err != TUTTI_EEMPTY)
			member_tolerates(err, "get of a message with a handle");
		return false;
	}
	tutti_handle handle = message.carried_count == 1 ? message.carried[0] : (tutti_handle){0};
	if (memcmp(message.view.data, &handle, sizeof handle) != 0)
		ledger_fail(CHECK_TORN, "a message carries another's handle");
	err = tutti_queue_at(&queue, member->world.arena, handle);
	if (err == TUTTI_OK)
		look_into_queue(queue, &handle);
	else if (err == TUTTI_EKIND && (err = tutti_pipe_at(&end, member->world.arena, handle)) == TUTTI_OK)
		look_into_pipe(end, &handle);
	if (err == TUTTI_ESTALE)
		ledger_fail(CHECK_LOST, "what a message carries is gone");
	else if (err)
		member_tolerates(err, "opening what a message carries");
	tutti_message_release(&message);
	return true;
}

static unsigned char byte_at(uint64_t seed, size_t index) { return (unsigned char)(seed + index * 7); }

void member_put_job(struct member *member)
{
	unsigned char data[MAX_ITEM];
	size_t size = sizeof(uint64_t) + member_random(member, member_random(member, 4) ? 200 : MAX_ITEM - 8);
	uint64_t seed = member->random;
	memcpy(data, &seed, sizeof seed);
	for (size_t i = sizeof seed; i < size; i++)
		data[i] = byte_at(seed, i);
	tutti_err err = tutti_queue_put(member->world.jobs, data, size, TUTTI_NOW);
	if (err && !is_expected(err))
		member_tolerates(err, "put of an item");
}

bool member_get_job(struct member *member)
{
	tutti_message message;
	uint64_t seed;
	tutti_err err = tutti_queue_get(member->world.jobs, &message, TUTTI_NOW);
	if (err) {
		if (err != TUTTI_EEMPTY)
			member_tolerates(err, "get of an item");
		return false;
	}
	const unsigned char *bytes = message.view.data;
	memcpy(&seed, bytes, sizeof seed);
	for (size_t i = sizeof seed; i < message.view.size; i++)
		if (bytes[i] != byte_at(seed, i)) {
			ledger_fail(CHECK_TORN, "byte %zu of an item of %zu", i, message.view.size);
			break;
		}
	ledger_count(COUNT_REDELIVERED, message.redelivered);
	tutti_message_release(&message);
	return true;
}

static bool end_job(struct member *member)
{
	tutti_err err = tutti_queue_task_done(member->world.jobs);
	ledger_count(COUNT_JOBS, err == TUTTI_OK);
	if (err && err != TUTTI_EBOUND)
		member_tolerates(err, "task_done");
	return err == TUTTI_OK;
}

/* Sometimes it forgets to say so; sometimes it says so of another's. */
void member_do_job(struct member *member)
{
	if (member_random(member, 8))
		member_get_job(member);
	if (member_random(member, 8))
		end_job(member);
}

void member_drain_channels(struct member *member)
{
	struct world *world = &member->world;
	if (!tutti__queue_is_valid(world->arena, world->jobs->shared, NULL, NULL) ||
	    !tutti__queue_is_valid(world->arena, world->courier->shared, NULL, NULL))
		ledger_fail(CHECK_VALID, "the joinable queue, or the one with handles");
	while (member_open_carried(member))
		;
	while (member_get_job(member))
		;
	while (end_job(member))
		;
	tutti_err err = tutti_queue_join(world->jobs, TUTTI_NOW);
	if (err)
		ledger_fail(CHECK_LOST, "all items are done, but the join gives %s: %s", tutti_error_name(err),
		            tutti_last_error());
}
