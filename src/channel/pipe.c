/* SPDX-License-Identifier: MIT */
/*
 * The pipe: two ends and a queue for each way.
 *
 * An end is an object of its own, so that its last handle's closing, or its last holder's
 * death, is an event: then its kind's `destroy` shuts its queues. That takes no latch: who
 * sends into a queue holds the end, so when the end dies nobody is in the middle of a put
 * there, but for the dead, whose puts are in or not; and to what the other end puts at the
 * same moment nobody listens any more.
 *
 * Made: the queues; the ends, published with the queues' handles but without a word in
 * them; then the words. A maker killed in between leaves ends that shut only the queues
 * that they hold, and queues that die with him.
 * Unmade: a queue is shut while the end's word is in it; then the word is cleared. A
 * successor finds the word, and does both, or none, and has nothing to do.
 */
#include <stdlib.h>

#include "arena/arena.h"
#include "channel/pipe.h"
#include "channel/queue.h"
#include "os/seeded_bug.h"

struct tutti_pipe {
	struct tutti__reference reference;
	struct tutti__pipe_end *shared;
	tutti_queue *queues[2]; /* NULL: that way is closed */
};

static bool is_none(tutti_handle handle) { return handle.offset == 0; }

static void shut_queue(tutti_arena *arena, tutti_handle queue, uint32_t holder)
{
	if (is_none(queue) || !tutti__object_is_held(arena, queue, holder))
		return;
	if (TUTTI__BUG(37))
		tutti__object_unhold(arena, queue, holder);
	tutti__queue_shut(arena, tutti__at(arena, queue.offset));
	tutti__object_unhold(arena, queue, holder);
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	struct tutti__pipe_end *end = tutti__at(arena, offset);
	/* In this order: whom the other end's TUTTI_EOF has reached is refused when it sends, even if we die here. */
	shut_queue(arena, end->queues[TUTTI__PIPE_IN], tutti__block_holder(offset));
	shut_queue(arena, end->queues[TUTTI__PIPE_OUT], tutti__block_holder(offset));
}

/* The end's words in its queues. */
static tutti_err hold_queues(tutti_pipe *end)
{
	tutti_err err = TUTTI_OK;
	for (int way = 0; way < 2 && !err; way++)
		if (!is_none(end->shared->queues[way]))
			err = tutti__object_hold(end->reference.arena, end->shared->queues[way],
			                         tutti__block_holder(end->reference.offset));
	return err;
}

static tutti_err open_queues(tutti_pipe *end)
{
	tutti_err err = TUTTI_OK;
	for (int way = 0; way < 2 && !err; way++)
		if (!is_none(end->shared->queues[way]))
			err = tutti_queue_at(&end->queues[way], end->reference.arena, end->shared->queues[way]);
	return err;
}

static tutti_err new_handle(tutti_pipe **result)
{
	*result = calloc(1, sizeof **result);
	return *result ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for a pipe handle");
}

/* One end: `in` and `out` may be NULL. */
static tutti_err create_end(tutti_arena *arena, const char *name, const tutti_queue *in, const tutti_queue *out,
                            tutti_pipe **result)
{
	struct tutti__object *object;
	tutti_pipe *end;
	tutti_err err = new_handle(&end);
	if (err)
		return err;
	err = tutti__object_create(arena, TUTTI__KIND_PIPE, sizeof(struct tutti__pipe_end), name, &object);
	if (err) {
		free(end);
		return err;
	}
	end->shared = (struct tutti__pipe_end *)object;
	if (in)
		end->shared->queues[TUTTI__PIPE_IN] = tutti_queue_handle(in);
	if (out)
		end->shared->queues[TUTTI__PIPE_OUT] = tutti_queue_handle(out);
	tutti__object_publish(arena, TUTTI__KIND_PIPE, object, &end->reference);
	err = hold_queues(end);
	if (!err)
		err = open_queues(end);
	if (err)
		tutti_pipe_close(end);
	else
		*result = end;
	return err;
}

static tutti_err open_ways(tutti_arena *arena, const tutti_pipe_options *options, tutti_queue *ways[2])
{
	tutti_queue_options each = {.arena = arena,
	                            .name = options->name ? options->name : "pipe",
	                            .max_items = options->max_items,
	                            .max_bytes = options->max_bytes,
	                            .max_message = options->max_message};
	tutti_err err = tutti_queue_open(&ways[0], &each);
	return err || options->one_way ? err : tutti_queue_open(&ways[1], &each);
}

tutti_err tutti_pipe_open(tutti_pipe **first, tutti_pipe **second, const tutti_pipe_options *options)
{
	static const tutti_pipe_options defaults;
	options = options ? options : &defaults;
	tutti_arena *arena;
	tutti_queue *ways[2] = {NULL, NULL}; /* to the first end, to the second */
	tutti_pipe *ends[2] = {NULL, NULL};
	tutti_err err = tutti__arena_or_default(options->arena, &arena);
	if (!err)
		err = open_ways(arena, options, ways);
	if (!err)
		err = create_end(arena, options->name, ways[0], ways[1], &ends[0]);
	if (!err)
		err = create_end(arena, options->name, ways[1], ways[0], &ends[1]);
	/* The ends have them now. */
	tutti_queue_close(ways[0]);
	tutti_queue_close(ways[1]);
	if (err) {
		tutti_pipe_close(ends[0]);
		return err;
	}
	*first = ends[0];
	*second = ends[1];
	return TUTTI_OK;
}

tutti_err tutti_pipe_at(tutti_pipe **result, tutti_arena *given, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_pipe *end;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (!err)
		err = new_handle(&end);
	if (err)
		return err;
	err = tutti__reference_open(&end->reference, arena, TUTTI__KIND_PIPE, handle);
	if (err) {
		free(end);
		return err;
	}
	end->shared = (struct tutti__pipe_end *)end->reference.object;
	err = open_queues(end);
	if (err)
		tutti_pipe_close(end);
	else
		*result = end;
	return err;
}

void tutti_pipe_close(tutti_pipe *end)
{
	if (!end)
		return;
	tutti_queue_close(end->queues[TUTTI__PIPE_IN]);
	tutti_queue_close(end->queues[TUTTI__PIPE_OUT]);
	tutti__reference_close(&end->reference);
	free(end);
}

tutti_handle tutti_pipe_handle(const tutti_pipe *end) { return tutti__reference_handle(&end->reference); }

/* In a forked child this makes the end the child's, before its queues are. */
static tutti_err use(tutti_pipe *end, int way)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&end->reference, &err) == 0 || end->queues[way])
		return err;
	return tutti__fail(TUTTI_EPERM, "this end of pipe \"%s\" only %s. Use the other end.", end->shared->object.name,
	                   way == TUTTI__PIPE_OUT ? "receives" : "sends");
}

/* Says of the pipe what its queue has answered. Who asks without waiting must see in time that the other end is dead. */
static tutti_err explain(const tutti_pipe *end, tutti_err err)
{
	const char *name = end->shared->object.name;
	if (err == TUTTI_EEMPTY || err == TUTTI_EFULL)
		tutti__look_after_the_dead(end->reference.arena);
	switch (err) {
	case TUTTI_EEMPTY:
		return tutti__fail_plain(err, "nothing is in the pipe. Wait longer, or send something.");
	case TUTTI_EFULL:
		return tutti__fail(err, "pipe \"%s\" is full. Raise max_items or max_bytes, or receive at the other end.",
		                   name);
	case TUTTI_ESHUTDOWN:
		return tutti__fail(
			err, "the other end of pipe \"%s\" was closed, or its last holder ended: nobody would receive it.", name);
	case TUTTI_EOF:
		return tutti__fail(err,
		                   "the other end of pipe \"%s\" was closed, or its last holder ended, and everything was "
		                   "received.",
		                   name);
	default:
		return err;
	}
}

tutti_err tutti_pipe_send_with(tutti_pipe *end, const tutti_view *parts, size_t count, tutti_encoding encoding,
                               const tutti_handle *carried, size_t carried_count, tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_OUT);
	if (!err)
		err =
			tutti_queue_put_with(end->queues[TUTTI__PIPE_OUT], parts, count, encoding, carried, carried_count, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_send_gather(tutti_pipe *end, const tutti_view *parts, size_t count, tutti_encoding encoding,
                                 tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_OUT);
	if (!err)
		err = tutti_queue_put_gather(end->queues[TUTTI__PIPE_OUT], parts, count, encoding, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_send(tutti_pipe *end, const void *data, size_t size, tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_OUT);
	if (!err)
		err = tutti_queue_put(end->queues[TUTTI__PIPE_OUT], data, size, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_receive(tutti_pipe *end, tutti_message *message, tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_IN);
	if (!err)
		err = tutti_queue_get(end->queues[TUTTI__PIPE_IN], message, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_receive_near(tutti_pipe *end, tutti_message *message, unsigned char near[TUTTI_NEAR],
                                  tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_IN);
	if (!err)
		err = tutti_queue_get_near(end->queues[TUTTI__PIPE_IN], message, near, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_receive_into(tutti_pipe *end, void *buffer, size_t capacity, size_t *size, tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_IN);
	if (!err)
		err = tutti_queue_get_into(end->queues[TUTTI__PIPE_IN], buffer, capacity, size, timeout);
	return explain(end, err);
}

tutti_err tutti_pipe_poll(tutti_pipe *end, tutti_time timeout)
{
	tutti_err err = use(end, TUTTI__PIPE_IN);
	return explain(end, err ? err : tutti__queue_wait_ready(end->queues[TUTTI__PIPE_IN], timeout));
}

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_pipe *end = handle;
	tutti_err err = use(end, TUTTI__PIPE_IN);
	return err ? err : tutti__queue_watch(end->queues[TUTTI__PIPE_IN], watch);
}

tutti_err tutti_pipe_fd(tutti_pipe *end, int *fd)
{
	tutti_err err = use(end, TUTTI__PIPE_IN);
	return err ? err : tutti_queue_fd(end->queues[TUTTI__PIPE_IN], fd);
}

const struct tutti__kind tutti__pipe_kind = {.name = "pipe", .is_object = true, .destroy = destroy, .watch = watch};
