/* SPDX-License-Identifier: MIT */
/* Putting. The steps and what a death leaves at each: layout.h. */
#include <string.h>

#include "channel/letter.h"
#include "channel/parcel.h"
#include "channel/room.h"
#include "os/copy.h"
#include "os/seeded_bug.h"

/* Why an entry did not go in. */
enum append_result { APPENDED, NO_SEGMENT, NO_ROOM, IS_SHUT };

enum { BATCH = 32 }; /* messages put under one latch */

static inline bool is_inline(const struct tutti__letter *letter) { return letter->block == 0; }

static ALWAYS_INLINE uint64_t entry_size_of(const struct tutti__letter *letter)
{
	return tutti__entry_size(is_inline(letter) ? letter->size : sizeof(struct tutti__block_entry));
}

uint64_t tutti__parts_size(const tutti_view *parts, size_t count)
{
	uint64_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += parts[i].size;
	return size;
}

void tutti__parts_copy(unsigned char *to, const tutti_view *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(to, parts[i].data, parts[i].size);
		to += parts[i].size;
	}
}

/*
 * The bytes of a payload at `payload` that share the header's cache line. A getter that
 * waits looks at that line all the time: it is written last and at one go, together with
 * the header, so that it crosses to the getter once.
 */
static ALWAYS_INLINE uint64_t beside_header(const unsigned char *payload, const struct tutti__letter *letter)
{
	uint64_t rest = CACHE_LINE - ((uintptr_t)payload - TUTTI__HEADER_SIZE) % CACHE_LINE - TUTTI__HEADER_SIZE;
	return rest < letter->size ? rest : letter->size;
}

static ALWAYS_INLINE void copy_beyond_line(unsigned char *payload, const struct tutti__letter *letter)
{
	if (letter->count > 1) {
		tutti__parts_copy(payload, letter->parts, letter->count);
		return;
	}
	uint64_t first = beside_header(payload, letter);
	if (letter->size > first)
		copy_few(payload + first, (const unsigned char *)letter->parts->data + first, letter->size - first);
}

static ALWAYS_INLINE void copy_beside_header(unsigned char *payload, const struct tutti__letter *letter)
{
	if (letter->count == 1 && letter->size)
		copy_few(payload, letter->parts->data, beside_header(payload, letter));
}

/* Under the latch: the segment, the caller's own, becomes the chain's last. */
__attribute__((noinline)) static void link_segment(tutti_arena *arena, struct tutti__queue *shared, uint64_t segment)
{
	uint64_t tail = load_relaxed(&shared->put.position);
	uint64_t old = tutti__block_start(arena, tail);
	store_relaxed(&((struct tutti__segment *)tutti__at(arena, segment))->next, 0);
	store_relaxed(tutti__header_at(arena, segment + TUTTI__SEGMENT_HEAD), 0);
	store_release(&shared->pending_segment, segment);
	tutti__block_set_owner(arena, segment, TUTTI__SHARED);
	if (TUTTI__BUG(4))
		store_release(tutti__header_at(arena, tail), tutti__header_make(TUTTI__ENTRY_END, 0, 0));
	store_release(&((struct tutti__segment *)tutti__at(arena, old))->next, segment);
	store_release(tutti__header_at(arena, tail), tutti__header_make(TUTTI__ENTRY_END, 0, 0)); /* COMMIT */
	store_release(&shared->pending_segment, 0);
	store_release(&shared->tail_end, segment + tutti__block_size(arena, segment) - TUTTI__HEADER_SIZE);
	store_release(&shared->put.position, segment + TUTTI__SEGMENT_HEAD);
}

/*
 * The next message is probably like this one: its lines are asked for now, so that they
 * come while the latch's release waits for ours to go. Not the one that a waiting getter looks at.
 */
static void prefetch_next(tutti_arena *arena, const struct tutti__queue *shared, uint64_t next, uint64_t entry_size)
{
	const unsigned char *from = tutti__at(arena, next + CACHE_LINE);
	const unsigned char *end = tutti__at(arena, load_relaxed(&shared->tail_end) + TUTTI__HEADER_SIZE);
	const unsigned char *to = from + entry_size;
	prefetch_to_write(from, to < end ? to : end);
}

/* Under the latch, with room in the tail segment. */
static ALWAYS_INLINE void write_entry(tutti_arena *arena, struct tutti__queue *shared,
                                      const struct tutti__letter *letter)
{
	uint64_t tail = load_relaxed(&shared->put.position);
	uint64_t next = tail + entry_size_of(letter);
	uint64_t count = load_relaxed(&shared->put.count) + 1;
	uint64_t bytes = load_relaxed(&shared->put.bytes) + letter->size;
	unsigned kind = is_inline(letter)   ? TUTTI__ENTRY_INLINE
	                : letter->is_parcel ? TUTTI__ENTRY_PARCEL
	                                    : TUTTI__ENTRY_BLOCK;
	unsigned char *payload = tutti__at(arena, tail + TUTTI__HEADER_SIZE);
	if (TUTTI__BUG(2))
		store_release(tutti__header_at(arena, tail),
		              tutti__header_make(kind, letter->encoding, kind == TUTTI__ENTRY_INLINE ? letter->size : 0));
	if (kind == TUTTI__ENTRY_INLINE)
		copy_beyond_line(payload, letter);
	else
		*(struct tutti__block_entry *)payload = (struct tutti__block_entry){letter->block, letter->size};
	store_relaxed(tutti__header_at(arena, next), 0);
	/* The position first: a redo record with old counts must not match the tail. */
	store_release(&shared->put_redo.position, next);
	store_release(&shared->put_redo.count, count);
	store_release(&shared->put_redo.bytes, bytes);
	if (kind != TUTTI__ENTRY_INLINE) {
		if (!TUTTI__BUG(1))
			store_release(&shared->pending, letter->block);
		tutti__block_set_owner(arena, letter->block, TUTTI__SHARED);
		if (TUTTI__BUG(3))
			store_release(&shared->pending, 0);
	} else {
		copy_beside_header(payload, letter);
	}
	/* COMMIT. Release: pairs with the getter's acquire of the header; makes the payload visible. */
	store_release(tutti__header_at(arena, tail),
	              tutti__header_make(kind, letter->encoding, kind == TUTTI__ENTRY_INLINE ? letter->size : 0));
	if (kind != TUTTI__ENTRY_INLINE)
		store_release(&shared->pending, 0);
	store_release(&shared->put.position, next);
	store_release(&shared->put.count, count);
	store_release(&shared->put.bytes, bytes);
	prefetch_next(arena, shared, next, next - tail);
}

/* Under the latch. `*spare` is a segment of the caller's, taken if needed and then set to 0. */
static ALWAYS_INLINE enum append_result append(tutti_arena *arena, struct tutti__queue *shared,
                                               const struct tutti__letter *letter, uint64_t *spare)
{
	if (unlikely(load_relaxed(&shared->is_shut)))
		return IS_SHUT;
	if (unlikely(!tutti__room_find(shared, letter->size)))
		return NO_ROOM;
	if (unlikely(load_relaxed(&shared->put.position) + entry_size_of(letter) > load_relaxed(&shared->tail_end))) {
		if (*spare == 0 ||
		    tutti__block_size(arena, *spare) < entry_size_of(letter) + TUTTI__SEGMENT_HEAD + TUTTI__HEADER_SIZE)
			return NO_SEGMENT;
		link_segment(arena, shared, *spare);
		*spare = 0;
	}
	write_entry(arena, shared, letter);
	return APPENDED;
}

/* Segments double while messages pile up; a queue that is drained as it is filled needs no large ones. */
static uint64_t next_segment_size(const struct tutti__queue *shared, uint64_t tail_segment, uint64_t entry)
{
	uint64_t backlog = load_relaxed(&shared->put.bytes) - load_relaxed(&shared->got.bytes);
	uint64_t size = tail_segment * 2;
	if (size > 8192 && backlog < tail_segment / 2)
		size = 8192;
	if (size > TUTTI__SEGMENT_MAX)
		size = TUTTI__SEGMENT_MAX;
	uint64_t least = entry + TUTTI__SEGMENT_HEAD + TUTTI__HEADER_SIZE;
	return size > least ? size : least;
}

/* Without the latch (a latch is a leaf): a segment for who comes back with it. */
static tutti_err make_spare(tutti_arena *arena, struct tutti__queue *shared, const struct tutti__letter *letter,
                            int64_t deadline, uint64_t *spare)
{
	if (*spare)
		tutti__block_free(arena, *spare);
	*spare = 0;
	uint64_t tail_segment = tutti__block_size(arena, load_relaxed(&shared->put.position));
	return tutti__block_alloc(arena, TUTTI__KIND_RAW, next_segment_size(shared, tail_segment, entry_size_of(letter)),
	                          deadline, spare);
}

static tutti_err fail_shut(const struct tutti__queue *shared)
{
	return tutti__fail(TUTTI_ESHUTDOWN, "queue \"%s\" was shut down: it takes no more messages.", shared->object.name);
}

/* What a getter looks for is in: wake one that sleeps, ring who polls. The latch's release was a full barrier. */
HOT static void announce(tutti_arena *arena, struct tutti__queue *shared)
{
	tutti__wake_one(&shared->items, &shared->item_hints);
	tutti__ring(arena, &shared->pollable);
	tutti__count_operation(arena);
}

/* Appends letters in order until all are in or something is in the way. */
static enum append_result append_some(tutti_arena *arena, struct tutti__queue *shared,
                                      const struct tutti__letter *letters, size_t count, size_t *done, uint64_t *spare)
{
	enum append_result result = APPENDED;
	for (size_t i = 0; i < count && result == APPENDED; i++) {
		result = append(arena, shared, &letters[i], spare);
		*done += result == APPENDED;
	}
	tutti__wait_stamp(&shared->items);
	return result;
}

/*
 * The common case at one go: one small message of a queue that is not joinable, a free latch, room in the tail
 * segment. False: nothing was done, and the general way finds out why.
 */
HOT static bool put_quickly(tutti_queue *queue, uint32_t id, const tutti_view *message, uint32_t encoding)
{
	uint64_t no_segment = 0;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	struct tutti__letter letter = {.parts = message, .count = 1, .size = message->size, .encoding = encoding};
	if (unlikely(!tutti__latch_try(&shared->put_latch, id)))
		return false;
	enum append_result result = append(arena, shared, &letter, &no_segment);
	if (likely(result == APPENDED))
		tutti__wait_stamp(&shared->items);
	tutti__latch_release(&shared->put_latch);
	if (likely(result == APPENDED))
		announce(arena, shared);
	return result == APPENDED;
}

tutti_err tutti__put_letters(tutti_queue *queue, const struct tutti__letter *letters, size_t count, size_t *done,
                             tutti_time timeout)
{
	tutti_err err;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	uint32_t id = tutti__use(&queue->reference, &err);
	if (unlikely(id == 0))
		return err;
	uint64_t spare = 0;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout);
	bool waited = false;
	*done = 0;
	do {
		size_t before = *done;
		err = tutti__latch_acquire(arena, &shared->put_latch, id, deadline);
		if (unlikely(err))
			break;
		enum append_result result = append_some(arena, shared, letters + *done, count - *done, done, &spare);
		tutti__latch_release(&shared->put_latch);
		if (*done > before)
			announce(arena, shared);
		waited |= result == NO_ROOM;
		if (result == IS_SHUT)
			err = fail_shut(shared);
		else if (result == NO_ROOM)
			err = tutti__room_wait(queue, letters[*done].size, deadline, timeout);
		else if (result == NO_SEGMENT)
			err = make_spare(arena, shared, &letters[*done], deadline, &spare);
	} while (!err && *done < count);
	if (spare)
		tutti__block_free(arena, spare);
	if (waited)
		tutti__room_pass_on(shared);
	return err;
}

tutti_err tutti__check_message_size(const struct tutti__queue *shared, uint64_t size)
{
	if (size <= shared->max_message)
		return TUTTI_OK;
	return tutti__fail(TUTTI_ETOOBIG,
	                   "a message of %llu bytes is over the limit of queue \"%s\", %llu. Raise max_message, or send it "
	                   "in parts.",
	                   (unsigned long long)size, shared->object.name, (unsigned long long)shared->max_message);
}

static tutti_err prepare_parcel(tutti_queue *queue, struct tutti__letter *letter, const tutti_handle *carried,
                                size_t carried_count, tutti_time timeout)
{
	tutti_arena *arena = queue->reference.arena;
	tutti_err err;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout);
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	err = tutti__parcel_create(arena, carried, carried_count, letter->size, 0, deadline, &letter->block);
	if (err) {
		letter->block = 0;
		return err;
	}
	letter->is_parcel = true;
	tutti__parcel_at(arena, letter->block)->encoding = letter->encoding;
	tutti__parts_copy(tutti__parcel_payload(arena, letter->block), letter->parts, letter->count);
	return TUTTI_OK;
}

/* Frees what a letter that did not get in has. */
static void drop_letter(tutti_queue *queue, const struct tutti__letter *letter)
{
	if (letter->block)
		(letter->is_parcel ? tutti__parcel_free : tutti__block_free)(queue->reference.arena, letter->block);
}

static tutti_err measure(const tutti_queue *queue, struct tutti__letter *letter)
{
	letter->size = tutti__parts_size(letter->parts, letter->count);
	return tutti__check_message_size(queue->shared, letter->size);
}

/* What is left of `timeout` until the deadline that was made of it. */
static tutti_time time_left(int64_t deadline, tutti_time timeout)
{
	if (timeout <= 0 || timeout == TUTTI_FOREVER)
		return timeout;
	int64_t left = deadline - tutti__os.clock_now();
	return left > 0 ? left : TUTTI_NOW;
}

/* Fills in size and, for a large message, a block with its bytes. */
static tutti_err prepare(tutti_queue *queue, struct tutti__letter *letter, tutti_time timeout)
{
	tutti_arena *arena = queue->reference.arena;
	tutti_err err = measure(queue, letter);
	if (unlikely(queue->shared->is_joinable))
		return err ? err : prepare_parcel(queue, letter, NULL, 0, timeout);
	if (likely(err || letter->size <= TUTTI__INLINE_MAX))
		return err;
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout);
	err = tutti__block_alloc(arena, TUTTI__KIND_RAW, letter->size, deadline, &letter->block);
	if (!err)
		tutti__parts_copy(tutti__at(arena, letter->block), letter->parts, letter->count);
	return err;
}

/* A letter that has been prepared. */
static tutti_err put_one(tutti_queue *queue, const struct tutti__letter *letter, tutti_time timeout)
{
	size_t done = 0;
	tutti_err err = tutti__put_letters(queue, letter, 1, &done, timeout);
	if (unlikely(done == 0))
		drop_letter(queue, letter);
	return err;
}

/*
 * Waits until there seems to be room, before a message is copied: else who tries again and again would copy it each
 * time. *waited: tutti__room_pass_on() is due, as ours may have been the wake for others' room.
 */
static tutti_err await_room(tutti_queue *queue, uint64_t size, int64_t deadline, tutti_time timeout, bool *waited)
{
	tutti_err err = TUTTI_OK;
	struct tutti__queue *shared = queue->shared;
	while (!err && !tutti__room_seems_enough(shared, size)) {
		if (load_acquire(&shared->is_shut))
			return fail_shut(shared);
		*waited = true;
		err = tutti__room_wait(queue, size, deadline, timeout);
	}
	return err;
}

/* A message that is large, or carries handles: room first, then the copy. Another putter may be faster all the same. */
static tutti_err put_large(tutti_queue *queue, struct tutti__letter *letter, const tutti_handle *carried,
                           size_t carried_count, tutti_time timeout)
{
	tutti_err err = TUTTI_OK;
	bool waited = false;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout);
	if (tutti__use(&queue->reference, &err) == 0)
		return err;
	err = await_room(queue, letter->size, deadline, timeout, &waited);
	if (!err && carried_count)
		err = prepare_parcel(queue, letter, carried, carried_count, time_left(deadline, timeout));
	else if (!err)
		err = prepare(queue, letter, time_left(deadline, timeout));
	if (!err)
		err = put_one(queue, letter, time_left(deadline, timeout));
	if (waited)
		tutti__room_pass_on(queue->shared);
	return err;
}

/* In whatever way it has to be. */
static tutti_err put_generally(tutti_queue *queue, const tutti_view *parts, size_t count, tutti_encoding encoding,
                               tutti_time timeout)
{
	struct tutti__letter letter = {.parts = parts, .count = count, .encoding = (uint32_t)encoding};
	tutti_err err = measure(queue, &letter);
	if (unlikely(err))
		return err;
	if (unlikely(letter.size > TUTTI__INLINE_MAX))
		return put_large(queue, &letter, NULL, 0, timeout);
	if (unlikely(queue->shared->is_joinable))
		err = prepare_parcel(queue, &letter, NULL, 0, timeout);
	return err ? err : put_one(queue, &letter, timeout);
}

static ALWAYS_INLINE tutti_err put_view(tutti_queue *queue, const tutti_view *message, uint32_t encoding,
                                        tutti_time timeout)
{
	tutti_err err;
	const struct tutti__queue *shared = queue->shared;
	if (likely(message->size <= TUTTI__INLINE_MAX && message->size <= shared->max_message && !shared->is_joinable)) {
		uint32_t id = tutti__use(&queue->reference, &err);
		if (unlikely(id == 0))
			return err;
		if (likely(put_quickly(queue, id, message, encoding)))
			return TUTTI_OK;
	}
	return put_generally(queue, message, 1, (tutti_encoding)encoding, timeout);
}

tutti_err tutti_queue_put_gather(tutti_queue *queue, const tutti_view *parts, size_t count, tutti_encoding encoding,
                                 tutti_time timeout)
{
	if (count == 1)
		return put_view(queue, parts, (uint32_t)encoding, timeout);
	return put_generally(queue, parts, count, encoding, timeout);
}

tutti_err tutti_queue_put_with(tutti_queue *queue, const tutti_view *parts, size_t count, tutti_encoding encoding,
                               const tutti_handle *carried, size_t carried_count, tutti_time timeout)
{
	struct tutti__letter letter = {.parts = parts, .count = count, .encoding = (uint32_t)encoding};
	if (carried_count == 0)
		return tutti_queue_put_gather(queue, parts, count, encoding, timeout);
	tutti_err err = measure(queue, &letter);
	return err ? err : put_large(queue, &letter, carried, carried_count, timeout);
}

HOT tutti_err tutti_queue_put(tutti_queue *queue, const void *data, size_t size, tutti_time timeout)
{
	tutti_view message = {data, size};
	return put_view(queue, &message, TUTTI_RAW, timeout);
}

/* One latch for up to BATCH messages. */
static tutti_err put_batch(tutti_queue *queue, const tutti_view *messages, const tutti_encoding *encodings,
                           size_t count, size_t *done, tutti_time timeout)
{
	struct tutti__letter letters[BATCH];
	size_t ready = 0;
	tutti_err err = TUTTI_OK;
	while (ready < count && !err) {
		uint32_t encoding = encodings ? (uint32_t)encodings[ready] : TUTTI_RAW;
		letters[ready] = (struct tutti__letter){.parts = &messages[ready], .count = 1, .encoding = encoding};
		err = prepare(queue, &letters[ready], timeout);
		ready += err == TUTTI_OK;
	}
	/* What could be prepared goes in even if a later one could not: the accepted ones are a prefix. */
	tutti_err put_err = ready ? tutti__put_letters(queue, letters, ready, done, timeout) : TUTTI_OK;
	for (size_t i = *done; i < ready; i++)
		drop_letter(queue, &letters[i]);
	return put_err ? put_err : err;
}

tutti_err tutti_queue_put_many_encoded(tutti_queue *queue, const tutti_view *messages, const tutti_encoding *encodings,
                                       size_t count, size_t *accepted, tutti_time timeout)
{
	size_t total = 0;
	tutti_err err = TUTTI_OK;
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : tutti__deadline(timeout); /* one for all batches */
	while (total < count && !err) {
		size_t done = 0;
		size_t batch = count - total < BATCH ? count - total : BATCH;
		err = put_batch(queue, messages + total, encodings ? encodings + total : NULL, batch, &done,
		                time_left(deadline, timeout));
		total += done;
	}
	if (accepted)
		*accepted = total;
	return err;
}

tutti_err tutti_queue_put_many(tutti_queue *queue, const tutti_view *messages, size_t count, size_t *accepted,
                               tutti_time timeout)
{
	return tutti_queue_put_many_encoded(queue, messages, NULL, count, accepted, timeout);
}
