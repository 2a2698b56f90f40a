/* SPDX-License-Identifier: MIT */
/* Handles and references, seen through locks, events and queues; and object.h itself. */
#include <stdio.h>
#include <string.h>

#include "arena/object.h"
#include "support.h"

static uint64_t live_blocks(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage.live_blocks;
}

static tutti_lock *new_lock(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	return lock;
}

static void a_handle_opens_in_another_member(void **state)
{
	tutti_lock *second;
	(void)state;
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	tutti_lock *lock = new_lock(arena);
	OK(tutti_lock_at(&second, other, tutti_lock_handle(lock)));
	assert_memory_equal(&(tutti_handle[]){tutti_lock_handle(lock)}, &(tutti_handle[]){tutti_lock_handle(second)},
	                    sizeof(tutti_handle));
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(second, TUTTI_NOW));
	OK(tutti_lock_release(lock));
	tutti_lock_close(lock);
	/* Its maker is gone, the lock is not. */
	OK(tutti_lock_acquire(second, TUTTI_NOW));
	OK(tutti_lock_release(second));
	tutti_lock_close(second);
	assert_int_equal(live_blocks(arena), 0);
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void a_stale_handle_says_so(void **state)
{
	tutti_lock *lock, *again;
	(void)state;
	tutti_arena *arena = support_arena(0);
	lock = new_lock(arena);
	tutti_handle stale = tutti_lock_handle(lock);
	tutti_lock_close(lock);
	EXPECT_TEXT(TUTTI_ESTALE, "lock", tutti_lock_at(&again, arena, stale));
	/* Also when its memory is another lock by now. */
	lock = new_lock(arena);
	assert_int_equal(tutti_lock_handle(lock).offset, stale.offset);
	EXPECT(TUTTI_ESTALE, tutti_lock_at(&again, arena, stale));
	OK(tutti_lock_at(&again, arena, tutti_lock_handle(lock)));
	tutti_lock_close(again);
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

static void generations_differ_each_time(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	uint32_t last = 0;
	for (int i = 0; i < 1000; i++) {
		tutti_lock *lock = new_lock(arena);
		assert_int_not_equal(tutti_lock_handle(lock).generation, last);
		last = tutti_lock_handle(lock).generation;
		tutti_lock_close(lock);
	}
	tutti_arena_close(arena);
}

static void a_foreign_handle_says_so(void **state)
{
	tutti_lock *second;
	(void)state;
	tutti_arena *arena = support_arena(0), *foreign = support_arena(0);
	tutti_lock *lock = new_lock(arena);
	EXPECT_TEXT(TUTTI_EFOREIGN, "arena", tutti_lock_at(&second, foreign, tutti_lock_handle(lock)));
	tutti_lock_close(lock);
	tutti_arena_close(foreign);
	tutti_arena_close(arena);
}

static void a_handle_of_another_kind_says_so(void **state)
{
	tutti_event *event;
	tutti_queue *queue;
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_lock *lock = new_lock(arena);
	EXPECT_TEXT(TUTTI_EKIND, "lock", tutti_event_at(&event, arena, tutti_lock_handle(lock)));
	EXPECT_TEXT(TUTTI_EKIND, "queue", tutti_queue_at(&queue, arena, tutti_lock_handle(lock)));
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

/* Each answers an error, none touches what it should not. */
static void garbage_handles_are_refused(void **state)
{
	tutti_lock *lock, *opened;
	(void)state;
	tutti_arena *arena = support_arena(0);
	lock = new_lock(arena);
	tutti_handle good = tutti_lock_handle(lock);
	uint64_t random = 0x123456789abcdefULL;
	for (int i = 0; i < 20000; i++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		tutti_handle bad = good;
		bad.offset = i % 4 == 0   ? random
		             : i % 4 == 1 ? random % arena->size
		             : i % 4 == 2 ? good.offset + random % 4096 + 1
		                          : random % 131072;
		tutti_err err = tutti_lock_at(&opened, arena, bad);
		assert_true(err == TUTTI_ESTALE || err == TUTTI_EKIND);
	}
	assert_int_equal(tutti_lock_at(&opened, arena, (tutti_handle){0}), TUTTI_EFOREIGN);
	good.generation++;
	assert_int_equal(tutti_lock_at(&opened, arena, good), TUTTI_ESTALE);
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

static void a_raw_block_is_no_object(void **state)
{
	uint64_t block;
	tutti_lock *lock, *opened;
	(void)state;
	tutti_arena *arena = support_arena(0);
	lock = new_lock(arena);
	tutti_handle handle = tutti_lock_handle(lock);
	OK(tutti__block_alloc(arena, TUTTI__KIND_RAW, 192, INT64_MAX, &block));
	handle.offset = block;
	EXPECT(TUTTI_ESTALE, tutti_lock_at(&opened, arena, handle));
	tutti__block_free(arena, block);
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

/* Twelve fit into the object's head, 510 into each further block. */
static void any_number_of_references(unsigned count)
{
	static tutti_lock *locks[1100];
	tutti_arena *arena = support_arena(0), *other = support_join(arena);
	locks[0] = new_lock(arena);
	tutti_handle handle = tutti_lock_handle(locks[0]);
	for (unsigned i = 1; i < count; i++)
		OK(tutti_lock_at(&locks[i], i % 2 ? other : arena, handle));
	OK(tutti_lock_acquire(locks[count - 1], TUTTI_NOW));
	OK(tutti_lock_release(locks[count - 1]));
	for (unsigned i = 0; i < count; i++) {
		assert_true(live_blocks(arena) >= 1);
		tutti_lock_close(locks[i]);
	}
	assert_int_equal(live_blocks(arena), 0);
	EXPECT(TUTTI_ESTALE, tutti_lock_at(&locks[0], arena, handle));
	tutti_arena_close(other);
	tutti_arena_close(arena);
}

static void twelve_references_and_one_more(void **state)
{
	(void)state;
	any_number_of_references(12);
	any_number_of_references(13);
}

static void more_references_than_one_block_holds(void **state)
{
	(void)state;
	any_number_of_references(522);
	any_number_of_references(523);
	any_number_of_references(1100);
}

/* A killed member's references are dropped, those of others stay. */
struct hold_many {
	tutti_arena *arena;
	tutti_handle handle;
	unsigned count;
	atomic_u32 ready;
};

static void hold_many(void *context)
{
	struct hold_many *many = context;
	tutti_lock *lock;
	for (unsigned i = 0; i < many->count; i++)
		OK(tutti_lock_at(&lock, many->arena, many->handle));
	store_release(&many->ready, 1);
	support_pause_forever();
}

static void references_of_the_killed_are_dropped(void **state)
{
	static const unsigned counts[] = {1, 30, 700};
	(void)state;
	struct hold_many *many = support_shared(sizeof *many);
	for (size_t i = 0; i < 3; i++) {
		tutti_lock *lock;
		many->arena = support_arena(0);
		lock = new_lock(many->arena);
		many->handle = tutti_lock_handle(lock);
		many->count = counts[i];
		store_release(&many->ready, 0);
		pid_t child = support_fork(hold_many, many);
		UNTIL(5000, load_acquire(&many->ready));
		tutti_lock_close(lock);
		assert_true(live_blocks(many->arena) >= 1);
		support_kill(child);
		assert_int_equal(tutti_arena_sweep(many->arena), 1);
		assert_int_equal(live_blocks(many->arena), 0);
		EXPECT(TUTTI_ESTALE, tutti_lock_at(&lock, many->arena, many->handle));
		tutti_arena_close(many->arena);
	}
}

/* A handle in a message holds nothing: whoever opens it too late is told. */
struct inherit {
	tutti_lock *lock;
	atomic_u32 go;
	atomic_u32 ready;
};

static void use_inherited_late(void *context)
{
	struct inherit *inherit = context;
	store_release(&inherit->ready, 1);
	UNTIL(8000, load_acquire(&inherit->go));
	EXPECT(TUTTI_ESTALE, tutti_lock_acquire(inherit->lock, TUTTI_NOW));
	EXPECT(TUTTI_ESTALE, tutti_lock_release(inherit->lock));
	tutti_lock_close(inherit->lock);
}

static void an_inherited_handle_may_have_gone_before_its_first_use(void **state)
{
	(void)state;
	struct inherit *inherit = support_shared(sizeof *inherit);
	tutti_arena *arena = support_arena(0);
	inherit->lock = new_lock(arena);
	pid_t child = support_fork(use_inherited_late, inherit);
	UNTIL(5000, load_acquire(&inherit->ready));
	tutti_lock_close(inherit->lock);
	tutti_lock *next = new_lock(arena); /* in the same memory */
	store_release(&inherit->go, 1);
	support_join_child(child);
	tutti_lock_close(next);
	tutti_arena_sweep(arena);
	assert_int_equal(live_blocks(arena), 0);
	tutti_arena_close(arena);
}

static void use_inherited_then_wait(void *context)
{
	struct inherit *inherit = context;
	OK(tutti_lock_acquire(inherit->lock, tutti_seconds(5)));
	OK(tutti_lock_release(inherit->lock));
	store_release(&inherit->ready, 1);
	UNTIL(8000, load_acquire(&inherit->go));
	OK(tutti_lock_acquire(inherit->lock, tutti_seconds(5)));
	OK(tutti_lock_release(inherit->lock));
	tutti_lock_close(inherit->lock);
}

static void a_forked_child_holds_references_of_its_own(void **state)
{
	(void)state;
	struct inherit *inherit = support_shared(sizeof *inherit);
	tutti_arena *arena = support_arena(0);
	inherit->lock = new_lock(arena);
	pid_t child = support_fork(use_inherited_then_wait, inherit);
	UNTIL(5000, load_acquire(&inherit->ready));
	tutti_lock_close(inherit->lock);
	assert_int_equal(live_blocks(arena), 1);
	store_release(&inherit->go, 1);
	support_join_child(child);
	tutti_arena_sweep(arena);
	assert_int_equal(live_blocks(arena), 0);
	tutti_arena_close(arena);
}

static void use_inherited_when_there_is_room(void *context)
{
	struct inherit *inherit = context;
	EXPECT(TUTTI_ENOMEM, tutti_lock_acquire(inherit->lock, TUTTI_NOW));
	EXPECT(TUTTI_ENOMEM, tutti_lock_acquire(inherit->lock, TUTTI_NOW));
	store_release(&inherit->ready, 1);
	UNTIL(8000, load_acquire(&inherit->go));
	OK(tutti_lock_acquire(inherit->lock, tutti_seconds(5)));
	OK(tutti_lock_release(inherit->lock));
	tutti_lock_close(inherit->lock);
}

/* The thirteenth reference takes a block. Without memory for it the handle waits for better times, and is not gone. */
static void a_full_arena_does_not_cost_an_inherited_handle(void **state)
{
	enum { BLOCKS = 4096, SIZE = 60000 };
	static uint64_t blocks[BLOCKS];
	tutti_lock *others[11];
	size_t count = 0;
	(void)state;
	struct inherit *inherit = support_shared(sizeof *inherit);
	tutti_arena *arena = support_arena(2 * MEBIBYTE);
	inherit->lock = new_lock(arena);
	for (int i = 0; i < 11; i++)
		OK(tutti_lock_at(&others[i], arena, tutti_lock_handle(inherit->lock)));
	while (tutti__block_alloc(arena, TUTTI__KIND_RAW, SIZE, INT64_MAX, &blocks[count]) == TUTTI_OK)
		assert_true(++count < BLOCKS);
	pid_t child = support_fork(use_inherited_when_there_is_room, inherit);
	UNTIL(5000, load_acquire(&inherit->ready));
	while (count)
		tutti__block_free(arena, blocks[--count]);
	store_release(&inherit->go, 1);
	support_join_child(child);
	for (int i = 0; i < 11; i++)
		tutti_lock_close(others[i]);
	tutti_lock_close(inherit->lock);
	support_end_arena(arena);
}

static void names_have_a_limit(void **state)
{
	tutti_lock *lock;
	tutti_queue *queue;
	tutti_event *event;
	char name[41];
	(void)state;
	tutti_arena *arena = support_arena(0);
	memset(name, 'n', 40);
	name[40] = 0;
	EXPECT_TEXT(TUTTI_EINVAL, "39", tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .name = name}));
	EXPECT(TUTTI_EINVAL, tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena, .name = name}));
	EXPECT(TUTTI_EINVAL, tutti_event_open(&event, &(tutti_event_options){.arena = arena, .name = name}));
	assert_int_equal(live_blocks(arena), 0);
	name[39] = 0;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .name = name}));
	EXPECT_TEXT(TUTTI_EPERM, name, tutti_lock_release(lock));
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

static void closing_nothing_is_fine(void **state)
{
	(void)state;
	tutti_lock_close(NULL);
	tutti_event_close(NULL);
	tutti_queue_close(NULL);
	tutti_arena_close(NULL);
}

/* Objects take no memory that is not given back. */
static void objects_come_and_go_without_growth(void **state)
{
	tutti_arena_usage usage;
	(void)state;
	tutti_arena *arena = support_arena(4 * MEBIBYTE);
	for (int i = 0; i < 20000; i++) {
		tutti_lock *lock = new_lock(arena);
		tutti_queue *queue;
		OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
		OK(tutti_queue_put(queue, "abc", 3, TUTTI_NOW));
		tutti_queue_close(queue);
		tutti_lock_close(lock);
	}
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_true(usage.touched_bytes <= 4 * 65536);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest object[] = {
		TEST(a_handle_opens_in_another_member),
		TEST(a_stale_handle_says_so),
		TEST(generations_differ_each_time),
		TEST(a_foreign_handle_says_so),
		TEST(a_handle_of_another_kind_says_so),
		TEST(garbage_handles_are_refused),
		TEST(a_raw_block_is_no_object),
		TEST(twelve_references_and_one_more),
		TEST(more_references_than_one_block_holds),
		TEST(references_of_the_killed_are_dropped),
		TEST(an_inherited_handle_may_have_gone_before_its_first_use),
		TEST(a_forked_child_holds_references_of_its_own),
		TEST(a_full_arena_does_not_cost_an_inherited_handle),
		TEST(names_have_a_limit),
		TEST(closing_nothing_is_fine),
		TEST(objects_come_and_go_without_growth),
	};
	return RUN_TESTS(object);
}
