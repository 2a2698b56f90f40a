/* SPDX-License-Identifier: MIT */
/* The one-shot wait. */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	tutti_event *event;
	tutti_lock *lock;
	int pair[2];
	atomic_u32 go;
};

enum { QUEUE, EVENT, LOCK, PIPE, COUNT };

static struct scene *new_scene(tutti_wait_item items[COUNT])
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	OK(tutti_event_open(&scene->event, &(tutti_event_options){.arena = scene->arena}));
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = scene->arena}));
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	assert_int_equal(pipe(scene->pair), 0);
	items[QUEUE] = tutti_wait_queue(scene->queue, NULL);
	items[EVENT] = tutti_wait_event(scene->event, NULL);
	items[LOCK] = tutti_wait_lock(scene->lock, NULL);
	items[PIPE] = tutti_wait_descriptor(scene->pair[0], POLLIN, NULL);
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_queue_close(scene->queue);
	tutti_event_close(scene->event);
	tutti_lock_close(scene->lock);
	close(scene->pair[0]), close(scene->pair[1]);
	tutti_arena_close(scene->arena);
}

static void all_that_is_ready_is_marked(void **state)
{
	tutti_wait_item items[COUNT];
	size_t ready;
	(void)state;
	struct scene *scene = new_scene(items);
	EXPECT(TUTTI_ETIMEDOUT, tutti_wait_any(items, COUNT, &ready, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "4 things", tutti_wait_any(items, COUNT, &ready, tutti_ms(2)));
	assert_int_equal(ready, 0);
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	OK(tutti_lock_release(scene->lock));
	assert_int_equal(write(scene->pair[1], "x", 1), 1);
	OK(tutti_wait_any(items, COUNT, &ready, TUTTI_FOREVER));
	assert_int_equal(ready, 3);
	assert_true(items[QUEUE].ready && items[LOCK].ready && items[PIPE].ready && !items[EVENT].ready);
	OK(tutti_event_set(scene->event));
	OK(tutti_wait_any(items, COUNT - 1, NULL, TUTTI_NOW));
	assert_true(items[EVENT].ready);
	end_scene(scene);
}

static void set_when_told(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, support_is_asleep(getppid()) || load_acquire(&scene->go));
	OK(tutti_event_set(scene->event));
	tutti_event_close(scene->event);
}

static void it_sleeps_until_one_is(void **state)
{
	tutti_wait_item items[COUNT];
	size_t ready;
	(void)state;
	struct scene *scene = new_scene(items);
	unsigned descriptors = support_descriptors();
	for (size_t count = COUNT - 1; count <= COUNT; count++) { /* without, then with a descriptor */
		pid_t child = support_fork(set_when_told, scene);
		OK(tutti_wait_any(items, count, &ready, tutti_ms(5000)));
		assert_int_equal(ready, 1);
		assert_true(items[EVENT].ready);
		OK(tutti_event_clear(scene->event));
		support_join_child(child);
	}
	assert_int_equal(support_descriptors(), descriptors);
	end_scene(scene);
}

static void a_thing_may_stand_there_twice(void **state)
{
	(void)state;
	tutti_wait_item items[COUNT];
	struct scene *scene = new_scene(items);
	tutti_wait_item twice[] = {items[QUEUE],
	                           items[PIPE],
	                           items[QUEUE],
	                           tutti_wait_descriptor(scene->pair[0], POLLIN | POLLPRI, NULL),
	                           {.fd = 0}};
	size_t ready;
	EXPECT(TUTTI_ETIMEDOUT, tutti_wait_any(twice, 5, &ready, tutti_ms(2)));
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	OK(tutti_wait_any(twice, 5, &ready, TUTTI_FOREVER));
	assert_int_equal(ready, 2);
	assert_true(twice[0].ready && twice[2].ready);
	end_scene(scene);
}

static void bad_lists_are_refused(void **state)
{
	(void)state;
	tutti_wait_item items[COUNT];
	struct scene *scene = new_scene(items);
	tutti_arena *other = support_arena(0);
	tutti_queue *foreign;
	OK(tutti_queue_open(&foreign, &(tutti_queue_options){.arena = other}));
	tutti_wait_item mixed[] = {items[QUEUE], tutti_wait_queue(foreign, NULL)};
	EXPECT(TUTTI_EFOREIGN, tutti_wait_any(mixed, 2, NULL, TUTTI_NOW));
	tutti_wait_item closed = tutti_wait_descriptor(999, POLLIN, NULL);
	EXPECT_TEXT(TUTTI_EINVAL, "999", tutti_wait_any(&closed, 1, NULL, TUTTI_FOREVER));
	closed.fd = -1;
	EXPECT(TUTTI_EINVAL, tutti_wait_any(&closed, 1, NULL, TUTTI_NOW));
	tutti_wait_item nothing = tutti_wait_queue(NULL, NULL);
	EXPECT(TUTTI_EINVAL, tutti_wait_any(&nothing, 1, NULL, TUTTI_NOW));
	int64_t start = support_now();
	EXPECT(TUTTI_ETIMEDOUT, tutti_wait_any(NULL, 0, NULL, tutti_ms(20)));
	assert_true(support_now() - start >= 20000000);
	tutti_queue_close(foreign);
	tutti_arena_close(other);
	end_scene(scene);
}

static void descriptors_alone_wait_in_the_kernel(void **state)
{
	enum { MANY = 100 };
	tutti_wait_item items[MANY];
	int pair[2];
	size_t ready;
	(void)state;
	assert_int_equal(pipe(pair), 0);
	for (int i = 0; i < MANY; i++)
		items[i] = tutti_wait_descriptor(pair[0], POLLIN, NULL);
	EXPECT(TUTTI_ETIMEDOUT, tutti_wait_any(items, MANY, &ready, tutti_us(100)));
	assert_int_equal(write(pair[1], "x", 1), 1);
	OK(tutti_wait_any(items, MANY, &ready, TUTTI_FOREVER));
	assert_int_equal(ready, MANY);
	close(pair[0]), close(pair[1]);
}

static int fail_to_sleep(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	(void)word, (void)expected, (void)deadline;
	support_fail(__FILE__, __LINE__, "a system call");
}

/* 1,000 objects, the last one ready: no sleep, no wake, no descriptor. */
static void what_is_ready_costs_no_system_call(void **state)
{
	enum { MANY = 1000 };
	tutti_queue *queues[MANY];
	static tutti_wait_item items[MANY];
	size_t ready;
	(void)state;
	tutti_arena *arena = support_arena(0);
	for (int i = 0; i < MANY; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = arena}));
		items[i] = tutti_wait_queue(queues[i], NULL);
	}
	OK(tutti_queue_put(queues[MANY - 1], "a", 1, TUTTI_NOW));
	unsigned descriptors = support_descriptors();
	tutti__os.futex_wait = fail_to_sleep;
	OK(tutti_wait_any(items, MANY, &ready, TUTTI_FOREVER));
	assert_int_equal(ready, 1);
	assert_true(items[MANY - 1].ready);
	assert_int_equal(support_descriptors(), descriptors);
	for (int i = 0; i < MANY; i++)
		tutti_queue_close(queues[i]);
	tutti_arena_close(arena);
}

static void ignore(int number) { (void)number; }

static void a_signal_handler_ends_the_wait(void **state)
{
	tutti_wait_item items[COUNT];
	(void)state;
	struct scene *scene = new_scene(items);
	struct sigaction action = {.sa_handler = ignore}, old;
	sigaction(SIGALRM, &action, &old);
	for (size_t count = COUNT - 1; count <= COUNT; count++) {
		struct itimerval soon = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000}, never = {0};
		setitimer(ITIMER_REAL, &soon, NULL);
		/* On a machine that stood still beyond the time the kernel answers that it ran out: then once more. */
		tutti_err err = tutti_wait_any(items, count, NULL, tutti_ms(4000));
		if (err == TUTTI_ETIMEDOUT)
			err = tutti_wait_any(items, count, NULL, tutti_ms(4000));
		EXPECT(TUTTI_EINTR, err);
		setitimer(ITIMER_REAL, &never, NULL);
	}
	sigaction(SIGALRM, &old, NULL);
	end_scene(scene);
}

enum { ROUNDS = 3000 };

static void put_then_write(void *context)
{
	struct scene *scene = context;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		UNTIL(5000, load_acquire(&scene->go) == round);
		OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
		assert_int_equal(write(scene->pair[1], "x", 1), 1);
	}
}

/* A message before the end of who sent it. Between the look at the queue and that at the descriptor there is time for both. */
static void the_earlier_one_is_not_missing(void **state)
{
	tutti_wait_item items[COUNT];
	char got[1];
	(void)state;
	struct scene *scene = new_scene(items);
	pid_t child = support_fork(put_then_write, scene);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		store_release(&scene->go, round);
		do {
			tutti_err err = tutti_wait_any(items, COUNT, NULL, TUTTI_NOW);
			assert_true(err == TUTTI_OK || err == TUTTI_ETIMEDOUT);
			assert_true(!items[PIPE].ready || items[QUEUE].ready);
		} while (!items[PIPE].ready);
		assert_int_equal(read(scene->pair[0], got, 1), 1);
		OK(tutti_queue_get_into(scene->queue, got, 1, NULL, TUTTI_NOW));
	}
	support_join_child(child);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest wait_any[] = {
		TEST(all_that_is_ready_is_marked),          TEST(it_sleeps_until_one_is),
		TEST(a_thing_may_stand_there_twice),        TEST(bad_lists_are_refused),
		TEST(descriptors_alone_wait_in_the_kernel), TEST(what_is_ready_costs_no_system_call),
		TEST(a_signal_handler_ends_the_wait),       TEST(the_earlier_one_is_not_missing),
	};
	return RUN_TESTS(wait_any);
}
