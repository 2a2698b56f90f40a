/* SPDX-License-Identifier: MIT */
/* The wait set: every kind of member, fairness, its descriptor, threads, members that go away, deaths. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "waitset_scene.h"

static void each_kind_is_reported_while_it_is_ready(void **state)
{
	int pair[2];
	(void)state;
	struct scene *scene = new_scene();
	tutti_waitset *set = scene->set;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
	OK(tutti_waitset_add(set, tutti_wait_queue(scene->queue, "queue")));
	OK(tutti_waitset_add(set, tutti_wait_event(scene->event, "event")));
	OK(tutti_waitset_add(set, tutti_wait_lock(scene->lock, "lock")));
	expect_none(set, TUTTI_NOW);
	expect_none(set, tutti_ms(3));
	for (int round = 0; round < 2; round++) { /* without, then with descriptors in the set */
		OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
		expect_next(set, "queue", TUTTI_NOW);
		expect_next(set, "queue", TUTTI_NOW);
		get_byte(scene->queue);
		expect_none(set, TUTTI_NOW);
		OK(tutti_event_set(scene->event));
		expect_next(set, "event", tutti_ms(1000));
		expect_next(set, "event", TUTTI_NOW);
		OK(tutti_event_clear(scene->event));
		expect_none(set, TUTTI_NOW);
		OK(tutti_lock_release(scene->lock));
		expect_next(set, "lock", TUTTI_NOW);
		OK(tutti_lock_acquire(scene->lock, TUTTI_NOW));
		expect_none(set, tutti_ms(1));
		if (round == 0)
			OK(tutti_waitset_add(set, tutti_wait_descriptor(pair[0], POLLIN, "socket")));
	}
	assert_int_equal(write(pair[1], "x", 1), 1);
	expect_next(set, "socket", TUTTI_FOREVER);
	expect_next(set, "socket", TUTTI_FOREVER);
	char byte;
	assert_int_equal(read(pair[0], &byte, 1), 1);
	expect_none(set, tutti_ms(1));
	assert_int_equal(tutti_waitset_count(set), 4);
	OK(tutti_waitset_remove(set, tutti_wait_descriptor(pair[0], POLLIN, NULL)));
	OK(tutti_waitset_add(set, tutti_wait_descriptor(pair[0], POLLIN | POLLOUT, "socket")));
	expect_next(set, "socket", TUTTI_NOW);
	close(pair[0]), close(pair[1]);
	OK(tutti_lock_release(scene->lock));
	end_scene(scene);
}

static void ready_members_have_their_turn(void **state)
{
	enum { COUNT = 5, ROUNDS = 20 };
	tutti_queue *queues[COUNT];
	int pair[2], counts[COUNT + 1] = {0};
	(void)state;
	struct scene *scene = new_scene();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = scene->arena}));
		OK(tutti_queue_put(queues[i], "a", 1, TUTTI_NOW));
		OK(tutti_waitset_add(scene->set, tutti_wait_queue(queues[i], &counts[i])));
	}
	OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(pair[0], POLLIN, &counts[COUNT])));
	for (int i = 0; i < (COUNT + 1) * ROUNDS; i++) {
		tutti_wait_item item;
		OK(tutti_waitset_next(scene->set, &item, TUTTI_NOW));
		++*(int *)item.key;
	}
	for (int i = 0; i <= COUNT; i++)
		assert_in_range(counts[i], ROUNDS - 1, ROUNDS + 1);
	for (int i = 0; i < COUNT; i++)
		tutti_queue_close(queues[i]);
	close(pair[0]), close(pair[1]);
	assert_int_equal(tutti_waitset_count(scene->set),
	                 1); /* a descriptor's entry stays until its number is used again */
	end_scene(scene);
}

static void closed_members_leave_the_set(void **state)
{
	int first[2], second[2];
	(void)state;
	struct scene *scene = new_scene();
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena}));
	OK(tutti_queue_put(queue, "a", 1, TUTTI_NOW));
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(queue, "queue")));
	EXPECT_TEXT(TUTTI_EINVAL, "already", tutti_waitset_add(scene->set, tutti_wait_queue(queue, "queue")));
	expect_next(scene->set, "queue", TUTTI_NOW);
	tutti_queue_close(queue);
	expect_none(scene->set, TUTTI_NOW);
	assert_int_equal(tutti_waitset_count(scene->set), 0);
	assert_int_equal(pipe(first), 0);
	OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(first[0], POLLIN, "first")));
	EXPECT_TEXT(TUTTI_EINVAL, "already", tutti_waitset_add(scene->set, tutti_wait_descriptor(first[0], POLLIN, NULL)));
	close(first[0]), close(first[1]);
	expect_none(scene->set, tutti_ms(1));
	assert_int_equal(pipe(second), 0);
	assert_int_equal(second[0], first[0]); /* the number is used again */
	OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(second[0], POLLIN, "second")));
	assert_int_equal(write(second[1], "x", 1), 1);
	expect_next(scene->set, "second", TUTTI_FOREVER);
	OK(tutti_waitset_remove(scene->set, tutti_wait_descriptor(second[0], POLLIN, NULL)));
	EXPECT(TUTTI_ENOENT, tutti_waitset_remove(scene->set, tutti_wait_descriptor(second[0], POLLIN, NULL)));
	EXPECT(TUTTI_ENOENT, tutti_waitset_remove(scene->set, tutti_wait_queue(scene->queue, NULL)));
	expect_none(scene->set, TUTTI_NOW);
	close(second[0]), close(second[1]);
	end_scene(scene);
}

static void bad_members_are_refused(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_arena *other = support_arena(0);
	tutti_queue *foreign;
	OK(tutti_queue_open(&foreign, &(tutti_queue_options){.arena = other}));
	EXPECT(TUTTI_EFOREIGN, tutti_waitset_add(scene->set, tutti_wait_queue(foreign, NULL)));
	EXPECT(TUTTI_EINVAL, tutti_waitset_add(scene->set, tutti_wait_queue(NULL, NULL)));
	EXPECT(TUTTI_EINVAL, tutti_waitset_add(scene->set, (tutti_wait_item){.kind = TUTTI_WAIT_NOTHING}));
	EXPECT(TUTTI_EINVAL, tutti_waitset_add(scene->set, (tutti_wait_item){.kind = (tutti_wait_kind)99}));
	EXPECT(TUTTI_EINVAL, tutti_waitset_add(scene->set, tutti_wait_descriptor(-1, POLLIN, NULL)));
	EXPECT(TUTTI_EINVAL, tutti_waitset_add(scene->set, tutti_wait_descriptor(0, 0, NULL)));
	EXPECT_TEXT(TUTTI_EINVAL, "not open", tutti_waitset_add(scene->set, tutti_wait_descriptor(999, POLLIN, NULL)));
	int folder = dup(tutti_arena_fd(scene->arena)); /* a memory file */
	EXPECT_TEXT(TUTTI_EINVAL, "always", tutti_waitset_add(scene->set, tutti_wait_descriptor(folder, POLLIN, NULL)));
	close(folder);
	assert_int_equal(tutti_waitset_count(scene->set), 0);
	tutti_waitset_close(NULL);
	tutti_queue_close(foreign);
	tutti_arena_close(other);
	end_scene(scene);
}

static void put_when_told(void *context)
{
	struct scene *scene = context;
	UNTIL(5000, load_acquire(&scene->go));
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	tutti_queue_close(scene->queue);
	tutti_event_close(scene->event);
	tutti_lock_close(scene->lock);
	tutti_waitset_close(scene->set);
}

static void another_process_wakes_it(void **state)
{
	int pair[2];
	(void)state;
	struct scene *scene = new_scene();
	assert_int_equal(pipe(pair), 0);
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(scene->queue, "queue")));
	for (int round = 0; round < 2; round++) {
		store_release(&scene->go, 0);
		pid_t child = support_fork(put_when_told, scene);
		expect_none(scene->set, tutti_ms(5));
		store_release(&scene->go, 1);
		expect_next(scene->set, "queue", tutti_ms(5000));
		get_byte(scene->queue);
		support_join_child(child);
		if (round == 0) /* then by way of the helper thread */
			OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(pair[0], POLLIN, "pipe")));
	}
	close(pair[0]), close(pair[1]);
	end_scene(scene);
}

static void use_inherited(void *context)
{
	struct scene *scene = context;
	tutti_wait_item item;
	EXPECT(TUTTI_EPERM, tutti_waitset_next(scene->set, &item, TUTTI_NOW));
	EXPECT(TUTTI_EPERM, tutti_waitset_add(scene->set, tutti_wait_event(scene->event, NULL)));
	EXPECT(TUTTI_EPERM, tutti_waitset_remove(scene->set, tutti_wait_queue(scene->queue, NULL)));
	tutti_waitset *own;
	OK(tutti_waitset_open(&own, &(tutti_waitset_options){.arena = scene->arena}));
	OK(tutti_waitset_add(own, tutti_wait_queue(scene->queue, "own")));
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	expect_next(own, "own", TUTTI_NOW);
	tutti_waitset_close(own);
	put_when_told(context);
}

static void a_forked_child_has_sets_of_its_own(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(scene->queue, "queue")));
	store_release(&scene->go, 1);
	support_join_child(support_fork(use_inherited, scene));
	expect_next(scene->set, "queue", TUTTI_NOW);
	get_byte(scene->queue);
	get_byte(scene->queue);
	expect_none(scene->set, TUTTI_NOW);
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	expect_next(scene->set, "queue", TUTTI_NOW);
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
	UNTIL(5000, support_is_asleep(getppid()));
	tutti__os.futex_wake = die_instead_of_waking;
	tutti_queue_put(scene->queue, "d", 1, TUTTI_NOW);
	put_when_told(context); /* it was awake just then */
}

/* The waiter sleeps when the putter dies, and is the only member left. */
static void a_killed_putter_is_noticed_within_a_second(void **state)
{
	int deaths = 0;
	(void)state;
	struct scene *scene = new_scene();
	store_release(&scene->go, 1);
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(scene->queue, "queue")));
	for (int i = 0; i < 20 && deaths < 3; i++) {
		pid_t child = support_fork(die_in_ring, scene);
		int64_t start = support_now();
		expect_next(scene->set, "queue", tutti_ms(5000));
		if (WIFSIGNALED(support_wait(child))) {
			deaths++;
			assert_true(support_now() - start < 1500000000LL);
		}
		while (tutti_queue_size(scene->queue))
			get_byte(scene->queue);
		expect_none(scene->set, TUTTI_NOW);
	}
	assert_int_equal(deaths, 3);
	end_scene(scene);
}

/* As a putter leaves it that was killed after it took the word away and before it set a bell. */
static void a_ring_that_was_never_made_is_found(void **state)
{
	int fds[2] = {-1, -1};
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_waitset_add(scene->set, tutti_wait_event(scene->event, "event")));
	for (int i = 0; i < 3; i++) { /* by the set's own wait, by the event's descriptor, by the set's */
		if (i == 1)
			OK(tutti_event_fd(scene->event, &fds[0]));
		if (i == 2)
			OK(tutti_waitset_fd(scene->set, &fds[1]));
		expect_none(scene->set, TUTTI_NOW);
		struct tutti__watch watch;
		struct tutti__reference *reference;
		tutti_wait_item item = tutti_wait_event(scene->event, NULL);
		OK(tutti__wait_item_watch(&item, &watch, &reference));
		exchange_acq_rel(&watch.pollable->armed, 0);
		OK(tutti_event_set(scene->event));
		if (i == 0) {
			expect_next(scene->set, "event", tutti_ms(1000));
		} else {
			struct pollfd poller = {.fd = fds[i - 1], .events = POLLIN};
			assert_int_equal(poll(&poller, 1, 1000), 1);
		}
		OK(tutti_event_clear(scene->event));
	}
	end_scene(scene);
}

struct crowd {
	struct scene *scene;
	atomic_u32 got;
};

static void *drain(void *context)
{
	struct crowd *crowd = context;
	tutti_wait_item item;
	tutti_message message;
	for (;;) {
		OK(tutti_waitset_next(crowd->scene->set, &item, TUTTI_FOREVER));
		if (strcmp(item.key, "stop") == 0)
			return NULL;
		tutti_err err = tutti_queue_get(crowd->scene->queue, &message, TUTTI_NOW);
		REQUIRE(err == TUTTI_OK || err == TUTTI_EEMPTY);
		if (err == TUTTI_OK) {
			tutti_message_release(&message);
			fetch_add_relaxed(&crowd->got, 1);
		}
	}
}

static void threads_share_a_set(void **state)
{
	enum { THREADS = 3 };
	pthread_t threads[THREADS];
	int pair[2];
	(void)state;
	struct crowd crowd = {.scene = new_scene()};
	assert_int_equal(pipe(pair), 0);
	OK(tutti_waitset_add(crowd.scene->set, tutti_wait_queue(crowd.scene->queue, "queue")));
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, drain, &crowd), 0);
	for (int i = 0; i < MESSAGES; i++) {
		OK(tutti_queue_put(crowd.scene->queue, "a", 1, TUTTI_NOW));
		if (i == MESSAGES / 2) /* while they wait */
			OK(tutti_waitset_add(crowd.scene->set, tutti_wait_descriptor(pair[0], POLLIN, "stop")));
	}
	UNTIL(10000, load_acquire(&crowd.got) == MESSAGES);
	assert_int_equal(write(pair[1], "x", 1), 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	close(pair[0]), close(pair[1]);
	end_scene(crowd.scene);
}

static void its_descriptor_shows_all_members(void **state)
{
	int fd, pair[2];
	(void)state;
	struct scene *scene = new_scene();
	assert_int_equal(pipe(pair), 0);
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(scene->queue, "queue")));
	OK(tutti_waitset_add(scene->set, tutti_wait_event(scene->event, "event")));
	OK(tutti_waitset_fd(scene->set, &fd));
	OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(pair[0], POLLIN, "pipe")));
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	expect_none(scene->set, TUTTI_NOW);
	assert_int_equal(poll(&poller, 1, 0), 0);
	for (int i = 0; i < 10; i++) {
		OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
		OK(tutti_event_set(scene->event));
		assert_int_equal(poll(&poller, 1, 2000), 1);
		tutti_wait_item item;
		OK(tutti_waitset_next(scene->set, &item, TUTTI_NOW));
		assert_int_equal(poll(&poller, 1, 0), 1); /* the other one is left */
		get_byte(scene->queue);
		OK(tutti_event_clear(scene->event));
		expect_none(scene->set, TUTTI_NOW);
		assert_int_equal(poll(&poller, 1, 0), 0);
		assert_int_equal(write(pair[1], "x", 1), 1);
		assert_int_equal(poll(&poller, 1, 0), 1);
		expect_next(scene->set, "pipe", TUTTI_NOW);
		char byte;
		assert_int_equal(read(pair[0], &byte, 1), 1);
		expect_none(scene->set, TUTTI_NOW);
	}
	close(pair[0]), close(pair[1]);
	end_scene(scene);
}

TUTTI_TASK(end_at_once)
{
	(void)task;
	return TUTTI_OK;
}

static void the_end_of_a_process_is_reported(void **state)
{
	tutti_process *process;
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_waitset_add(scene->set, tutti_wait_queue(scene->queue, "queue")));
	OK(tutti_process_start(&process, "end_at_once",
	                       &(tutti_process_options){.arena = scene->arena, .start = TUTTI_FORK}));
	OK(tutti_waitset_add(scene->set, tutti_wait_process(process, "process")));
	expect_next(scene->set, "process", tutti_ms(5000));
	OK(tutti_process_wait(process, NULL, TUTTI_FOREVER));
	expect_next(scene->set, "process", TUTTI_NOW);
	tutti_process_close(process);
	expect_none(scene->set, tutti_ms(1));
	end_scene(scene);
}

static tutti_event *event_of_handler;
static void set_event(int number)
{
	(void)number;
	tutti_event_set(event_of_handler);
}

/* The handler interrupts the very code that arms and looks. */
static void an_event_may_be_set_in_a_signal_handler(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	event_of_handler = scene->event;
	struct sigaction action = {.sa_handler = set_event, .sa_flags = SA_RESTART}, old;
	sigaction(SIGUSR1, &action, &old);
	OK(tutti_waitset_add(scene->set, tutti_wait_event(scene->event, "event")));
	pid_t self = getpid(), child = fork();
	if (child == 0) {
		for (int i = 0; i < 2000; i++)
			kill(self, SIGUSR1);
		_exit(0);
	}
	int status;
	for (bool alive = true; alive;) {
		tutti_wait_item item;
		tutti_err err = tutti_waitset_next(scene->set, &item, tutti_ms(1));
		REQUIRE(err == TUTTI_OK || err == TUTTI_ETIMEDOUT || err == TUTTI_EINTR);
		OK(tutti_event_clear(scene->event));
		alive = waitpid(child, &status, WNOHANG) != child;
	}
	OK(tutti_event_set(scene->event));
	expect_next(scene->set, "event", TUTTI_NOW);
	sigaction(SIGUSR1, &old, NULL);
	end_scene(scene);
}

static void get_by_set(void *context)
{
	struct scene *scene = context;
	tutti_waitset *set;
	tutti_wait_item item;
	uint32_t number;
	OK(tutti_waitset_open(&set, &(tutti_waitset_options){.arena = scene->arena}));
	OK(tutti_waitset_add(set, tutti_wait_queue(scene->queue, NULL)));
	fetch_add_relaxed(&scene->ready, 1);
	for (tutti_err err = TUTTI_OK; err != TUTTI_EOF;) {
		OK(tutti_waitset_next(set, &item, tutti_ms(8000)));
		err = tutti_queue_get_into(scene->queue, &number, sizeof number, NULL, TUTTI_NOW);
		REQUIRE(err == TUTTI_OK || err == TUTTI_EEMPTY || err == TUTTI_EOF);
		if (err == TUTTI_OK)
			REQUIRE(atomic_fetch_add(&scene->seen[number], 1) == 0);
	}
	tutti_waitset_close(set);
	tutti_queue_close(scene->queue);
}

static void two_processes_lose_nothing(void **state)
{
	pid_t children[2];
	(void)state;
	struct scene *scene = new_scene();
	for (int i = 0; i < 2; i++)
		children[i] = support_fork(get_by_set, scene);
	UNTIL(5000, load_acquire(&scene->ready) == 2);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		OK(tutti_queue_put(scene->queue, &i, sizeof i, TUTTI_NOW));
		if (i % 500 == 0)
			UNTIL(5000, tutti_queue_size(scene->queue) == 0);
	}
	OK(tutti_queue_shutdown(scene->queue));
	for (int i = 0; i < 2; i++)
		support_join_child(children[i]);
	for (int i = 0; i < MESSAGES; i++)
		assert_int_equal(scene->seen[i], 1);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	const struct CMUnitTest waitset[] = {
		TEST(each_kind_is_reported_while_it_is_ready),
		TEST(ready_members_have_their_turn),
		TEST(closed_members_leave_the_set),
		TEST(bad_members_are_refused),
		TEST(another_process_wakes_it),
		TEST(a_forked_child_has_sets_of_its_own),
		TEST(a_killed_putter_is_noticed_within_a_second),
		TEST(a_ring_that_was_never_made_is_found),
		TEST(two_processes_lose_nothing),
		TEST(threads_share_a_set),
		TEST(its_descriptor_shows_all_members),
		TEST(the_end_of_a_process_is_reported),
		TEST(an_event_may_be_set_in_a_signal_handler),
	};
	return RUN_TESTS(waitset);
}
