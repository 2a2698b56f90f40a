/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "arena/heap.h"
#include "arena/latch.h"
#include "os/seeded_bug.h"

static uint32_t run_of(const tutti_arena *arena, uint64_t unit) { return load_acquire(&arena->units[unit].run); }

static void set_run(tutti_arena *arena, uint64_t unit, uint32_t kind, uint64_t length)
{
	/* Release: pairs with run_of; whoever sees the run sees the rest of its record. */
	store_release(&arena->units[unit].run, TUTTI__RUN(kind, length));
}

/* The largest i with 2^i <= length. */
static unsigned bucket_of(uint64_t length)
{
	unsigned bucket = 63 - (unsigned)__builtin_clzll(length);
	return bucket < TUTTI__HINTS ? bucket : TUTTI__HINTS - 1;
}

static void forget_hints(tutti_arena *arena)
{
	for (unsigned i = 0; i < TUTTI__HINTS; i++)
		arena->header->heap.hints[i] = arena->header->first_unit;
}

void tutti__heap_init(tutti_arena *arena, uint64_t max_units)
{
	struct tutti__header *header = arena->header;
	header->max_units = max_units;
	header->keep_units = max_units / 8 < 16384 ? max_units / 8 : 16384; /* 1 GiB at most */
	store_relaxed(&header->heap.frontier, header->first_unit);
	forget_hints(arena);
	set_run(arena, header->first_unit, TUTTI__RUN_CLEAN, header->unit_count - header->first_unit);
}

/* A free run begins here (or grew): no hint for its size may be above it. */
static void lower_hints(struct tutti__heap *heap, uint64_t unit, uint64_t length)
{
	for (unsigned i = 0; i <= bucket_of(length); i++)
		if (heap->hints[i] > unit)
			heap->hints[i] = unit;
}

/* What a sweep freed by its owner word alone becomes a free run. */
static uint32_t settle(tutti_arena *arena, uint64_t unit)
{
	uint32_t run = run_of(arena, unit);
	if (TUTTI__RUN_KIND(run) != TUTTI__RUN_LARGE || load_acquire(tutti__owner_at(arena, unit, 0)) != 0)
		return run;
	fetch_add_relaxed(&arena->header->heap.kept_units, TUTTI__RUN_LENGTH(run));
	set_run(arena, unit, TUTTI__RUN_TOUCHED, TUTTI__RUN_LENGTH(run));
	return run_of(arena, unit);
}

/* Lengthens the free run at `unit` by all free runs of its kind that follow it. */
static uint32_t merge(tutti_arena *arena, uint64_t unit, uint32_t run)
{
	struct tutti__heap *heap = &arena->header->heap;
	for (;;) {
		uint64_t next = unit + TUTTI__RUN_LENGTH(run);
		if (next >= arena->header->unit_count)
			return run;
		uint32_t other = settle(arena, next);
		if (TUTTI__RUN_KIND(other) != TUTTI__RUN_KIND(run))
			return run;
		uint64_t length = (uint64_t)TUTTI__RUN_LENGTH(run) + TUTTI__RUN_LENGTH(other);
		for (unsigned i = 0; i < TUTTI__HINTS; i++)
			if (heap->hints[i] == next) /* it will be a head no longer */
				heap->hints[i] = unit;
		set_run(arena, unit, TUTTI__RUN_KIND(run), length);
		lower_hints(heap, unit, length);
		run = run_of(arena, unit);
	}
}

static bool is_free(uint32_t run)
{
	return TUTTI__RUN_KIND(run) == TUTTI__RUN_CLEAN || TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED;
}

/* The first touched free run of `count` units, else the first clean one; 0 if there is none. */
static uint64_t find(tutti_arena *arena, uint32_t count)
{
	struct tutti__heap *heap = &arena->header->heap;
	unsigned bucket = bucket_of(count);
	uint64_t clean = 0, first = 0, unit = heap->hints[bucket];
	while (unit < arena->header->unit_count) {
		uint32_t run = settle(arena, unit);
		if (is_free(run)) {
			run = merge(arena, unit, run);
			if (first == 0 && TUTTI__RUN_LENGTH(run) >= 1U << bucket)
				first = unit;
			if (TUTTI__RUN_LENGTH(run) >= count) {
				if (TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED) {
					heap->hints[bucket] = first;
					return unit;
				}
				clean = clean ? clean : unit;
			}
		}
		unit += TUTTI__RUN_LENGTH(run);
	}
	if (first)
		heap->hints[bucket] = first;
	return clean;
}

/* Counts are changed before the store that commits; the recovery of a holder killed between counts anew. */
static void count_taken(struct tutti__heap *heap, uint32_t run, uint32_t count)
{
	if (TUTTI__RUN_KIND(run) == TUTTI__RUN_CLEAN)
		fetch_add_relaxed(&heap->touched_units, count);
	else
		fetch_sub_relaxed(&heap->kept_units, count);
}

static void split(tutti_arena *arena, uint64_t unit, uint32_t run, uint32_t count)
{
	uint64_t rest = TUTTI__RUN_LENGTH(run) - count;
	if (TUTTI__BUG(18))
		set_run(arena, unit, TUTTI__RUN_KIND(run), count);
	if (rest > 0) {
		set_run(arena, unit + count, TUTTI__RUN_KIND(run), rest);
		lower_hints(&arena->header->heap, unit + count, rest);
	}
	if (load_relaxed(&arena->header->heap.frontier) < unit + count)
		store_release(&arena->header->heap.frontier, unit + count); /* before the commit: a sweep looks up to here */
}

/* Under the latch: takes the run at `unit`, free and long enough. */
static void take(tutti_arena *arena, uint32_t id, uint64_t unit, uint32_t count, struct tutti__run_use use)
{
	struct tutti__unit *record = &arena->units[unit];
	uint32_t run = run_of(arena, unit);
	count_taken(&arena->header->heap, run, count);
	split(arena, unit, run, count);
	store_relaxed(&record->size_class, use.size_class); /* relaxed: the run's store, a release, follows */
	store_relaxed(&record->kind, use.kind);
	store_relaxed(&record->freed, 0);
	store_relaxed(&record->cache_owner, id | TUTTI__IN_USE); /* before the commit: adopt() in block.c relies on it */
	if (use.large) {
		/* Before the commit: a LARGE run without an owner would be free. A sweep may clear it, which frees the run. */
		store_release(tutti__owner_at(arena, unit, 0), id);
		set_run(arena, unit, TUTTI__RUN_LARGE, count);
	} else {
		set_run(arena, unit, TUTTI__RUN_SPAN, count);
	}
}

/* Objects find their memory zeroed, also what a dead creator left. Before anybody can see the span. */
static void clear_unit(tutti_arena *arena, uint64_t unit, uint32_t run)
{
	if (TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED)
		memset(tutti__at(arena, unit << TUTTI__UNIT_SHIFT), 0, TUTTI__UNIT_SIZE);
}

/* Under the latch: a run of `count` units that may be taken within the limit, else 0. */
static uint64_t find_allowed(tutti_arena *arena, uint32_t count, uint8_t kind)
{
	struct tutti__heap *heap = &arena->header->heap;
	uint64_t unit = find(arena, count);
	uint32_t run = unit ? run_of(arena, unit) : 0;
	if (TUTTI__RUN_KIND(run) == TUTTI__RUN_CLEAN &&
	    load_relaxed(&heap->touched_units) + count > arena->header->max_units)
		return 0;
	if (unit && kind != TUTTI__KIND_RAW)
		clear_unit(arena, unit, run);
	return unit;
}

tutti_err tutti__heap_take(tutti_arena *arena, uint32_t id, uint32_t count, struct tutti__run_use use, int64_t deadline,
                           uint64_t *unit)
{
	struct tutti__heap *heap = &arena->header->heap;
	tutti_err err = tutti__latch_acquire(arena, &heap->latch, id, deadline);
	if (err)
		return err;
	if (load_relaxed(&heap->rescan) && exchange_acq_rel(&heap->rescan, 0))
		forget_hints(arena);
	*unit = find_allowed(arena, count, use.kind);
	if (*unit)
		take(arena, id, *unit, count, use);
	tutti__latch_release(&heap->latch);
	return *unit ? TUTTI_OK : TUTTI_ENOMEM;
}

/* Under the latch: the run at `unit` becomes free. */
static void set_free(tutti_arena *arena, uint64_t unit, uint32_t length, bool clean)
{
	struct tutti__heap *heap = &arena->header->heap;
	if (clean)
		fetch_sub_relaxed(&heap->touched_units, length);
	else
		fetch_add_relaxed(&heap->kept_units, length);
	set_run(arena, unit, clean ? TUTTI__RUN_CLEAN : TUTTI__RUN_TOUCHED, length);
	lower_hints(heap, unit, length);
}

void tutti__heap_give(tutti_arena *arena, uint32_t id, uint64_t unit)
{
	struct tutti__heap *heap = &arena->header->heap;
	uint32_t length = TUTTI__RUN_LENGTH(run_of(arena, unit));
	/* The pages go back before the run does, while it is still the caller's: a death here leaves it to the sweep. */
	bool clean =
		load_relaxed(&heap->kept_units) + length > arena->header->keep_units &&
		tutti__memory_punch(tutti__at(arena, unit << TUTTI__UNIT_SHIFT), (uint64_t)length << TUTTI__UNIT_SHIFT);
	if (tutti__latch_acquire(arena, &heap->latch, id, 0) != TUTTI_OK) {
		store_release(tutti__owner_at(arena, unit, 0), 0);
		store_release(&heap->rescan, 1);
		return;
	}
	store_release(tutti__owner_at(arena, unit, 0), 0);
	set_free(arena, unit, length, clean);
	tutti__latch_release(&heap->latch);
}

void tutti__heap_give_span(tutti_arena *arena, uint32_t id, uint64_t unit)
{
	struct tutti__heap *heap = &arena->header->heap;
	if (tutti__latch_acquire(arena, &heap->latch, id, 0) != TUTTI_OK) {
		store_relaxed(&arena->units[unit].freed, 1); /* it stays a span of the caller's, to be found by a search */
		return;
	}
	set_free(arena, unit, 1, false); /* its cache_owner stays, so that nobody takes it over as a span */
	tutti__latch_release(&heap->latch);
}

bool tutti__heap_trim(tutti_arena *arena, uint32_t id)
{
	struct tutti__heap *heap = &arena->header->heap;
	bool any = false;
	if (tutti__latch_acquire(arena, &heap->latch, id, 0) != TUTTI_OK)
		return false;
	for (uint64_t unit = arena->header->first_unit; unit < arena->header->unit_count;) {
		uint32_t run = settle(arena, unit);
		uint32_t length = TUTTI__RUN_LENGTH(run);
		if (TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED &&
		    tutti__memory_punch(tutti__at(arena, unit << TUTTI__UNIT_SHIFT), (uint64_t)length << TUTTI__UNIT_SHIFT)) {
			fetch_sub_relaxed(&heap->kept_units, length);
			set_free(arena, unit, length, true);
			any = true;
		}
		unit += length;
	}
	tutti__latch_release(&heap->latch);
	return any;
}

void tutti__heap_recover(tutti_arena *arena, uint32_t dead)
{
	struct tutti__heap *heap = &arena->header->heap;
	store_release(&heap->rescan, 1); /* what the sweep frees lies below the hints */
	if (!tutti__latch_is_held_by(&heap->latch, dead))
		return;
	uint64_t touched = 0, kept = 0;
	forget_hints(arena);
	for (uint64_t unit = arena->header->first_unit; unit < arena->header->unit_count;) {
		uint32_t run = run_of(arena, unit);
		uint32_t length = TUTTI__RUN_LENGTH(run);
		touched += TUTTI__RUN_KIND(run) != TUTTI__RUN_CLEAN ? length : 0;
		kept += TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED ? length : 0;
		unit += length;
	}
	if (!TUTTI__BUG(19)) {
		store_relaxed(&heap->touched_units, touched);
		store_relaxed(&heap->kept_units, kept);
	}
	tutti__latch_release_dead(&heap->latch, dead);
}

bool tutti__heap_is_valid(const tutti_arena *arena)
{
	uint64_t touched = 0, unit = arena->header->first_unit;
	while (unit < arena->header->unit_count) {
		uint32_t run = run_of(arena, unit);
		uint32_t kind = TUTTI__RUN_KIND(run);
		if (TUTTI__RUN_LENGTH(run) == 0 || kind == TUTTI__RUN_NONE || kind > TUTTI__RUN_SPAN)
			return false;
		touched += kind != TUTTI__RUN_CLEAN ? TUTTI__RUN_LENGTH(run) : 0;
		unit += TUTTI__RUN_LENGTH(run);
	}
	return unit == arena->header->unit_count && touched == load_relaxed(&arena->header->heap.touched_units);
}
