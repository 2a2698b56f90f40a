/* SPDX-License-Identifier: MIT */
/* Escorts: what they hold, and the ways in which they end. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/member.h"
#include "arena/recover.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_lock *lock;
	tutti_handle handle;
	tutti_escort escort;
	atomic_u32 ready, go;
};

static struct scene *new_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = scene->arena}));
	scene->handle = tutti_lock_handle(scene->lock);
	return scene;
}

static void send(struct scene *scene)
{
	OK(tutti_escort_open(&scene->escort, scene->arena));
	OK(tutti_escort_take(scene->escort, scene->handle));
	tutti_lock_close(scene->lock);
}

static tutti_arena_usage usage_of(struct scene *scene)
{
	tutti_arena_usage usage;
	OK(tutti_arena_usage_read(scene->arena, &usage));
	return usage;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_sweep(scene->arena);
	assert_int_equal(usage_of(scene).live_blocks, 0);
	assert_int_equal(usage_of(scene).members, 1);
	tutti_arena_close(scene->arena);
}

/* Opens what was sent, and ends the escort. */
static void arrive(void *context)
{
	struct scene *scene = context;
	tutti_lock *lock;
	UNTIL(5000, load_acquire(&scene->go));
	REQUIRE(tutti_lock_at(&lock, scene->arena, scene->handle) == TUTTI_OK);
	tutti_escort_close(scene->escort);
	tutti_escort_close(scene->escort);
	REQUIRE(tutti_lock_acquire(lock, TUTTI_NOW) == TUTTI_OK);
	REQUIRE(tutti_lock_release(lock) == TUTTI_OK);
	tutti_lock_close(lock);
}

static void what_it_holds_lives_until_it_has_arrived(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	send(scene);
	pid_t child = support_fork(arrive, scene);
	tutti_escort_follow(scene->escort, child);
	tutti_arena_sweep(scene->arena); /* nobody is dead */
	store_release(&scene->go, 1);
	support_join_child(child);
	EXPECT_TEXT(TUTTI_ESTALE, "this escort is closed", tutti_escort_take(scene->escort, scene->handle));
	end_scene(scene);
}

static void wait_to_be_killed(void *context)
{
	(void)context;
	support_pause_forever();
}

static void a_process_that_is_killed_on_its_way_ends_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	send(scene);
	pid_t child = support_fork(wait_to_be_killed, NULL);
	tutti_escort_follow(scene->escort, child);
	assert_int_equal(tutti__member_pid(scene->arena, scene->escort.member), child);
	assert_int_equal(tutti_arena_sweep(scene->arena), 0);
	assert_int_equal(usage_of(scene).live_blocks, 1);
	support_kill(child);
	assert_int_equal(tutti_arena_sweep(scene->arena), 1);
	end_scene(scene);
}

/* Its end is still to be waited for. */
static void kill_only(pid_t child)
{
	siginfo_t info;
	kill(child, SIGKILL);
	REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
}

/* Ended, and not waited for yet: there is a pid to follow. */
static void one_that_ended_before_it_was_followed_ends_it(void **state)
{
	(void)state;
	for (int waited_for = 0; waited_for < 2; waited_for++) {
		struct scene *scene = new_scene();
		send(scene);
		pid_t child = support_fork(wait_to_be_killed, NULL);
		if (waited_for)
			support_kill(child);
		else
			kill_only(child);
		tutti_escort_follow(scene->escort, child);
		assert_int_equal(tutti_arena_sweep(scene->arena), waited_for ? 0 : 1);
		if (!waited_for)
			support_kill(child);
		end_scene(scene);
	}
}

static void send_and_wait_to_be_killed(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_escort_open(&scene->escort, scene->arena) == TUTTI_OK);
	REQUIRE(tutti_escort_take(scene->escort, scene->handle) == TUTTI_OK);
	store_release(&scene->ready, 1);
	support_pause_forever();
}

static void it_goes_with_a_maker_that_is_killed_before_it_follows(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	pid_t child = support_fork(send_and_wait_to_be_killed, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	tutti_lock_close(scene->lock);
	assert_int_equal(usage_of(scene).live_blocks, 1);
	support_kill(child);
	end_scene(scene);
}

/* Slots are used again: who follows too late must leave the next owner alone. */
static void one_that_is_closed_follows_nobody(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	send(scene);
	tutti_escort_close(scene->escort);
	struct tutti__slot *slot = tutti__slot_of(scene->arena, scene->escort.member);
	uint64_t before = load_acquire(&slot->state);
	tutti_escort_follow(scene->escort, 1);
	assert_int_equal(load_acquire(&slot->state), before);
	end_scene(scene);
}

/* A maker that is killed while it follows has written the pid into the state alone: that is enough. */
static void half_a_follow_is_one(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	send(scene);
	pid_t child = support_fork(wait_to_be_killed, NULL);
	struct tutti__slot *slot = tutti__slot_of(scene->arena, scene->escort.member);
	uint64_t seen = load_acquire(&slot->state);
	store_release(&slot->state, (seen & ~(uint64_t)UINT32_MAX) | (uint32_t)child);
	assert_int_equal(tutti_arena_sweep(scene->arena), 0);
	support_kill(child);
	assert_int_equal(tutti_arena_sweep(scene->arena), 1);
	end_scene(scene);
}

static void close_it(void *context)
{
	struct scene *scene = context;
	store_release(&scene->ready, 1);
	tutti_escort_close(scene->escort);
}

/* It may come while the maker still follows. */
static void closing_waits_for_who_follows(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	send(scene);
	REQUIRE(tutti__recover_claim(scene->arena, scene->escort.member));
	pid_t child = support_fork(close_it, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	assert_int_equal(usage_of(scene).live_blocks, 1);
	tutti__recover_unclaim(scene->arena, scene->escort.member);
	support_join_child(child);
	end_scene(scene);
}

static void what_is_gone_cannot_be_taken(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_arena *other = support_arena(0);
	tutti_lock *foreign;
	OK(tutti_lock_open(&foreign, &(tutti_lock_options){.arena = other}));
	OK(tutti_escort_open(&scene->escort, scene->arena));
	EXPECT(TUTTI_EFOREIGN, tutti_escort_take(scene->escort, tutti_lock_handle(foreign)));
	tutti_lock_close(scene->lock);
	EXPECT(TUTTI_ESTALE, tutti_escort_take(scene->escort, scene->handle));
	tutti_escort_close(scene->escort);
	tutti_escort_close((tutti_escort){0}); /* of no arena here: nothing */
	tutti_escort_follow((tutti_escort){0}, 1);
	EXPECT(TUTTI_ESTALE, tutti_escort_take((tutti_escort){0}, scene->handle));
	tutti_lock_close(foreign);
	tutti_arena_close(other);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_it_holds_lives_until_it_has_arrived),
		TEST(a_process_that_is_killed_on_its_way_ends_it),
		TEST(one_that_ended_before_it_was_followed_ends_it),
		TEST(it_goes_with_a_maker_that_is_killed_before_it_follows),
		TEST(one_that_is_closed_follows_nobody),
		TEST(half_a_follow_is_one),
		TEST(closing_waits_for_who_follows),
		TEST(what_is_gone_cannot_be_taken),
	};
	return RUN_TESTS(tests);
}
