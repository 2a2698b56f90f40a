/* SPDX-License-Identifier: MIT */
/* The read-write lock: readers beside each other, writers before them, and deaths. See also test_lock_kinds.c. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/atomics.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_rwlock *rwlock;
	atomic_u32 ready, stop, writes;

	uint64_t first, second; /* guarded */
	bool exits; /* a child that holds it exits cleanly */
	tutti_err answer;
};

static struct scene *open_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_rwlock_open(&scene->rwlock, &(tutti_rwlock_options){.arena = scene->arena, .name = "table"}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_rwlock_close(scene->rwlock);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(scene->arena);
}

static tutti_err begin_read(struct scene *scene, tutti_time timeout)
{
	return tutti_rwlock_acquire_read(scene->rwlock, timeout);
}
static tutti_err end_read(struct scene *scene) { return tutti_rwlock_release_read(scene->rwlock); }
static tutti_err begin_write(struct scene *scene, tutti_time timeout)
{
	return tutti_rwlock_acquire_write(scene->rwlock, timeout);
}
static tutti_err end_write(struct scene *scene) { return tutti_rwlock_release_write(scene->rwlock); }

static void report_and_stay(struct scene *scene)
{
	store_release(&scene->ready, (uint32_t)getpid());
	if (!scene->exits)
		support_pause_forever();
}

static void read_on(void *context)
{
	struct scene *scene = context;
	scene->answer = begin_read(scene, tutti_seconds(8));
	report_and_stay(scene);
}

static void write_on(void *context)
{
	struct scene *scene = context;
	scene->answer = begin_write(scene, tutti_seconds(8));
	report_and_stay(scene);
}

static pid_t start(struct scene *scene, void (*function)(void *))
{
	pid_t child = support_fork(function, scene);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
	return child;
}

static void readers_are_in_together(void **state)
{
	pid_t children[10];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 10; i++)
		children[i] = start(scene, read_on);
	OK(begin_read(scene, TUTTI_NOW));
	OK(begin_read(scene, TUTTI_NOW));
	assert_int_equal(tutti_rwlock_readers(scene->rwlock), 12);
	assert_int_equal(tutti_rwlock_writer(scene->rwlock), 0);
	EXPECT_TEXT(TUTTI_EBUSY, "table", begin_write(scene, TUTTI_NOW));
	OK(end_read(scene));
	OK(end_read(scene));
	EXPECT_TEXT(TUTTI_EPERM, "table", end_read(scene));
	for (int i = 0; i < 10; i++)
		support_kill(children[i]);
	OK(begin_write(scene, TUTTI_NOW)); /* dead readers are dropped, without a word */
	assert_int_equal(tutti_rwlock_readers(scene->rwlock), 0);
	OK(end_write(scene));
	end_scene(scene);
}

static void a_writer_is_alone(void **state)
{
	char pid[16];
	(void)state;
	struct scene *scene = open_scene();
	EXPECT_TEXT(TUTTI_EPERM, "table", end_write(scene));
	pid_t child = start(scene, write_on);
	snprintf(pid, sizeof pid, "%d", (int)child);
	assert_int_equal(tutti_rwlock_writer(scene->rwlock), child);
	EXPECT_TEXT(TUTTI_EBUSY, pid, begin_read(scene, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EBUSY, pid, begin_write(scene, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, pid, begin_read(scene, tutti_ms(20)));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, pid, begin_write(scene, tutti_ms(20)));
	EXPECT(TUTTI_EPERM, end_write(scene));
	EXPECT(TUTTI_EPERM, end_read(scene));
	assert_int_equal(tutti_rwlock_readers(scene->rwlock), 0);
	support_kill(child);
	EXPECT(TUTTI_EOWNERDEAD, begin_write(scene, TUTTI_NOW));
	OK(end_write(scene));
	end_scene(scene);
}

static void a_waiting_writer_keeps_new_readers_out(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	OK(begin_read(scene, TUTTI_NOW));
	pid_t writer = support_fork(write_on, scene);
	UNTIL(5000, support_is_asleep(writer));
	EXPECT(TUTTI_EBUSY, begin_read(scene, TUTTI_NOW));
	EXPECT(TUTTI_ETIMEDOUT, begin_read(scene, tutti_ms(20)));
	assert_int_equal(load_acquire(&scene->ready), 0);
	OK(end_read(scene));
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)writer);
	assert_int_equal(scene->answer, TUTTI_OK);
	support_kill(writer);
	EXPECT(TUTTI_EOWNERDEAD, begin_write(scene, TUTTI_FOREVER));
	OK(end_write(scene));
	end_scene(scene);
}

static void a_waiting_writer_that_is_killed_lets_readers_in(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	OK(begin_read(scene, TUTTI_NOW));
	for (int i = 0; i < 4; i++) {
		pid_t writer = support_fork(write_on, scene);
		UNTIL(5000, support_is_asleep(writer));
		EXPECT(TUTTI_EBUSY, begin_read(scene, TUTTI_NOW));
		support_kill(writer);
		OK(begin_read(scene, i % 2 ? TUTTI_NOW : TUTTI_FOREVER)); /* it had written nothing: nobody is told */
		OK(end_read(scene));
	}
	OK(end_read(scene));
	end_scene(scene);
}

/* Also those who sleep already. */
static void a_waiting_writer_that_gives_up_lets_readers_in(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	pid_t first = start(scene, read_on);
	EXPECT(TUTTI_ETIMEDOUT, begin_write(scene, tutti_ms(20)));
	OK(begin_read(scene, TUTTI_NOW));
	OK(end_read(scene));
	int64_t began = support_now();
	pid_t writer = support_fork(write_on, scene);
	UNTIL(5000, support_is_asleep(writer));
	pid_t reader = support_fork(read_on, scene);
	UNTIL(5000, support_is_asleep(reader));
	support_kill(writer);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)reader);
	assert_true(support_now() - began < 3000000000 || support_is_slow());
	assert_int_equal(scene->answer, TUTTI_OK);
	support_kill(reader);
	support_kill(first);
	end_scene(scene);
}

static void a_reader_that_is_killed_lets_the_writer_in(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	pid_t reader = start(scene, read_on);
	pid_t writer = support_fork(write_on, scene);
	UNTIL(5000, support_is_asleep(writer));
	int64_t began = support_now();
	support_kill(reader);
	UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)writer);
	assert_true(support_now() - began < 1000000000 || support_is_slow()); /* K1 */
	assert_int_equal(scene->answer, TUTTI_OK);
	support_kill(writer);
	end_scene(scene);
}

static void everyone_is_told_of_a_dead_writer_until_one_has_repaired(void **state)
{
	char pid[16];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 2; i++) {
		pid_t writer = start(scene, write_on);
		support_kill(writer);
		snprintf(pid, sizeof pid, "%d", (int)writer);
		assert_int_equal(tutti_rwlock_writer(scene->rwlock), -1);
		EXPECT_TEXT(TUTTI_EOWNERDEAD, pid, begin_read(scene, i ? TUTTI_NOW : TUTTI_FOREVER));
		assert_int_equal(tutti_rwlock_writer(scene->rwlock), -1);
		OK(end_read(scene));
		pid_t told = start(scene, read_on);
		assert_int_equal(scene->answer, TUTTI_EOWNERDEAD);
		support_kill(told);
		told = start(scene, write_on);
		assert_int_equal(scene->answer, TUTTI_EOWNERDEAD);
		support_kill(told);
		EXPECT(TUTTI_EOWNERDEAD, begin_write(scene, TUTTI_NOW));
		OK(end_write(scene));
		OK(begin_read(scene, TUTTI_NOW));
		OK(end_read(scene));
		assert_int_equal(tutti_rwlock_writer(scene->rwlock), 0);
	}
	end_scene(scene);
}

static void an_abandoned_write_is_told_of(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	EXPECT(TUTTI_EPERM, tutti_rwlock_abandon_write(scene->rwlock));
	OK(begin_write(scene, TUTTI_NOW));
	OK(tutti_rwlock_abandon_write(scene->rwlock));
	assert_int_equal(tutti_rwlock_writer(scene->rwlock), -1);
	EXPECT(TUTTI_EOWNERDEAD, begin_read(scene, TUTTI_NOW));
	OK(end_read(scene));
	EXPECT(TUTTI_EOWNERDEAD, begin_write(scene, TUTTI_NOW));
	OK(end_write(scene));
	OK(begin_read(scene, TUTTI_NOW));
	OK(end_read(scene));
	end_scene(scene);
}

static void a_clean_exit_keeps_what_it_held(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	scene->exits = true;
	support_join_child(support_fork(read_on, scene));
	support_join_child(support_fork(read_on, scene));
	tutti_arena_sweep(scene->arena);
	assert_int_equal(tutti_rwlock_readers(scene->rwlock), 2);
	EXPECT(TUTTI_EBUSY, begin_write(scene, TUTTI_NOW));
	OK(end_read(scene)); /* anybody may */
	EXPECT(TUTTI_ETIMEDOUT, begin_write(scene, tutti_ms(20)));
	OK(end_read(scene));
	EXPECT(TUTTI_EPERM, end_read(scene));
	OK(begin_write(scene, TUTTI_NOW));
	OK(end_write(scene));
	pid_t writer = support_fork(write_on, scene);
	support_join_child(writer);
	EXPECT(TUTTI_EBUSY, begin_read(scene, TUTTI_NOW));
	assert_int_equal(tutti_rwlock_writer(scene->rwlock), writer);
	OK(end_write(scene));
	OK(begin_read(scene, TUTTI_NOW));
	OK(end_read(scene));
	end_scene(scene);
}

static void a_stopped_reader_is_waited_for_in_time(void **state)
{
	(void)state;
	struct scene *scene = open_scene();
	pid_t reader = start(scene, read_on);
	support_stop(reader);
	EXPECT(TUTTI_EBUSY, begin_write(scene, TUTTI_NOW));
	EXPECT(TUTTI_ETIMEDOUT, begin_write(scene, tutti_ms(150)));
	OK(begin_read(scene, TUTTI_NOW));
	OK(end_read(scene));
	support_kill(reader);
	OK(begin_write(scene, tutti_seconds(5)));
	OK(end_write(scene));
	end_scene(scene);
}

/* Two handles and two threads of a process are one member. */
static void *end_read_in_thread(void *context)
{
	OK(tutti_rwlock_release_read(context));
	return NULL;
}

static void any_thread_and_handle_of_the_member_may_release(void **state)
{
	pthread_t thread;
	tutti_rwlock *second;
	(void)state;
	struct scene *scene = open_scene();
	OK(begin_read(scene, TUTTI_NOW));
	OK(tutti_rwlock_at(&second, scene->arena, tutti_rwlock_handle(scene->rwlock)));
	assert_int_equal(pthread_create(&thread, NULL, end_read_in_thread, second), 0);
	pthread_join(thread, NULL);
	OK(begin_write(scene, TUTTI_NOW));
	OK(tutti_rwlock_release_write(second));
	tutti_rwlock_close(second);
	end_scene(scene);
}

/* --- traffic ----------------------------------------------------------------------------------------------------- */

static void read_and_write(struct scene *scene, unsigned seed)
{
	unsigned turns = 0;
	while (!load_acquire(&scene->stop)) {
		if (++turns % 8 == seed % 8) {
			tutti_err err = begin_write(scene, tutti_seconds(8));
			REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
			if (err == TUTTI_EOWNERDEAD)
				scene->second = scene->first; /* the repair */
			REQUIRE(scene->first == scene->second);
			scene->first++;
			atomic_signal_fence(memory_order_seq_cst);
			scene->second++;
			fetch_add_relaxed(&scene->writes, 1);
			OK(end_write(scene));
			continue;
		}
		tutti_err err = begin_read(scene, tutti_seconds(8));
		REQUIRE(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
		REQUIRE(err == TUTTI_EOWNERDEAD || scene->first == scene->second);
		OK(end_read(scene));
	}
}

static void read_and_write_in_child(void *context)
{
	read_and_write(context, (unsigned)getpid());
	tutti_rwlock_close(((struct scene *)context)->rwlock);
}

static void *read_and_write_in_thread(void *context)
{
	read_and_write(context, 3);
	return NULL;
}

static void threads_and_processes_see_nothing_half_written(void **state)
{
	pid_t children[3];
	pthread_t threads[2];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 3; i++)
		children[i] = support_fork(read_and_write_in_child, scene);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_and_write_in_thread, scene), 0);
	UNTIL(15000, load_relaxed(&scene->writes) > 20000);
	store_release(&scene->stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->first, scene->writes);
	assert_int_equal(scene->second, scene->writes);
	end_scene(scene);
}

/* Who finds it half written was told; who was not told finds it whole. */
static void kills_amid_traffic(void **state)
{
	pid_t children[4];
	(void)state;
	struct scene *scene = open_scene();
	for (int i = 0; i < 4; i++)
		children[i] = support_fork(read_and_write_in_child, scene);
	for (int i = 0; i < 100; i++) {
		uint32_t before = load_relaxed(&scene->writes);
		UNTIL(5000, load_relaxed(&scene->writes) > before + (uint32_t)i % 50);
		support_kill(children[i % 4]);
		children[i % 4] = support_fork(read_and_write_in_child, scene);
	}
	store_release(&scene->stop, 1);
	for (int i = 0; i < 4; i++)
		support_join_child(children[i]);
	tutti_err err = begin_write(scene, tutti_seconds(5));
	assert_true(err == TUTTI_OK || err == TUTTI_EOWNERDEAD);
	OK(end_write(scene));
	assert_int_equal(tutti_rwlock_readers(scene->rwlock), 0);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest rwlock[] = {
		TEST(readers_are_in_together),
		TEST(a_writer_is_alone),
		TEST(a_waiting_writer_keeps_new_readers_out),
		TEST(a_waiting_writer_that_is_killed_lets_readers_in),
		TEST(a_waiting_writer_that_gives_up_lets_readers_in),
		TEST(a_reader_that_is_killed_lets_the_writer_in),
		TEST(everyone_is_told_of_a_dead_writer_until_one_has_repaired),
		TEST(an_abandoned_write_is_told_of),
		TEST(a_clean_exit_keeps_what_it_held),
		TEST(a_stopped_reader_is_waited_for_in_time),
		TEST(any_thread_and_handle_of_the_member_may_release),
		TEST(threads_and_processes_see_nothing_half_written),
		TEST(kills_amid_traffic),
	};
	return RUN_TESTS(rwlock);
}
