/* SPDX-License-Identifier: MIT */
/*
 * What every kind of lock must do, written once and run for each: lock, lock with
 * handover, recursive lock, semaphore of one, read-write lock for writing.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct kind {
	const char *name;
	void *(*open)(tutti_arena *arena);
	tutti_err (*at)(void **lock, tutti_arena *arena, tutti_handle handle);
	void (*close)(void *lock);
	tutti_handle (*handle)(const void *lock);
	tutti_err (*acquire)(void *lock, tutti_time timeout);
	tutti_err (*release)(void *lock);
	tutti_err when_free; /* what releasing a free one answers */
	tutti_err when_foreign; /* what releasing another member's answers */
	tutti_err twice; /* what its holder is told who asks again */
	bool heeds_signals;
};

#define KIND_CALLS(type)                                                                                               \
	static tutti_err type##_at(void **lock, tutti_arena *arena, tutti_handle handle)                                   \
	{                                                                                                                  \
		tutti_##type *found = NULL;                                                                                    \
		tutti_err err = tutti_##type##_at(&found, arena, handle);                                                      \
		*lock = found;                                                                                                 \
		return err;                                                                                                    \
	}                                                                                                                  \
	static void type##_close(void *lock) { tutti_##type##_close(lock); }                                               \
	static tutti_handle type##_handle(const void *lock) { return tutti_##type##_handle(lock); }

KIND_CALLS(lock)
KIND_CALLS(rlock)
KIND_CALLS(semaphore)
KIND_CALLS(rwlock)

static void *lock_open(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .name = "gate"}));
	return lock;
}

static void *baton_open(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .name = "gate", .handover = true}));
	return lock;
}

static void *rlock_open(tutti_arena *arena)
{
	tutti_rlock *lock;
	OK(tutti_rlock_open(&lock, &(tutti_rlock_options){.arena = arena, .name = "gate"}));
	return lock;
}

static void *semaphore_open(tutti_arena *arena)
{
	tutti_semaphore *lock;
	OK(tutti_semaphore_open(&lock, 1, &(tutti_semaphore_options){.arena = arena, .name = "gate", .max_value = 1}));
	return lock;
}

static void *rwlock_open(tutti_arena *arena)
{
	tutti_rwlock *lock;
	OK(tutti_rwlock_open(&lock, &(tutti_rwlock_options){.arena = arena, .name = "gate"}));
	return lock;
}

static tutti_err lock_acquire(void *lock, tutti_time timeout) { return tutti_lock_acquire(lock, timeout); }
static tutti_err lock_release(void *lock) { return tutti_lock_release(lock); }
static tutti_err rlock_acquire(void *lock, tutti_time timeout) { return tutti_rlock_acquire(lock, timeout); }
static tutti_err rlock_release(void *lock) { return tutti_rlock_release(lock); }
static tutti_err semaphore_acquire(void *lock, tutti_time timeout) { return tutti_semaphore_acquire(lock, timeout); }
static tutti_err semaphore_release(void *lock) { return tutti_semaphore_release(lock, 1); }
static tutti_err rwlock_acquire(void *lock, tutti_time timeout) { return tutti_rwlock_acquire_write(lock, timeout); }
static tutti_err rwlock_release(void *lock) { return tutti_rwlock_release_write(lock); }

static const struct kind kinds[] = {
	{"lock", lock_open, lock_at, lock_close, lock_handle, lock_acquire, lock_release, TUTTI_EPERM, TUTTI_EPERM,
     TUTTI_EBUSY, false},
	{"handover", baton_open, lock_at, lock_close, lock_handle, lock_acquire, lock_release, TUTTI_EBOUND, TUTTI_OK,
     TUTTI_EBUSY, false},
	{"rlock", rlock_open, rlock_at, rlock_close, rlock_handle, rlock_acquire, rlock_release, TUTTI_EPERM, TUTTI_EPERM,
     TUTTI_OK, false},
	{"semaphore", semaphore_open, semaphore_at, semaphore_close, semaphore_handle, semaphore_acquire, semaphore_release,
     TUTTI_EBOUND, TUTTI_OK, TUTTI_EBUSY, true},
	{"rwlock", rwlock_open, rwlock_at, rwlock_close, rwlock_handle, rwlock_acquire, rwlock_release, TUTTI_EPERM,
     TUTTI_EPERM, TUTTI_EBUSY, false},
};

/* What children inherit. */
struct scene {
	const struct kind *kind;
	tutti_arena *arena;
	void *lock;
	tutti_queue *queue;
	atomic_u32 ready, go, stop, inside;
	uint64_t first, second; /* guarded; always equal outside */
	tutti_err told[4];
	atomic_u64 turns;
};

static struct scene *open_scene(void **state)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->kind = *state;
	scene->arena = support_arena(0);
	scene->lock = scene->kind->open(scene->arena);
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	scene->kind->close(scene->lock);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(scene->arena);
}

static tutti_err acquire(struct scene *scene, tutti_time timeout) { return scene->kind->acquire(scene->lock, timeout); }

static tutti_err release(struct scene *scene) { return scene->kind->release(scene->lock); }

static void expect_free(struct scene *scene)
{
	OK(acquire(scene, TUTTI_NOW));
	OK(release(scene));
}

static void it_is_held_by_one(void **state)
{
	void *second;
	struct scene *scene = open_scene(state);
	const struct kind *kind = scene->kind;
	tutti_arena *other = support_join(scene->arena);
	OK(kind->at(&second, other, kind->handle(scene->lock)));
	for (int i = 0; i < 3; i++) {
		OK(acquire(scene, TUTTI_NOW));
		EXPECT_TEXT(TUTTI_EBUSY, "gate", kind->acquire(second, TUTTI_NOW));
		EXPECT(TUTTI_EBUSY, kind->acquire(second, -7));
		OK(release(scene));
		OK(kind->acquire(second, TUTTI_FOREVER));
		EXPECT(TUTTI_EBUSY, acquire(scene, TUTTI_NOW));
		OK(kind->release(second));
	}
	kind->close(second);
	tutti_arena_close(other);
	end_scene(scene);
}

static void releasing_too_often_is_refused(void **state)
{
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 3; i++) {
		EXPECT_TEXT(scene->kind->when_free, "gate", release(scene));
		expect_free(scene);
	}
	end_scene(scene);
}

static void who_may_release(void **state)
{
	void *second;
	struct scene *scene = open_scene(state);
	const struct kind *kind = scene->kind;
	tutti_arena *other = support_join(scene->arena);
	OK(kind->at(&second, other, kind->handle(scene->lock)));
	OK(acquire(scene, TUTTI_NOW));
	EXPECT(kind->when_foreign, kind->release(second));
	if (kind->when_foreign)
		OK(release(scene));
	expect_free(scene);
	kind->close(second);
	tutti_arena_close(other);
	end_scene(scene);
}

static void its_holder_asks_again(void **state)
{
	struct scene *scene = open_scene(state);
	OK(acquire(scene, TUTTI_NOW));
	EXPECT(scene->kind->twice, acquire(scene, TUTTI_NOW));
	if (scene->kind->twice == TUTTI_OK)
		OK(release(scene));
	OK(release(scene));
	EXPECT(scene->kind->when_free, release(scene));
	end_scene(scene);
}

static void waiting_ends_at_its_time(void **state)
{
	void *second;
	struct scene *scene = open_scene(state);
	const struct kind *kind = scene->kind;
	tutti_arena *other = support_join(scene->arena);
	OK(kind->at(&second, other, kind->handle(scene->lock)));
	OK(acquire(scene, TUTTI_NOW));
	static const int milliseconds[] = {1, 20, 150, 300};
	for (int i = 0; i < 4; i++) {
		int64_t start = support_now();
		EXPECT_TEXT(TUTTI_ETIMEDOUT, "gate", kind->acquire(second, tutti_ms(milliseconds[i])));
		int64_t took = support_now() - start;
		assert_true(took >= milliseconds[i] * 1000000LL);
		assert_true(took < milliseconds[i] * 1000000LL + 900000000);
	}
	OK(release(scene));
	OK(kind->acquire(second, tutti_ms(100)));
	OK(kind->release(second));
	kind->close(second);
	tutti_arena_close(other);
	end_scene(scene);
}

static void count_up(struct scene *scene, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		OK(acquire(scene, tutti_seconds(15)));
		REQUIRE(scene->first == scene->second);
		scene->first++;
		atomic_signal_fence(memory_order_seq_cst);
		scene->second++;
		OK(release(scene));
	}
}

static void count_in_child(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	count_up(scene, 10000);
	scene->kind->close(scene->lock);
}

static void processes_exclude_each_other(void **state)
{
	pid_t children[4];
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(count_in_child, scene);
	store_release(&scene->go, 1);
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->first, 40000);
	assert_int_equal(scene->second, 40000);
	end_scene(scene);
}

static void *count_in_thread(void *context)
{
	count_up(context, 10000);
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	pthread_t threads[4];
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_in_thread, scene), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(scene->first, 40000);
	end_scene(scene);
}

static void wait_and_report(void *context)
{
	struct scene *scene = context;
	tutti_err err = acquire(scene, tutti_seconds(8));
	uint32_t turn = fetch_add_relaxed(&scene->ready, 1);
	scene->told[turn % 4] = err;
	OK(release(scene));
	scene->kind->close(scene->lock);
}

static void what_the_parent_holds_the_parent_holds(void **state)
{
	struct scene *scene = open_scene(state);
	OK(acquire(scene, TUTTI_NOW));
	pid_t child = support_fork(wait_and_report, scene);
	UNTIL(5000, support_is_asleep(child));
	assert_int_equal(load_acquire(&scene->ready), 0);
	OK(release(scene));
	support_join_child(child);
	assert_int_equal(scene->told[0], TUTTI_OK);
	end_scene(scene);
}

static void open_from_message(void *context)
{
	void *lock;
	tutti_handle handle;
	size_t size;
	struct scene *scene = context;
	OK(tutti_queue_get_into(scene->queue, &handle, sizeof handle, &size, tutti_seconds(5)));
	REQUIRE(size == sizeof handle);
	OK(scene->kind->at(&lock, scene->arena, handle));
	OK(scene->kind->acquire(lock, tutti_seconds(5)));
	OK(scene->kind->release(lock));
	scene->kind->close(lock);
}

static void its_handle_travels(void **state)
{
	struct scene *scene = open_scene(state);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	pid_t child = support_fork(open_from_message, scene);
	tutti_handle handle = scene->kind->handle(scene->lock);
	OK(tutti_queue_put(scene->queue, &handle, sizeof handle, TUTTI_NOW));
	support_join_child(child);
	tutti_queue_close(scene->queue);
	end_scene(scene);
}

static void stale_and_foreign_handles_are_refused(void **state)
{
	void *found;
	tutti_event *event;
	struct scene *scene = open_scene(state);
	const struct kind *kind = scene->kind;
	tutti_handle handle = kind->handle(scene->lock);
	OK(tutti_event_open(&event, &(tutti_event_options){.arena = scene->arena}));
	EXPECT(TUTTI_EKIND, kind->at(&found, scene->arena, tutti_event_handle(event)));
	tutti_event_close(event);
	kind->close(scene->lock);
	EXPECT(TUTTI_ESTALE, kind->at(&found, scene->arena, handle));
	scene->lock = kind->open(scene->arena);
	EXPECT(TUTTI_ESTALE, kind->at(&found, scene->arena, handle));
	handle.arena++;
	EXPECT(TUTTI_EFOREIGN, kind->at(&found, scene->arena, handle));
	kind->close(NULL);
	end_scene(scene);
}

/* --- deaths --------------------------------------------------------------------------------------------------- */

static void hold(void *context)
{
	struct scene *scene = context;
	tutti_err err = acquire(scene, tutti_seconds(5));
	REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
	store_release(&scene->inside, err);
	store_release(&scene->ready, (uint32_t)getpid());
	support_pause_forever();
}

static pid_t start_holder(struct scene *scene)
{
	pid_t child = support_fork(hold, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	return child;
}

static void the_next_is_told_that_the_holder_was_killed(void **state)
{
	char pid[16];
	static const tutti_time timeouts[] = {TUTTI_NOW, TUTTI_FOREVER, 100000000};
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 6; i++) {
		pid_t child = start_holder(scene);
		support_kill(child);
		if (i >= 3)
			assert_int_equal(tutti_arena_sweep(scene->arena), 1);
		snprintf(pid, sizeof pid, "%d", (int)child);
		EXPECT_TEXT(TUTTI_EOWNERDEAD, pid, acquire(scene, timeouts[i % 3]));
		OK(release(scene));
		expect_free(scene); /* told once: the state was repaired */
	}
	end_scene(scene);
}

static void who_is_told_and_killed_leaves_it_to_be_told_again(void **state)
{
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 4; i++) {
		support_kill(start_holder(scene));
		assert_int_equal(load_acquire(&scene->inside), i == 0 ? TUTTI_OK : TUTTI_EOWNERDEAD);
	}
	EXPECT(TUTTI_EOWNERDEAD, acquire(scene, TUTTI_NOW));
	OK(release(scene));
	expect_free(scene);
	end_scene(scene);
}

static void of_many_waiters_one_is_told(void **state)
{
	pid_t waiters[3];
	struct scene *scene = open_scene(state);
	pid_t holder = start_holder(scene);
	store_release(&scene->ready, 0);
	for (int i = 0; i < 3; i++)
		waiters[i] = support_fork(wait_and_report, scene);
	for (int i = 0; i < 3; i++)
		UNTIL(5000, support_is_asleep(waiters[i]));
	int64_t start = support_now();
	support_kill(holder);
	UNTIL(5000, load_acquire(&scene->ready) > 0);
	assert_true(support_now() - start < 1000000000); /* K1 */
	for (int i = 0; i < 3; i++)
		support_join_child(waiters[i]);
	assert_int_equal(scene->told[0], TUTTI_EOWNERDEAD);
	assert_int_equal(scene->told[1], TUTTI_OK);
	assert_int_equal(scene->told[2], TUTTI_OK);
	end_scene(scene);
}

static void a_killed_waiter_stands_in_nobodys_way(void **state)
{
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 10; i++) {
		OK(acquire(scene, TUTTI_NOW));
		pid_t victim = support_fork(wait_and_report, scene);
		UNTIL(5000, support_is_asleep(victim));
		support_kill(victim);
		OK(release(scene));
		expect_free(scene);
	}
	end_scene(scene);
}

static void hold_and_exit(void *context) { OK(acquire(context, tutti_seconds(5))); }

static void a_clean_exit_keeps_it(void **state)
{
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 3; i++) {
		support_join_child(support_fork(hold_and_exit, scene));
		EXPECT(TUTTI_EBUSY, acquire(scene, TUTTI_NOW));
		EXPECT(TUTTI_ETIMEDOUT, acquire(scene, tutti_ms(150)));
		tutti_arena_sweep(scene->arena);
		EXPECT(TUTTI_EBUSY, acquire(scene, TUTTI_NOW));
		OK(release(scene)); /* anybody may */
		expect_free(scene);
	}
	end_scene(scene);
}

static void hold_and_leave(void *context)
{
	OK(acquire(context, tutti_seconds(5)));
	_exit(0);
}

static void a_bare_exit_counts_as_killed(void **state)
{
	struct scene *scene = open_scene(state);
	support_join_child(support_fork(hold_and_leave, scene));
	EXPECT(TUTTI_EOWNERDEAD, acquire(scene, TUTTI_NOW));
	OK(release(scene));
	end_scene(scene);
}

static void a_stopped_holder_is_waited_for_in_time(void **state)
{
	struct scene *scene = open_scene(state);
	pid_t child = start_holder(scene);
	support_stop(child);
	EXPECT(TUTTI_EBUSY, acquire(scene, TUTTI_NOW));
	int64_t start = support_now();
	EXPECT(TUTTI_ETIMEDOUT, acquire(scene, tutti_ms(200)));
	assert_true(support_now() - start < 1000000000);
	assert_int_equal(tutti_arena_sweep(scene->arena), 0);
	support_kill(child);
	EXPECT(TUTTI_EOWNERDEAD, acquire(scene, tutti_seconds(5)));
	OK(release(scene));
	end_scene(scene);
}

static void releasing_wakes_all_sleepers_one_by_one(void **state)
{
	pid_t children[4];
	struct scene *scene = open_scene(state);
	OK(acquire(scene, TUTTI_NOW));
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(wait_and_report, scene);
	for (int i = 0; i < 4; i++)
		UNTIL(5000, support_is_asleep(children[i]));
	int64_t start = support_now();
	OK(release(scene));
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	/* Woken, not found by their ticks of 100 ms one after the other. */
	assert_true(support_now() - start < 300000000 || support_is_slow());
	end_scene(scene);
}

static void do_nothing(int signal) { (void)signal; }

static void wait_amid_signals(void *context)
{
	struct scene *scene = context;
	struct sigaction action = {.sa_handler = do_nothing};
	sigaction(SIGUSR1, &action, NULL);
	store_release(&scene->ready, 1);
	tutti_err err = acquire(scene, tutti_seconds(8));
	REQUIRE(err == (scene->kind->heeds_signals ? TUTTI_EINTR : TUTTI_OK));
	if (err)
		OK(acquire(scene, tutti_seconds(8)));
	OK(release(scene));
	scene->kind->close(scene->lock);
}

static void signals_while_waiting(void **state)
{
	struct scene *scene = open_scene(state);
	OK(acquire(scene, TUTTI_NOW));
	pid_t child = support_fork(wait_amid_signals, scene);
	for (int i = 0; i < (scene->kind->heeds_signals ? 1 : 20); i++) {
		UNTIL(5000, load_acquire(&scene->ready) && support_is_asleep(child));
		kill(child, SIGUSR1);
	}
	UNTIL(5000, support_is_asleep(child));
	OK(release(scene));
	support_join_child(child);
	end_scene(scene);
}

static void hold_and_die(void *context)
{
	acquire(context, tutti_seconds(5));
	kill(getpid(), SIGKILL);
}

static void many_deaths_in_a_row(void **state)
{
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 100; i++) {
		support_wait(support_fork(hold_and_die, scene));
		EXPECT(TUTTI_EOWNERDEAD, acquire(scene, TUTTI_NOW));
		OK(release(scene));
	}
	end_scene(scene);
}

/* Who is told must find a death inside, who is not told must find none. */
static void go_in_and_out(void *context)
{
	struct scene *scene = context;
	while (!load_acquire(&scene->stop)) {
		tutti_err err = acquire(scene, tutti_seconds(8));
		if (err == TUTTI_EOWNERDEAD)
			store_release(&scene->inside, 0); /* it may have died before it went in, or after it came out */
		else
			REQUIRE(err == TUTTI_OK);
		REQUIRE(load_acquire(&scene->inside) == 0);
		store_release(&scene->inside, (uint32_t)getpid());
		fetch_add_relaxed(&scene->turns, 1);
		REQUIRE(load_acquire(&scene->inside) == (uint32_t)getpid());
		store_release(&scene->inside, 0);
		OK(release(scene));
	}
	scene->kind->close(scene->lock);
}

static void kills_amid_contention(void **state)
{
	pid_t children[3];
	struct scene *scene = open_scene(state);
	for (int i = 0; i < 3; i++)
		children[i] = support_fork(go_in_and_out, scene);
	for (int i = 0; i < 90; i++) {
		uint64_t before = load_relaxed(&scene->turns);
		UNTIL(5000, load_relaxed(&scene->turns) > before + (uint64_t)i);
		support_kill(children[i % 3]);
		children[i % 3] = support_fork(go_in_and_out, scene);
	}
	store_release(&scene->stop, 1);
	for (int i = 0; i < 3; i++)
		support_join_child(children[i]);
	tutti_err err = acquire(scene, tutti_seconds(5));
	assert_true(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
	OK(release(scene));
	end_scene(scene);
}

static const struct CMUnitTest list[] = {
	TEST(it_is_held_by_one),
	TEST(releasing_too_often_is_refused),
	TEST(who_may_release),
	TEST(its_holder_asks_again),
	TEST(waiting_ends_at_its_time),
	TEST(processes_exclude_each_other),
	TEST(threads_exclude_each_other),
	TEST(what_the_parent_holds_the_parent_holds),
	TEST(its_handle_travels),
	TEST(stale_and_foreign_handles_are_refused),
	TEST(the_next_is_told_that_the_holder_was_killed),
	TEST(who_is_told_and_killed_leaves_it_to_be_told_again),
	TEST(of_many_waiters_one_is_told),
	TEST(a_killed_waiter_stands_in_nobodys_way),
	TEST(a_clean_exit_keeps_it),
	TEST(a_bare_exit_counts_as_killed),
	TEST(a_stopped_holder_is_waited_for_in_time),
	TEST(releasing_wakes_all_sleepers_one_by_one),
	TEST(signals_while_waiting),
	TEST(many_deaths_in_a_row),
	TEST(kills_amid_contention),
};

enum { KINDS = sizeof kinds / sizeof kinds[0], LENGTH = sizeof list / sizeof list[0], NAME = 100 };

int main(int argc, char **argv)
{
	static struct CMUnitTest lock_kinds[KINDS * LENGTH];
	static char names[KINDS * LENGTH][NAME];
	for (int i = 0; i < KINDS * LENGTH; i++) {
		const struct kind *kind = &kinds[i / LENGTH];
		snprintf(names[i], NAME, "%s:%s", kind->name, list[i % LENGTH].name);
		lock_kinds[i] = list[i % LENGTH];
		lock_kinds[i].name = names[i];
		lock_kinds[i].initial_state = (void *)(uintptr_t)kind;
	}
	return RUN_TESTS(lock_kinds);
}
