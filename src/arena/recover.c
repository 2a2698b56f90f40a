/* SPDX-License-Identifier: MIT */
#include "arena/recover.h"
#include "arena/heap.h"
#include "arena/object.h"
#include "arena/station.h"
#include "os/seeded_bug.h"

static uint32_t span_length(const tutti_arena *arena, uint64_t unit, uint32_t *block_size)
{
	const struct tutti__unit *record = &arena->units[unit];
	switch (TUTTI__RUN_KIND(load_acquire(&record->run))) {
	case TUTTI__RUN_SPAN:
		return tutti__span_blocks(record, block_size);
	case TUTTI__RUN_LARGE:
		*block_size = 0;
		return 1;
	default:
		return 0;
	}
}

/*
 * The walks below visit every unit up to the frontier, not every run: runs may be split
 * and merged meanwhile. A record inside a run is stale, but the owner words it leads to
 * are 0, and an owner word is one at any time: it may be compared and swapped whatever
 * the unit is by now.
 */
void tutti__blocks_visit(tutti_arena *arena,
                         void (*visit)(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset,
                                       uint32_t owner, void *context),
                         void *context)
{
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	for (uint64_t unit = arena->header->first_unit; unit < frontier; unit++) {
		uint32_t size = 0, length = span_length(arena, unit, &size);
		enum tutti__kind_number kind =
			size ? (enum tutti__kind_number)load_relaxed(&arena->units[unit].kind) : TUTTI__KIND_RAW;
		for (uint32_t i = 0; i < length; i++) {
			uint32_t owner = load_acquire(tutti__owner_at(arena, unit, i));
			if (owner)
				visit(arena, kind, (unit << TUTTI__UNIT_SHIFT) + (uint64_t)i * size, owner, context);
		}
	}
}

struct death {
	uint32_t id;
	bool clean;
};

/*
 * Visits the blocks of one sort of kinds only: their spans are type-stable, so nothing changes under the walk.
 * Objects come first: whether a block that the dead owned is still an object's is clear only after that.
 */
static void recover_kinds(tutti_arena *arena, const struct death *death, bool objects)
{
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	for (uint64_t unit = arena->header->first_unit; unit < frontier; unit++) {
		uint32_t size = 0, length = span_length(arena, unit, &size);
		enum tutti__kind_number kind = (enum tutti__kind_number)load_relaxed(&arena->units[unit].kind);
		if (size == 0 || kind == TUTTI__KIND_RAW || kind >= TUTTI__KIND_COUNT ||
		    tutti__kinds[kind]->is_object != objects)
			continue;
		for (uint32_t i = 0; i < length; i++) {
			uint64_t offset = (unit << TUTTI__UNIT_SHIFT) + (uint64_t)i * size;
			uint32_t owner = load_acquire(tutti__owner_at(arena, unit, i));
			if (owner == 0)
				continue;
			if (objects)
				tutti__object_recover(arena, kind, offset, owner, death->id, death->clean);
			else
				tutti__kinds[kind]->recover(arena, offset, owner, death->id, death->clean);
		}
	}
}

static void sweep_blocks(tutti_arena *arena, uint32_t dead)
{
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	for (uint64_t unit = arena->header->first_unit; unit < frontier; unit++) {
		struct tutti__unit *record = &arena->units[unit];
		uint32_t size = 0, length = span_length(arena, unit, &size);
		atomic_u32 *owners = tutti__owner_at(arena, unit, 0);
		bool any = false;
		for (uint32_t i = 0; i < length; i++)
			if (load_relaxed(&owners[i]) == dead) /* relaxed: the death made its stores visible */
				any |= cas_u32(&owners[i], dead, 0);
		if (length && any)
			store_relaxed(&record->freed, 1);
		uint32_t cache_owner = load_relaxed(&record->cache_owner);
		if (size && (cache_owner & TUTTI__ID_MASK) == dead)
			cas_u32(&record->cache_owner, cache_owner, 0);
	}
	store_release(&arena->header->heap.rescan, 1); /* large runs were freed by their owner words */
}

bool tutti__recover_claim(tutti_arena *arena, uint32_t id)
{
	struct tutti__slot *slot = tutti__slot_of(arena, id);
	uint32_t own = load_relaxed(&arena->local->id);
	uint32_t other = load_acquire(&slot->recoverer);
	if (other == own)
		return false; /* another thread of this member */
	if (other && (TUTTI__BUG(16) || !tutti__member_is_dead(arena, other)))
		return false;
	return cas_u32(&slot->recoverer, other, own);
}

void tutti__recover_unclaim(tutti_arena *arena, uint32_t id)
{
	cas_u32(&tutti__slot_of(arena, id)->recoverer, load_relaxed(&arena->local->id), 0);
}

/* The id names nobody from here on; a stale word that still held it would be taken for a dead member's. */
static void free_slot(struct tutti__slot *slot, uint32_t id)
{
	uint64_t state = load_acquire(&slot->state);
	uint64_t generation = ((id >> TUTTI__SLOT_BITS) + !TUTTI__BUG(15)) & ((1U << TUTTI__GENERATION_BITS) - 1);
	if (tutti__state_generation(state) == id >> TUTTI__SLOT_BITS)
		cas_u64(&slot->state, state, generation << 32);
}

bool tutti__recover(tutti_arena *arena, uint32_t id, bool clean)
{
	struct tutti__slot *slot = tutti__slot_of(arena, id);
	struct death death = {.id = id, .clean = clean && !TUTTI__BUG(14)};
	if (!tutti__recover_claim(arena, id))
		return false;
	/* Somebody may have finished between the caller's look and the claim. */
	if (tutti__state_generation(load_acquire(&slot->state)) == id >> TUTTI__SLOT_BITS) {
		tutti__heap_recover(arena, id);
		if (TUTTI__BUG(10))
			sweep_blocks(arena, id);
		if (TUTTI__BUG(33))
			recover_kinds(arena, &death, false);
		recover_kinds(arena, &death, true);
		if (!TUTTI__BUG(33))
			recover_kinds(arena, &death, false);
		tutti__stations_recover(arena, id);
		sweep_blocks(arena, id);
		free_slot(slot, id);
	}
	tutti__recover_unclaim(arena, id);
	return true;
}
