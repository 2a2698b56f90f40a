/* SPDX-License-Identifier: MIT */
/* What a death leaves in a queue, and its end. The cases: layout.h. */
#include "channel/joinable.h"
#include "channel/queue.h"
#include "os/seeded_bug.h"

/* Gives a block that the dead was handing in, and that did not get in, to the dead id: the sweep frees it. */
static void give_to_dead(tutti_arena *arena, uint64_t block, uint32_t dead)
{
	cas_u32(tutti__block_owner(arena, block), TUTTI__SHARED, dead);
}

/*
 * Tail, and the header there. A getter that passes END moves tail before it frees the
 * segment: if tail is the same after the look, the look was at living memory.
 */
static uint64_t read_tail(tutti_arena *arena, struct tutti__queue *shared, uint64_t *header)
{
	uint64_t tail;
	do {
		tail = load_acquire(&shared->put.position);
		*header = load_acquire(tutti__header_at(arena, tail));
	} while (load_acquire(&shared->put.position) != tail);
	return tail;
}

static void redo_counts(struct tutti__progress *progress, const struct tutti__progress *redo)
{
	if (load_relaxed(&progress->position) != load_relaxed(&redo->position) || TUTTI__BUG(7))
		return;
	store_release(&progress->count, load_relaxed(&redo->count));
	store_release(&progress->bytes, load_relaxed(&redo->bytes));
}

static void recover_segment(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead)
{
	uint64_t header, tail = read_tail(arena, shared, &header);
	uint64_t segment = load_relaxed(&shared->pending_segment);
	bool linked = tutti__header_kind(header) == TUTTI__ENTRY_END || tail == segment + TUTTI__SEGMENT_HEAD;
	if (segment && !linked)
		give_to_dead(arena, segment, dead);
	store_release(&shared->pending_segment, 0);
	if (tutti__header_kind(header) == TUTTI__ENTRY_END) {
		uint64_t old = tutti__block_start(arena, tail);
		uint64_t next = load_acquire(&((struct tutti__segment *)tutti__at(arena, old))->next);
		/* A getter may pass END at this moment; then its CAS did the same, and `next` may be stale. */
		cas_u64(&shared->put.position, tail, next + TUTTI__SEGMENT_HEAD);
	}
	tail = load_acquire(&shared->put.position);
	store_release(&shared->tail_end,
	              tutti__block_start(arena, tail) + tutti__block_size(arena, tail) - TUTTI__HEADER_SIZE);
}

static void recover_put(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead)
{
	recover_segment(arena, shared, dead);
	uint64_t header, pending = load_relaxed(&shared->pending);
	read_tail(arena, shared, &header);
	if (header == 0 && pending && !TUTTI__BUG(9))
		give_to_dead(arena, pending, dead);
	/* The note before the tail, as the putter does it: a successor of ours must not take it for uncommitted. */
	if (!TUTTI__BUG(21))
		store_release(&shared->pending, 0);
	if (header != 0)
		store_release(&shared->put.position, load_relaxed(&shared->put_redo.position));
	if (TUTTI__BUG(21))
		store_release(&shared->pending, 0);
	redo_counts(&shared->put, &shared->put_redo);
	tutti__latch_release_dead(&shared->put_latch, dead);
}

static bool has_block(uint64_t header)
{
	unsigned kind = tutti__header_kind(header);
	return kind == TUTTI__ENTRY_BLOCK || kind == TUTTI__ENTRY_PARCEL;
}

static void recover_get(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead)
{
	uint64_t head = load_acquire(&shared->got.position);
	uint64_t header = load_acquire(tutti__header_at(arena, head));
	/* Not committed: what was about to be the getter's is the queue's again. Before the sweep looks. */
	cas_u32(tutti__block_owner(arena, head), dead, TUTTI__SHARED);
	if (has_block(header)) {
		struct tutti__block_entry *entry = tutti__at(arena, head + TUTTI__HEADER_SIZE);
		cas_u32(tutti__block_owner(arena, entry->offset), dead, TUTTI__SHARED);
	}
	redo_counts(&shared->got, &shared->got_redo);
	if (shared->is_joinable)
		tutti__joinable_recover(arena, shared, dead);
	if (!TUTTI__BUG(8))
		tutti__latch_release_dead(&shared->get_latch, dead);
}

/*
 * Killed while making the queue, between its publication and that of its first segment.
 * Nobody else can have had a handle by then, so tail is where it began. (A living putter
 * may look the same while a getter passes its END: clearing its note early does no harm.)
 */
static void recover_creation(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead)
{
	uint64_t segment = load_acquire(&shared->pending_segment);
	if (segment == 0 || load_acquire(&shared->put.position) != segment + TUTTI__SEGMENT_HEAD)
		return;
	cas_u32(tutti__block_owner(arena, segment), dead, TUTTI__SHARED);
	cas_u64(&shared->pending_segment, segment, 0);
}

void tutti__queue_recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner, (void)clean;
	struct tutti__queue *shared = tutti__at(arena, offset);
	recover_creation(arena, shared, dead);
	if (tutti__latch_is_held_by(&shared->put_latch, dead))
		recover_put(arena, shared, dead);
	if (tutti__latch_is_held_by(&shared->get_latch, dead))
		recover_get(arena, shared, dead);
	/* It may have died between its commit and the wake that others sleep for, or before it kept a promise. */
	tutti__wait_recover(&shared->items, &shared->item_hints);
	tutti__wait_recover(&shared->room, &shared->room_hints);
	if (load_relaxed(&shared->done.word) & 1)
		tutti__wake_all(&shared->done);
	tutti__ring(arena, &shared->pollable);
	tutti__ring(arena, &shared->room_pollable);
	tutti__ring(arena, &shared->done_pollable);
}

/*
 * Nobody else has a handle. Each block is made the caller's before the queue forgets it, so
 * that a death in between leaves it to the sweep; a successor starts from what head says.
 */
static void drop_entry(tutti_arena *arena, struct tutti__queue *shared, uint64_t head, uint64_t header, uint32_t id)
{
	uint64_t size, block = 0, next = head + tutti__entry_extent(arena, head, header, &size);
	if (has_block(header)) {
		block = ((struct tutti__block_entry *)tutti__at(arena, head + TUTTI__HEADER_SIZE))->offset;
		tutti__block_set_owner(arena, block, id);
	}
	store_release(&shared->got.position, next);
	if (block)
		(tutti__header_kind(header) == TUTTI__ENTRY_PARCEL ? tutti__parcel_free : tutti__block_free)(arena, block);
}

static void drop_segment(tutti_arena *arena, struct tutti__queue *shared, uint64_t head, uint32_t id)
{
	uint64_t old = tutti__block_start(arena, head);
	uint64_t next = load_relaxed(&((struct tutti__segment *)tutti__at(arena, old))->next);
	if (!TUTTI__BUG(20))
		tutti__block_set_owner(arena, old, id);
	store_release(&shared->got.position, next + TUTTI__SEGMENT_HEAD);
	tutti__block_free(arena, old);
}

void tutti__queue_destroy(tutti_arena *arena, uint64_t offset)
{
	struct tutti__queue *shared = tutti__at(arena, offset);
	uint32_t id = load_relaxed(&arena->local->id);
	uint64_t head, header;
	tutti__joinable_destroy(arena, shared);
	while ((head = load_acquire(&shared->got.position)) != 0) {
		header = load_acquire(tutti__header_at(arena, head));
		if (tutti__header_kind(header) == TUTTI__ENTRY_END) {
			drop_segment(arena, shared, head, id);
		} else if (header != 0) {
			drop_entry(arena, shared, head, header, id);
		} else {
			uint64_t last = tutti__block_start(arena, head);
			tutti__block_set_owner(arena, last, id);
			store_release(&shared->got.position, 0);
			tutti__block_free(arena, last);
		}
	}
}

struct walk {
	uint64_t count, bytes;
	bool valid;
	void (*visit)(void *context, uint64_t block);
	void *context;
};

static void walk_block(tutti_arena *arena, struct walk *walk, uint64_t block)
{
	if (load_acquire(tutti__block_owner(arena, block)) != TUTTI__SHARED)
		walk->valid = false;
	if (walk->visit)
		walk->visit(walk->context, block);
}

static void walk_parcel(tutti_arena *arena, struct walk *walk, uint64_t parcel)
{
	walk_block(arena, walk, parcel);
	uint64_t body = load_acquire(&tutti__parcel_at(arena, parcel)->body);
	if (body && load_acquire(tutti__block_owner(arena, body)) != TUTTI__SHARED)
		walk->valid = false;
}

static void walk_entry(tutti_arena *arena, struct walk *walk, uint64_t position, uint64_t header)
{
	uint64_t block = ((struct tutti__block_entry *)tutti__at(arena, position + TUTTI__HEADER_SIZE))->offset;
	if (tutti__header_kind(header) == TUTTI__ENTRY_PARCEL)
		walk_parcel(arena, walk, block);
	else
		walk_block(arena, walk, block);
}

/* The open items: each in a state that the list knows, the last one named as such, all of them counted (joinable.h). */
static bool open_items_are_valid(tutti_arena *arena, const struct tutti__queue *shared, struct walk *walk)
{
	uint64_t last = 0, count = 0;
	for (uint64_t parcel = load_acquire(&shared->open_first); parcel && walk->valid; count++) {
		struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
		unsigned status = tutti__item_status(load_acquire(&item->state));
		walk_parcel(arena, walk, parcel);
		walk->valid &= status >= TUTTI__ITEM_TAKING && status <= TUTTI__ITEM_GIVEN_BACK;
		last = parcel;
		parcel = load_acquire(&item->next);
	}
	if (!shared->is_joinable)
		return walk->valid && count == 0;
	return walk->valid && last == load_relaxed(&shared->open_last) && load_relaxed(&shared->moving) == 0 &&
	       load_relaxed(&shared->done_count) + count ==
	           load_relaxed(&shared->got.count) + load_relaxed(&shared->ahead) &&
	       load_relaxed(&shared->done_count) <= load_relaxed(&shared->put.count);
}

bool tutti__queue_is_valid(tutti_arena *arena, const struct tutti__queue *shared,
                           void (*visit)(void *context, uint64_t block), void *context)
{
	struct walk walk = {.valid = true, .visit = visit, .context = context};
	uint64_t position = load_acquire(&shared->got.position);
	uint64_t tail = load_acquire(&shared->put.position);
	walk_block(arena, &walk, tutti__block_start(arena, position));
	for (uint64_t header; (header = load_acquire(tutti__header_at(arena, position))) != 0 && walk.valid;) {
		uint64_t size;
		if (tutti__header_kind(header) == TUTTI__ENTRY_END) {
			uint64_t old = tutti__block_start(arena, position);
			uint64_t next = load_acquire(&((struct tutti__segment *)tutti__at(arena, old))->next);
			walk_block(arena, &walk, next);
			position = next + TUTTI__SEGMENT_HEAD;
			continue;
		}
		if (has_block(header))
			walk_entry(arena, &walk, position, header);
		position += tutti__entry_extent(arena, position, header, &size);
		walk.count++;
		walk.bytes += size;
	}
	return open_items_are_valid(arena, shared, &walk) && position == tail && load_relaxed(&shared->pending) == 0 &&
	       load_relaxed(&shared->pending_segment) == 0 &&
	       walk.count == load_relaxed(&shared->put.count) - load_relaxed(&shared->got.count) &&
	       walk.bytes == load_relaxed(&shared->put.bytes) - load_relaxed(&shared->got.bytes);
}
