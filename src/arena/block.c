/* SPDX-License-Identifier: MIT */
#include <sys/single_threaded.h>

#include "arena/block.h"
#include "arena/latch.h"
#include "arena/member.h"

/* Block sizes: whole multiples of 64 that fill a unit with 1024 ... 2 blocks and little rest. */
static const uint16_t class_size[TUTTI__CLASS_COUNT] = {64,   128,  192,  256,  384,  512,   768,   1024,  1536, 2048,
                                                        3072, 4096, 4992, 6528, 8192, 10880, 13056, 16384, 32768};

/* The class of a size in steps of 64 bytes, found once per process. */
static uint8_t class_of_step[TUTTI__SMALL_MAX / TUTTI__BLOCK_ALIGN + 1];

__attribute__((constructor)) static void fill_classes(void)
{
	uint8_t size_class = 0;
	for (uint32_t step = 0; step <= TUTTI__SMALL_MAX / TUTTI__BLOCK_ALIGN; step++) {
		while (class_size[size_class] < step * TUTTI__BLOCK_ALIGN)
			size_class++;
		class_of_step[step] = size_class;
	}
}

uint32_t tutti__span_blocks(const struct tutti__unit *unit, uint32_t *block_size)
{
	uint8_t size_class = load_relaxed(&unit->size_class) < TUTTI__CLASS_COUNT ? load_relaxed(&unit->size_class) : 0;
	*block_size = class_size[size_class];
	return TUTTI__UNIT_SIZE / class_size[size_class];
}

/* The caches are the process's: its threads share them. A process with one thread needs no mutex. */
static bool lock_caches(struct tutti__local *local)
{
	if (__libc_single_threaded)
		return false;
	tutti__mutex_lock(&local->mutex);
	return true;
}

static void unlock_caches(struct tutti__local *local, bool locked)
{
	if (locked)
		pthread_mutex_unlock(&local->mutex);
}

/* Takes the free blocks of a span, which is the caller's and IN_USE, into its cache. */
static bool scan_span(tutti_arena *arena, struct tutti__cache *cache, uint64_t unit)
{
	uint32_t size, blocks = tutti__span_blocks(&arena->units[unit], &size);
	/* The hint first: what is freed behind our back sets it again. Rarely one is missed; the next free there tells. */
	exchange_acq_rel(&arena->units[unit].freed, 0);
	cache->unit = (uint32_t)unit;
	cache->count = 0;
	for (uint32_t i = blocks; i-- > 0;)
		if (load_acquire(tutti__owner_at(arena, unit, i)) == 0)
			cache->free[cache->count++] = (uint16_t)i;
	return cache->count > 0;
}

/* The cache forgets its span, which others may then take over. */
static void leave_span(tutti_arena *arena, struct tutti__cache *cache, uint32_t id)
{
	if (cache->unit)
		store_release(&arena->units[cache->unit].cache_owner, id);
	cache->unit = 0;
	cache->count = 0;
}

static bool is_span_of(const tutti_arena *arena, uint64_t unit, struct tutti__run_use use)
{
	const struct tutti__unit *record = &arena->units[unit];
	return TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN &&
	       load_relaxed(&record->size_class) == use.size_class && load_relaxed(&record->kind) == use.kind;
}

/*
 * Makes the span at `unit` the caller's, IN_USE: its own if somebody freed blocks there,
 * one that nobody owns, or (`any`) any that its owner does not use at the moment.
 *
 * Of two that want it one CAS wins. Meanwhile the unit may have been freed and taken by
 * another member, who stores cache_owner before the run: who sees that run sees the
 * new owner, so the owner is looked at last.
 */
static bool adopt(tutti_arena *arena, uint64_t unit, uint32_t id, struct tutti__run_use use, bool any)
{
	struct tutti__unit *record = &arena->units[unit];
	if (!is_span_of(arena, unit, use))
		return false;
	uint32_t owner = load_acquire(&record->cache_owner);
	bool wanted = owner == 0 || (owner == id && load_relaxed(&record->freed)) || (any && !(owner & TUTTI__IN_USE));
	return wanted && cas_u32(&record->cache_owner, owner, id | TUTTI__IN_USE) && is_span_of(arena, unit, use) &&
	       load_acquire(&record->cache_owner) == (id | TUTTI__IN_USE);
}

/* Looks at up to `limit` units, going round from where the last search ended. The caches are locked. */
static bool search(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use, uint64_t limit)
{
	uint32_t id = load_relaxed(&arena->local->id);
	uint64_t first = arena->header->first_unit;
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	bool all = limit >= frontier - first;
	uint64_t unit = cache->cursor;
	for (uint64_t count = all ? frontier - first : limit; count > 0; count--) {
		if (++unit >= frontier || unit < first)
			unit = first;
		cache->cursor = (uint32_t)unit;
		if (!adopt(arena, unit, id, use, all))
			continue;
		leave_span(arena, cache, id);
		if (scan_span(arena, cache, unit))
			return true;
	}
	return false;
}

enum { SEARCH_LIMIT = 64 }; /* units a refill looks at before it takes a new span: flat cost, bounded waste */

static bool refill_from_spans(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use, uint64_t limit)
{
	uint64_t unit = cache->unit;
	if (unit && load_relaxed(&arena->units[unit].freed) && scan_span(arena, cache, unit))
		return true;
	return search(arena, cache, use, limit);
}

/*
 * A new span. Without the caches' lock: taking the heap's latch may end in a recovery, which frees blocks.
 */
static tutti_err refill_from_heap(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use,
                                  int64_t deadline)
{
	uint64_t unit;
	uint32_t id = load_relaxed(&arena->local->id);
	tutti_err err = tutti__heap_take(arena, id, 1, use, deadline, &unit);
	if (err)
		return err;
	bool locked = lock_caches(arena->local);
	if (cache->count == 0) {
		leave_span(arena, cache, id);
		scan_span(arena, cache, unit);
	} else { /* another thread was faster: keep it for later */
		store_relaxed(&arena->units[unit].freed, 1);
		store_release(&arena->units[unit].cache_owner, id);
	}
	unlock_caches(arena->local, locked);
	return TUTTI_OK;
}

/* Takes a wholly free raw span out of the caches, its own or one that its owner does not use; 0: there is none. */
static uint64_t detach_free_span(tutti_arena *arena, uint64_t unit, uint32_t id)
{
	struct tutti__run_use use = {.size_class = load_relaxed(&arena->units[unit].size_class), .kind = TUTTI__KIND_RAW};
	uint32_t size, blocks = tutti__span_blocks(&arena->units[unit], &size);
	struct tutti__cache *cache = &arena->local->caches[TUTTI__KIND_RAW][use.size_class % TUTTI__CLASS_COUNT];
	bool locked = lock_caches(arena->local);
	bool in_cache = cache->unit == unit;
	bool ours = in_cache ? is_span_of(arena, unit, use) : adopt(arena, unit, id, use, true);
	uint32_t free_blocks = 0;
	for (uint32_t i = 0; ours && i < blocks; i++)
		free_blocks += load_acquire(tutti__owner_at(arena, unit, i)) == 0;
	bool found = ours && free_blocks == blocks;
	if (found && in_cache) {
		cache->unit = 0;
		cache->count = 0;
	} else if (ours && !in_cache && !found) {
		store_relaxed(&arena->units[unit].freed, 1);
		store_release(&arena->units[unit].cache_owner, id);
	}
	unlock_caches(arena->local, locked);
	return found ? unit : 0;
}

/* Everything that may make room: the dead, empty spans, kept pages. Without the caches' lock. */
static void make_room(tutti_arena *arena)
{
	uint32_t id = load_relaxed(&arena->local->id);
	tutti__sweep(arena);
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	for (uint64_t unit = arena->header->first_unit; unit < frontier; unit++)
		if (TUTTI__RUN_KIND(load_acquire(&arena->units[unit].run)) == TUTTI__RUN_SPAN &&
		    detach_free_span(arena, unit, id))
			tutti__heap_give_span(arena, id, unit);
	tutti__heap_trim(arena, id);
}

static tutti_err fail_full(tutti_arena *arena, uint64_t size)
{
	double mebibyte = 1048576.0;
	struct tutti__header *header = arena->header;
	return tutti__fail(TUTTI_ENOMEM,
	                   "arena \"%s\" is full: %.1f of %.1f MiB are in use and %.1f more were asked for. Raise "
	                   "TUTTI_ARENA_MAX (or .max_bytes), bound the queues, or release what was received.",
	                   header->name,
	                   (double)(load_relaxed(&header->heap.touched_units) - load_relaxed(&header->heap.kept_units)) *
	                       TUTTI__UNIT_SIZE / mebibyte,
	                   (double)header->max_units * TUTTI__UNIT_SIZE / mebibyte, (double)size / mebibyte);
}

static tutti_err alloc_large(tutti_arena *arena, uint64_t size, int64_t deadline, uint64_t *offset)
{
	uint32_t id = load_relaxed(&arena->local->id);
	struct tutti__run_use use = {.large = true};
	uint64_t unit;
	/* The size first: rounding it up must not wrap. */
	if (size > arena->size || (size + TUTTI__UNIT_SIZE - 1) >> TUTTI__UNIT_SHIFT > arena->header->max_units)
		return fail_full(arena, size);
	uint32_t count = (uint32_t)((size + TUTTI__UNIT_SIZE - 1) >> TUTTI__UNIT_SHIFT);
	tutti_err err = tutti__heap_take(arena, id, count, use, deadline, &unit);
	if (err == TUTTI_ENOMEM) {
		make_room(arena);
		err = tutti__heap_take(arena, id, count, use, deadline, &unit);
	}
	if (err == TUTTI_OK)
		*offset = unit << TUTTI__UNIT_SHIFT;
	return err == TUTTI_ENOMEM ? fail_full(arena, size) : err;
}

/* With the caches locked: takes a block, if there is one without asking the heap. */
static bool pop(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use, uint64_t limit,
                uint64_t *offset)
{
	if (unlikely(cache->count == 0) && !refill_from_spans(arena, cache, use, limit))
		return false;
	uint32_t index = cache->free[--cache->count];
	/* The one store that allocates. From here on a death gives it to the sweep. */
	store_release(tutti__owner_at(arena, cache->unit, index), load_relaxed(&arena->local->id));
	*offset = ((uint64_t)cache->unit << TUTTI__UNIT_SHIFT) + (uint64_t)index * class_size[use.size_class];
	return true;
}

tutti_err tutti__block_alloc(tutti_arena *arena, enum tutti__kind_number kind, uint64_t size, int64_t deadline,
                             uint64_t *offset)
{
	if (size > TUTTI__SMALL_MAX)
		return alloc_large(arena, size, deadline, offset);
	uint8_t size_class = class_of_step[(size + TUTTI__BLOCK_ALIGN - 1) / TUTTI__BLOCK_ALIGN];
	struct tutti__cache *cache = &arena->local->caches[kind][size_class];
	struct tutti__run_use use = {.size_class = size_class, .kind = (uint8_t)kind};
	for (int fails = 0;;) {
		bool locked = lock_caches(arena->local);
		bool popped = pop(arena, cache, use, fails ? UINT64_MAX : SEARCH_LIMIT, offset);
		unlock_caches(arena->local, locked);
		if (likely(popped))
			return TUTTI_OK;
		tutti_err err = refill_from_heap(arena, cache, use, deadline);
		if (err && err != TUTTI_ENOMEM)
			return err;
		/* First look through all spans, then make room, then give up. */
		if (err && ++fails == 2)
			make_room(arena);
		if (fails == 3)
			return fail_full(arena, size);
	}
}

void tutti__block_free(tutti_arena *arena, uint64_t offset)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	struct tutti__unit *record = &arena->units[unit];
	uint32_t id = load_relaxed(&arena->local->id);
	if (TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_LARGE) {
		tutti__heap_give(arena, id, unit);
		return;
	}
	uint32_t index = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1)) / class_size[load_relaxed(&record->size_class)];
	struct tutti__cache *cache = &arena->local->caches[load_relaxed(&record->kind)][load_relaxed(&record->size_class)];
	bool locked = lock_caches(arena->local);
	bool cached = cache->unit == unit;
	/* The one store that frees. Release: our last accesses come before whoever allocates it (acquire in scan_span). */
	store_release(tutti__owner_at(arena, unit, index), 0);
	if (cached)
		cache->free[cache->count++] = (uint16_t)index;
	unlock_caches(arena->local, locked);
	if (!cached && load_relaxed(&record->freed) == 0)
		store_relaxed(&record->freed, 1); /* relaxed: a hint */
}

uint64_t tutti__block_start(const tutti_arena *arena, uint64_t offset)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	if (TUTTI__RUN_KIND(load_acquire(&arena->units[unit].run)) != TUTTI__RUN_SPAN)
		return unit << TUTTI__UNIT_SHIFT;
	uint32_t size = class_size[load_relaxed(&arena->units[unit].size_class)];
	return offset - (offset & (TUTTI__UNIT_SIZE - 1)) % size;
}

uint64_t tutti__block_size(const tutti_arena *arena, uint64_t offset)
{
	const struct tutti__unit *record = &arena->units[offset >> TUTTI__UNIT_SHIFT];
	uint32_t run = load_acquire(&record->run);
	if (TUTTI__RUN_KIND(run) == TUTTI__RUN_SPAN)
		return class_size[load_relaxed(&record->size_class)];
	return (uint64_t)TUTTI__RUN_LENGTH(run) << TUTTI__UNIT_SHIFT;
}

atomic_u32 *tutti__block_owner(const tutti_arena *arena, uint64_t offset)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	const struct tutti__unit *record = &arena->units[unit];
	uint32_t index = 0;
	if (TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN)
		index = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1)) / class_size[load_relaxed(&record->size_class)];
	return tutti__owner_at(arena, unit, index);
}

bool tutti__block_is(const tutti_arena *arena, uint64_t offset, enum tutti__kind_number kind)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	if (unit < arena->header->first_unit || unit >= load_acquire(&arena->header->heap.frontier))
		return false;
	const struct tutti__unit *record = &arena->units[unit];
	uint32_t inside = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1));
	return TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN &&
	       load_relaxed(&record->kind) == (uint8_t)kind &&
	       inside % class_size[load_relaxed(&record->size_class)] == 0 &&
	       load_acquire(tutti__block_owner(arena, offset)) != 0;
}
