/* SPDX-License-Identifier: MIT */
#include <sys/single_threaded.h>

#include "arena/block.h"
#include "arena/latch.h"
#include "arena/member.h"

/* Block sizes: whole multiples of 64 that fill a unit with 1024 ... 2 blocks and little rest. */
static const uint16_t class_size[TUTTI__CLASS_COUNT] = {64,   128,  192,  256,  384,  512,  768,   1024,  1536, 2048,
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
	uint8_t size_class = unit->size_class < TUTTI__CLASS_COUNT ? unit->size_class : 0;
	*block_size = class_size[size_class];
	return TUTTI__UNIT_SIZE / class_size[size_class];
}

/* The caches are the process's: its threads share them. A process with one thread needs no mutex. */
static bool lock_caches(struct tutti__local *local)
{
	if (__libc_single_threaded)
		return false;
	pthread_mutex_lock(&local->mutex);
	return true;
}

static void unlock_caches(struct tutti__local *local, bool locked)
{
	if (locked)
		pthread_mutex_unlock(&local->mutex);
}

/* Takes the free blocks of a span into its cache. */
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

/* A span of this class and kind that is the caller's and has free blocks, or that nobody owns. */
static bool may_use(tutti_arena *arena, uint64_t unit, uint32_t id, uint8_t size_class, uint8_t kind)
{
	struct tutti__unit *record = &arena->units[unit];
	if (TUTTI__RUN_KIND(load_acquire(&record->run)) != TUTTI__RUN_SPAN || record->size_class != size_class ||
	    record->kind != kind)
		return false;
	uint32_t owner = load_acquire(&record->cache_owner);
	if (owner == id)
		return load_relaxed(&record->freed) != 0;
	/*
	 * Of two that want it one CAS wins. Meanwhile the unit may have been freed and taken by another member, who
	 * stores cache_owner before the run: who sees that run sees the new owner, so the owner is looked at last.
	 */
	return owner == 0 && cas_u32(&record->cache_owner, 0, id) &&
	       TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN && record->size_class == size_class &&
	       record->kind == kind && load_acquire(&record->cache_owner) == id;
}

/* Looks at up to `limit` units, going round from where the last search ended. */
static bool search(tutti_arena *arena, struct tutti__cache *cache, uint32_t id, uint8_t size_class, uint8_t kind,
                   uint64_t limit)
{
	uint64_t first = arena->header->first_unit;
	uint64_t frontier = load_acquire(&arena->header->heap.frontier);
	uint64_t count = frontier - first < limit ? frontier - first : limit;
	uint64_t unit = cache->cursor;
	while (count-- > 0) {
		if (++unit >= frontier || unit < first)
			unit = first;
		cache->cursor = (uint32_t)unit;
		if (may_use(arena, unit, id, size_class, kind) && scan_span(arena, cache, unit))
			return true;
	}
	return false;
}

enum { SEARCH_LIMIT = 64 }; /* units a refill looks at before it takes a new span: flat cost, bounded waste */

static tutti_err refill(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use, int64_t deadline)
{
	uint32_t id = load_relaxed(&arena->local->id);
	uint64_t unit = cache->unit;
	if (unit && load_relaxed(&arena->units[unit].freed) && scan_span(arena, cache, unit))
		return TUTTI_OK;
	if (search(arena, cache, id, use.size_class, use.kind, SEARCH_LIMIT))
		return TUTTI_OK;
	tutti_err err = tutti__heap_take(arena, id, 1, use, deadline, &unit);
	if (err == TUTTI_OK)
		scan_span(arena, cache, unit);
	return err;
}

/* An empty span of raw blocks goes back, unless it is the only one at hand. */
static void retire_if_empty(tutti_arena *arena, struct tutti__cache *cache, uint32_t id)
{
	uint32_t size, blocks = tutti__span_blocks(&arena->units[cache->unit], &size);
	if (cache->unit == 0 || cache->count != blocks)
		return;
	uint64_t unit = cache->unit;
	cache->unit = 0;
	cache->count = 0;
	tutti__heap_give_span(arena, id, unit);
}

/* Everything that may make room: spans with free blocks, empty spans, kept pages, dead members. */
static void make_room(tutti_arena *arena, uint32_t id)
{
	for (unsigned size_class = 0; size_class < TUTTI__CLASS_COUNT; size_class++) {
		struct tutti__cache *cache = &arena->local->caches[TUTTI__KIND_RAW][size_class];
		retire_if_empty(arena, cache, id);
		uint64_t frontier = load_acquire(&arena->header->heap.frontier);
		for (uint64_t unit = arena->header->first_unit; unit < frontier; unit++)
			if (may_use(arena, unit, id, (uint8_t)size_class, TUTTI__KIND_RAW) && scan_span(arena, cache, unit))
				retire_if_empty(arena, cache, id);
	}
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
	uint64_t unit, count = (size + TUTTI__UNIT_SIZE - 1) >> TUTTI__UNIT_SHIFT;
	struct tutti__run_use use = {.large = true};
	if (size > arena->size || count > arena->header->max_units)
		return fail_full(arena, size);
	tutti_err err = tutti__heap_take(arena, id, (uint32_t)count, use, deadline, &unit);
	if (err == TUTTI_ENOMEM) {
		tutti__sweep(arena);
		bool locked = lock_caches(arena->local);
		make_room(arena, id);
		unlock_caches(arena->local, locked);
		tutti__heap_trim(arena, id);
		err = tutti__heap_take(arena, id, (uint32_t)count, use, deadline, &unit);
	}
	if (err == TUTTI_OK)
		*offset = unit << TUTTI__UNIT_SHIFT;
	return err == TUTTI_ENOMEM ? fail_full(arena, size) : err;
}

/* With the caches locked: a refill that stops at nothing. */
static tutti_err refill_or_make_room(tutti_arena *arena, struct tutti__cache *cache, struct tutti__run_use use,
                                     int64_t deadline)
{
	uint32_t id = load_relaxed(&arena->local->id);
	tutti_err err = refill(arena, cache, use, deadline);
	if (err != TUTTI_ENOMEM)
		return err;
	tutti__sweep(arena);
	if (search(arena, cache, id, use.size_class, use.kind, UINT64_MAX))
		return TUTTI_OK;
	make_room(arena, id);
	tutti__heap_trim(arena, id);
	return refill(arena, cache, use, deadline);
}

tutti_err tutti__block_alloc(tutti_arena *arena, enum tutti__kind_number kind, uint64_t size, int64_t deadline,
                             uint64_t *offset)
{
	if (size > TUTTI__SMALL_MAX)
		return alloc_large(arena, size, deadline, offset);
	uint32_t id = load_relaxed(&arena->local->id);
	uint8_t size_class = class_of_step[(size + TUTTI__BLOCK_ALIGN - 1) / TUTTI__BLOCK_ALIGN];
	struct tutti__cache *cache = &arena->local->caches[kind][size_class];
	struct tutti__run_use use = {.size_class = size_class, .kind = (uint8_t)kind};
	bool locked = lock_caches(arena->local);
	tutti_err err = likely(cache->count > 0) ? TUTTI_OK : refill_or_make_room(arena, cache, use, deadline);
	if (unlikely(err)) {
		unlock_caches(arena->local, locked);
		return err == TUTTI_ENOMEM ? fail_full(arena, size) : err;
	}
	uint32_t index = cache->free[--cache->count];
	/* The one store that allocates. From here on a death gives it to the sweep. */
	store_release(tutti__owner_at(arena, cache->unit, index), id);
	*offset = ((uint64_t)cache->unit << TUTTI__UNIT_SHIFT) + (uint64_t)index * class_size[size_class];
	unlock_caches(arena->local, locked);
	return TUTTI_OK;
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
	uint32_t index = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1)) / class_size[record->size_class];
	struct tutti__cache *cache = &arena->local->caches[record->kind][record->size_class];
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
	uint32_t size = class_size[arena->units[unit].size_class];
	return offset - (offset & (TUTTI__UNIT_SIZE - 1)) % size;
}

uint64_t tutti__block_size(const tutti_arena *arena, uint64_t offset)
{
	const struct tutti__unit *record = &arena->units[offset >> TUTTI__UNIT_SHIFT];
	uint32_t run = load_acquire(&record->run);
	if (TUTTI__RUN_KIND(run) == TUTTI__RUN_SPAN)
		return class_size[record->size_class];
	return (uint64_t)TUTTI__RUN_LENGTH(run) << TUTTI__UNIT_SHIFT;
}

atomic_u32 *tutti__block_owner(const tutti_arena *arena, uint64_t offset)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	const struct tutti__unit *record = &arena->units[unit];
	uint32_t index = 0;
	if (TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN)
		index = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1)) / class_size[record->size_class];
	return tutti__owner_at(arena, unit, index);
}

bool tutti__block_is(const tutti_arena *arena, uint64_t offset, enum tutti__kind_number kind)
{
	uint64_t unit = offset >> TUTTI__UNIT_SHIFT;
	if (unit < arena->header->first_unit || unit >= load_acquire(&arena->header->heap.frontier))
		return false;
	const struct tutti__unit *record = &arena->units[unit];
	uint32_t inside = (uint32_t)(offset & (TUTTI__UNIT_SIZE - 1));
	return TUTTI__RUN_KIND(load_acquire(&record->run)) == TUTTI__RUN_SPAN && record->kind == (uint8_t)kind &&
	       inside % class_size[record->size_class] == 0 && load_acquire(tutti__block_owner(arena, offset)) != 0;
}
