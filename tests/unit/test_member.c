/* SPDX-License-Identifier: MIT */
/* The member table: the ways in, the ways out, and who cleans up. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/block.h"
#include "arena/member.h"
#include "support.h"

static uint64_t members(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage.members;
}

static uint64_t live_blocks(tutti_arena *arena)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(arena, &usage));
	return usage.live_blocks;
}

static uint32_t id_of(const tutti_arena *arena) { return load_relaxed(&arena->local->id); }

struct scene {
	tutti_arena *arena;
	tutti_lock *lock;
	tutti_handle handle;
	atomic_u32 ready, go, id;
};

static void several_members_live_in_one_process(void **state)
{
	tutti_arena *joined[5];
	(void)state;
	tutti_arena *arena = support_arena(0);
	for (int i = 0; i < 5; i++) {
		joined[i] = support_join(arena);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(id_of(joined[i]), id_of(joined[j]));
	}
	assert_int_equal(members(arena), 6);
	assert_int_equal(tutti__member_pid(arena, id_of(joined[3])), getpid());
	for (int i = 0; i < 5; i++)
		tutti_arena_close(joined[i]);
	assert_int_equal(members(arena), 1);
	tutti_arena_close(arena);
}

/* The member is there, has its pid and name. */
static void find_yourself(void *context)
{
	struct scene *scene = context;
	uint32_t id = tutti__enter(scene->arena);
	struct tutti__slot *slot = tutti__slot_of(scene->arena, id);
	REQUIRE(slot->identity.pid == getpid());
	REQUIRE(strcmp(slot->name, "test_member") == 0);
	store_release(&scene->id, id);
	UNTIL(5000, load_acquire(&scene->go));
}

static void a_forked_child_becomes_a_member_on_first_use(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	pid_t child = support_fork(find_yourself, scene);
	UNTIL(5000, load_acquire(&scene->id));
	assert_int_not_equal(load_acquire(&scene->id), id_of(scene->arena));
	assert_int_equal(tutti__member_pid(scene->arena, load_acquire(&scene->id)), child);
	assert_int_equal(members(scene->arena), 2);
	store_release(&scene->go, 1);
	support_join_child(child);
	tutti_arena_sweep(scene->arena);
	assert_int_equal(members(scene->arena), 1);
	tutti_arena_close(scene->arena);
}

static void do_not_use_it(void *context)
{
	struct scene *scene = context;
	store_release(&scene->ready, 1);
	UNTIL(5000, load_acquire(&scene->go));
}

static void a_forked_child_that_does_not_use_it_is_none(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	pid_t child = support_fork(do_not_use_it, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	assert_int_equal(members(scene->arena), 1);
	store_release(&scene->go, 1);
	support_join_child(child);
	assert_int_equal(members(scene->arena), 1);
	tutti_arena_close(scene->arena);
}

static void fork_again(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti__enter(scene->arena) != 0);
	pid_t grandchild = support_fork(find_yourself, scene);
	int status;
	REQUIRE(waitpid(grandchild, &status, 0) == grandchild && status == 0);
}

static void so_does_a_grandchild(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	pid_t child = support_fork(fork_again, scene);
	UNTIL(5000, load_acquire(&scene->id));
	assert_int_equal(members(scene->arena), 3);
	store_release(&scene->go, 1);
	support_join_child(child);
	tutti_arena_sweep(scene->arena);
	assert_int_equal(members(scene->arena), 1);
	tutti_arena_close(scene->arena);
}

static void join_by_name(void *context)
{
	struct scene *scene = context;
	tutti_arena *joined;
	tutti_queue *queue;
	OK(tutti_arena_join_name(&joined, "unit-by-name", "stranger"));
	OK(tutti_queue_at(&queue, joined, scene->handle));
	OK(tutti_queue_put(queue, "hello", 5, TUTTI_NOW));
	tutti_queue_close(queue);
	tutti_arena_close(joined);
}

static void an_arena_is_found_by_name(void **state)
{
	tutti_arena *arena, *joined;
	tutti_queue *queue;
	char text[6] = "";
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_arena_open(&arena, &(tutti_arena_options){.name = "unit-by-name"}));
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	scene->handle = tutti_queue_handle(queue);
	support_join_child(support_fork(join_by_name, scene));
	OK(tutti_queue_get_into(queue, text, 5, NULL, TUTTI_NOW));
	assert_string_equal(text, "hello");
	assert_int_equal(members(arena), 1);
	tutti_queue_close(queue);
	tutti_arena_close(arena);
	EXPECT_TEXT(TUTTI_ENOENT, "unit-by-name", tutti_arena_join_name(&joined, "unit-by-name", NULL));
	EXPECT(TUTTI_ENOENT, tutti_arena_join_name(&joined, "", NULL));
}

static void a_slot_is_free_again_and_its_id_stale(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0), *joined = support_join(arena);
	uint32_t id = id_of(joined);
	assert_false(tutti__member_is_dead(arena, id));
	tutti_arena_close(joined);
	assert_true(tutti__member_is_dead(arena, id));
	assert_int_equal(tutti__member_pid(arena, id), 0);
	tutti_arena_close(arena);
}

/* More joins than slots: each slot is used again, no id is. */
static void slots_are_reused_in_turn(void **state)
{
	enum { JOINS = 3 * TUTTI__SLOT_COUNT };
	static uint32_t last_generation[TUTTI__SLOT_COUNT];
	(void)state;
	tutti_arena *arena = support_arena(0);
	unsigned reused = 0;
	for (int i = 0; i < (support_is_slow() ? TUTTI__SLOT_COUNT + 100 : JOINS); i++) {
		uint32_t id = tutti__member_join(arena);
		uint32_t number = id & ((1U << TUTTI__SLOT_BITS) - 1);
		assert_int_not_equal(id, 0);
		assert_in_range(number, 1, TUTTI__SLOT_COUNT - 1);
		reused += last_generation[number] != 0;
		assert_true((id >> TUTTI__SLOT_BITS) + 1 > last_generation[number]);
		last_generation[number] = (id >> TUTTI__SLOT_BITS) + 1;
		/* Leaves at once. */
		uint64_t state_word = load_acquire(&tutti__slot_of(arena, id)->state);
		uint64_t next = (uint64_t)((id >> TUTTI__SLOT_BITS) + 1) << 32;
		assert_true(cas_u64(&tutti__slot_of(arena, id)->state, state_word, next));
	}
	assert_true(reused > 0);
	tutti_arena_close(arena);
}

/* Fills the table with members of this process. */
static void a_full_table_is_an_error_with_advice(void **state)
{
	tutti_arena *joined;
	(void)state;
	tutti_arena *arena = support_arena(0);
	for (int i = 0; i < TUTTI__SLOT_COUNT - 2; i++)
		assert_int_not_equal(tutti__member_join(arena), 0);
	assert_int_equal(members(arena), TUTTI__SLOT_COUNT - 1);
	unsigned before = support_descriptors();
	EXPECT_TEXT(TUTTI_EMEMBERS, "unit", tutti_arena_join_fd(&joined, tutti_arena_fd(arena), NULL));
	assert_int_equal(support_descriptors(), before);
	tutti_arena_close(arena);
}

static void use_in_full_table(void *context)
{
	struct scene *scene = context;
	tutti_lock *other;
	EXPECT(TUTTI_EMEMBERS, tutti_lock_acquire(scene->lock, TUTTI_NOW));
	EXPECT(TUTTI_EMEMBERS, tutti_lock_open(&other, &(tutti_lock_options){.arena = scene->arena}));
	tutti_lock_close(scene->lock);
}

static void a_forked_child_without_a_slot_is_told(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = scene->arena}));
	for (int i = 0; i < TUTTI__SLOT_COUNT - 2; i++)
		assert_int_not_equal(tutti__member_join(scene->arena), 0);
	support_join_child(support_fork(use_in_full_table, scene));
	tutti_lock_close(scene->lock);
	tutti_arena_close(scene->arena);
}

/* As a joiner leaves its slot when it is killed between its two stores. */
static void the_slot_of_a_killed_joiner_is_taken_over(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	pid_t child = support_fork((void (*)(void *))support_pause_forever, NULL);
	uint64_t namespace_inode = tutti__pid_namespace();
	for (uint32_t i = 2; i < TUTTI__SLOT_COUNT; i++)
		store_release(&arena->slots[i].state,
		              (uint64_t)child | (uint64_t)TUTTI__SLOT_JOINING << 51 | (namespace_inode % 512) << 55);
	assert_int_equal(tutti__member_join(arena), 0);
	support_kill(child);
	assert_int_not_equal(tutti__member_join(arena), 0);
	tutti_arena_close(arena);
}

static void hoard_and_wait(void *context)
{
	struct scene *scene = context;
	uint64_t offset;
	tutti_queue *queue;
	REQUIRE(tutti__enter(scene->arena) != 0);
	for (int i = 0; i < 100; i++)
		OK(tutti__block_alloc(scene->arena, TUTTI__KIND_RAW, (uint64_t)i * 1000, INT64_MAX, &offset));
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena}));
	OK(tutti_queue_put(queue, &offset, sizeof offset, TUTTI_NOW));
	store_release(&scene->ready, 1);
	UNTIL(15000, load_acquire(&scene->go));
}

static void the_killed_and_the_gone_leave_nothing(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	for (int clean = 0; clean < 2; clean++) {
		store_release(&scene->ready, 0);
		store_release(&scene->go, 0);
		pid_t child = support_fork(hoard_and_wait, scene);
		UNTIL(5000, load_acquire(&scene->ready));
		assert_true(live_blocks(scene->arena) > 100);
		assert_int_equal(members(scene->arena), 2);
		assert_int_equal(tutti_arena_sweep(scene->arena), 0);
		store_release(&scene->go, (uint32_t)clean);
		if (clean)
			support_join_child(child);
		else
			support_kill(child);
		assert_int_equal(tutti_arena_sweep(scene->arena), 1);
		assert_int_equal(tutti_arena_sweep(scene->arena), 0);
		assert_int_equal(live_blocks(scene->arena), 0);
		assert_int_equal(members(scene->arena), 1);
	}
	tutti_arena_close(scene->arena);
}

/* Promise K5: within a second while any member is inside Tutti, without being asked. */
static void a_waiting_member_finds_the_dead(void **state)
{
	tutti_event *event;
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_event_open(&event, &(tutti_event_options){.arena = scene->arena}));
	pid_t child = support_fork(hoard_and_wait, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	support_kill(child);
	EXPECT(TUTTI_ETIMEDOUT, tutti_event_wait(event, tutti_ms(1000)));
	assert_int_equal(members(scene->arena), 1);
	tutti_event_close(event);
	assert_int_equal(live_blocks(scene->arena), 0);
	tutti_arena_close(scene->arena);
}

static void a_busy_member_finds_the_dead(void **state)
{
	tutti_queue *queue;
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena}));
	pid_t child = support_fork(hoard_and_wait, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	support_kill(child);
	for (int64_t end = support_now() + 1000000000; support_now() < end;) {
		char byte;
		OK(tutti_queue_put(queue, "x", 1, TUTTI_NOW));
		OK(tutti_queue_get_into(queue, &byte, 1, NULL, TUTTI_NOW));
	}
	assert_int_equal(members(scene->arena), 1);
	tutti_queue_close(queue);
	assert_int_equal(live_blocks(scene->arena), 0);
	tutti_arena_close(scene->arena);
}

static void sweep_in_child(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	fetch_add_relaxed(&scene->id, tutti_arena_sweep(scene->arena));
}

/* Several notice at once: the dead is recovered by one of them. */
static void a_death_is_recovered_once(void **state)
{
	(void)state;
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	for (int round = 0; round < 10; round++) {
		pid_t sweepers[4];
		store_release(&scene->ready, 0);
		store_release(&scene->go, 0);
		store_release(&scene->id, 0);
		pid_t child = support_fork(hoard_and_wait, scene);
		UNTIL(5000, load_acquire(&scene->ready));
		for (int i = 0; i < 4; i++)
			sweepers[i] = support_fork(sweep_in_child, scene);
		support_kill(child);
		store_release(&scene->go, 1);
		for (int i = 0; i < 4; i++)
			support_join_child(sweepers[i]);
		tutti_arena_sweep(scene->arena);
		assert_int_equal(live_blocks(scene->arena), 0);
		assert_int_equal(members(scene->arena), 1);
	}
	tutti_arena_close(scene->arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest member[] = {
		TEST(several_members_live_in_one_process),
		TEST(a_forked_child_becomes_a_member_on_first_use),
		TEST(a_forked_child_that_does_not_use_it_is_none),
		TEST(so_does_a_grandchild),
		TEST(an_arena_is_found_by_name),
		TEST(a_slot_is_free_again_and_its_id_stale),
		TEST(slots_are_reused_in_turn),
		TEST(a_full_table_is_an_error_with_advice),
		TEST(a_forked_child_without_a_slot_is_told),
		TEST(the_slot_of_a_killed_joiner_is_taken_over),
		TEST(the_killed_and_the_gone_leave_nothing),
		TEST(a_waiting_member_finds_the_dead),
		TEST(a_busy_member_finds_the_dead),
		TEST(a_death_is_recovered_once),
	};
	return RUN_TESTS(member);
}
