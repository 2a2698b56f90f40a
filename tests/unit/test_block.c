/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arena/block.h"
#include "support.h"

static uint64_t alloc(tutti_arena *arena, uint64_t size)
{
	uint64_t offset = 0;
	EXPECT(TUTTI_OK, tutti__block_alloc(arena, TUTTI__KIND_RAW, size, INT64_MAX, &offset));
	return offset;
}

static tutti_arena_usage usage_of(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage;
}

static void sizes_are_rounded_up_and_aligned(void **state)
{
	static const uint64_t sizes[] = {1,    63,    64,    65,    127,   128,   300,   1000,  4095,  4096,   4097,
	                                 8192, 10880, 16384, 16385, 32767, 32768, 32769, 65536, 65537, 1000000};
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint64_t offset = alloc(arena, sizes[i]);
		assert_int_equal(offset % TUTTI__BLOCK_ALIGN, 0);
		assert_true(tutti__block_size(arena, offset) >= sizes[i]);
		/* No class wastes more than half, no large block more than a unit. */
		assert_true(tutti__block_size(arena, offset) < 2 * sizes[i] + 64);
		assert_int_equal(tutti__block_start(arena, offset), offset);
		assert_int_equal(tutti__block_start(arena, offset + (sizes[i] - 1) % 65536), offset);
		assert_int_equal(load_relaxed(tutti__block_owner(arena, offset)), load_relaxed(&arena->local->id));
		memset(tutti__at(arena, offset), 0x5a, sizes[i]);
		tutti__block_free(arena, offset);
		assert_int_equal(load_relaxed(tutti__block_owner(arena, offset)), 0);
	}
	assert_true(tutti__heap_is_valid(arena));
	tutti_arena_close(arena);
}

/* All sizes up to 40 KiB in steps, then doubling to 64 MiB; each filled, checked after all were written. */
static void all_sizes_hold_their_bytes(void **state)
{
	enum { COUNT = 1024 };
	uint64_t offsets[COUNT], sizes[COUNT], count = 0;
	(void)state;
	tutti_arena *arena = support_arena(512 * MEBIBYTE);
	for (uint64_t size = 1; size <= 40960; size += 61)
		sizes[count++] = size;
	for (uint64_t size = 65535; size <= 32 * MEBIBYTE; size *= 2)
		sizes[count++] = size;
	for (uint64_t i = 0; i < count; i++) {
		offsets[i] = alloc(arena, sizes[i]);
		support_fill(tutti__at(arena, offsets[i]), sizes[i] < 65536 ? sizes[i] : 65536, i);
	}
	for (uint64_t i = 0; i < count; i++) {
		assert_true(support_is_filled(tutti__at(arena, offsets[i]), sizes[i] < 65536 ? sizes[i] : 65536, i));
		tutti__block_free(arena, offsets[i]);
	}
	assert_int_equal(usage_of(arena).live_blocks, 0);
	assert_true(tutti__heap_is_valid(arena));
	tutti_arena_close(arena);
}

static void usage_counts_blocks_and_bytes(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	uint64_t small = alloc(arena, 100), large = alloc(arena, 200000);
	tutti_arena_usage usage = usage_of(arena);
	assert_int_equal(usage.live_blocks, 2);
	assert_int_equal(usage.live_bytes, 128 + 4 * 65536);
	assert_int_equal(usage.touched_bytes, 5 * 65536);
	assert_int_equal(usage.max_bytes, 64 * MEBIBYTE);
	assert_int_equal(usage.members, 1);
	tutti__block_free(arena, small);
	tutti__block_free(arena, large);
	assert_int_equal(usage_of(arena).live_blocks, 0);
	tutti_arena_close(arena);
}

static void freed_blocks_are_reused(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	for (int i = 0; i < 100000; i++)
		tutti__block_free(arena, alloc(arena, 64 + (uint64_t)(i % 3) * 1000));
	for (int i = 0; i < 1000; i++)
		tutti__block_free(arena, alloc(arena, MEBIBYTE));
	assert_true(usage_of(arena).touched_bytes <= MEBIBYTE + 3 * 65536);
	tutti_arena_close(arena);
}

/* What another member frees comes back to the one that allocates from that span. */
static void a_remote_free_is_found_again(void **state)
{
	enum { COUNT = 5000, ROUNDS = 20 };
	static uint64_t offsets[COUNT];
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE), *other = support_join(arena);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < COUNT; i++)
			offsets[i] = alloc(arena, 192);
		for (int i = 0; i < COUNT; i++)
			tutti__block_free(other, offsets[i]);
	}
	assert_int_equal(usage_of(arena).live_blocks, 0);
	assert_true(usage_of(arena).touched_bytes <= 2 * COUNT * 192 + 4 * 65536);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

/* A process that allocates while many blocks are freed behind its back must not slow down with each of them. */
static void refill_is_not_quadratic(void **state)
{
	enum { COUNT = 60000 };
	uint64_t *offsets = calloc(COUNT, sizeof *offsets);
	(void)state;
	tutti_arena *arena = support_arena(256 * MEBIBYTE), *other = support_join(arena);
	for (int i = 0; i < COUNT; i++)
		offsets[i] = alloc(arena, 512);
	int64_t start = support_cpu_time();
	for (int i = 0; i < COUNT; i++) {
		tutti__block_free(other, offsets[(uint64_t)i * 7919 % COUNT]);
		offsets[(uint64_t)i * 7919 % COUNT] = alloc(arena, 512);
	}
	assert_true(support_cpu_time() - start < 5000000000);
	free(offsets);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

/* Fills the arena with blocks of `size`; gives how many there were. */
static uint64_t fill(tutti_arena *arena, uint64_t size, uint64_t *offsets, uint64_t capacity)
{
	uint64_t count = 0;
	while (tutti__block_alloc(arena, TUTTI__KIND_RAW, size, INT64_MAX, &offsets[count]) == TUTTI_OK) {
		memset(tutti__at(arena, offsets[count]), 1, size);
		REQUIRE(++count < capacity);
	}
	return count;
}

static void the_limit_is_an_error_with_advice_and_never_a_signal(void **state)
{
	enum { LIMIT = 4 * 1024 * 1024 };
	static const uint64_t sizes[] = {64, 1000, 8192, 32768, 65536, 1000000, LIMIT};
	uint64_t *offsets = calloc(LIMIT / 64 + 1, sizeof *offsets);
	(void)state;
	tutti_arena *arena = support_arena(LIMIT);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint64_t count = fill(arena, sizes[i], offsets, LIMIT / 64 + 1);
		assert_non_null(strstr(tutti_last_error(), "TUTTI_ARENA_MAX"));
		/* Of the limit at least three quarters are of use, whatever the size; all earlier sizes have come back. */
		if (count * sizes[i] < LIMIT / 4 * 3)
			fail_msg("only %lu blocks of %lu bytes", (unsigned long)count, (unsigned long)sizes[i]);
		assert_true(usage_of(arena).touched_bytes <= LIMIT);
		while (count > 0)
			tutti__block_free(arena, offsets[--count]);
		assert_int_equal(usage_of(arena).live_blocks, 0);
		assert_true(tutti__heap_is_valid(arena));
	}
	EXPECT_TEXT(TUTTI_ENOMEM, "full", tutti__block_alloc(arena, TUTTI__KIND_RAW, LIMIT + 1, INT64_MAX, &offsets[0]));
	EXPECT(TUTTI_ENOMEM, tutti__block_alloc(arena, TUTTI__KIND_RAW, UINT64_MAX / 2, INT64_MAX, &offsets[0]));
	free(offsets);
	tutti_arena_close(arena);
}

/* One member freed all it had: its memory must be there for the others. */
static void what_one_member_freed_is_there_for_another(void **state)
{
	enum { LIMIT = 4 * 1024 * 1024 };
	static uint64_t offsets[LIMIT / 8192 + 1];
	(void)state;
	tutti_arena *arena = support_arena(LIMIT), *other = support_join(arena);
	uint64_t count = fill(arena, 8192, offsets, LIMIT / 8192 + 1);
	while (count > 0)
		tutti__block_free(arena, offsets[--count]);
	assert_int_equal(usage_of(other).live_blocks, 0);
	tutti__block_free(other, alloc(other, LIMIT / 2));
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void what_others_freed_remotely_is_there_for_them(void **state)
{
	enum { LIMIT = 4 * 1024 * 1024 };
	static uint64_t offsets[LIMIT / 1024 + 1];
	(void)state;
	tutti_arena *arena = support_arena(LIMIT), *other = support_join(arena);
	uint64_t count = fill(arena, 1024, offsets, LIMIT / 1024 + 1);
	while (count > 0)
		tutti__block_free(other, offsets[--count]);
	tutti__block_free(other, alloc(other, LIMIT / 2));
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

/* Blocks of the dead are free before an allocation fails. */
static void hoard(void *context)
{
	static uint64_t offsets[100];
	REQUIRE(tutti__enter(context) != 0);
	REQUIRE(fill(context, 65536, offsets, 100) == 64);
	support_pause_forever();
}

static void the_dead_are_swept_before_an_allocation_fails(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(4 * MEBIBYTE);
	pid_t child = support_fork(hoard, arena);
	UNTIL(5000, usage_of(arena).touched_bytes == 4 * MEBIBYTE && support_is_asleep(child));
	support_kill(child);
	uint64_t offset = alloc(arena, 4 * MEBIBYTE);
	tutti__block_free(arena, offset);
	assert_int_equal(usage_of(arena).live_blocks, 0);
	assert_int_equal(usage_of(arena).members, 1);
	tutti_arena_close(arena);
}

/* An object kind's memory is never used for anything else, and found zeroed. */
static void kinds_do_not_mix(void **state)
{
	uint64_t lock, event;
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	for (int i = 0; i < 1000; i++)
		memset(tutti__at(arena, alloc(arena, 192)), 0xff, 192);
	OK(tutti__block_alloc(arena, TUTTI__KIND_LOCK, 192, INT64_MAX, &lock));
	OK(tutti__block_alloc(arena, TUTTI__KIND_EVENT, 192, INT64_MAX, &event));
	assert_int_not_equal(lock >> TUTTI__UNIT_SHIFT, event >> TUTTI__UNIT_SHIFT);
	for (int i = 0; i < 192; i++)
		assert_int_equal(((unsigned char *)tutti__at(arena, lock))[i], 0);
	assert_true(tutti__block_is(arena, lock, TUTTI__KIND_LOCK));
	assert_false(tutti__block_is(arena, lock, TUTTI__KIND_EVENT));
	assert_false(tutti__block_is(arena, lock + 64, TUTTI__KIND_LOCK));
	tutti__block_free(arena, lock);
	assert_false(tutti__block_is(arena, lock, TUTTI__KIND_LOCK));
	tutti_arena_close(arena);
}

static void any_number_may_be_asked_for(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(64 * MEBIBYTE);
	uint64_t block = alloc(arena, 128), numbers[] = {0,
	                                                 1,
	                                                 64,
	                                                 4096,
	                                                 65536,
	                                                 block,
	                                                 block + 1,
	                                                 arena->size - 64,
	                                                 arena->size,
	                                                 arena->size * 2,
	                                                 UINT64_MAX / 2,
	                                                 UINT64_MAX,
	                                                 UINT64_MAX - 63};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		assert_false(tutti__block_is(arena, numbers[i], TUTTI__KIND_LOCK));
	assert_true(tutti__block_is(arena, block, TUTTI__KIND_RAW));
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest block[] = {
		TEST(sizes_are_rounded_up_and_aligned),
		TEST(all_sizes_hold_their_bytes),
		TEST(usage_counts_blocks_and_bytes),
		TEST(freed_blocks_are_reused),
		TEST(a_remote_free_is_found_again),
		TEST(refill_is_not_quadratic),
		TEST(the_limit_is_an_error_with_advice_and_never_a_signal),
		TEST(what_one_member_freed_is_there_for_another),
		TEST(what_others_freed_remotely_is_there_for_them),
		TEST(the_dead_are_swept_before_an_allocation_fails),
		TEST(kinds_do_not_mix),
		TEST(any_number_may_be_asked_for),
	};
	return RUN_TESTS(block);
}
