/* SPDX-License-Identifier: MIT */
/* The pipe: an end that dies is the other's end, after all that was sent. */
#include "messages.h"
#include "ring.h"

enum { SMALL = 64, BIG = 5000, SENT = 2 };

/* The victim's. */
static tutti_pipe *far;

static void check_nothing(struct stage *stage) { (void)stage; }

/* The victim has the far end; the near one is in the queue, where the survivor finds it. */
static void open_pipe(struct stage *stage)
{
	tutti_pipe *near;
	unsigned char bytes[SMALL];
	must(tutti_pipe_open(&near, &far, &(tutti_pipe_options){.arena = stage->arena}), "pipe");
	for (unsigned id = 0; id < SENT; id++) {
		message_write(bytes, SMALL, id);
		must(tutti_pipe_send(far, bytes, SMALL, TUTTI_NOW), "send");
		must(tutti_pipe_send(near, bytes, SMALL, TUTTI_NOW), "send");
	}
	must(message_put_with(stage->queue, SMALL, 0, tutti_pipe_handle(near)), "put_with");
	tutti_pipe_close(near);
}

static void open_pipe_alone(struct stage *stage)
{
	tutti_pipe *near;
	must(tutti_pipe_open(&near, &far, &(tutti_pipe_options){.arena = stage->arena}), "pipe");
}

static void find_far_end(struct stage *stage)
{
	tutti_pipe *again;
	must(tutti_pipe_at(&again, stage->arena, tutti_pipe_handle(far)), "at");
}

static void send_one(struct stage *stage)
{
	must(tutti_pipe_send(far, stage->bytes[0], stage->operation->size, TUTTI_NOW), "send");
}

static void write_one(struct stage *stage)
{
	open_pipe(stage);
	message_write(stage->bytes[0], stage->operation->size, SENT);
}

static void receive_one(struct stage *stage)
{
	must(tutti_pipe_receive(far, &stage->message, TUTTI_NOW), "receive");
	tutti_message_release(&stage->message);
}

static void close_far_end(struct stage *stage)
{
	(void)stage;
	tutti_pipe_close(far);
}

static tutti_pipe *find_near_end(struct stage *stage)
{
	tutti_message message;
	tutti_pipe *near;
	tutti_err err = tutti_queue_get(stage->queue, &message, TUTTI_NOW);
	if (err || message.carried_count != 1)
		fail(LOST, "K2: the message with the pipe's end is gone: %s", tutti_error_name(err));
	err = tutti_pipe_at(&near, stage->arena, message.carried[0]);
	if (err)
		fail(LOST, "K2: opening the end that a message carries answers %s: %s", tutti_error_name(err),
		     tutti_last_error());
	tutti_message_release(&message);
	return near;
}

/* All that was sent, then the end, within the time that the ring allows. */
static void check_pipe(struct stage *stage)
{
	tutti_pipe *near = find_near_end(stage);
	tutti_message message;
	tutti_err err;
	unsigned count = 0, most = SENT + (stage->operation->operate == send_one);
	while ((err = tutti_pipe_receive(near, &message, TUTTI_FOREVER)) == TUTTI_OK) {
		unsigned id = message_read(message.view.data, message.view.size);
		if (id != count || count == most)
			fail(TORN, "K2: message %u comes out of the pipe, where %u is due", id, count);
		count++;
		tutti_message_release(&message);
	}
	if (err != TUTTI_EOF)
		fail(HUNG, "K1: the other end is dead, but receive answers %s: %s", tutti_error_name(err), tutti_last_error());
	if (count < SENT || (board->has_returned && count < most))
		fail(LOST, "K2: %u messages come out of the pipe, where %u were sent", count, most);
	err = tutti_pipe_send(near, "x", 1, TUTTI_FOREVER);
	if (err != TUTTI_ESHUTDOWN)
		fail(LOST, "K1: the other end is dead, but send answers %s", tutti_error_name(err));
	tutti_pipe_close(near);
	board->outcome = count;
}

const struct operation pipe_operations[] = {
	{.name = "pipe open", .operate = open_pipe_alone, .check = check_nothing},
	{.name = "pipe at", .size = SMALL, .prepare = open_pipe, .operate = find_far_end, .check = check_pipe},
	{.name = "pipe send", .size = SMALL, .prepare = write_one, .operate = send_one, .check = check_pipe},
	{.name = "pipe send, a block", .size = BIG, .prepare = write_one, .operate = send_one, .check = check_pipe},
	{.name = "pipe receive", .size = SMALL, .prepare = open_pipe, .operate = receive_one, .check = check_pipe},
	{.name = "pipe close, the last handle of an end",
     .size = SMALL,
     .prepare = open_pipe,
     .operate = close_far_end,
     .check = check_pipe},
	{.name = NULL},
};
