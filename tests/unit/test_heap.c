/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "arena/heap.h"
#include "arena/latch.h"
#include "support.h"

static const struct tutti__run_use LARGE = {.large = true};

static uint32_t id_of(const tutti_arena *arena) { return load_relaxed(&arena->local->id); }

static uint64_t take(tutti_arena *arena, uint32_t count)
{
	uint64_t unit = 0;
	EXPECT(TUTTI_OK, tutti__heap_take(arena, id_of(arena), count, LARGE, INT64_MAX, &unit));
	REQUIRE(unit >= arena->header->first_unit && unit + count <= arena->header->unit_count);
	REQUIRE(tutti__heap_is_valid(arena));
	return unit;
}

static void give(tutti_arena *arena, uint64_t unit)
{
	tutti__heap_give(arena, id_of(arena), unit);
	REQUIRE(tutti__heap_is_valid(arena));
}

static uint32_t run_of(const tutti_arena *arena, uint64_t unit) { return load_relaxed(&arena->units[unit].run); }

static uint64_t touched(const tutti_arena *arena) { return load_relaxed(&arena->header->heap.touched_units); }
static uint64_t kept(const tutti_arena *arena) { return load_relaxed(&arena->header->heap.kept_units); }

static void a_new_heap_is_one_clean_run(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	assert_true(tutti__heap_is_valid(arena));
	assert_int_equal(touched(arena), 0);
	assert_int_equal(run_of(arena, arena->header->first_unit),
	                 TUTTI__RUN(TUTTI__RUN_CLEAN, arena->header->unit_count - arena->header->first_unit));
	assert_int_equal(arena->header->max_units, 64 * MEBIBYTE / TUTTI__UNIT_SIZE);
	tutti_arena_close(arena);
}

static void taking_splits_and_owns(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	uint64_t first = take(arena, 3);
	uint64_t second = take(arena, 5);
	assert_int_equal(second, first + 3);
	assert_int_equal(run_of(arena, first), TUTTI__RUN(TUTTI__RUN_LARGE, 3));
	assert_int_equal(run_of(arena, second), TUTTI__RUN(TUTTI__RUN_LARGE, 5));
	assert_int_equal(load_relaxed(tutti__owner_at(arena, first, 0)), id_of(arena));
	assert_int_equal(touched(arena), 8);
	give(arena, first);
	give(arena, second);
	assert_int_equal(touched(arena), 8);
	assert_int_equal(kept(arena), 8);
	tutti_arena_close(arena);
}

static void freed_runs_merge_and_are_reused_first(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	uint64_t units[4];
	for (int i = 0; i < 4; i++)
		units[i] = take(arena, 4);
	uint64_t last = take(arena, 1);
	give(arena, units[1]);
	give(arena, units[3]);
	give(arena, units[2]);
	assert_int_equal(take(arena, 12), units[1]);
	assert_int_equal(touched(arena), 17);
	assert_int_equal(kept(arena), 0);
	give(arena, units[1]);
	give(arena, units[0]);
	assert_int_equal(take(arena, 16), units[0]);
	give(arena, units[0]);
	give(arena, last);
	tutti_arena_close(arena);
}

static void the_rest_of_a_split_is_found_again(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	uint64_t hole = take(arena, 8), fence = take(arena, 1);
	give(arena, hole);
	assert_int_equal(take(arena, 3), hole);
	assert_int_equal(take(arena, 5), hole + 3);
	assert_int_equal(take(arena, 1), fence + 1);
	tutti_arena_close(arena);
}

static void the_limit_is_exact_and_recovers(void **state)
{
	uint64_t unit;
	(void)state;
	tutti_arena *arena = support_arena(16 * TUTTI__UNIT_SIZE);
	uint64_t first = take(arena, 10), second = take(arena, 6);
	assert_int_equal(tutti__heap_take(arena, id_of(arena), 1, LARGE, INT64_MAX, &unit), TUTTI_ENOMEM);
	assert_true(tutti__heap_is_valid(arena));
	give(arena, second);
	assert_int_equal(take(arena, 6), second);
	give(arena, second);
	give(arena, first);
	assert_int_equal(take(arena, 16), first);
	tutti_arena_close(arena);
}

/* Beyond keep_units the pages of a freed run go back to the kernel. */
static void kept_pages_are_bounded(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(1024 * TUTTI__UNIT_SIZE);
	uint64_t keep = arena->header->keep_units;
	assert_int_equal(keep, 128);
	uint64_t small = take(arena, 100), large = take(arena, 100);
	memset(tutti__at(arena, large << TUTTI__UNIT_SHIFT), 'x', TUTTI__UNIT_SIZE);
	give(arena, small);
	assert_int_equal(kept(arena), 100);
	give(arena, large);
	assert_int_equal(kept(arena), 100);
	assert_int_equal(touched(arena), 100);
	assert_int_equal(TUTTI__RUN_KIND(run_of(arena, large)), TUTTI__RUN_CLEAN);
	assert_int_equal(*(char *)tutti__at(arena, large << TUTTI__UNIT_SHIFT), 0);
	tutti_arena_close(arena);
}

static void trimming_gives_all_kept_pages_back(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(1024 * TUTTI__UNIT_SIZE);
	uint64_t a = take(arena, 7), live = take(arena, 2), b = take(arena, 9);
	memset(tutti__at(arena, live << TUTTI__UNIT_SHIFT), 'l', 2 * TUTTI__UNIT_SIZE);
	memset(tutti__at(arena, a << TUTTI__UNIT_SHIFT), 'a', 7 * TUTTI__UNIT_SIZE);
	give(arena, a);
	give(arena, b);
	assert_true(tutti__heap_trim(arena, id_of(arena)));
	assert_true(tutti__heap_is_valid(arena));
	assert_int_equal(kept(arena), 0);
	assert_int_equal(touched(arena), 2);
	assert_int_equal(*(char *)tutti__at(arena, a << TUTTI__UNIT_SHIFT), 0);
	assert_int_equal(*(char *)tutti__at(arena, live << TUTTI__UNIT_SHIFT), 'l');
	assert_false(tutti__heap_trim(arena, id_of(arena)));
	tutti_arena_close(arena);
}

/* A sweep frees a large run by its owner word alone; the next who needs it settles the rest. */
static void a_run_without_owner_is_free(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(16 * TUTTI__UNIT_SIZE);
	uint64_t run = take(arena, 16);
	store_release(tutti__owner_at(arena, run, 0), 0);
	store_release(&arena->header->heap.rescan, 1);
	assert_int_equal(take(arena, 16), run);
	tutti_arena_close(arena);
}

static void a_busy_heap_answers_in_time(void **state)
{
	uint64_t unit;
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE), *other = support_join(arena);
	uint64_t freed = take(arena, 2);
	assert_int_equal(tutti__latch_acquire(other, &other->header->heap.latch, id_of(other), INT64_MAX), TUTTI_OK);
	int64_t start = support_now();
	EXPECT(TUTTI_EBUSY, tutti__heap_take(arena, id_of(arena), 1, LARGE, start + 1000000, &unit));
	assert_true(support_now() - start < 2000000000);
	/* Giving never fails: it leaves the run to be settled later. */
	tutti__heap_give(arena, id_of(arena), freed);
	tutti__latch_release(&other->header->heap.latch);
	assert_int_equal(take(arena, 2), freed);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

/* Random takes and gives: the heap stays valid, no two runs overlap, and all of it comes back as one. */
static void random_traffic_keeps_the_heap_valid(void **state)
{
	enum { RUNS = 64, STEPS = 4000 };
	uint64_t units[RUNS] = {0}, random = 88172645463325252ULL;
	uint32_t lengths[RUNS];
	(void)state;
	tutti_arena *arena = support_arena(1024 * TUTTI__UNIT_SIZE);
	for (int step = 0; step < STEPS; step++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		unsigned i = random % RUNS;
		if (units[i]) {
			uint64_t *mark = tutti__at(arena, units[i] << TUTTI__UNIT_SHIFT);
			assert_int_equal(mark[0], i);
			assert_int_equal(mark[lengths[i] * (uint64_t)TUTTI__UNIT_SIZE / 8 - 1], i);
			give(arena, units[i]);
			units[i] = 0;
			continue;
		}
		lengths[i] = 1 + (uint32_t)(random >> 32) % 12;
		units[i] = take(arena, lengths[i]);
		uint64_t *mark = tutti__at(arena, units[i] << TUTTI__UNIT_SHIFT);
		mark[0] = mark[lengths[i] * (uint64_t)TUTTI__UNIT_SIZE / 8 - 1] = i;
	}
	for (int i = 0; i < RUNS; i++)
		if (units[i])
			give(arena, units[i]);
	tutti__heap_trim(arena, id_of(arena));
	assert_int_equal(touched(arena), 0);
	assert_int_equal(take(arena, 1024), arena->header->first_unit);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest heap[] = {
		TEST(a_new_heap_is_one_clean_run),           TEST(taking_splits_and_owns),
		TEST(freed_runs_merge_and_are_reused_first), TEST(the_rest_of_a_split_is_found_again),
		TEST(the_limit_is_exact_and_recovers),       TEST(kept_pages_are_bounded),
		TEST(trimming_gives_all_kept_pages_back),    TEST(a_run_without_owner_is_free),
		TEST(a_busy_heap_answers_in_time),           TEST(random_traffic_keeps_the_heap_valid),
	};
	return RUN_TESTS(heap);
}
