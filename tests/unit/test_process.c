/* SPDX-License-Identifier: MIT */
/* Starting, watching and ending processes; each test for fork and for spawn. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/member.h"
#include "os/os.h"
#include "support.h"

static const tutti_start STARTS[] = {TUTTI_FORK, TUTTI_SPAWN};

/* Set in the test's process: a fork inherits it, a spawned process starts anew. */
static int inherited_mark;

/* What a task gets, and what it puts into the queue. */
struct order {
	tutti_handle queue;
	char text[32];
};

struct report {
	int pid, parent, mark;
	char text[32];
};

static void put_report(tutti_task *task, int about)
{
	struct order order;
	tutti_queue *queue;
	REQUIRE(tutti_task_input(task).size == sizeof order);
	memcpy(&order, tutti_task_input(task).data, sizeof order);
	struct report report = {.pid = about, .parent = getppid(), .mark = inherited_mark};
	memcpy(report.text, order.text, sizeof report.text);
	OK(tutti_queue_at(&queue, NULL, order.queue));
	OK(tutti_queue_put(queue, &report, sizeof report, TUTTI_NOW));
	tutti_queue_close(queue);
}

TUTTI_TASK(say_hello)
{
	put_report(task, getpid());
	REQUIRE(tutti_task_attempt(task) == 1);
	return TUTTI_OK;
}

TUTTI_TASK(fail_loudly) { return tutti_task_fail(task, 42, "as ordered"); }

TUTTI_TASK(exit_with_seven)
{
	(void)task;
	_exit(7);
}

TUTTI_TASK(signal_itself)
{
	(void)task;
	raise(SIGUSR2);
	return TUTTI_OK;
}

TUTTI_TASK(report_and_wait)
{
	put_report(task, getpid());
	support_pause_forever();
}

/* Starts a process of its own, reports its pid, and waits. */
TUTTI_TASK(start_another)
{
	tutti_process *child;
	OK(tutti_process_start(&child, "report_and_wait",
	                       &(tutti_process_options){.start = TUTTI_FORK, .input = tutti_task_input(task)}));
	support_pause_forever();
}

TUTTI_TASK(hold_lock_and_leave)
{
	tutti_lock *lock;
	OK(tutti_lock_at(&lock, NULL, *(const tutti_handle *)tutti_task_input(task).data));
	return tutti_lock_acquire(lock, TUTTI_NOW);
}

struct scene {
	tutti_arena *arena;
	tutti_queue *queue;
	struct order order;
	tutti_process_options options;
};

static void begin(struct scene *scene, tutti_start start)
{
	memset(scene, 0, sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	scene->order = (struct order){.queue = tutti_queue_handle(scene->queue), .text = "to the point"};
	scene->options =
		(tutti_process_options){.arena = scene->arena, .start = start, .input = {&scene->order, sizeof scene->order}};
}

static void end(struct scene *scene)
{
	tutti_arena_usage usage;
	tutti_queue_close(scene->queue);
	tutti_arena_sweep(scene->arena);
	OK(tutti_arena_usage_read(scene->arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(scene->arena);
}

static struct report get_report(struct scene *scene)
{
	struct report report;
	size_t size;
	OK(tutti_queue_get_into(scene->queue, &report, sizeof report, &size, tutti_seconds(10)));
	REQUIRE(size == sizeof report);
	return report;
}

static bool is_readable(int fd, int milliseconds)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	return poll(&poller, 1, milliseconds) == 1;
}

static void a_task_runs_in_a_process_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		tutti_process *process;
		tutti_exit status;
		begin(&scene, STARTS[i]);
		inherited_mark = 5;
		OK(tutti_process_start(&process, "say_hello", &scene.options));
		struct report report = get_report(&scene);
		assert_int_equal(report.pid, tutti_process_pid(process));
		assert_int_not_equal(report.pid, getpid());
		assert_int_equal(report.parent, getpid());
		assert_string_equal(report.text, "to the point");
		assert_int_equal(report.mark, STARTS[i] == TUTTI_FORK ? 5 : 0);
		OK(tutti_process_wait(process, &status, tutti_seconds(10)));
		assert_true(status.known);
		assert_int_equal(status.code, 0);
		assert_int_equal(status.signal, 0);
		/* May be asked again. */
		OK(tutti_process_wait(process, &status, TUTTI_NOW));
		assert_int_equal(status.code, 0);
		OK(tutti_process_wait(process, NULL, TUTTI_NOW));
		OK(tutti_process_stop(process));
		OK(tutti_process_kill(process));
		tutti_process_close(process);
		end(&scene);
	}
}

static tutti_exit run(struct scene *scene, const char *task)
{
	tutti_process *process;
	tutti_exit status;
	OK(tutti_process_start(&process, task, &scene->options));
	OK(tutti_process_wait(process, &status, tutti_seconds(10)));
	tutti_process_close(process);
	return status;
}

static void the_exit_tells_how_it_ended(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		begin(&scene, STARTS[i]);
		tutti_exit failed = run(&scene, "fail_loudly"), seven = run(&scene, "exit_with_seven");
		tutti_exit signalled = run(&scene, "signal_itself");
		assert_int_equal(failed.code, 1);
		assert_int_equal(seven.code, 7);
		assert_int_equal(seven.signal, 0);
		assert_int_equal(signalled.signal, SIGUSR2);
		assert_int_equal(signalled.code, -1);
		end(&scene);
	}
}

static void it_can_be_watched_stopped_and_killed(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct scene scene;
		tutti_process *process;
		tutti_exit status;
		begin(&scene, STARTS[i / 2]);
		OK(tutti_process_start(&process, "report_and_wait", &scene.options));
		get_report(&scene);
		assert_false(is_readable(tutti_process_fd(process), 0));
		EXPECT(TUTTI_ETIMEDOUT, tutti_process_wait(process, &status, TUTTI_NOW));
		int64_t start = support_now();
		EXPECT(TUTTI_ETIMEDOUT, tutti_process_wait(process, &status, tutti_ms(30)));
		assert_true(support_now() - start >= 30000000);
		OK(i % 2 ? tutti_process_stop(process) : tutti_process_kill(process));
		assert_true(is_readable(tutti_process_fd(process), 5000));
		OK(tutti_process_wait(process, &status, tutti_seconds(5)));
		assert_int_equal(status.signal, i % 2 ? SIGTERM : SIGKILL);
		tutti_process_close(process);
		end(&scene);
	}
}

static void closing_ends_it(void **state)
{
	(void)state;
	tutti_process_close(NULL);
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		tutti_process *process;
		begin(&scene, STARTS[i]);
		OK(tutti_process_start(&process, "report_and_wait", &scene.options));
		int pid = get_report(&scene).pid;
		tutti_process_close(process);
		assert_int_equal(kill(pid, 0), -1); /* reaped, too */
		end(&scene);
	}
}

/* Its name in the member table: what errors call it. */
static void a_member_has_the_name_given(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		tutti_process *process;
		begin(&scene, STARTS[i]);
		scene.options.name = "nightingale";
		OK(tutti_process_start(&process, "report_and_wait", &scene.options));
		int pid = get_report(&scene).pid;
		bool found = false;
		for (uint32_t number = 1; number < 10; number++)
			found |= scene.arena->slots[number].identity.pid == pid &&
			         strcmp(scene.arena->slots[number].name, "nightingale") == 0;
		assert_true(found);
		tutti_process_close(process);
		end(&scene);
	}
}

static void a_finished_task_counts_as_a_clean_exit(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		tutti_lock *lock;
		begin(&scene, STARTS[i]);
		OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = scene.arena}));
		tutti_handle handle = tutti_lock_handle(lock);
		scene.options.input = (tutti_view){&handle, sizeof handle};
		assert_int_equal(run(&scene, "hold_lock_and_leave").code, 0);
		EXPECT(TUTTI_EBUSY, tutti_lock_acquire(lock, TUTTI_NOW));
		OK(tutti_lock_release(lock));
		tutti_lock_close(lock);
		end(&scene);
	}
}

static void unknown_tasks_are_refused(void **state)
{
	struct scene scene;
	tutti_process *process;
	(void)state;
	begin(&scene, TUTTI_FORK);
	EXPECT_TEXT(TUTTI_ENOENT, "no_such_task", tutti_process_start(&process, "no_such_task", &scene.options));
	end(&scene);
}

/* As in a spawned process whose main forgot tutti_init(). */
static void start_without_init(void *context)
{
	struct scene *scene = context;
	tutti_process *process;
	tutti_pool *pool;
	setenv("TUTTI_LAUNCH", "3:4", 1);
	EXPECT_TEXT(TUTTI_EFORKBOMB, "tutti_init", tutti_process_start(&process, "say_hello", &scene->options));
	EXPECT_TEXT(TUTTI_EFORKBOMB, "tutti_init", tutti_pool_open(&pool, &(tutti_pool_options){.arena = scene->arena}));
}

static void a_fork_bomb_is_refused(void **state)
{
	struct scene scene;
	(void)state;
	begin(&scene, TUTTI_SPAWN);
	support_join_child(support_fork(start_without_init, &scene));
	end(&scene);
}

static void *wait_for_word(void *context)
{
	while (load_acquire((atomic_u32 *)context) == 0)
		tutti__os.futex_wait(context, 0, tutti__os.clock_now() + 100000000);
	return NULL;
}

/* Fork while there is one thread, else spawn; the environment overrides both. */
static void the_default_start_depends_on_threads(void **state)
{
	struct scene scene;
	pthread_t thread;
	atomic_u32 word = 0;
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* it has a thread of its own */
	begin(&scene, TUTTI_START_DEFAULT);
	inherited_mark = 6;
	assert_int_equal(run(&scene, "say_hello").code, 0);
	assert_int_equal(get_report(&scene).mark, 6);
	setenv("TUTTI_START", "spawn", 1);
	assert_int_equal(run(&scene, "say_hello").code, 0);
	assert_int_equal(get_report(&scene).mark, 0);
	unsetenv("TUTTI_START");
	assert_int_equal(pthread_create(&thread, NULL, wait_for_word, &word), 0);
	assert_int_equal(run(&scene, "say_hello").code, 0);
	assert_int_equal(get_report(&scene).mark, 0);
	setenv("TUTTI_START", "fork", 1);
	assert_int_equal(run(&scene, "say_hello").code, 0);
	assert_int_equal(get_report(&scene).mark, 6);
	unsetenv("TUTTI_START");
	store_release(&word, 1);
	tutti__os.futex_wake(&word, 1);
	pthread_join(thread, NULL);
	end(&scene);
}

/* Its starter is killed; it must not go on alone. */
static void it_ends_with_the_process_that_started_it(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct scene scene;
		tutti_process *process;
		begin(&scene, STARTS[i]);
		OK(tutti_process_start(&process, "start_another", &scene.options));
		struct report report = get_report(&scene);
		assert_int_equal(report.parent, tutti_process_pid(process));
		int pidfd = tutti__pidfd_open(report.pid);
		assert_true(pidfd >= 0);
		assert_false(is_readable(pidfd, 0));
		OK(tutti_process_kill(process));
		assert_true(is_readable(pidfd, 3000));
		close(pidfd);
		tutti_process_close(process);
		end(&scene);
	}
}

TUTTI_TASK(check_input)
{
	tutti_view input = tutti_task_input(task);
	REQUIRE((uintptr_t)input.data % 8 == 0 || input.size == 0);
	REQUIRE(support_is_filled(input.data, input.size, input.size));
	return TUTTI_OK;
}

static void inputs_of_any_size_are_passed_on(void **state)
{
	static const size_t sizes[] = {0, 1, 1000, 300000};
	static char data[300000];
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct scene scene;
		tutti_process *process;
		tutti_exit status;
		size_t size = sizes[i / 2];
		begin(&scene, STARTS[i % 2]);
		support_fill(data, size, size);
		scene.options.input = (tutti_view){data, size};
		OK(tutti_process_start(&process, "check_input", &scene.options));
		memset(data, 0, sizeof data); /* it was copied */
		OK(tutti_process_wait(process, &status, tutti_seconds(5)));
		assert_int_equal(status.code, 0);
		tutti_process_close(process);
		end(&scene);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest process[] = {
		TEST(a_task_runs_in_a_process_of_its_own),
		TEST(the_exit_tells_how_it_ended),
		TEST(it_can_be_watched_stopped_and_killed),
		TEST(closing_ends_it),
		TEST(a_member_has_the_name_given),
		TEST(a_finished_task_counts_as_a_clean_exit),
		TEST(unknown_tasks_are_refused),
		TEST(a_fork_bomb_is_refused),
		TEST(the_default_start_depends_on_threads),
		TEST(it_ends_with_the_process_that_started_it),
		TEST(inputs_of_any_size_are_passed_on),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(process);
}
