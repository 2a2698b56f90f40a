/* SPDX-License-Identifier: MIT */
/* The descriptor of a queue, in poll and epoll, across processes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

enum { MESSAGES = 10000 };

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	atomic_u32 ready, go;
	_Atomic uint32_t got[2]; /* how many each poller got */
	_Atomic uint8_t seen[MESSAGES];
};

static struct scene *new_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_sweep(scene->arena);
	tutti_queue_close(scene->queue);
	support_end_arena(scene->arena);
}

static int descriptor_of(tutti_queue *queue)
{
	int fd = -1;
	OK(tutti_queue_fd(queue, &fd));
	REQUIRE(fd >= 0);
	return fd;
}

static bool is_readable(int fd, int milliseconds)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int64_t end = support_now() + milliseconds * 1000000LL;
	int rc;
	do {
		int64_t left = (end - support_now()) / 1000000;
		rc = poll(&poller, 1, left > 0 ? (int)left : 0);
	} while (rc < 0 && errno == EINTR);
	return rc == 1 && (poller.revents & POLLIN);
}

static void get_byte(tutti_queue *queue, char expected)
{
	char byte = 0;
	OK(tutti_queue_get_into(queue, &byte, 1, NULL, TUTTI_NOW));
	REQUIRE(byte == expected);
}

/* A reader that then reads without looking, as multiprocessing's executor does, would wait for ever. */
static void who_asks_for_it_again_sees_what_is_there_now(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	for (int i = 0; i < 20; i++) {
		OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
		assert_true(is_readable(fd, 2000));
		get_byte(scene->queue, 'a'); /* the last one: nobody has found the queue empty yet */
		assert_int_equal(descriptor_of(scene->queue), fd);
		assert_false(is_readable(fd, 0));
	}
	OK(tutti_queue_put(scene->queue, "b", 1, TUTTI_NOW));
	assert_int_equal(descriptor_of(scene->queue), fd);
	assert_true(is_readable(fd, 2000));
	get_byte(scene->queue, 'b');
	end_scene(scene);
}

static void it_is_lit_by_a_put_and_dark_when_drained(void **state)
{
	char byte;
	(void)state;
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	assert_int_equal(descriptor_of(scene->queue), fd);
	assert_false(is_readable(fd, 0));
	for (int i = 0; i < 20; i++) {
		OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
		OK(tutti_queue_put(scene->queue, "b", 1, TUTTI_NOW));
		assert_true(is_readable(fd, 2000));
		get_byte(scene->queue, 'a');
		assert_true(is_readable(fd, 2000));
		get_byte(scene->queue, 'b');
		EXPECT(TUTTI_EEMPTY, tutti_queue_get_into(scene->queue, &byte, 1, NULL, TUTTI_NOW));
		assert_false(is_readable(fd, 0));
	}
	end_scene(scene);
}

static void what_is_there_before_is_seen(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	assert_true(is_readable(descriptor_of(scene->queue), 1000));
	get_byte(scene->queue, 'a');
	end_scene(scene);
}

static void shutdown_lights_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	OK(tutti_queue_shutdown(scene->queue));
	assert_true(is_readable(fd, 2000));
	end_scene(scene);
}

static void put_in_child(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	OK(tutti_queue_put(scene->queue, "c", 1, TUTTI_NOW));
	tutti_queue_close(scene->queue);
}

static void another_process_lights_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	pid_t child = support_fork(put_in_child, scene);
	assert_false(is_readable(fd, 0));
	store_release(&scene->go, 1);
	assert_true(is_readable(fd, 5000));
	get_byte(scene->queue, 'c');
	support_join_child(child);
	end_scene(scene);
}

static int die_instead_of_waking(atomic_u32 *word, int count)
{
	(void)word, (void)count;
	kill(getpid(), SIGKILL);
	return 0;
}

static void die_in_ring(void *context)
{
	struct scene *scene = context;
	REQUIRE(tutti_queue_size(scene->queue) == 0);
	tutti__os.futex_wake = die_instead_of_waking;
	store_release(&scene->ready, (uint32_t)getpid());
	tutti_queue_put(scene->queue, "d", 1, TUTTI_NOW);
	tutti_queue_close(scene->queue); /* the helper was awake just then */
}

/* As a putter that is killed between its commit and the ring leaves it: a message, and no bell rung. */
static void a_killed_putter_is_noticed_within_a_second(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	int deaths = 0;
	for (int i = 0; i < 20 && deaths < 3; i++) {
		char byte;
		EXPECT(TUTTI_EEMPTY, tutti_queue_get_into(scene->queue, &byte, 1, NULL, TUTTI_NOW));
		pid_t child = support_fork(die_in_ring, scene);
		UNTIL(5000, load_acquire(&scene->ready) == (uint32_t)child);
		assert_true(is_readable(fd, 1000));
		get_byte(scene->queue, 'd');
		deaths += WIFSIGNALED(support_wait(child));
	}
	assert_int_equal(deaths, 3);
	end_scene(scene);
}

static void get_by_polling(void *context)
{
	struct scene *scene = context;
	uint32_t self = fetch_add_relaxed(&scene->ready, 1);
	int fd = descriptor_of(scene->queue);
	for (;;) {
		uint32_t number;
		REQUIRE(is_readable(fd, 8000));
		tutti_err err = tutti_queue_get_into(scene->queue, &number, sizeof number, NULL, TUTTI_NOW);
		if (err == TUTTI_EEMPTY)
			continue; /* the other was faster */
		if (err == TUTTI_EOF)
			break;
		OK(err);
		REQUIRE(atomic_fetch_add(&scene->seen[number], 1) == 0);
		atomic_fetch_add(&scene->got[self], 1);
	}
	tutti_queue_close(scene->queue);
}

/* The putter pauses now and then, so that both run dry and must be woken again. */
static void feed(struct scene *scene)
{
	for (uint32_t i = 0; i < MESSAGES; i++) {
		OK(tutti_queue_put(scene->queue, &i, sizeof i, TUTTI_NOW));
		if (i % 500 == 0)
			UNTIL(5000, tutti_queue_size(scene->queue) == 0);
	}
}

static void two_pollers_lose_nothing(void **state)
{
	pid_t children[2];
	(void)state;
	struct scene *scene = new_scene();
	for (int i = 0; i < 2; i++)
		children[i] = support_fork(get_by_polling, scene);
	UNTIL(5000, load_acquire(&scene->ready) == 2);
	feed(scene);
	OK(tutti_queue_shutdown(scene->queue));
	for (int i = 0; i < 2; i++)
		support_join_child(children[i]);
	for (int i = 0; i < MESSAGES; i++)
		assert_int_equal(scene->seen[i], 1);
	assert_int_equal(atomic_load(&scene->got[0]) + atomic_load(&scene->got[1]), MESSAGES);
	end_scene(scene);
}

static void get_by_epoll(void *context)
{
	struct scene *scene = context;
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);
	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, descriptor_of(scene->queue), &event) == 0);
	store_release(&scene->ready, 1);
	tutti_err err = TUTTI_OK;
	for (uint32_t expected = 0; err != TUTTI_EOF;) {
		uint32_t number;
		REQUIRE(epoll_wait(set, &event, 1, 8000) == 1);
		while ((err = tutti_queue_get_into(scene->queue, &number, sizeof number, NULL, TUTTI_NOW)) == TUTTI_OK)
			REQUIRE(number == expected++);
		REQUIRE(err == TUTTI_EEMPTY || (err == TUTTI_EOF && expected == MESSAGES));
	}
	close(set);
	tutti_queue_close(scene->queue);
}

static void epoll_loses_nothing(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	pid_t child = support_fork(get_by_epoll, scene);
	UNTIL(5000, load_acquire(&scene->ready) == 1);
	feed(scene);
	OK(tutti_queue_shutdown(scene->queue));
	support_join_child(child);
	end_scene(scene);
}

static void poll_inherited(void *context)
{
	struct scene *scene = context;
	int fd = descriptor_of(scene->queue);
	store_release(&scene->ready, 1);
	REQUIRE(is_readable(fd, 5000));
	get_byte(scene->queue, 'e');
	REQUIRE(tutti_queue_get(scene->queue, &(tutti_message){0}, TUTTI_NOW) == TUTTI_EEMPTY);
	REQUIRE(!is_readable(fd, 0));
	tutti_queue_close(scene->queue);
}

/* A child that inherited a polled queue polls it on its own; its parent's descriptor is not disturbed. */
static void a_forked_child_polls_on_its_own(void **state)
{
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* it cannot follow a forked child of a process with threads that starts one itself */
	struct scene *scene = new_scene();
	int fd = descriptor_of(scene->queue);
	pid_t child = support_fork(poll_inherited, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	OK(tutti_queue_put(scene->queue, "e", 1, TUTTI_NOW));
	support_join_child(child);
	OK(tutti_queue_put(scene->queue, "f", 1, TUTTI_NOW));
	assert_true(is_readable(fd, 2000));
	get_byte(scene->queue, 'f');
	end_scene(scene);
}

static void count_descriptors(void *context)
{
	unsigned inherited = support_descriptors();
	REQUIRE(inherited == *(unsigned *)context);
}

static void a_forked_child_has_no_descriptor_of_its_parent(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	unsigned *before = support_shared(sizeof *before);
	tutti_queue *other;
	OK(tutti_queue_open(&other, &(tutti_queue_options){.arena = scene->arena}));
	*before = support_descriptors();
	descriptor_of(scene->queue);
	tutti_queue_close(other); /* one that is closed again leaves the list in order */
	OK(tutti_queue_open(&other, &(tutti_queue_options){.arena = scene->arena}));
	descriptor_of(other);
	assert_int_equal(support_descriptors(), *before + 2);
	support_join_child(support_fork(count_descriptors, before));
	tutti_queue_close(other);
	support_join_child(support_fork(count_descriptors, &(unsigned){*before}));
	end_scene(scene);
}

static void many_queues_share_one_helper(void **state)
{
	enum { COUNT = 50 };
	tutti_queue *queues[COUNT];
	int fds[COUNT];
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* it starts a thread of its own beside the first one, and this test counts threads */
	tutti_arena *arena = support_arena(0);
	unsigned threads = tutti__thread_count(), descriptors = support_descriptors();
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = arena}));
		fds[i] = descriptor_of(queues[i]);
	}
	assert_int_equal(tutti__thread_count(), threads + 1);
	assert_int_equal(support_descriptors(), descriptors + COUNT);
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_put(queues[i], "x", 1, TUTTI_NOW));
		assert_true(is_readable(fds[i], 2000));
		if (i + 1 < COUNT)
			assert_false(is_readable(fds[i + 1], 0));
	}
	for (int i = 0; i < COUNT; i++)
		tutti_queue_close(queues[i]);
	UNTIL(5000, tutti__thread_count() == threads);
	assert_int_equal(support_descriptors(), descriptors);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue_poll[] = {
		TEST(it_is_lit_by_a_put_and_dark_when_drained),
		TEST(who_asks_for_it_again_sees_what_is_there_now),
		TEST(what_is_there_before_is_seen),
		TEST(shutdown_lights_it),
		TEST(another_process_lights_it),
		TEST(a_killed_putter_is_noticed_within_a_second),
		TEST(two_pollers_lose_nothing),
		TEST(epoll_loses_nothing),
		TEST(a_forked_child_polls_on_its_own),
		TEST(a_forked_child_has_no_descriptor_of_its_parent),
		TEST(many_queues_share_one_helper),
	};
	return RUN_TESTS(queue_poll);
}
