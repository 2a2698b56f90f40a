/* SPDX-License-Identifier: MIT */
/* The queue as an object: opening, closing, shutting down. What its bytes mean: layout.h. */
#include <stdlib.h>

#include "arena/arena.h"
#include "channel/joinable.h"
#include "channel/queue.h"

static tutti_err new_handle(tutti_queue **result)
{
	*result = calloc(1, sizeof **result);
	return *result ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for a queue handle");
}

static uint64_t bound(uint64_t value) { return value ? value : UINT64_MAX; }

/* The first segment; still the caller's own. */
static tutti_err add_first_segment(tutti_arena *arena, struct tutti__queue *shared, uint64_t *segment)
{
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, TUTTI__SEGMENT_MIN, INT64_MAX, segment);
	if (err)
		return err;
	store_relaxed(&((struct tutti__segment *)tutti__at(arena, *segment))->next, 0);
	store_relaxed(tutti__header_at(arena, *segment + TUTTI__SEGMENT_HEAD), 0);
	store_relaxed(&shared->put.position, *segment + TUTTI__SEGMENT_HEAD);
	store_relaxed(&shared->got.position, *segment + TUTTI__SEGMENT_HEAD);
	store_relaxed(&shared->tail_end, *segment + tutti__block_size(arena, *segment) - TUTTI__HEADER_SIZE);
	return TUTTI_OK;
}

static tutti_err create(tutti_arena *arena, const tutti_queue_options *options, tutti_queue *queue)
{
	struct tutti__object *object;
	uint64_t segment;
	tutti_err err = tutti__object_create(arena, TUTTI__KIND_QUEUE, sizeof(struct tutti__queue), options->name, &object);
	if (err)
		return err;
	struct tutti__queue *shared = (struct tutti__queue *)object;
	shared->max_items = bound(options->max_items);
	store_relaxed(&shared->least_wanted, UINT64_MAX);
	shared->max_bytes = bound(options->max_bytes);
	shared->max_message = bound(options->max_message);
	shared->is_joinable = options->joinable;
	err = add_first_segment(arena, shared, &segment);
	if (err) {
		tutti__block_free(arena, tutti__offset(arena, object));
		return err;
	}
	queue->shared = shared;
	/* As put_commit does it: noted first, so that a creator killed in between loses neither. */
	store_release(&shared->pending_segment, segment);
	tutti__object_publish(arena, TUTTI__KIND_QUEUE, object, &queue->reference);
	tutti__block_set_owner(arena, segment, TUTTI__SHARED);
	store_release(&shared->pending_segment, 0);
	return TUTTI_OK;
}

tutti_err tutti_queue_open(tutti_queue **result, const tutti_queue_options *options)
{
	static const tutti_queue_options defaults;
	options = options ? options : &defaults;
	tutti_arena *arena;
	tutti_queue *queue;
	tutti_err err = tutti__arena_or_default(options->arena, &arena);
	if (!err)
		err = new_handle(&queue);
	if (err)
		return err;
	err = create(arena, options, queue);
	if (err)
		free(queue);
	else
		*result = queue;
	return err;
}

tutti_err tutti_queue_at(tutti_queue **result, tutti_arena *given, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_queue *queue;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (!err)
		err = new_handle(&queue);
	if (err)
		return err;
	err = tutti__reference_open(&queue->reference, arena, TUTTI__KIND_QUEUE, handle);
	if (err) {
		free(queue);
		return err;
	}
	queue->shared = (struct tutti__queue *)queue->reference.object;
	*result = queue;
	return TUTTI_OK;
}

void tutti_queue_close(tutti_queue *queue)
{
	if (!queue)
		return;
	tutti__poll_list_close(&queue->polls);
	tutti__poll_list_close(&queue->room_polls);
	tutti__poll_list_close(&queue->done_polls);
	tutti__reference_close(&queue->reference);
	free(queue);
}

tutti_handle tutti_queue_handle(const tutti_queue *queue) { return tutti__reference_handle(&queue->reference); }

void tutti__queue_ring(tutti_queue *queue, atomic_u32 *bell)
{
	/* The waiter's side: mark, full barrier, look at the count. */
	atomic_fetch_add_explicit(bell, 1, memory_order_acq_rel);
	fence_after_rmw();
	tutti__wake_all(&queue->shared->items);
}

uint64_t tutti_queue_size(const tutti_queue *queue)
{
	/* Looking changes nothing that the caller could see: the latch is the queue's. */
	uint64_t given_back = queue->shared->is_joinable ? tutti__given_back_count((tutti_queue *)(uintptr_t)queue) : 0;
	/* got first: it never passes put, so the difference cannot become negative. */
	uint64_t got = load_acquire(&queue->shared->got.count);
	uint64_t put = load_acquire(&queue->shared->put.count);
	return (put > got ? put - got : 0) + given_back;
}

static void announce_shutdown(tutti_arena *arena, struct tutti__queue *shared)
{
	tutti__wake_all(&shared->items);
	tutti__wake_all(&shared->room);
	tutti__ring(arena, &shared->pollable);
	tutti__ring(arena, &shared->room_pollable);
	tutti__ring(arena, &shared->done_pollable); /* what is dropped need not be done */
}

void tutti__queue_shut(tutti_arena *arena, struct tutti__queue *shared)
{
	cas_u32(&shared->is_shut, TUTTI__IS_OPEN, TUTTI__IS_SHUT);
	fence_after_rmw();
	announce_shutdown(arena, shared);
}

static tutti_err shut_down(tutti_queue *queue, enum tutti__shut how)
{
	tutti_err err;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	uint32_t id = tutti__use(&queue->reference, &err);
	if (id == 0)
		return err;
	/* Under the latch, so that each put is wholly before or refused; a getter that sees it looks once more. */
	err = tutti__latch_acquire(arena, &shared->put_latch, id, INT64_MAX);
	if (err)
		return err;
	if (load_relaxed(&shared->is_shut) < (uint32_t)how)
		store_release(&shared->is_shut, (uint32_t)how);
	tutti__latch_release(&shared->put_latch);
	announce_shutdown(arena, shared);
	return TUTTI_OK;
}

tutti_err tutti_queue_shutdown(tutti_queue *queue) { return shut_down(queue, TUTTI__IS_SHUT); }

tutti_err tutti_queue_shutdown_now(tutti_queue *queue)
{
	tutti_message message;
	tutti_err err = shut_down(queue, TUTTI__IS_DROPPED);
	if (err || queue->shared->is_joinable)
		return err ? err : tutti__queue_drop_all(queue);
	while ((err = tutti_queue_get(queue, &message, TUTTI_NOW)) == TUTTI_OK)
		tutti_message_release(&message);
	return err == TUTTI_EOF ? TUTTI_OK : err;
}

static bool is_ready(void *context)
{
	tutti_queue *queue = context;
	return tutti__queue_is_ready(queue->reference.arena, queue->shared);
}

tutti_err tutti__queue_watch(tutti_queue *queue, struct tutti__watch *watch)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	*watch = (struct tutti__watch){&queue->shared->pollable, is_ready, queue, &queue->polls};
	return TUTTI_OK;
}

static tutti_err watch_queue(void *handle, struct tutti__watch *watch) { return tutti__queue_watch(handle, watch); }

tutti_err tutti_queue_fd(tutti_queue *queue, int *fd)
{
	struct tutti__watch watch;
	*fd = -1;
	tutti_err err = tutti__queue_watch(queue, &watch);
	return err ? err : tutti__poll_fd(queue->reference.arena, &watch, false, fd);
}

static bool has_room(void *context)
{
	tutti_queue *queue = context;
	uint64_t size = load_relaxed(&queue->room_size); /* relaxed: who changes it looks anew afterwards */
	return tutti__queue_has_room(queue->shared, size ? size : 1);
}

tutti_err tutti_queue_room_fd(tutti_queue *queue, int *fd)
{
	tutti_err err = TUTTI_OK;
	struct tutti__watch watch = {&queue->shared->room_pollable, has_room, queue, &queue->room_polls};
	*fd = -1;
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	return tutti__poll_fd(queue->reference.arena, &watch, false, fd);
}

tutti_err tutti_queue_done_fd(tutti_queue *queue, int *fd)
{
	tutti_err err = TUTTI_OK;
	struct tutti__queue *shared = queue->shared;
	struct tutti__watch watch = {&shared->done_pollable, tutti__queue_may_be_done, shared, &queue->done_polls};
	*fd = -1;
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	if (!shared->is_joinable)
		return tutti__fail_not_joinable(shared);
	return tutti__poll_fd(queue->reference.arena, &watch, false, fd);
}

uint64_t tutti__entry_extent(const tutti_arena *arena, uint64_t position, uint64_t header, uint64_t *payload)
{
	if (tutti__header_kind(header) == TUTTI__ENTRY_INLINE) {
		*payload = header >> 32;
		return tutti__entry_size(*payload);
	}
	*payload = ((struct tutti__block_entry *)tutti__at(arena, position + TUTTI__HEADER_SIZE))->size;
	return tutti__entry_size(sizeof(struct tutti__block_entry));
}

const struct tutti__kind tutti__queue_kind = {.name = "queue",
                                              .is_object = true,
                                              .recover = tutti__queue_recover,
                                              .destroy = tutti__queue_destroy,
                                              .watch = watch_queue};
