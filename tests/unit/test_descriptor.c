/* SPDX-License-Identifier: MIT */
/* Handing descriptors over: forked, spawned, siblings; once; deaths and stops on either side. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
	tutti_queue *queue; /* values travel here */
	int pipe[2];
	unsigned descriptors; /* open before there was a scene */
	atomic_u32 ready, go;
	_Atomic uint32_t taken;
};

static struct scene *new_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->descriptors = support_descriptors();
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	assert_int_equal(pipe2(scene->pipe, O_CLOEXEC), 0);
	return scene;
}

/* What was handed over is there a moment before the giver's thread has closed its own; then the count is exact. */
static void end_scene(struct scene *scene)
{
	int64_t deadline = support_now() + tutti_seconds(10);
	tutti_queue_close(scene->queue);
	close(scene->pipe[0]), close(scene->pipe[1]);
	tutti_arena_close(scene->arena);
	while (support_descriptors() > scene->descriptors && support_now() < deadline)
		sched_yield();
}

static void send_value(tutti_queue *queue, tutti_descriptor value)
{
	OK(tutti_queue_put(queue, &value, sizeof value, TUTTI_NOW));
}

static tutti_descriptor receive_value(tutti_queue *queue)
{
	tutti_descriptor value;
	OK(tutti_queue_get_into(queue, &value, sizeof value, NULL, tutti_ms(5000)));
	return value;
}

static tutti_descriptor give(struct scene *scene, int fd)
{
	tutti_descriptor value;
	OK(tutti_descriptor_give(scene->arena, fd, &value));
	return value;
}

static void expect_byte(struct scene *scene, char expected)
{
	char byte = 0;
	REQUIRE(read(scene->pipe[0], &byte, 1) == 1 && byte == expected);
}

static void take_and_write(struct scene *scene, char byte)
{
	int fd;
	OK(tutti_descriptor_take(scene->arena, receive_value(scene->queue), &fd, tutti_ms(5000)));
	REQUIRE(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	REQUIRE(write(fd, &byte, 1) == 1);
	close(fd);
}

static void take_in_child(void *context)
{
	struct scene *scene = context;
	close(scene->pipe[1]); /* the inherited one: what it writes to comes by the value */
	take_and_write(scene, 'a');
	tutti_queue_close(scene->queue);
}

static void a_child_takes_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	unsigned descriptors = support_descriptors();
	for (int i = 0; i < 20; i++) {
		pid_t child = support_fork(take_in_child, scene);
		send_value(scene->queue, give(scene, scene->pipe[1]));
		expect_byte(scene, 'a');
		support_join_child(child);
	}
	UNTIL(5000, support_descriptors() == descriptors);
	if (!support_has_thread_sanitizer())
		UNTIL(5000, tutti__thread_count() == 1);
	end_scene(scene);
}

static void give_in_child(void *context)
{
	struct scene *scene = context;
	send_value(scene->queue, give(scene, scene->pipe[1]));
	store_release(&scene->ready, 1);
	UNTIL(10000, load_acquire(&scene->go));
	tutti_queue_close(scene->queue);
}

static void siblings_hand_it_over(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	pid_t giver = support_fork(give_in_child, scene), taker = support_fork(take_in_child, scene);
	expect_byte(scene, 'a');
	support_join_child(taker);
	store_release(&scene->go, 1);
	support_join_child(giver);
	end_scene(scene);
}

struct invitation {
	tutti_handle queue;
};

TUTTI_TASK(take_when_spawned)
{
	struct scene scene = {.arena = NULL};
	struct invitation invitation;
	memcpy(&invitation, tutti_task_input(task).data, sizeof invitation);
	OK(tutti_queue_at(&scene.queue, NULL, invitation.queue));
	take_and_write(&scene, 's');
	tutti_queue_close(scene.queue);
	return TUTTI_OK;
}

static void a_spawned_process_takes_it(void **state)
{
	tutti_process *process;
	(void)state;
	struct scene *scene = new_scene();
	struct invitation invitation = {tutti_queue_handle(scene->queue)};
	send_value(scene->queue, give(scene, scene->pipe[1]));
	OK(tutti_process_start(&process, "take_when_spawned",
	                       &(tutti_process_options){.arena = scene->arena,
	                                                .start = TUTTI_SPAWN,
	                                                .input = {&invitation, sizeof invitation}}));
	expect_byte(scene, 's');
	OK(tutti_process_wait(process, NULL, tutti_ms(5000)));
	tutti_process_close(process);
	end_scene(scene);
}

static void it_is_taken_once(void **state)
{
	int fd;
	(void)state;
	struct scene *scene = new_scene();
	unsigned descriptors = support_descriptors();
	tutti_descriptor value = give(scene, scene->pipe[1]), other = give(scene, scene->pipe[0]);
	OK(tutti_descriptor_take(scene->arena, value, &fd, TUTTI_NOW)); /* by the giver itself */
	assert_int_equal(write(fd, "x", 1), 1);
	expect_byte(scene, 'x');
	close(fd);
	EXPECT_TEXT(TUTTI_ESTALE, "once", tutti_descriptor_take(scene->arena, value, &fd, TUTTI_NOW));
	assert_int_equal(fd, -1);
	EXPECT(TUTTI_ESTALE, tutti_descriptor_drop(scene->arena, value));
	OK(tutti_descriptor_drop(scene->arena, other));
	EXPECT(TUTTI_ESTALE, tutti_descriptor_drop(scene->arena, other));
	assert_int_equal(support_descriptors(), descriptors);
	if (!support_has_thread_sanitizer())
		assert_int_equal(tutti__thread_count(), 1);
	end_scene(scene);
}

static void bad_values_are_refused(void **state)
{
	int fd;
	tutti_descriptor value;
	(void)state;
	struct scene *scene = new_scene();
	tutti_arena *other = support_arena(0);
	EXPECT(TUTTI_EINVAL, tutti_descriptor_give(scene->arena, -1, &value));
	EXPECT_TEXT(TUTTI_EINVAL, "999", tutti_descriptor_give(scene->arena, 999, &value));
	value = give(scene, scene->pipe[1]);
	EXPECT(TUTTI_EFOREIGN, tutti_descriptor_take(other, value, &fd, TUTTI_NOW));
	tutti_descriptor bad = value;
	bad.ticket += 77;
	EXPECT(TUTTI_ESTALE, tutti_descriptor_take(scene->arena, bad, &fd, TUTTI_NOW));
	bad = value;
	bad.member ^= 0x7fffffff;
	EXPECT(TUTTI_ESTALE, tutti_descriptor_take(scene->arena, bad, &fd, TUTTI_NOW));
	EXPECT(TUTTI_EPERM, tutti_descriptor_drop(scene->arena, bad));
	OK(tutti_descriptor_drop(scene->arena, value));
	tutti_arena_close(other);
	end_scene(scene);
}

/* A second member of this process asks by way of the socket. */
static void another_member_of_the_process_takes_it(void **state)
{
	int fd;
	(void)state;
	struct scene *scene = new_scene();
	tutti_arena *second = support_join(scene->arena);
	tutti_descriptor value = give(scene, scene->pipe[1]), bad = value;
	EXPECT(TUTTI_EPERM, tutti_descriptor_drop(second, value));
	bad.ticket++;
	EXPECT(TUTTI_ESTALE, tutti_descriptor_take(second, bad, &fd, tutti_ms(5000)));
	OK(tutti_descriptor_take(second, value, &fd, tutti_ms(5000)));
	close(fd);
	EXPECT_TEXT(TUTTI_ESTALE, "once", tutti_descriptor_take(second, value, &fd, tutti_ms(5000)));
	tutti_arena_close(second);
	end_scene(scene);
}

static void a_dead_givers_is_refused(void **state)
{
	int fd;
	(void)state;
	struct scene *scene = new_scene();
	pid_t giver = support_fork(give_in_child, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	support_kill(giver);
	tutti_descriptor value = receive_value(scene->queue);
	EXPECT_TEXT(TUTTI_ESTALE, "ended", tutti_descriptor_take(scene->arena, value, &fd, TUTTI_FOREVER));
	close(scene->pipe[1]);
	char byte;
	assert_int_equal(read(scene->pipe[0], &byte, 1), 0); /* nobody holds the other end */
	tutti_arena_sweep(scene->arena);
	EXPECT(TUTTI_ESTALE, tutti_descriptor_take(scene->arena, value, &fd, TUTTI_FOREVER));
	scene->pipe[1] = dup(scene->pipe[0]);
	end_scene(scene);
}

static void kill_soon(void *context)
{
	pid_t *victim = context;
	UNTIL(5000, support_is_asleep(getppid()));
	kill(*victim, SIGKILL);
}

static void a_stopped_giver_still_has_it(void **state)
{
	int fd;
	(void)state;
	struct scene *scene = new_scene();
	pid_t giver = support_fork(give_in_child, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	tutti_descriptor value = receive_value(scene->queue);
	support_stop(giver);
	EXPECT_TEXT(TUTTI_EBUSY, "stopped", tutti_descriptor_take(scene->arena, value, &fd, TUTTI_NOW));
	EXPECT(TUTTI_ETIMEDOUT, tutti_descriptor_take(scene->arena, value, &fd, tutti_ms(50)));
	kill(giver, SIGCONT);
	OK(tutti_descriptor_take(scene->arena, value, &fd, tutti_ms(5000)));
	close(fd);
	send_value(scene->queue, value);
	store_release(&scene->go, 1);
	support_join_child(giver);
	receive_value(scene->queue);
	end_scene(scene);
}

static void a_giver_that_is_killed_meanwhile_ends_the_wait(void **state)
{
	int fd;
	(void)state;
	struct scene *scene = new_scene();
	pid_t giver = support_fork(give_in_child, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	support_stop(giver);
	pid_t killer = support_fork(kill_soon, &giver);
	EXPECT_TEXT(TUTTI_ESTALE, "ended",
	            tutti_descriptor_take(scene->arena, receive_value(scene->queue), &fd, TUTTI_FOREVER));
	support_join_child(killer);
	support_wait(giver);
	end_scene(scene);
}

static void race_for_it(void *context)
{
	struct scene *scene = context;
	int fd;
	tutti_descriptor value = receive_value(scene->queue);
	fetch_add_relaxed(&scene->ready, 1);
	UNTIL(5000, load_acquire(&scene->go));
	tutti_err err = tutti_descriptor_take(scene->arena, value, &fd, tutti_ms(5000));
	REQUIRE(err == TUTTI_OK || err == TUTTI_ESTALE);
	fetch_add_relaxed(&scene->taken, err == TUTTI_OK);
	tutti_queue_close(scene->queue);
}

static void of_many_takers_one_gets_it(void **state)
{
	enum { COUNT = 6 };
	pid_t children[COUNT];
	(void)state;
	struct scene *scene = new_scene();
	tutti_descriptor value;
	for (int i = 0; i < COUNT; i++)
		children[i] = support_fork(race_for_it, scene);
	value = give(scene, scene->pipe[1]);
	for (int i = 0; i < COUNT; i++)
		send_value(scene->queue, value);
	UNTIL(5000, load_acquire(&scene->ready) == COUNT);
	store_release(&scene->go, 1);
	for (int i = 0; i < COUNT; i++)
		support_join_child(children[i]);
	assert_int_equal(scene->taken, 1);
	end_scene(scene);
}

static void take_all_and_die(void *context)
{
	struct scene *scene = context;
	for (;;) {
		int fd;
		tutti_err err = tutti_descriptor_take(scene->arena, receive_value(scene->queue), &fd, tutti_ms(5000));
		REQUIRE(err == TUTTI_OK || err == TUTTI_ESTALE);
		if (fetch_add_relaxed(&scene->taken, 1) == 5)
			store_release(&scene->ready, 1);
		close(fd);
	}
}

/* Takers killed at any moment: what they did not take the giver still has, and nothing else is left open. */
static void killed_takers_leave_nothing(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	unsigned descriptors = support_descriptors();
	for (int round = 0; round < 5; round++) {
		tutti_descriptor values[100];
		for (int i = 0; i < 100; i++) {
			values[i] = give(scene, scene->pipe[1]);
			send_value(scene->queue, values[i]);
		}
		assert_int_equal(support_descriptors(), descriptors + 101);
		store_release(&scene->ready, 0);
		scene->taken = 0;
		pid_t taker = support_fork(take_all_and_die, scene);
		UNTIL(5000, load_acquire(&scene->ready));
		support_kill(taker);
		for (int i = 0; i < 100; i++) {
			tutti_err err = tutti_descriptor_drop(scene->arena, values[i]);
			REQUIRE(err == TUTTI_OK || err == TUTTI_ESTALE);
		}
		UNTIL(5000, support_descriptors() == descriptors);
		while (tutti_queue_size(scene->queue))
			receive_value(scene->queue);
	}
	end_scene(scene);
}

static void wait_and_go(void *context)
{
	struct scene *scene = context;
	store_release(&scene->ready, support_descriptors());
	UNTIL(5000, load_acquire(&scene->go));
}

/* Else the file would stay open as long as the child runs. */
static void a_forked_child_does_not_keep_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	unsigned before = support_descriptors();
	tutti_descriptor value = give(scene, scene->pipe[1]);
	pid_t child = support_fork(wait_and_go, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	assert_int_equal(scene->ready, before);
	OK(tutti_descriptor_drop(scene->arena, value));
	store_release(&scene->go, 1);
	support_join_child(child);
	end_scene(scene);
}

static void without_room_it_stays_with_the_giver(void **state)
{
	int fd;
	struct rlimit limit, old;
	(void)state;
	struct scene *scene = new_scene();
	pid_t giver = support_fork(give_in_child, scene);
	tutti_descriptor value = receive_value(scene->queue);
	getrlimit(RLIMIT_NOFILE, &old);
	int highest = dup(0);
	for (unsigned spare = 0; spare < 2; spare++) { /* none; one, which the socket takes */
		limit = old;
		limit.rlim_cur = (rlim_t)highest + spare;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (spare)
			close(highest);
		EXPECT(TUTTI_EDESCRIPTORS, tutti_descriptor_take(scene->arena, value, &fd, tutti_ms(5000)));
		setrlimit(RLIMIT_NOFILE, &old);
		if (spare == 0)
			continue;
	}
	OK(tutti_descriptor_take(scene->arena, value, &fd, tutti_ms(5000)));
	close(fd);
	store_release(&scene->go, 1);
	support_join_child(giver);
	end_scene(scene);
}

static void take_as_another_user(void *context)
{
	struct scene *scene = context;
	int fd;
	tutti_descriptor value = receive_value(scene->queue);
	REQUIRE(setuid(65534) == 0);
	EXPECT_TEXT(TUTTI_EPERM, "users", tutti_descriptor_take(scene->arena, value, &fd, TUTTI_FOREVER));
	tutti_queue_close(scene->queue);
}

/* The giver, root here, does not give it to just anybody, and the taker does not ask for ever. */
static void another_user_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct scene *scene = new_scene();
	pid_t child = support_fork(take_as_another_user, scene);
	tutti_descriptor value = give(scene, scene->pipe[1]);
	send_value(scene->queue, value);
	support_join_child(child);
	OK(tutti_descriptor_drop(scene->arena, value));
	end_scene(scene);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	const struct CMUnitTest descriptor[] = {
		TEST(a_child_takes_it),
		TEST(siblings_hand_it_over),
		TEST(a_spawned_process_takes_it),
		TEST(it_is_taken_once),
		TEST(bad_values_are_refused),
		TEST(another_user_is_refused),
		TEST(another_member_of_the_process_takes_it),
		TEST(a_dead_givers_is_refused),
		TEST(a_stopped_giver_still_has_it),
		TEST(a_giver_that_is_killed_meanwhile_ends_the_wait),
		TEST(of_many_takers_one_gets_it),
		TEST(killed_takers_leave_nothing),
		TEST(a_forked_child_does_not_keep_it),
		TEST(without_room_it_stays_with_the_giver),
	};
	return RUN_TESTS(descriptor);
}
