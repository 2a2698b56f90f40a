/* SPDX-License-Identifier: MIT */
/* What a process does with arenas that it did not make: find, adopt, hold what it inherited, leave. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "arena/object.h"
#include "support.h"

struct scene {
	tutti_lock *lock;
	tutti_handle handle;
	atomic_u32 ready, go;
};

static void make_an_arena_of_its_own(void *context)
{
	struct scene *scene = context;
	tutti_arena *arena = support_arena(0);
	REQUIRE(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena}) == TUTTI_OK);
	REQUIRE(tutti_lock_acquire(scene->lock, TUTTI_NOW) == TUTTI_OK);
	scene->handle = tutti_lock_handle(scene->lock);
	store_release(&scene->ready, 1);
	support_pause_forever();
}

static void a_handle_leads_to_its_arena(void **state)
{
	(void)state;
	tutti_arena *arena, *again;
	tutti_lock *lock;
	struct scene *scene = support_shared(sizeof *scene);
	pid_t child = support_fork(make_an_arena_of_its_own, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	assert_null(tutti_arena_of(scene->handle));
	OK(tutti_arena_join_handle(&arena, scene->handle, "guest"));
	assert_ptr_equal(tutti_arena_of(scene->handle), arena);
	OK(tutti_arena_join_handle(&again, scene->handle, NULL));
	assert_ptr_equal(again, arena);
	OK(tutti_lock_at(&lock, arena, scene->handle));
	assert_int_equal(tutti_lock_holder(lock), child);
	support_kill(child);
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_lock_release(lock));
	tutti_lock_close(lock);
	tutti_arena_close(arena);
	EXPECT_TEXT(TUTTI_ENOENT, "no running process", tutti_arena_join_handle(&arena, scene->handle, NULL));
	EXPECT(TUTTI_ENOENT, tutti_arena_join_handle(&arena, (tutti_handle){0}, NULL));
}

static void adopt_and_look(void *context)
{
	tutti_arena *inherited = context, *found, *own;
	REQUIRE(tutti_arena_adopt(inherited));
	REQUIRE(tutti_arena_default(&found) == TUTTI_OK && found == inherited);
	/* Not used in this process yet, so it is nobody's choice here. */
	REQUIRE(tutti_arena_open(&own, NULL) == TUTTI_OK);
	REQUIRE(tutti_arena_adopt(own));
	REQUIRE(!tutti_arena_adopt(inherited));
	REQUIRE(tutti_arena_adopt(own));
}

static void adopt_after_use(void *context)
{
	(void)context;
	tutti_arena *found, *other;
	tutti_lock *lock;
	REQUIRE(tutti_lock_open(&lock, NULL) == TUTTI_OK);
	REQUIRE(tutti_arena_default(&found) == TUTTI_OK);
	REQUIRE(tutti_arena_open(&other, NULL) == TUTTI_OK);
	REQUIRE(!tutti_arena_adopt(other));
	tutti_arena_close(other);
	tutti_lock_close(lock);
}

static void a_process_adopts_an_arena_unless_it_uses_another(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	support_join_child(support_fork(adopt_and_look, arena));
	support_join_child(support_fork(adopt_after_use, NULL));
	tutti_arena_close(arena);
}

static void hold_at_once(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_renew(scene->lock) == TUTTI_OK);
	REQUIRE(tutti_renew(scene->lock) == TUTTI_OK);
	store_release(&scene->ready, 1);
	UNTIL(5000, load_acquire(&scene->go));
	REQUIRE(tutti_lock_acquire(scene->lock, TUTTI_NOW) == TUTTI_OK);
	tutti_lock_close(scene->lock);
}

static void an_inherited_object_can_be_held_at_once(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	tutti_arena_usage usage;
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena}));
	pid_t child = support_fork(hold_at_once, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	tutti_lock_close(scene->lock); /* the child's hold keeps it */
	store_release(&scene->go, 1);
	support_join_child(child);
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(arena);
}

static void *renew_in_vain(void *context)
{
	struct scene *scene = context;
	struct tutti__reference gone = *(struct tutti__reference *)scene->lock;
	uint32_t id = tutti__enter(gone.arena);
	while (load_acquire(&scene->go) == 0) {
		store_relaxed(&gone.member, 0);
		tutti__reference_renew(&gone, id);
	}
	return NULL;
}

static void hold_once(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_renew(scene->lock) == TUTTI_OK);
}

/* A thread that is not copied may have been in the middle of it. */
static void a_fork_beside_a_thread_that_takes_hold(void **state)
{
	(void)state;
	int forks = support_is_slow() ? 20 : 300;
	pthread_t thread;
	if (support_has_thread_sanitizer())
		skip(); /* a fork beside a thread that is in its own mutex functions hangs in the child */
	tutti_arena *arena = support_arena(0);
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena}));
	REQUIRE(pthread_create(&thread, NULL, renew_in_vain, scene) == 0);
	for (int i = 0; i < forks; i++)
		support_join_child(support_fork(hold_once, scene));
	store_release(&scene->go, 1);
	pthread_join(thread, NULL);
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

static void take_leave_and_end(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_lock_acquire(scene->lock, TUTTI_NOW) == TUTTI_OK);
	tutti_leave();
	_exit(0);
}

static void who_leaves_before_a_bare_exit_was_not_killed(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	struct scene *scene = support_shared(sizeof *scene);
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = arena}));
	support_join_child(support_fork(take_leave_and_end, scene));
	EXPECT_TEXT(TUTTI_EBUSY, "exited without releasing", tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	tutti_lock_close(scene->lock);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_handle_leads_to_its_arena),
		TEST(a_process_adopts_an_arena_unless_it_uses_another),
		TEST(an_inherited_object_can_be_held_at_once),
		TEST(a_fork_beside_a_thread_that_takes_hold),
		TEST(who_leaves_before_a_bare_exit_was_not_killed),
	};
	return RUN_TESTS(tests);
}
