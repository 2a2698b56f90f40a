/* SPDX-License-Identifier: MIT */
/* The queue: K2 says that a message is whole, in its order, and in exactly one place. */
#include <string.h>

#include "arena/block.h"
#include "channel/queue.h"
#include "messages.h"
#include "poison.h"
#include "ring.h"

enum { SMALL = 64, BIG = 20000, MIDDLE = 1000 };

/* Before anybody recovers: has head moved past the message, and not only past the end of a segment? */
static void look_at_head(struct stage *stage)
{
	struct tutti__queue *shared = stage->queue->shared;
	uint64_t head = load_acquire(&shared->got.position);
	stage->get_was_committed = head != stage->get_position && head == load_acquire(&shared->got_redo.position);
}

static void put_probe(struct stage *stage)
{
	tutti_err err = message_put(stage->queue, stage->operation->size, PROBE, TUTTI_FOREVER);
	if (err != TUTTI_OK)
		fail(HUNG, "K1: put answers %s: %s", tutti_error_name(err), tutti_last_error());
}

/* A survivor that has not noticed the death puts or gets; else everything comes out. */
static void check_messages(struct stage *stage)
{
	if (stage->way == PUT_FIRST)
		put_probe(stage);
	messages_check(stage, stage->way == PUT_FIRST);
	if (stage->way != GET_FIRST)
		return;
	/* What the getter has freed is not there any more for who recovers the putter. */
	poison_free_memory(stage->arena);
	put_probe(stage);
	messages_check_probe(stage->queue);
}

static void put(struct stage *stage)
{
	must(tutti_queue_put(stage->queue, stage->bytes[0], stage->operation->size, TUTTI_FOREVER), "put");
}

static void put_many(struct stage *stage)
{
	tutti_view views[MAX_ADDS];
	size_t accepted, count = stage->operation->adds;
	for (size_t i = 0; i < count; i++)
		views[i] = (tutti_view){stage->bytes[i], stage->operation->size};
	must(tutti_queue_put_many(stage->queue, views, count, &accepted, TUTTI_FOREVER), "put_many");
}

static void put_in_two_steps(struct stage *stage)
{
	tutti_draft draft;
	must(tutti_queue_put_begin(stage->queue, &draft, stage->operation->size), "put_begin");
	memcpy(draft.data, stage->bytes[0], draft.size);
	must(tutti_queue_put_commit(&draft, TUTTI_FOREVER), "put_commit");
}

static void begin_put(struct stage *stage)
{
	must(tutti_queue_put_begin(stage->queue, &stage->draft, stage->operation->size), "put_begin");
	memcpy(stage->draft.data, stage->bytes[0], stage->draft.size);
}

static void commit_put(struct stage *stage) { must(tutti_queue_put_commit(&stage->draft, TUTTI_FOREVER), "commit"); }

static void put_in_vain(struct stage *stage)
{
	tutti_draft draft;
	must(tutti_queue_put_begin(stage->queue, &draft, stage->operation->size), "put_begin");
	tutti_queue_put_abort(&draft);
}

static void get_into(struct stage *stage)
{
	static unsigned char buffer[LARGEST];
	size_t size;
	must(tutti_queue_get_into(stage->queue, buffer, sizeof buffer, &size, TUTTI_FOREVER), "get_into");
}

static void get_and_release(struct stage *stage)
{
	must(tutti_queue_get(stage->queue, &stage->message, TUTTI_FOREVER), "get");
	tutti_message_release(&stage->message);
}

/* What was received becomes an object, and is gone with its last holder, the victim. */
static void get_and_adopt(struct stage *stage)
{
	tutti_block *block;
	must(tutti_queue_get(stage->queue, &stage->message, TUTTI_FOREVER), "get");
	must(tutti_block_adopt(&block, &stage->message), "adopt");
	tutti_message_release(&stage->message);
	tutti_block_close(block);
}

static void get_in_vain(struct stage *stage)
{
	static unsigned char buffer[SMALL];
	size_t size;
	if (tutti_queue_get_into(stage->queue, buffer, sizeof buffer, &size, tutti_ms(1)) != TUTTI_EEMPTY)
		must(TUTTI_EINVAL, "an empty queue");
}

/* A queue of the victim's own, with messages of all kinds in several segments. */
static void open_queue(struct stage *stage)
{
	must(tutti_queue_open(&stage->own_queue, &(tutti_queue_options){.arena = stage->arena, .max_items = 100}), "open");
}

static void open_and_fill(struct stage *stage)
{
	static const size_t sizes[] = {SMALL, BIG, MIDDLE, SMALL, 70000, MIDDLE};
	open_queue(stage);
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		must(message_put(stage->own_queue, sizes[i], i, TUTTI_NOW), "put");
}

static void close_queue(struct stage *stage) { tutti_queue_close(stage->own_queue); }

static void find_queue(struct stage *stage)
{
	must(tutti_queue_at(&stage->own_queue, stage->arena, tutti_queue_handle(stage->queue)), "at");
}

/* So many handles that the object's own holder words do not suffice. */
static void find_queue_often(struct stage *stage)
{
	for (int i = 0; i < TUTTI__OBJECT_HOLDERS; i++)
		find_queue(stage);
}

static void shut_down(struct stage *stage) { must(tutti_queue_shutdown(stage->queue), "shutdown"); }

static void check_shutdown(struct stage *stage)
{
	tutti_err err = message_put(stage->queue, SMALL, PROBE, TUTTI_FOREVER);
	if (err != TUTTI_OK && err != TUTTI_ESHUTDOWN)
		fail(HUNG, "K1: put answers %s: %s", tutti_error_name(err), tutti_last_error());
	bool is_shut = err == TUTTI_ESHUTDOWN;
	if (board->has_returned && !is_shut)
		fail(LOST, "the shutdown had returned, but the queue takes messages");
	messages_check(stage, !is_shut);
	board->outcome = is_shut;
}

const struct operation queue_operations[] = {
	{.name = "put, 64 B",
     .is_short = true,
     .queued = 1,
     .adds = 1,
     .size = SMALL,
     .operate = put,
     .check = check_messages},
	{.name = "put, 20 KB, a block",

     .queued = 1,
     .adds = 1,
     .size = BIG,
     .operate = put,
     .check = check_messages},
	{.name = "put, 20 KB, a block, cache warm",

     .queued = 1,
     .adds = 1,
     .size = BIG,
     .warm = BIG,
     .operate = put,
     .check = check_messages},
	{.name = "put, links a segment", .queued = 3, .adds = 1, .size = SMALL, .operate = put, .check = check_messages},
	{.name = "put, links a segment, cache warm",
     .is_short = true,
     .queued = 3,
     .adds = 1,
     .size = SMALL,
     .warm = 512,
     .operate = put,
     .check = check_messages},
	{.name = "put of a batch", .queued = 2, .adds = 4, .size = SMALL, .operate = put_many, .check = check_messages},
	{.name = "put of a batch of blocks",

     .queued = 8,
     .adds = 3,
     .size = 5000,
     .operate = put_many,
     .check = check_messages},
	{.name = "put in two steps",

     .queued = 1,
     .adds = 1,
     .size = MIDDLE,
     .operate = put_in_two_steps,
     .check = check_messages},
	{.name = "put in two steps, a block",

     .queued = 1,
     .adds = 1,
     .size = 5000,
     .operate = put_in_two_steps,
     .check = check_messages},
	{.name = "put of a draft, a block",
     .is_short = true,
     .queued = 1,
     .adds = 1,
     .size = 5000,
     .prepare = begin_put,
     .operate = commit_put,
     .check = check_messages},
	{.name = "put begun and aborted", .queued = 1, .size = 5000, .operate = put_in_vain, .check = check_messages},
	{.name = "get by copy, 64 B",
     .is_short = true,
     .queued = 2,
     .takes = 1,
     .size = SMALL,
     .operate = get_into,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get by copy, a block",
     .queued = 2,
     .takes = 1,
     .size = BIG,
     .operate = get_into,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get and release of a view, 64 B",
     .queued = 2,
     .takes = 1,
     .size = SMALL,
     .operate = get_and_release,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get and release of a view, a block",
     .queued = 2,
     .takes = 1,
     .size = 5000,
     .operate = get_and_release,
     .look = look_at_head,
     .check = check_messages},
	{.name = "adopt and close of a shared block",
     .queued = 2,
     .takes = 1,
     .size = 5000,
     .operate = get_and_adopt,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get and release of a view, a large run",
     .queued = 2,
     .takes = 1,
     .size = 70000,
     .operate = get_and_release,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get, leaves a segment",
     .is_short = true,
     .queued = 5,
     .gone = 3,
     .takes = 1,
     .size = SMALL,
     .operate = get_into,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get, leaves a segment, the last message",
     .queued = 4,
     .gone = 3,
     .takes = 1,
     .size = SMALL,
     .operate = get_into,
     .look = look_at_head,
     .check = check_messages},
	{.name = "get, nothing comes", .size = SMALL, .operate = get_in_vain, .check = check_messages},
	{.name = "queue open", .size = SMALL, .operate = open_queue, .check = check_messages},
	{.name = "queue at", .queued = 1, .size = SMALL, .operate = find_queue, .check = check_messages},
	{.name = "queue at, more holders than fit", .size = SMALL, .operate = find_queue_often, .check = check_messages},
	{.name = "queue close, the last handle",
     .size = SMALL,
     .prepare = open_and_fill,
     .operate = close_queue,
     .check = check_messages},
	{.name = "queue close, one of two handles",
     .queued = 1,
     .size = SMALL,
     .prepare = find_queue,
     .operate = close_queue,
     .check = check_messages},
	{.name = "queue shutdown",
     .is_short = true,
     .queued = 1,
     .size = SMALL,
     .operate = shut_down,
     .check = check_shutdown},
	{.name = NULL},
};
