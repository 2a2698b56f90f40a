/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdlib.h>

#include "arena/heap.h"
#include "arena/object.h"
#include "arena/recover.h"
#include "arena/station.h"
#include "channel/parcel.h"
#include "channel/pipe.h"
#include "channel/queue.h"
#include "object/block.h"
#include "pool/job.h"
#include "sync/barrier.h"
#include "sync/condition.h"
#include "sync/kinds.h"

enum { MAX_BLOCKS = 8192 };

struct found {
	uint64_t offset;
	uint32_t owner;
	enum tutti__kind_number kind;
	unsigned reached; /* by how many objects, or links within one */
};

/* The blocks in use, in the order of their offsets, which is that of the visit. */
struct census {
	tutti_arena *arena;
	const char *when;
	unsigned count;
	unsigned held; /* by members that are in */
	struct found blocks[MAX_BLOCKS];
};

static bool is_in(tutti_arena *arena, uint32_t id)
{
	return id != 0 && id < TUTTI__WAITERS && id != TUTTI__SHARED && !tutti__member_is_dead(arena, id);
}

static void note_block(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	struct census *census = context;
	if (census->count == MAX_BLOCKS)
		fail(TORN, "%s: over %d blocks are in use", census->when, MAX_BLOCKS);
	if (owner != TUTTI__SHARED && !is_in(arena, owner))
		fail(LEAKED, "K5, %s: the block at %#llx (kind %d) belongs to %#x, which is no member that is in", census->when,
		     (unsigned long long)offset, (int)kind, owner);
	census->held += owner != TUTTI__SHARED;
	census->blocks[census->count++] = (struct found){.offset = offset, .owner = owner, .kind = kind};
}

static int compare_offsets(const void *left, const void *right)
{
	uint64_t a = ((const struct found *)left)->offset, b = ((const struct found *)right)->offset;
	return (a > b) - (a < b);
}

static void reach(void *context, uint64_t offset)
{
	struct census *census = context;
	struct found wanted = {.offset = offset};
	struct found *found = bsearch(&wanted, census->blocks, census->count, sizeof wanted, compare_offsets);
	if (!found)
		fail(TORN, "K1, %s: an object reaches the block at %#llx, which is free", census->when,
		     (unsigned long long)offset);
	if (found->owner != TUTTI__SHARED)
		fail(TORN, "K1, %s: an object reaches the block at %#llx, which belongs to member %#x", census->when,
		     (unsigned long long)offset, found->owner);
	if (found->reached++)
		fail(TORN, "K1, %s: the block at %#llx is reached twice", census->when, (unsigned long long)offset);
}

static bool is_of(tutti_handle handle, uint64_t object) { return handle.offset == object; }

/* True if the block in this place is a parcel or an end of a pipe, and names the object. */
static bool block_holds(struct census *census, uint32_t holder, uint64_t object)
{
	for (unsigned i = 0; i < census->count; i++) {
		const struct found *found = &census->blocks[i];
		struct tutti__parcel *parcel = tutti__at(census->arena, found->offset);
		struct tutti__pipe_end *end = tutti__at(census->arena, found->offset);
		if (tutti__block_holder(found->offset) != holder)
			continue;
		for (uint32_t j = 0; found->kind == TUTTI__KIND_PARCEL && j < load_acquire(&parcel->count); j++)
			if (is_of(parcel->carried[j], object))
				return true;
		if (found->kind == TUTTI__KIND_PIPE && (is_of(end->queues[0], object) || is_of(end->queues[1], object)))
			return true;
	}
	return false;
}

static unsigned count_holders(struct census *census, uint64_t object, atomic_u32 *holders, int count)
{
	unsigned living = 0;
	for (int i = 0; i < count; i++) {
		uint32_t holder = load_acquire(&holders[i]);
		if (holder & TUTTI__BLOCK_HOLDER) {
			if (!block_holds(census, holder, object))
				fail(LEAKED, "K5, %s: an object is held by a block (%#x) that does not name it", census->when, holder);
		} else if (holder && !is_in(census->arena, holder))
			fail(LEAKED, "K5, %s: an object is held by %#x, which is no member that is in", census->when, holder);
		living += holder != 0;
	}
	return living;
}

static void check_object(struct census *census, struct found *found)
{
	struct tutti__object *object = tutti__at(census->arena, found->offset);
	unsigned holders = count_holders(census, found->offset, object->holders, TUTTI__OBJECT_HOLDERS);
	for (uint64_t more = load_acquire(&object->more); more;) {
		struct tutti__more_holders *block = tutti__at(census->arena, more);
		reach(census, more);
		holders += count_holders(census, found->offset, block->holders, TUTTI__MORE_HOLDERS);
		more = load_acquire(&block->next);
	}
	if ((load_acquire(&object->state) & 0xff) != TUTTI__OBJECT_LIVE)
		fail(TORN, "K1, %s: %s \"%s\" is shared, but not alive (state %#llx)", census->when,
		     tutti__kinds[found->kind]->name, object->name, (unsigned long long)object->state);
	if (holders == 0)
		fail(LEAKED, "K5, %s: %s \"%s\" lives on without a holder", census->when, tutti__kinds[found->kind]->name,
		     object->name);
}

static void check_queue(struct census *census, const struct found *found)
{
	struct tutti__queue *queue = tutti__at(census->arena, found->offset);
	if (load_acquire(&queue->put_latch.word) || load_acquire(&queue->get_latch.word))
		fail(HUNG, "K1, %s: a latch of queue \"%s\" is still held (put %#x, get %#x)", census->when, queue->object.name,
		     queue->put_latch.word, queue->get_latch.word);
	if (!tutti__queue_is_valid(census->arena, queue, reach, census))
		fail(TORN,
		     "K1, %s: queue \"%s\" is not valid (put %llu messages, %llu bytes; got %llu, %llu; pending %#llx, %#llx)",
		     census->when, queue->object.name, (unsigned long long)queue->put.count,
		     (unsigned long long)queue->put.bytes, (unsigned long long)queue->got.count,
		     (unsigned long long)queue->got.bytes, (unsigned long long)queue->pending,
		     (unsigned long long)queue->pending_segment);
}

static void check_held(struct census *census, tutti_handle handle, uint64_t holder, const char *what)
{
	if (handle.offset && !tutti__object_is_held(census->arena, handle, tutti__block_holder(holder)))
		fail(TORN, "K1, %s: %s at %#llx names an object that it does not hold", census->when, what,
		     (unsigned long long)holder);
}

/* A parcel, a queue's, a job's, a pool's or a member's, has its body and holds what it carries. */
static void check_parcel(struct census *census, const struct found *found)
{
	struct tutti__parcel *parcel = tutti__at(census->arena, found->offset);
	if (load_acquire(&parcel->body))
		reach(census, load_acquire(&parcel->body));
	for (uint32_t i = 0; i < load_acquire(&parcel->count); i++)
		check_held(census, parcel->carried[i], found->offset, "the message");
}

static void check_pipe_end(struct census *census, const struct found *found)
{
	struct tutti__pipe_end *end = tutti__at(census->arena, found->offset);
	check_held(census, end->queues[TUTTI__PIPE_IN], found->offset, "the end of a pipe");
	check_held(census, end->queues[TUTTI__PIPE_OUT], found->offset, "the end of a pipe");
}

static void check_sync(struct census *census, const struct found *found)
{
	struct tutti__object *object = tutti__at(census->arena, found->offset);
	bool is_valid = true;
	if (found->kind == TUTTI__KIND_SEMAPHORE)
		is_valid = tutti__semaphore_is_valid(census->arena, found->offset, reach, census);
	if (found->kind == TUTTI__KIND_RWLOCK)
		is_valid = tutti__rwlock_is_valid(census->arena, found->offset, reach, census);
	if (found->kind == TUTTI__KIND_CONDITION)
		is_valid = tutti__condition_is_valid(census->arena, found->offset, reach, census);
	if (found->kind == TUTTI__KIND_BARRIER)
		is_valid = tutti__barrier_is_valid(census->arena, tutti__at(census->arena, found->offset), reach, census);
	if (!is_valid)
		fail(TORN, "K1, %s: %s \"%s\" is not valid", census->when, tutti__kinds[found->kind]->name, object->name);
}

/* A job belongs to a pool that lives, and has its blocks. */
static void check_job(struct census *census, struct found *found)
{
	struct tutti__job *job = tutti__at(census->arena, found->offset);
	struct found wanted = {.offset = job->pool};
	struct found *pool = bsearch(&wanted, census->blocks, census->count, sizeof wanted, compare_offsets);
	if (pool && pool->kind == TUTTI__KIND_POOL && pool->owner == TUTTI__SHARED)
		found->reached++;
	if (load_acquire(&job->input.parcel))
		reach(census, load_acquire(&job->input.parcel));
	if (load_acquire(&job->result.parcel))
		reach(census, load_acquire(&job->result.parcel));
}

/* What a pool has published is there, each in its place. */
static void check_pool(struct census *census, const struct found *found)
{
	struct tutti__pool *pool = tutti__at(census->arena, found->offset);
	for (uint32_t i = 0; i < TUTTI__CATALOGUE_MAX; i++) {
		uint64_t parcel = load_acquire(&pool->catalogue[i]);
		if (parcel)
			reach(census, parcel);
		else if (i < load_acquire(&pool->catalogue_count))
			fail(LOST, "K6, %s: pool \"%s\" has published %u things, and number %u is not there", census->when,
			     pool->object.name, load_acquire(&pool->catalogue_count), i);
	}
}

static void check_heap(tutti_arena *arena, const char *when)
{
	struct tutti__heap *heap = &arena->header->heap;
	if (load_acquire(&heap->latch.word))
		fail(HUNG, "K1, %s: the heap's latch is still held by %#x", when, heap->latch.word);
	if (!tutti__heap_is_valid(arena))
		fail(TORN, "K1, %s: the heap is not valid (touched %llu, kept %llu)", when,
		     (unsigned long long)heap->touched_units, (unsigned long long)heap->kept_units);
	uint64_t kept = 0;
	for (uint64_t unit = arena->header->first_unit; unit < arena->header->unit_count;) {
		const struct tutti__unit *record = &arena->units[unit];
		uint32_t run = load_acquire(&record->run), owner = load_acquire(&record->cache_owner) & TUTTI__ID_MASK;
		if (TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED)
			kept += TUTTI__RUN_LENGTH(run);
		if (TUTTI__RUN_KIND(run) == TUTTI__RUN_SPAN && owner && !is_in(arena, owner))
			fail(LEAKED, "K5, %s: the span at unit %llu is cached by %#x, which is no member that is in", when,
			     (unsigned long long)unit, owner);
		unit += TUTTI__RUN_LENGTH(run);
	}
	if (kept != load_relaxed(&heap->kept_units))
		fail(TORN, "K1, %s: %llu units are kept, but %llu are counted", when, (unsigned long long)kept,
		     (unsigned long long)heap->kept_units);
}

/* Slots are taken in turn: those behind were never used, and their pages need not be touched. */
static uint32_t slots_in_use(const tutti_arena *arena)
{
	uint32_t count = load_relaxed(&arena->header->slot_cursor) + 2;
	return count < TUTTI__SLOT_COUNT ? count : TUTTI__SLOT_COUNT;
}

static void check_slots(tutti_arena *arena, const char *when)
{
	for (uint32_t number = 1; number < slots_in_use(arena); number++) {
		uint64_t state = load_acquire(&arena->slots[number].state);
		unsigned status = tutti__state_status(state);
		uint32_t id = tutti__state_generation(state) << TUTTI__SLOT_BITS | number;
		bool is_member = status == TUTTI__SLOT_ALIVE || status == TUTTI__SLOT_CLEAN;
		if (is_member && tutti__member_is_dead(arena, id))
			fail(LEAKED, "K5, %s: the dead member %#x still has its slot", when, id);
		if (is_member && load_acquire(&arena->slots[number].recoverer))
			fail(HUNG, "K1, %s: the living member %#x is still being recovered", when, id);
	}
}

/* One that was taken, but is not counted, would never be given back. */
static void check_stations(tutti_arena *arena, const char *when)
{
	uint32_t used = load_acquire(&arena->header->stations_used);
	for (uint32_t number = 1; number < used + 2; number++) {
		uint32_t owner = load_acquire(&tutti__station_at(arena, number)->owner);
		if (owner && (!is_in(arena, owner) || number >= used))
			fail(LEAKED, "K5, %s: station %u (of %u) belongs to %#x, which is no member that is in or not counted",
			     when, number, used, owner);
	}
}

static uint32_t noted_ids[4];
static unsigned noted_count;

void check_note_ids(tutti_arena *arena, pid_t pid)
{
	noted_count = 0;
	for (uint32_t number = 1; number < slots_in_use(arena) && noted_count < 4; number++) {
		uint64_t state = load_acquire(&arena->slots[number].state);
		unsigned status = tutti__state_status(state);
		bool is_member = status == TUTTI__SLOT_ALIVE || status == TUTTI__SLOT_CLEAN;
		if (is_member && tutti__state_pid(state) == (uint32_t)pid)
			noted_ids[noted_count++] = tutti__state_generation(state) << TUTTI__SLOT_BITS | number;
	}
}

void check_ids_retired(tutti_arena *arena)
{
	for (unsigned i = 0; i < noted_count; i++)
		if (tutti__state_generation(load_acquire(&tutti__slot_of(arena, noted_ids[i])->state)) ==
		    noted_ids[i] >> TUTTI__SLOT_BITS)
			fail(LEAKED, "K5: the dead member's id %#x can become the next member's", noted_ids[i]);
}

void check_arena(tutti_arena *arena, unsigned held_blocks, const char *when)
{
	static struct census census;
	census = (struct census){.arena = arena, .when = when};
	check_slots(arena, when);
	check_stations(arena, when);
	check_heap(arena, when);
	tutti__blocks_visit(arena, note_block, &census);
	for (unsigned i = 0; i < census.count; i++) {
		struct found *found = &census.blocks[i];
		if (found->owner == TUTTI__SHARED && found->kind == TUTTI__KIND_TASK)
			check_job(&census, found);
		if (found->kind == TUTTI__KIND_PARCEL)
			check_parcel(&census, found);
		if (found->owner != TUTTI__SHARED || found->kind == TUTTI__KIND_RAW || !tutti__kinds[found->kind]->is_object)
			continue;
		found->reached++;
		check_object(&census, found);
		if (found->kind == TUTTI__KIND_QUEUE)
			check_queue(&census, found);
		if (found->kind == TUTTI__KIND_PIPE)
			check_pipe_end(&census, found);
		if (found->kind == TUTTI__KIND_POOL)
			check_pool(&census, found);
		if (found->kind == TUTTI__KIND_BLOCK)
			reach(&census, load_acquire(&((struct tutti__shared_block *)tutti__at(arena, found->offset))->place));
		check_sync(&census, found);
	}
	for (unsigned i = 0; i < census.count; i++)
		if (census.blocks[i].owner == TUTTI__SHARED && census.blocks[i].reached == 0)
			fail(LEAKED, "K5, %s: no object reaches the shared block at %#llx (kind %d)", when,
			     (unsigned long long)census.blocks[i].offset, (int)census.blocks[i].kind);
	if (census.held != held_blocks)
		fail(LEAKED, "K5, %s: members own %u blocks, where %u are in somebody's hands", when, census.held, held_blocks);
}

static void refuse_pool(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner,
                        void *context)
{
	(void)arena, (void)offset, (void)owner, (void)context;
	if (kind == TUTTI__KIND_POOL || kind == TUTTI__KIND_TASK)
		fail(LEAKED, "K5: the pool or a job of it is still there when owner and workers are dead");
}

void check_pools_gone(tutti_arena *arena)
{
	tutti_arena_sweep(arena);
	check_arena(arena, 0, "after the last death of those who had the pool");
	tutti__blocks_visit(arena, refuse_pool, NULL);
}

static void note_left(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	(void)kind, (void)owner;
	tutti_arena_usage *usage = context;
	usage->live_blocks++;
	usage->live_bytes += tutti__block_size(arena, offset);
}

void check_empty(tutti_arena *arena)
{
	tutti_arena_usage usage = {0};
	check_arena(arena, 0, "at the end");
	/* Not tutti_arena_usage_read(): it reads every slot, and in a snapshot each page read is one more to compare. */
	tutti__blocks_visit(arena, note_left, &usage);
	if (usage.live_blocks != 0)
		fail(LEAKED, "K5, at the end: %llu blocks (%llu bytes) are in use after everything was closed",
		     (unsigned long long)usage.live_blocks, (unsigned long long)usage.live_bytes);
}
