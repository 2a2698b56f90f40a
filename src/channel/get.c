/* SPDX-License-Identifier: MIT */
/* Getting. The steps and what a death leaves at each: layout.h. */
#include <stdlib.h>
#include <string.h>

#include "channel/joinable.h"
#include "channel/room.h"
#include "os/copy.h"
#include "os/seeded_bug.h"

/* What a getter wants, and what it got. */
struct request {
	bool copy; /* into the buffer; else into a block */
	bool is_parcel; /* `block` is one */
	void *buffer;
	uint64_t capacity; /* of the buffer */
	uint64_t block_capacity; /* a message with a block of its own may be so large */
	atomic_u64 *claim; /* note the message here first, if not NULL */
	const struct tutti__bell *bell; /* NULL: it waits for messages only */
	uint64_t room; /* a block of the caller's for an inline message, 0: none */
	uint64_t room_size;
	uint64_t block; /* the message's own block or parcel, if it had one */
	uint64_t size;
	uint32_t encoding;
	uint64_t drained; /* a segment that became the caller's, to be freed without the latch */
};

enum take_result { TAKEN, EMPTY, END_OF_ALL, TOO_BIG, NEEDS_ROOM, DRAINED };

/*
 * A look without the latch. The segment may be freed and be something else at this
 * moment; then the answer is wrong, and the caller, who looks again under the latch or
 * after a tick, does not mind. The memory itself is always there.
 */
HOT NO_THREAD_SANITIZER static bool has_entry(tutti_arena *arena, struct tutti__queue *shared)
{
	return load_relaxed(tutti__header_at(arena, load_acquire(&shared->got.position))) != 0 ||
	       (shared->is_joinable && load_acquire(&shared->given_back) && !TUTTI__BUG(46));
}

HOT bool tutti__queue_is_ready(tutti_arena *arena, struct tutti__queue *shared)
{
	return has_entry(arena, shared) || (load_acquire(&shared->is_shut) && !TUTTI__BUG(45));
}

/* Under the latch: head passes END. The drained segment becomes the caller's. */
static void leave_segment(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, struct request *request)
{
	uint64_t head = load_relaxed(&shared->got.position);
	uint64_t old = tutti__block_start(arena, head);
	uint64_t first = load_acquire(&((struct tutti__segment *)tutti__at(arena, old))->next) + TUTTI__SEGMENT_HEAD;
	/* The putter may be, or have died, between END and tail: tail must not name what is freed. */
	if (!TUTTI__BUG(5))
		cas_u64(&shared->put.position, head, first);
	tutti__block_set_owner(arena, old, id);
	store_release(&shared->got.position, first); /* COMMIT */
	request->drained = old;
}

static ALWAYS_INLINE void commit_get(struct tutti__queue *shared, uint64_t next, uint64_t size)
{
	uint64_t count = load_relaxed(&shared->got.count) + 1;
	uint64_t bytes = load_relaxed(&shared->got.bytes) + size;
	store_release(&shared->got_redo.position, next); /* first: see write_entry */
	store_release(&shared->got_redo.count, count);
	store_release(&shared->got_redo.bytes, bytes);
	store_release(&shared->got.position, next); /* COMMIT */
	/* Release: pairs with the putter's acquire in room.h; the entry has been read by then. */
	store_release(&shared->got.count, count);
	store_release(&shared->got.bytes, bytes);
}

/* Asks for the next message's lines while the latch's release waits, if it is there: else they are the putter's yet. */
NO_THREAD_SANITIZER static void prefetch_next(tutti_arena *arena, uint64_t position)
{
	const unsigned char *next = tutti__at(arena, position);
	uint64_t header = load_relaxed(tutti__header_at(arena, position));
	if (tutti__header_kind(header) == TUTTI__ENTRY_INLINE)
		prefetch_to_read(next + CACHE_LINE, next + CACHE_LINE + (header >> 32));
}

static void note_claim(const struct request *request, const uint64_t *payload)
{
	store_release(&request->claim[1], payload[1]);
	store_release(&request->claim[0], payload[0]);
}

/* Under the latch: the message is the caller's, and head goes on to `next`. */
static ALWAYS_INLINE void finish_take(tutti_arena *arena, struct tutti__queue *shared, uint64_t next,
                                      const struct request *request)
{
	commit_get(shared, next, request->size);
	if (TUTTI__BUG(43) && request->claim)
		note_claim(request, request->buffer);
	prefetch_next(arena, next);
}

static ALWAYS_INLINE enum take_result take_inline(tutti_arena *arena, uint64_t head, struct request *request)
{
	const void *payload = tutti__at(arena, head + TUTTI__HEADER_SIZE);
	if (request->size > (request->copy ? request->capacity : request->room_size))
		return request->copy ? TOO_BIG : NEEDS_ROOM;
	if (!request->copy && request->room == 0)
		return NEEDS_ROOM;
	if (request->size)
		copy_few(request->copy ? request->buffer : tutti__at(arena, request->room), payload, request->size);
	if (request->claim && !TUTTI__BUG(43))
		note_claim(request, payload);
	return TAKEN;
}

static enum take_result take_block(tutti_arena *arena, uint64_t head, uint32_t id, struct request *request)
{
	struct tutti__block_entry *entry = tutti__at(arena, head + TUTTI__HEADER_SIZE);
	if (request->size > request->block_capacity)
		return TOO_BIG;
	request->block = entry->offset;
	if (!TUTTI__BUG(6))
		tutti__block_set_owner(arena, entry->offset, id);
	return TAKEN;
}

static enum take_result take_parcel(tutti_arena *arena, struct tutti__queue *shared, uint64_t head, uint32_t id,
                                    struct request *request)
{
	struct tutti__block_entry *entry = tutti__at(arena, head + TUTTI__HEADER_SIZE);
	if (request->size > request->block_capacity)
		return TOO_BIG;
	request->block = entry->offset;
	request->is_parcel = true;
	if (shared->is_joinable)
		tutti__item_begin(arena, shared, id, entry->offset, head + tutti__entry_size(sizeof *entry));
	else
		tutti__block_set_owner(arena, entry->offset, id);
	return TAKEN;
}

/* What a killed getter had comes first; EMPTY: nothing like that. */
static enum take_result take_given_back(tutti_arena *arena, struct tutti__queue *shared, uint32_t id,
                                        struct request *request)
{
	uint64_t parcel = tutti__given_back_first(arena, shared);
	if (parcel == 0)
		return EMPTY;
	request->size = tutti__parcel_at(arena, parcel)->size;
	if (request->size > request->block_capacity)
		return TOO_BIG;
	request->block = parcel;
	request->is_parcel = true;
	tutti__given_back_take(arena, id, parcel);
	return TAKEN;
}

/* Under the latch. */
static enum take_result take(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, struct request *request)
{
	enum take_result given_back;
	if (unlikely(shared->is_joinable) && (given_back = take_given_back(arena, shared, id, request)) != EMPTY)
		return given_back;
	uint64_t head = load_relaxed(&shared->got.position);
	/* Acquire: pairs with the putter's commit. */
	uint64_t header = load_acquire(tutti__header_at(arena, head));
	if (header == 0) {
		/* Shut, and then still nothing: a put before the shutdown would be visible by now. */
		bool shut = load_acquire(&shared->is_shut);
		header = load_acquire(tutti__header_at(arena, head));
		if (header == 0)
			return shut ? END_OF_ALL : EMPTY;
	}
	if (unlikely(tutti__header_kind(header) == TUTTI__ENTRY_END)) {
		leave_segment(arena, shared, id, request);
		return DRAINED;
	}
	uint64_t extent = tutti__entry_extent(arena, head, header, &request->size);
	request->encoding = tutti__header_encoding(header);
	enum take_result result;
	if (likely(tutti__header_kind(header) == TUTTI__ENTRY_INLINE))
		result = take_inline(arena, head, request);
	else if (tutti__header_kind(header) == TUTTI__ENTRY_BLOCK)
		result = take_block(arena, head, id, request);
	else
		result = take_parcel(arena, shared, head, id, request);
	if (result == TAKEN)
		finish_take(arena, shared, head + extent, request);
	if (unlikely(request->is_parcel) && shared->is_joinable)
		tutti__item_finish(arena, shared, request->block);
	if (TUTTI__BUG(6) && result == TAKEN && request->block)
		tutti__block_set_owner(arena, request->block, id);
	return result;
}

/*
 * The common case at one go: a small message lies there, for the buffer, and nobody holds the latch. False: nothing
 * was done, and the general way finds out why.
 */
static ALWAYS_INLINE bool take_quickly(tutti_queue *queue, uint32_t id, struct request *request)
{
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	bool taken = false;
	if (!request->copy || shared->is_joinable || !has_entry(arena, shared) || !tutti__latch_try(&shared->get_latch, id))
		return false;
	uint64_t head = load_relaxed(&shared->got.position);
	/* Acquire: pairs with the putter's commit. */
	uint64_t header = load_acquire(tutti__header_at(arena, head)), size = header >> 32;
	if (likely(tutti__header_kind(header) == TUTTI__ENTRY_INLINE && size <= request->capacity)) {
		request->size = size;
		request->encoding = tutti__header_encoding(header);
		take_inline(arena, head, request);
		finish_take(arena, shared, head + tutti__entry_size(size), request);
		taken = true;
	}
	tutti__latch_release(&shared->get_latch);
	return taken;
}

/*
 * A block for an inline message, without the latch. A full arena must not keep its getters
 * from making room in it: then private memory serves.
 */
static tutti_err make_room(tutti_arena *arena, struct request *request, int64_t deadline)
{
	if (request->room)
		tutti__block_free(arena, request->room);
	request->room = request->room_size = 0;
	uint64_t size = request->size ? request->size : 1;
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, size, deadline, &request->room);
	if (err == TUTTI_OK)
		request->room_size = tutti__block_size(arena, request->room);
	if (err != TUTTI_ENOMEM)
		return err;
	free(request->buffer);
	request->buffer = malloc(TUTTI__INLINE_MAX); /* fits whichever message is next now */
	request->copy = request->buffer != NULL;
	request->capacity = TUTTI__INLINE_MAX;
	return request->copy ? TUTTI_OK : err;
}

/* Tries until the queue says what it has; only the last answers are returned. */
static tutti_err take_one(tutti_queue *queue, uint32_t id, struct request *request, int64_t deadline,
                          enum take_result *result)
{
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	tutti_err err;
	do {
		err = tutti__latch_acquire(arena, &shared->get_latch, id, deadline);
		if (unlikely(err))
			return err;
		*result = take(arena, shared, id, request);
		tutti__latch_release(&shared->get_latch);
		if (unlikely(request->drained)) {
			tutti__block_free(arena, request->drained);
			request->drained = 0;
		}
		if (*result == NEEDS_ROOM)
			err = make_room(arena, request, deadline);
	} while (!err && (*result == DRAINED || *result == NEEDS_ROOM));
	return err;
}

struct item_question {
	tutti_arena *arena;
	struct tutti__queue *shared;
	const struct tutti__bell *bell;
};

/* Asks for the line behind the header's too: a message of 64 bytes lies on both, and they come at the same time. */
HOT static bool item_is_ready(void *context)
{
	struct item_question *question = context;
	const unsigned char *head = tutti__at(question->arena, load_relaxed(&question->shared->got.position));
	prefetch_to_read(head + CACHE_LINE, head + CACHE_LINE + 1);
	return tutti__queue_is_ready(question->arena, question->shared);
}

static bool item_or_bell_is_ready(void *context)
{
	struct item_question *question = context;
	return tutti__bell_has_rung(question->bell) || item_is_ready(context);
}

static tutti_err fail_empty(tutti_queue *queue)
{
	tutti__poll_refresh(&queue->polls);
	/* Who asks without waiting must see in time what the dead give back. */
	if (queue->shared->is_joinable)
		tutti__look_after_the_dead(queue->reference.arena);
	return tutti__fail_plain(TUTTI_EEMPTY, "nothing is in the queue. Wait longer, or put something.");
}

HOT static tutti_err wait_for_item(tutti_queue *queue, const struct tutti__bell *bell, int64_t deadline)
{
	struct item_question question = {queue->reference.arena, queue->shared, bell};
	struct tutti__waiting waiting = {.arena = question.arena,
	                                 .patience = &queue->item_patience,
	                                 .hints = &queue->shared->item_hints,
	                                 .object = queue->reference.offset,
	                                 .is_ready = bell ? item_or_bell_is_ready : item_is_ready,
	                                 .context = &question,
	                                 .awaited = tutti__at(question.arena, load_relaxed(&question.shared->got.position)),
	                                 .deadline = deadline};
	tutti_err err = tutti__wait_at(&waiting, &queue->shared->items);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting for queue \"%s\". Get again.",
		                   queue->shared->object.name);
	return err == TUTTI_ETIMEDOUT ? fail_empty(queue) : err;
}

/* After a get that had waited: what is left behind needs another sleeper, as this one may have stood for several puts. */
HOT static void pass_on(tutti_queue *queue)
{
	tutti__promise_kept(&queue->shared->item_hints);
	if (has_entry(queue->reference.arena, queue->shared))
		tutti__wake_one(&queue->shared->items, &queue->shared->item_hints);
}

HOT static void announce_taken(tutti_queue *queue)
{
	tutti__room_announce(queue->reference.arena, queue->shared);
	tutti__count_operation(queue->reference.arena);
}

HOT static tutti_err answer(tutti_queue *queue, enum take_result result, const struct request *request)
{
	const char *name = queue->shared->object.name;
	switch (result) {
	case TAKEN:
		announce_taken(queue);
		return TUTTI_OK;
	case END_OF_ALL:
		return tutti__fail(TUTTI_EOF, "queue \"%s\" was shut down and is drained.", name);
	case TOO_BIG:
		return tutti__fail(TUTTI_ETOOBIG,
		                   "the next message of queue \"%s\" has %llu bytes, the buffer %llu. It stays there: get it "
		                   "with a larger one.",
		                   name, (unsigned long long)request->size, (unsigned long long)request->capacity);
	default:
		return fail_empty(queue);
	}
}

/* What take_quickly() could not do, and waiting. */
HOT __attribute__((noinline)) static tutti_err get_patiently(tutti_queue *queue, uint32_t id, struct request *request,
                                                             tutti_time timeout)
{
	tutti_err err;
	enum take_result result = EMPTY;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : timeout <= 0 ? 0 : tutti__deadline(timeout);
	bool waited = false;
	while ((err = take_one(queue, id, request, deadline, &result)) == TUTTI_OK && result == EMPTY && timeout > 0) {
		err = wait_for_item(queue, request->bell, deadline);
		if (err)
			return err;
		waited = true;
		if (unlikely(request->bell) && tutti__bell_has_rung(request->bell)) {
			pass_on(queue); /* the wake may have been for a message, too */
			return TUTTI_EBUSY;
		}
		if (take_quickly(queue, id, request)) {
			result = TAKEN;
			break;
		}
	}
	if (err)
		return err;
	if (waited)
		pass_on(queue);
	return answer(queue, result, request);
}

HOT static tutti_err get(tutti_queue *queue, struct request *request, tutti_time timeout)
{
	tutti_err err;
	uint32_t id = tutti__use(&queue->reference, &err);
	if (unlikely(id == 0))
		return err;
	if (likely(take_quickly(queue, id, request))) {
		announce_taken(queue);
		return TUTTI_OK;
	}
	return get_patiently(queue, id, request, timeout);
}

static void drop_unused_room(tutti_arena *arena, struct request *request)
{
	if (request->room)
		tutti__block_free(arena, request->room);
	free(request->buffer);
	request->room = 0;
	request->buffer = NULL;
}

/* `request` copies into the caller's memory, or has no room yet. */
static tutti_err get_message(tutti_queue *queue, struct request *request, tutti_message *message, tutti_time timeout)
{
	tutti_arena *arena = queue->reference.arena;
	bool near = request->copy;
	tutti_err err = get(queue, request, timeout);
	if (!near && (err || request->block))
		drop_unused_room(arena, request);
	*message = (tutti_message){0};
	if (err)
		return err;
	if (unlikely(request->is_parcel))
		return tutti__parcel_deliver(queue, request->block, message);
	message->arena = near && !request->block ? NULL : arena; /* nothing is to be freed then */
	message->encoding = request->encoding;
	message->block = request->block ? request->block : request->room;
	message->view.size = request->size;
	message->view.data = message->block ? tutti__at(arena, message->block) : request->buffer;
	return TUTTI_OK;
}

HOT tutti_err tutti_queue_get(tutti_queue *queue, tutti_message *message, tutti_time timeout)
{
	struct request request = {.block_capacity = UINT64_MAX};
	return get_message(queue, &request, message, timeout);
}

HOT tutti_err tutti_queue_get_near(tutti_queue *queue, tutti_message *message, unsigned char near[TUTTI_NEAR],
                                   tutti_time timeout)
{
	struct request request = {.copy = true, .buffer = near, .capacity = TUTTI_NEAR, .block_capacity = UINT64_MAX};
	return get_message(queue, &request, message, timeout);
}

/* Of a message with a block or a parcel, which was taken. Kept out of the way of small ones. */
__attribute__((noinline)) static void copy_out(tutti_queue *queue, const struct request *request, void *buffer)
{
	tutti_arena *arena = queue->reference.arena;
	if (request->is_parcel) {
		tutti__parcel_deliver_into(queue, request->block, buffer);
		return;
	}
	memcpy(buffer, tutti__at(arena, request->block), request->size);
	tutti__block_free(arena, request->block);
}

HOT tutti_err tutti_queue_get_into(tutti_queue *queue, void *buffer, size_t capacity, size_t *size, tutti_time timeout)
{
	struct request request = {.copy = true, .buffer = buffer, .capacity = capacity, .block_capacity = capacity};
	tutti_err err = get(queue, &request, timeout);
	if (unlikely(request.block))
		copy_out(queue, &request, buffer);
	if (size)
		*size = err == TUTTI_OK || err == TUTTI_ETOOBIG ? request.size : 0;
	return err;
}

tutti_err tutti__queue_take(tutti_queue *queue, uint64_t *parcel)
{
	struct request request = {.block_capacity = UINT64_MAX};
	tutti_err err = get(queue, &request, TUTTI_NOW);
	*parcel = request.block;
	return err;
}

tutti_err tutti__queue_wait_ready(tutti_queue *queue, tutti_time timeout)
{
	tutti_err err = TUTTI_OK;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : timeout <= 0 ? 0 : tutti__deadline(timeout);
	bool waited = false;
	while (!err && !tutti__queue_is_ready(queue->reference.arena, queue->shared)) {
		err = timeout <= 0 ? fail_empty(queue) : wait_for_item(queue, NULL, deadline);
		waited = true;
	}
	if (waited)
		pass_on(queue); /* it may be taken by somebody else, whose wake this one was */
	return err;
}

tutti_err tutti__queue_claim(tutti_queue *queue, uint64_t message[2], atomic_u64 claim[2],
                             const struct tutti__bell *bell, tutti_time timeout)
{
	struct request request = {.copy = true,
	                          .buffer = message,
	                          .capacity = 2 * sizeof *message,
	                          .block_capacity = 2 * sizeof *message,
	                          .claim = claim,
	                          .bell = bell};
	return get(queue, &request, timeout);
}

tutti_err tutti_queue_get_many(tutti_queue *queue, tutti_message *messages, size_t capacity, size_t *count,
                               tutti_time timeout)
{
	*count = 0;
	if (capacity == 0)
		return TUTTI_OK;
	tutti_err err = tutti_queue_get(queue, &messages[0], timeout);
	if (err)
		return err;
	*count = 1;
	while (*count < capacity && has_entry(queue->reference.arena, queue->shared) &&
	       tutti_queue_get(queue, &messages[*count], TUTTI_NOW) == TUTTI_OK)
		++*count;
	return TUTTI_OK;
}
