/* SPDX-License-Identifier: MIT */
/* The wait set and what is in it: pipe ends, joinable queues, every lock, semaphores; and what their deaths tell. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "waitset_scene.h"

static void close_copies(struct scene *scene)
{
	tutti_queue_close(scene->queue);
	tutti_event_close(scene->event);
	tutti_lock_close(scene->lock);
}

static tutti_err receive(tutti_pipe *end)
{
	char byte;
	return tutti_pipe_receive_into(end, &byte, 1, NULL, TUTTI_NOW);
}

static void a_pipe_end_is_ready_when_a_receive_would_not_wait(void **state)
{
	int fd;
	tutti_pipe *near, *far;
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_pipe_open(&near, &far, &(tutti_pipe_options){.arena = scene->arena, .name = "talk"}));
	OK(tutti_pipe_fd(near, &fd));
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	OK(tutti_waitset_add(scene->set, tutti_wait_pipe(near, "near")));
	EXPECT_TEXT(TUTTI_EINVAL, "already", tutti_waitset_add(scene->set, tutti_wait_pipe(near, NULL)));
	for (int i = 0; i < 3; i++) {
		expect_none(scene->set, TUTTI_NOW);
		assert_int_equal(poll(&poller, 1, 0), 0);
		OK(tutti_pipe_send(near, "a", 1, TUTTI_NOW)); /* the other way: no matter */
		expect_none(scene->set, TUTTI_NOW);
		OK(tutti_pipe_send(far, "a", 1, TUTTI_NOW));
		expect_next(scene->set, "near", TUTTI_NOW);
		assert_int_equal(poll(&poller, 1, 2000), 1);
		OK(receive(near));
		EXPECT(TUTTI_EEMPTY, receive(near));
	}
	OK(tutti_pipe_send(far, "z", 1, TUTTI_NOW));
	tutti_pipe_close(far);
	expect_next(scene->set, "near", TUTTI_NOW);
	OK(receive(near));
	expect_next(scene->set, "near", TUTTI_NOW);
	EXPECT(TUTTI_EOF, receive(near));
	assert_int_equal(poll(&poller, 1, 2000), 1);
	tutti_pipe_close(near);
	expect_none(scene->set, TUTTI_NOW);
	assert_int_equal(tutti_waitset_count(scene->set), 0);
	end_scene(scene);
}

static void what_cannot_become_ready_is_refused(void **state)
{
	tutti_pipe *receiver, *sender;
	tutti_rwlock *rwlock;
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_pipe_open(&receiver, &sender, &(tutti_pipe_options){.arena = scene->arena, .one_way = true}));
	OK(tutti_rwlock_open(&rwlock, &(tutti_rwlock_options){.arena = scene->arena}));
	EXPECT_TEXT(TUTTI_EPERM, "only sends", tutti_waitset_add(scene->set, tutti_wait_pipe(sender, NULL)));
	EXPECT_TEXT(TUTTI_EPERM, "only sends", tutti_waitset_remove(scene->set, tutti_wait_pipe(sender, NULL)));
	tutti_wait_item item = tutti_wait_item_make(TUTTI_WAIT_LOCK, rwlock, -1, POLLIN, NULL);
	EXPECT_TEXT(TUTTI_EINVAL, "cannot be waited for", tutti_waitset_add(scene->set, item));
	OK(tutti_waitset_add(scene->set, tutti_wait_pipe(receiver, NULL)));
	assert_int_equal(tutti_waitset_count(scene->set), 1);
	tutti_pipe_close(sender);
	tutti_pipe_close(receiver);
	tutti_rwlock_close(rwlock);
	end_scene(scene);
}

struct talk {
	struct scene *scene;
	tutti_pipe *near, *far;
};

static void talk_and_die(void *context)
{
	struct talk *talk = context;
	OK(tutti_pipe_send(talk->far, "a", 1, TUTTI_NOW)); /* which makes the end ours, too */
	store_release(&talk->scene->ready, 1);
	UNTIL(5000, load_acquire(&talk->scene->go));
	kill(getpid(), SIGKILL);
}

static void the_death_of_the_other_end_is_reported(void **state)
{
	(void)state;
	struct talk talk = {.scene = new_scene()};
	OK(tutti_pipe_open(&talk.near, &talk.far, &(tutti_pipe_options){.arena = talk.scene->arena}));
	OK(tutti_waitset_add(talk.scene->set, tutti_wait_pipe(talk.near, "near")));
	pid_t child = support_fork(talk_and_die, &talk);
	UNTIL(5000, load_acquire(&talk.scene->ready));
	tutti_pipe_close(talk.far);
	expect_next(talk.scene->set, "near", tutti_ms(5000));
	OK(receive(talk.near));
	expect_none(talk.scene->set, TUTTI_NOW);
	store_release(&talk.scene->go, 1);
	int64_t start = support_now();
	expect_next(talk.scene->set, "near", tutti_ms(5000));
	assert_true(support_now() - start < 1500000000LL);
	EXPECT(TUTTI_EOF, receive(talk.near));
	support_wait(child);
	tutti_pipe_close(talk.near);
	end_scene(talk.scene);
}

static void listen(void *context)
{
	struct talk *talk = context;
	tutti_waitset *set;
	OK(tutti_waitset_open(&set, &(tutti_waitset_options){.arena = talk->scene->arena}));
	OK(tutti_waitset_add(set, tutti_wait_pipe(talk->near, "mine")));
	store_release(&talk->scene->ready, 1);
	expect_next(set, "mine", tutti_ms(5000));
	OK(receive(talk->near));
	expect_next(set, "mine", tutti_ms(5000));
	EXPECT(TUTTI_EOF, receive(talk->near));
	tutti_waitset_close(set);
	tutti_pipe_close(talk->near);
	tutti_pipe_close(talk->far);
	close_copies(talk->scene);
}

/* The child has used nothing of the end before it adds it. */
static void an_inherited_end_may_be_added(void **state)
{
	(void)state;
	struct talk talk = {.scene = new_scene()};
	OK(tutti_pipe_open(&talk.near, &talk.far, &(tutti_pipe_options){.arena = talk.scene->arena}));
	pid_t child = support_fork(listen, &talk);
	UNTIL(5000, load_acquire(&talk.scene->ready));
	tutti_pipe_close(talk.near);
	OK(tutti_pipe_send(talk.far, "a", 1, TUTTI_NOW));
	tutti_pipe_close(talk.far);
	support_join_child(child);
	end_scene(talk.scene);
}

struct work {
	struct scene *scene;
	tutti_queue *jobs;
};

static void take_and_die(void *context)
{
	struct work *work = context;
	get_byte(work->jobs);
	store_release(&work->scene->ready, 1);
	UNTIL(5000, load_acquire(&work->scene->go));
	kill(getpid(), SIGKILL);
}

static void an_item_that_is_given_back_is_reported(void **state)
{
	char byte;
	(void)state;
	struct work work = {.scene = new_scene()};
	OK(tutti_queue_open(&work.jobs, &(tutti_queue_options){.arena = work.scene->arena, .joinable = true}));
	OK(tutti_waitset_add(work.scene->set, tutti_wait_queue(work.jobs, "jobs")));
	OK(tutti_queue_put(work.jobs, "a", 1, TUTTI_NOW));
	expect_next(work.scene->set, "jobs", TUTTI_NOW);
	pid_t child = support_fork(take_and_die, &work);
	UNTIL(5000, load_acquire(&work.scene->ready));
	expect_none(work.scene->set, tutti_ms(2)); /* it is being done */
	store_release(&work.scene->go, 1);
	expect_next(work.scene->set, "jobs", tutti_ms(5000));
	get_byte(work.jobs);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get_into(work.jobs, &byte, 1, NULL, TUTTI_NOW)); /* until here there may be more */
	expect_none(work.scene->set, TUTTI_NOW);
	OK(tutti_queue_task_done(work.jobs));
	expect_none(work.scene->set, TUTTI_NOW);
	support_wait(child);
	tutti_queue_close(work.jobs);
	end_scene(work.scene);
}

/* The kinds of what one can have, by the same four functions. */
struct kind {
	const char *name;
	void *(*open)(tutti_arena *arena);
	tutti_err (*acquire)(void *object, tutti_time timeout);
	tutti_err (*release)(void *object);
	tutti_err (*abandon)(void *object);
	void (*close)(void *object);
	tutti_wait_item (*item)(void *object, void *key);
	bool may_have_more; /* after a death, until a try has found that there is no other permit of a dead one */
};

static void *open_lock(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	return lock;
}
static void *open_handover(tutti_arena *arena)
{
	tutti_lock *lock;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena, .handover = true}));
	return lock;
}
static tutti_err acquire_lock(void *object, tutti_time timeout) { return tutti_lock_acquire(object, timeout); }
static tutti_err release_lock(void *object) { return tutti_lock_release(object); }
static tutti_err abandon_lock(void *object) { return tutti_lock_abandon(object); }
static void close_lock(void *object) { tutti_lock_close(object); }
static tutti_wait_item item_of_lock(void *object, void *key) { return tutti_wait_lock(object, key); }

static void *open_rlock(tutti_arena *arena)
{
	tutti_rlock *rlock;
	OK(tutti_rlock_open(&rlock, &(tutti_rlock_options){.arena = arena}));
	return rlock;
}
static tutti_err acquire_rlock(void *object, tutti_time timeout) { return tutti_rlock_acquire(object, timeout); }
static tutti_err release_rlock(void *object) { return tutti_rlock_release(object); }
static tutti_err abandon_rlock(void *object) { return tutti_rlock_abandon(object); }
static void close_rlock(void *object) { tutti_rlock_close(object); }
static tutti_wait_item item_of_rlock(void *object, void *key) { return tutti_wait_rlock(object, key); }

static void *open_semaphore(tutti_arena *arena)
{
	tutti_semaphore *semaphore;
	OK(tutti_semaphore_open(&semaphore, 1, &(tutti_semaphore_options){.arena = arena}));
	return semaphore;
}
static tutti_err acquire_semaphore(void *object, tutti_time timeout)
{
	return tutti_semaphore_acquire(object, timeout);
}
static tutti_err release_semaphore(void *object) { return tutti_semaphore_release(object, 1); }
static tutti_err abandon_semaphore(void *object) { return tutti_semaphore_abandon(object); }
static void close_semaphore(void *object) { tutti_semaphore_close(object); }
static tutti_wait_item item_of_semaphore(void *object, void *key) { return tutti_wait_semaphore(object, key); }

static const struct kind kinds[] = {
	{"lock", open_lock, acquire_lock, release_lock, abandon_lock, close_lock, item_of_lock, false},
	{"handover", open_handover, acquire_lock, release_lock, abandon_lock, close_lock, item_of_lock, false},
	{"rlock", open_rlock, acquire_rlock, release_rlock, abandon_rlock, close_rlock, item_of_rlock, false},
	{"semaphore", open_semaphore, acquire_semaphore, release_semaphore, abandon_semaphore, close_semaphore,
     item_of_semaphore, true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct holding {
	struct scene *scene;
	const struct kind *kind;
	void *object;
};

static void hold(void *context)
{
	struct holding *holding = context;
	OK(holding->kind->acquire(holding->object, TUTTI_NOW));
	store_release(&holding->scene->ready, 1);
	UNTIL(5000, load_acquire(&holding->scene->go));
	OK(holding->kind->release(holding->object));
	holding->kind->close(holding->object);
	close_copies(holding->scene);
}

static void hold_and_die(void *context)
{
	struct holding *holding = context;
	OK(holding->kind->acquire(holding->object, TUTTI_NOW));
	store_release(&holding->scene->ready, 1);
	UNTIL(5000, load_acquire(&holding->scene->go));
	kill(getpid(), SIGKILL);
}

/* Runs `function` in a child; at its go-ahead the set must say that the object may be had. */
static void expect_report(struct holding *holding, void (*function)(void *context), tutti_err answer)
{
	store_release(&holding->scene->ready, 0);
	store_release(&holding->scene->go, 0);
	pid_t child = support_fork(function, holding);
	UNTIL(5000, load_acquire(&holding->scene->ready));
	expect_none(holding->scene->set, tutti_ms(2));
	store_release(&holding->scene->go, 1);
	expect_next(holding->scene->set, holding, tutti_ms(5000));
	EXPECT(answer, holding->kind->acquire(holding->object, TUTTI_NOW));
	support_wait(child);
}

static void expect_no_report(struct holding *holding)
{
	if (holding->kind->may_have_more)
		EXPECT(TUTTI_EBUSY, holding->kind->acquire(holding->object, TUTTI_NOW));
	expect_none(holding->scene->set, TUTTI_NOW);
}

static void may_be_had(const struct kind *kind)
{
	struct holding holding = {.scene = new_scene(), .kind = kind};
	tutti_waitset *set = holding.scene->set;
	void *object = holding.object = kind->open(holding.scene->arena);
	OK(tutti_waitset_add(set, kind->item(object, &holding)));
	expect_next(set, &holding, TUTTI_NOW);
	expect_report(&holding, hold, TUTTI_OK);
	expect_no_report(&holding);
	OK(kind->release(object));
	expect_next(set, &holding, TUTTI_NOW);
	expect_report(&holding, hold_and_die, TUTTI_EOWNERDEAD);
	expect_no_report(&holding);
	OK(kind->abandon(object));
	expect_next(set, &holding, TUTTI_NOW);
	EXPECT(TUTTI_EOWNERDEAD, kind->acquire(object, TUTTI_NOW));
	expect_no_report(&holding);
	OK(kind->release(object));
	kind->close(object);
	expect_none(set, TUTTI_NOW);
	end_scene(holding.scene);
}

static void what_may_be_had_is_reported(void **state)
{
	(void)state;
	for (int i = 0; i < KINDS; i++) {
		print_message("%s\n", kinds[i].name);
		may_be_had(&kinds[i]);
	}
}

static void permits_left_are_reported_again(void **state)
{
	tutti_semaphore *semaphore;
	(void)state;
	struct scene *scene = new_scene();
	OK(tutti_semaphore_open(&semaphore, 0, &(tutti_semaphore_options){.arena = scene->arena}));
	OK(tutti_waitset_add(scene->set, tutti_wait_semaphore(semaphore, "permit")));
	expect_none(scene->set, TUTTI_NOW);
	OK(tutti_semaphore_release(semaphore, 3));
	for (int i = 0; i < 3; i++) {
		expect_next(scene->set, "permit", TUTTI_NOW);
		OK(tutti_semaphore_acquire(semaphore, TUTTI_NOW));
	}
	expect_none(scene->set, TUTTI_NOW);
	tutti_semaphore_close(semaphore);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	const struct CMUnitTest waitset_kinds[] = {
		TEST(a_pipe_end_is_ready_when_a_receive_would_not_wait),
		TEST(what_cannot_become_ready_is_refused),
		TEST(the_death_of_the_other_end_is_reported),
		TEST(an_inherited_end_may_be_added),
		TEST(an_item_that_is_given_back_is_reported),
		TEST(what_may_be_had_is_reported),
		TEST(permits_left_are_reported_again),
	};
	return RUN_TESTS(waitset_kinds);
}
