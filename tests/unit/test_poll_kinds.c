/* SPDX-License-Identifier: MIT */
/* The descriptors of all kinds but the queue's for messages and the event's: when they are readable, and when not. */
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "os/os.h"
#include "support.h"

struct scene {
	tutti_arena *arena;
};

static struct scene *new_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	return scene;
}

static void end_scene(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(scene->arena);
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

static void a_lock_is_readable_while_it_is_free(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_lock *lock, *other;
	int fd;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
	OK(tutti_lock_at(&other, scene->arena, tutti_lock_handle(lock)));
	OK(tutti_lock_fd(lock, &fd));
	for (int i = 0; i < 20; i++) {
		assert_true(is_readable(fd, 2000));
		OK(tutti_lock_acquire(other, TUTTI_NOW));
		EXPECT(TUTTI_EBUSY, tutti_lock_acquire(lock, TUTTI_NOW));
		assert_false(is_readable(fd, 0));
		OK(tutti_lock_release(other));
	}
	tutti_lock_close(lock);
	tutti_lock_close(other);
	end_scene(scene);
}

static void hold(void *lock)
{
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	support_pause_forever();
}

static void a_killed_holder_leaves_it_readable(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_lock *lock;
	int fd;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
	pid_t holder = support_fork(hold, lock);
	UNTIL(5000, tutti_lock_holder(lock) != 0);
	OK(tutti_lock_fd(lock, &fd));
	assert_false(is_readable(fd, 0));
	support_kill(holder);
	assert_true(is_readable(fd, 2000));
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(lock, TUTTI_NOW));
	tutti_lock_close(lock);
	end_scene(scene);
}

static void a_recursive_lock_too(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_rlock *rlock;
	int fd;
	OK(tutti_rlock_open(&rlock, &(tutti_rlock_options){.arena = scene->arena}));
	OK(tutti_rlock_acquire(rlock, TUTTI_NOW));
	OK(tutti_rlock_fd(rlock, &fd));
	assert_false(is_readable(fd, 0));
	OK(tutti_rlock_release(rlock));
	assert_true(is_readable(fd, 2000));
	tutti_rlock_close(rlock);
	end_scene(scene);
}

static void a_semaphore_is_readable_while_permits_are_left(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_semaphore *semaphore, *other;
	int fd;
	OK(tutti_semaphore_open(&semaphore, 0, &(tutti_semaphore_options){.arena = scene->arena}));
	OK(tutti_semaphore_at(&other, scene->arena, tutti_semaphore_handle(semaphore)));
	OK(tutti_semaphore_fd(semaphore, &fd));
	for (int i = 0; i < 20; i++) {
		assert_false(is_readable(fd, 0));
		OK(tutti_semaphore_release(other, 2));
		assert_true(is_readable(fd, 2000));
		OK(tutti_semaphore_acquire(semaphore, TUTTI_NOW));
		assert_true(is_readable(fd, 0));
		OK(tutti_semaphore_acquire(semaphore, TUTTI_NOW));
		EXPECT(TUTTI_EBUSY, tutti_semaphore_acquire(semaphore, TUTTI_NOW));
	}
	tutti_semaphore_close(semaphore);
	tutti_semaphore_close(other);
	end_scene(scene);
}

static void get_one(tutti_queue *queue)
{
	char byte[64];
	OK(tutti_queue_get_into(queue, byte, sizeof byte, NULL, TUTTI_NOW));
}

static void room_is_readable_for_what_was_refused(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_queue *queue, *other;
	int fd;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena, .max_bytes = 10}));
	OK(tutti_queue_at(&other, scene->arena, tutti_queue_handle(queue)));
	OK(tutti_queue_room_fd(queue, &fd));
	assert_true(is_readable(fd, 2000));
	for (int i = 0; i < 20; i++) {
		OK(tutti_queue_put(queue, "1234", 4, TUTTI_NOW));
		OK(tutti_queue_put(queue, "12", 2, TUTTI_NOW));
		OK(tutti_queue_put(queue, "123", 3, TUTTI_NOW));
		EXPECT(TUTTI_EFULL, tutti_queue_put(queue, "123456", 6, TUTTI_NOW));
		assert_false(is_readable(fd, 0)); /* there is room for one byte */
		get_one(other);
		assert_false(is_readable(fd, 0)); /* for five */
		get_one(other);
		assert_true(is_readable(fd, 2000)); /* for seven */
		OK(tutti_queue_put(queue, "123456", 6, TUTTI_NOW));
		get_one(other);
		get_one(other);
	}
	OK(tutti_queue_put(queue, "1234567890", 10, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, "1", 1, TUTTI_NOW));
	assert_false(is_readable(fd, 0));
	OK(tutti_queue_shutdown(other));
	assert_true(is_readable(fd, 2000));
	tutti_queue_close(queue);
	tutti_queue_close(other);
	end_scene(scene);
}

static void done_is_readable_when_all_is_done(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_queue *queue, *other, *plain;
	int fd;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena, .joinable = true}));
	OK(tutti_queue_at(&other, scene->arena, tutti_queue_handle(queue)));
	OK(tutti_queue_done_fd(queue, &fd));
	for (int i = 0; i < 20; i++) {
		assert_true(is_readable(fd, 2000));
		OK(tutti_queue_put(other, "a", 1, TUTTI_NOW));
		EXPECT(TUTTI_ETIMEDOUT, tutti_queue_join(queue, TUTTI_NOW));
		get_one(other);
		assert_false(is_readable(fd, 0));
		OK(tutti_queue_task_done(other));
	}
	OK(tutti_queue_open(&plain, &(tutti_queue_options){.arena = scene->arena}));
	EXPECT_TEXT(TUTTI_EINVAL, ".joinable", tutti_queue_done_fd(plain, &fd));
	tutti_queue_close(plain);
	tutti_queue_close(queue);
	tutti_queue_close(other);
	end_scene(scene);
}

static void a_condition_tells_of_tickets_that_were_asked_for(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_condition *condition, *other;
	uint64_t first, second, third;
	int fd, again;
	OK(tutti_condition_open(&condition, &(tutti_condition_options){.arena = scene->arena}));
	OK(tutti_condition_at(&other, scene->arena, tutti_condition_handle(condition)));
	OK(tutti_condition_enlist(condition, &first));
	OK(tutti_condition_enlist(condition, &second));
	OK(tutti_condition_enlist(condition, &third));
	OK(tutti_condition_fd(condition, second, &fd));
	OK(tutti_condition_notify(other, 1, NULL)); /* the first: nobody polls for it */
	EXPECT(TUTTI_ETIMEDOUT, tutti_condition_await(condition, second, TUTTI_NOW));
	assert_false(is_readable(fd, 0));
	OK(tutti_condition_fd(condition, first, &again));
	assert_int_equal(again, fd);
	assert_true(is_readable(fd, 0)); /* it was notified before it was asked for */
	OK(tutti_condition_await(condition, first, TUTTI_NOW));
	assert_false(is_readable(fd, 0)); /* seen: it need not be told of again, though it is enlisted */
	OK(tutti_condition_notify(other, UINT32_MAX, NULL));
	assert_true(is_readable(fd, 2000));
	OK(tutti_condition_await(condition, second, TUTTI_NOW));
	assert_false(is_readable(fd, 0));
	assert_true(tutti_condition_leave(condition, first));
	assert_true(tutti_condition_leave(condition, second));
	assert_true(tutti_condition_leave(condition, third));
	EXPECT(TUTTI_EINVAL, tutti_condition_fd(condition, first, &fd));
	tutti_condition_close(condition);
	tutti_condition_close(other);
	end_scene(scene);
}

static bool count_run(void *runs)
{
	++*(int *)runs;
	return true;
}

static void a_barrier_in_steps(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_barrier *barrier;
	uint64_t tickets[3];
	uint32_t indexes[3];
	int fd, runs = 0;
	OK(tutti_barrier_open(&barrier, 3, &(tutti_barrier_options){.arena = scene->arena}));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3; i++)
			OK(tutti_barrier_enlist(barrier, &tickets[i]));
		for (int i = 0; i < 2; i++)
			EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, tickets[i], count_run, &runs, &indexes[i]));
		assert_int_equal(tutti_barrier_waiting(barrier), 2);
		OK(tutti_barrier_fd(barrier, tickets[0], &fd));
		OK(tutti_barrier_fd(barrier, tickets[1], &fd));
		assert_false(is_readable(fd, 0));
		OK(tutti_barrier_try(barrier, tickets[2], count_run, &runs, &indexes[2]));
		assert_true(is_readable(fd, 2000));
		OK(tutti_barrier_try(barrier, tickets[1], count_run, &runs, &indexes[1]));
		assert_true(is_readable(fd, 0));
		OK(tutti_barrier_try(barrier, tickets[0], count_run, &runs, &indexes[0]));
		assert_false(is_readable(fd, 0));
		assert_int_equal(indexes[0] + indexes[1] + indexes[2], 3);
		EXPECT(TUTTI_EINVAL, tutti_barrier_try(barrier, tickets[0], NULL, NULL, NULL));
	}
	assert_int_equal(runs, 20);
	tutti_barrier_close(barrier);
	end_scene(scene);
}

static void a_party_in_steps_that_leaves(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_barrier *barrier;
	uint64_t first, second;
	OK(tutti_barrier_open(&barrier, 2, &(tutti_barrier_options){.arena = scene->arena}));
	OK(tutti_barrier_enlist(barrier, &first));
	tutti_barrier_leave(barrier, first, true); /* it had not arrived */
	assert_false(tutti_barrier_is_broken(barrier));
	OK(tutti_barrier_enlist(barrier, &first));
	EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, first, NULL, NULL, NULL));
	tutti_barrier_leave(barrier, first, false);
	assert_int_equal(tutti_barrier_waiting(barrier), 0);
	OK(tutti_barrier_enlist(barrier, &second));
	tutti_barrier_leave(barrier, first, true); /* used up: another's place by now */
	EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, second, NULL, NULL, NULL));
	tutti_barrier_leave(barrier, second, true);
	assert_true(tutti_barrier_is_broken(barrier));
	OK(tutti_barrier_enlist(barrier, &first));
	EXPECT_TEXT(TUTTI_EBROKEN, "in time", tutti_barrier_try(barrier, first, NULL, NULL, NULL));
	tutti_barrier_leave(barrier, first, true);
	tutti_barrier_close(barrier);
	end_scene(scene);
}

static void arrive_and_stay(void *barrier)
{
	uint64_t ticket;
	OK(tutti_barrier_enlist(barrier, &ticket));
	EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, ticket, NULL, NULL, NULL));
	support_pause_forever();
}

static void a_killed_party_in_steps_breaks_it(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_barrier *barrier;
	uint64_t ticket;
	int fd;
	OK(tutti_barrier_open(&barrier, 3, &(tutti_barrier_options){.arena = scene->arena}));
	OK(tutti_barrier_enlist(barrier, &ticket));
	EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, ticket, NULL, NULL, NULL));
	OK(tutti_barrier_fd(barrier, ticket, &fd));
	pid_t party = support_fork(arrive_and_stay, barrier);
	UNTIL(5000, tutti_barrier_waiting(barrier) == 2);
	assert_false(is_readable(fd, 0));
	support_kill(party);
	assert_true(is_readable(fd, 2000));
	EXPECT_TEXT(TUTTI_EBROKEN, "ended while it waited", tutti_barrier_try(barrier, ticket, NULL, NULL, NULL));
	tutti_barrier_close(barrier);
	end_scene(scene);
}

/*
 * All of the above would pass, late, if nobody rang: the helper looks by itself now and then. Here its sleep and its
 * clock stand still: it looks at what is rung, and at nothing else.
 */
static int (*real_futex_wait)(atomic_u32 *word, uint32_t expected, int64_t deadline);

static int64_t stand_still(void) { return 1000000000; }

static int sleep_without_tick(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	/* A deadline that has come is a question that does not wait. */
	return deadline <= stand_still() ? ETIMEDOUT : real_futex_wait(word, expected, INT64_MAX);
}

static void each_change_rings(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	tutti_lock *lock;
	tutti_semaphore *semaphore;
	tutti_queue *queue;
	tutti_condition *condition;
	tutti_barrier *barrier, *other;
	uint64_t ticket, party, last;
	int fds[6];
	real_futex_wait = tutti__os.futex_wait;
	tutti__os.clock_now = stand_still;
	tutti__os.futex_wait = sleep_without_tick;

	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene->arena}));
	OK(tutti_semaphore_open(&semaphore, 0, &(tutti_semaphore_options){.arena = scene->arena}));
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = scene->arena, .max_items = 1, .joinable = true}));
	OK(tutti_condition_open(&condition, &(tutti_condition_options){.arena = scene->arena}));
	OK(tutti_barrier_open(&barrier, 2, &(tutti_barrier_options){.arena = scene->arena}));
	OK(tutti_barrier_at(&other, scene->arena, tutti_barrier_handle(barrier)));
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_queue_put(queue, "a", 1, TUTTI_NOW));
	OK(tutti_condition_enlist(condition, &ticket));
	OK(tutti_barrier_enlist(barrier, &party));
	EXPECT(TUTTI_EBUSY, tutti_barrier_try(barrier, party, NULL, NULL, NULL));

	OK(tutti_lock_fd(lock, &fds[0]));
	OK(tutti_semaphore_fd(semaphore, &fds[1]));
	OK(tutti_queue_room_fd(queue, &fds[2]));
	OK(tutti_queue_done_fd(queue, &fds[3]));
	OK(tutti_condition_fd(condition, ticket, &fds[4]));
	OK(tutti_barrier_fd(barrier, party, &fds[5]));
	for (int i = 0; i < 6; i++)
		assert_int_equal(poll(&(struct pollfd){.fd = fds[i], .events = POLLIN}, 1, 0), 0);

	OK(tutti_lock_release(lock));
	OK(tutti_semaphore_release(semaphore, 1));
	get_one(queue);
	OK(tutti_queue_task_done(queue));
	OK(tutti_condition_notify(condition, 1, NULL));
	OK(tutti_barrier_enlist(other, &last)); /* by another handle: this one's looks for itself */
	OK(tutti_barrier_try(other, last, NULL, NULL, NULL));
	for (int i = 0; i < 6; i++)
		assert_int_equal(poll(&(struct pollfd){.fd = fds[i], .events = POLLIN}, 1, 5000), 1);

	OK(tutti_queue_put(queue, "a", 1, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_queue_put(queue, "b", 1, TUTTI_NOW));
	assert_int_equal(poll(&(struct pollfd){.fd = fds[2], .events = POLLIN}, 1, 0), 0);
	OK(tutti_queue_shutdown(queue));
	assert_int_equal(poll(&(struct pollfd){.fd = fds[2], .events = POLLIN}, 1, 5000), 1);

	OK(tutti_barrier_try(barrier, party, NULL, NULL, NULL));
	assert_true(tutti_condition_leave(condition, ticket));
	tutti_lock_close(lock);
	tutti_semaphore_close(semaphore);
	tutti_queue_close(queue);
	tutti_condition_close(condition);
	tutti_barrier_close(barrier);
	tutti_barrier_close(other);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest poll_kinds[] = {
		TEST(a_lock_is_readable_while_it_is_free),
		TEST(a_killed_holder_leaves_it_readable),
		TEST(a_recursive_lock_too),
		TEST(a_semaphore_is_readable_while_permits_are_left),
		TEST(room_is_readable_for_what_was_refused),
		TEST(done_is_readable_when_all_is_done),
		TEST(a_condition_tells_of_tickets_that_were_asked_for),
		TEST(a_barrier_in_steps),
		TEST(a_party_in_steps_that_leaves),
		TEST(a_killed_party_in_steps_breaks_it),
		TEST(each_change_rings),
	};
	return RUN_TESTS(poll_kinds);
}
