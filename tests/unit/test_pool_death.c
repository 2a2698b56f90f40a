/* SPDX-License-Identifier: MIT */
/* Promise K6: what the deaths of workers, and of their owner, do to tasks. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "pool_scene.h"

/* Kills its own process in the first `runs` runs, then answers which run it is. */
TUTTI_TASK(die_at_first)
{
	unsigned runs;
	memcpy(&runs, tutti_task_input(task).data, sizeof runs);
	unsigned attempt = tutti_task_attempt(task);
	if (attempt <= runs)
		kill(getpid(), SIGKILL);
	return tutti_task_return(task, &attempt, sizeof attempt);
}

TUTTI_TASK(leave_with_seven)
{
	(void)task;
	_exit(7);
}

TUTTI_TASK(square)
{
	uint64_t x;
	memcpy(&x, tutti_task_input(task).data, sizeof x);
	x *= x;
	return tutti_task_return(task, &x, sizeof x);
}

TUTTI_TASK(hold_much_and_die)
{
	void *data;
	OK(tutti_task_reserve(task, 1000000, &data));
	kill(getpid(), SIGKILL);
	return TUTTI_OK;
}

TUTTI_TASK(never_end)
{
	(void)task;
	support_pause_forever();
}

/* Reports its process, then runs for ever. */
TUTTI_TASK(run_and_wait)
{
	tutti_queue *queue;
	OK(tutti_queue_at(&queue, NULL, *(const tutti_handle *)tutti_task_input(task).data));
	int pid = getpid();
	OK(tutti_queue_put(queue, &pid, sizeof pid, TUTTI_NOW));
	tutti_queue_close(queue);
	support_pause_forever();
}

TUTTI_TASK(die_in_initializer)
{
	(void)task;
	kill(getpid(), SIGKILL);
	return TUTTI_OK;
}

static void without_retries_a_death_fails_the_task(void **state)
{
	static const tutti_start starts[] = {TUTTI_FORK, TUTTI_SPAWN};
	unsigned always = 1000;
	char pid[16];
	(void)state;
	for (int i = 0; i < 2; i++) {
		tutti_pool *pool = open_pool((tutti_pool_options){.start = starts[i]});
		tutti_result result = result_of(pool, "die_at_first", &always, sizeof always);
		assert_int_equal(result.err, TUTTI_EWORKERDIED);
		assert_int_equal(result.code, SIGKILL);
		assert_int_equal(result.runs, 1);
		snprintf(pid, sizeof pid, "%d", result.pid);
		assert_non_null(strstr(result.text, pid));
		assert_non_null(strstr(result.text, "die_at_first"));
		assert_non_null(strstr(result.text, "SIGKILL"));
		tutti_result_release(&result);
		result = result_of(pool, "leave_with_seven", NULL, 0);
		assert_int_equal(result.err, TUTTI_EWORKERDIED);
		assert_int_equal(result.code, -7);
		assert_non_null(strstr(result.text, "7"));
		tutti_result_release(&result);
		end(pool);
	}
}

static void with_retries_it_is_run_again(void **state)
{
	(void)state;
	for (unsigned deaths = 1; deaths <= 4; deaths++) {
		tutti_pool *pool = open_pool((tutti_pool_options){.retries = 3});
		tutti_result result = result_of(pool, "die_at_first", &deaths, sizeof deaths);
		if (deaths <= 3) {
			assert_int_equal(result.err, TUTTI_OK);
			assert_int_equal(*(const unsigned *)result.view.data, deaths + 1);
			assert_int_equal(result.runs, deaths + 1);
		} else {
			assert_int_equal(result.err, TUTTI_EWORKERDIED);
			assert_int_equal(result.runs, 4);
		}
		tutti_result_release(&result);
		end(pool);
	}
}

static void the_other_tasks_never_notice(void **state)
{
	enum { COUNT = 300 };
	static tutti_future *futures[COUNT];
	unsigned always = 1000;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 3});
	for (uint64_t i = 0; i < COUNT; i++)
		OK(i % 30 == 7 ? tutti_pool_submit(pool, &futures[i], "die_at_first", (tutti_view){&always, sizeof always})
		               : tutti_pool_submit(pool, &futures[i], "square", (tutti_view){&i, sizeof i}));
	for (uint64_t i = 0; i < COUNT; i++) {
		tutti_result result;
		OK(tutti_future_get(futures[i], &result, tutti_seconds(10)));
		assert_int_equal(result.err, i % 30 == 7 ? TUTTI_EWORKERDIED : TUTTI_OK);
		if (result.err == TUTTI_OK) {
			assert_int_equal(*(const uint64_t *)result.view.data, i * i);
			assert_int_equal(result.runs, 1);
		}
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	end(pool);
}

static void an_idle_worker_that_dies_is_replaced(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){0});
	for (uint64_t i = 0; i < 10; i++) {
		uint64_t x = i;
		UNTIL(5000, tutti_pool_worker(pool, 0) != 0 && tutti_pool_worker(pool, 1) != 0);
		kill(tutti_pool_worker(pool, i % 2), SIGKILL);
		for (int j = 0; j < 5; j++) {
			tutti_result result = result_of(pool, "square", &x, sizeof x);
			assert_int_equal(result.err, TUTTI_OK);
			tutti_result_release(&result);
		}
	}
	end(pool);
}

/* Each input exactly once, in order, while workers are killed under the stream. */
static bool give_number(void *context, uint64_t index, tutti_view *input)
{
	uint64_t *number = context;
	*number = index;
	*input = (tutti_view){number, sizeof *number};
	return index < 3000;
}

static void a_stream_survives_random_kills(void **state)
{
	uint64_t number;
	tutti_stream *stream;
	tutti_result result;
	tutti_err err;
	unsigned kills = 0;
	(void)state;
	for (int unordered = 0; unordered < 2; unordered++) {
		bool seen[3000] = {false};
		uint64_t count = 0;
		tutti_pool *pool = open_pool((tutti_pool_options){.workers = 3, .retries = 10});
		OK(tutti_pool_map(pool, &stream, "square", tutti_generator(give_number, &number),
		                  &(tutti_map_options){.unordered = unordered, .read_ahead = 100}));
		while ((err = tutti_stream_next(stream, &result, tutti_seconds(10))) == TUTTI_OK) {
			assert_int_equal(result.err, TUTTI_OK);
			assert_int_equal(*(const uint64_t *)result.view.data, result.index * result.index);
			assert_false(seen[result.index]);
			assert_true(unordered || result.index == count);
			seen[result.index] = true;
			tutti_result_release(&result);
			int victim = count++ % 150 == 0 ? tutti_pool_worker(pool, (unsigned)(count / 150 % 3)) : 0;
			if (victim) {
				kill(victim, SIGKILL);
				kills++;
			}
		}
		assert_int_equal(err, TUTTI_EOF);
		assert_int_equal(count, 3000);
		tutti_stream_close(stream);
		end(pool);
	}
	assert_true(kills > 10);
}

static void what_the_dead_held_is_freed(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.retries = 5});
	tutti_result result = result_of(pool, "hold_much_and_die", NULL, 0);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	assert_int_equal(result.runs, 6);
	tutti_result_release(&result);
	end(pool);
}

static void a_task_that_runs_out_of_its_time_is_ended(void **state)
{
	uint64_t x = 4;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.task_timeout = tutti_ms(200), .retries = 1});
	int64_t start = support_now();
	tutti_result result = result_of(pool, "never_end", NULL, 0);
	assert_in_range(support_now() - start, 400000000, 9000000000);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	assert_int_equal(result.runs, 2);
	assert_non_null(strstr(result.text, "0.2"));
	tutti_result_release(&result);
	result = result_of(pool, "square", &x, sizeof x);
	assert_int_equal(result.err, TUTTI_OK);
	tutti_result_release(&result);
	end(pool);
}

static void killing_the_pool_ends_all_at_once(void **state)
{
	tutti_future *futures[6];
	int pids[2];
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.retries = 4});
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	tutti_handle handle = tutti_queue_handle(queue);
	for (int i = 0; i < 6; i++)
		OK(tutti_pool_submit(pool, &futures[i], "run_and_wait", (tutti_view){&handle, sizeof handle}));
	for (int i = 0; i < 2; i++)
		OK(tutti_queue_get_into(queue, &pids[i], sizeof pids[i], NULL, tutti_seconds(5)));
	int64_t start = support_now();
	OK(tutti_pool_kill(pool));
	unsigned died = 0, cancelled = 0;
	for (int i = 0; i < 6; i++) {
		tutti_result result;
		OK(tutti_future_get(futures[i], &result, tutti_seconds(5)));
		died += result.err == TUTTI_EWORKERDIED;
		cancelled += result.err == TUTTI_ECANCELLED;
		tutti_result_release(&result);
		tutti_future_close(futures[i]);
	}
	assert_true(support_now() - start < 2000000000);
	assert_int_equal(died, 2);
	assert_int_equal(cancelled, 4);
	tutti_queue_close(queue);
	end(pool);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kill(pids[i], 0), -1);
}

static void an_initializer_that_dies_breaks_the_pool(void **state)
{
	tutti_future *future;
	tutti_result result;
	uint64_t x = 1;
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.initializer = "die_in_initializer"});
	tutti_err err = tutti_pool_submit(pool, &future, "square", (tutti_view){&x, sizeof x});
	if (err == TUTTI_OK) {
		err = tutti_future_get(future, &result, tutti_seconds(10));
		assert_true(err == TUTTI_EFAILED || (err == TUTTI_OK && result.err != TUTTI_OK));
		if (err == TUTTI_OK)
			tutti_result_release(&result);
		tutti_future_close(future);
	}
	EXPECT_TEXT(TUTTI_EFAILED, "die_in_initializer",
	            tutti_pool_submit(pool, &future, "square", (tutti_view){&x, sizeof x}));
	end(pool);
}

/* A stopped worker is alive: its task is waited for, and the others go on. */
static void a_stopped_worker_is_waited_for(void **state)
{
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.task_timeout = tutti_seconds(8)});
	UNTIL(5000, tutti_pool_worker(pool, 0) != 0 && tutti_pool_worker(pool, 1) != 0);
	uint64_t x = 3;
	tutti_result result = result_of(pool, "square", &x, sizeof x);
	tutti_result_release(&result);
	int stopped = tutti_pool_worker(pool, 0);
	kill(stopped, SIGSTOP);
	for (int i = 0; i < 20; i++) {
		result = result_of(pool, "square", &x, sizeof x);
		assert_int_equal(result.err, TUTTI_OK);
		tutti_result_release(&result);
	}
	kill(stopped, SIGCONT);
	assert_int_equal(tutti_pool_worker(pool, 0), stopped);
	end(pool);
}

/* Owns a pool whose workers report themselves and then wait for ever. */
struct owner {
	tutti_queue *queue;
	tutti_start start;
};

static void own_pool(void *context)
{
	struct owner *owner = context;
	tutti_handle handle = tutti_queue_handle(owner->queue);
	tutti_pool *pool;
	tutti_future *future;
	OK(tutti_pool_open(&pool, &(tutti_pool_options){.arena = arena, .workers = 2, .start = owner->start}));
	for (int i = 0; i < 2; i++)
		OK(tutti_pool_submit(pool, &future, "run_and_wait", (tutti_view){&handle, sizeof handle}));
	support_pause_forever();
}

static void workers_end_when_their_owner_is_killed(void **state)
{
	static const tutti_start starts[] = {TUTTI_FORK, TUTTI_SPAWN};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct owner owner = {.start = starts[i]};
		arena = support_arena(0);
		OK(tutti_queue_open(&owner.queue, &(tutti_queue_options){.arena = arena}));
		pid_t child = support_fork(own_pool, &owner);
		struct pollfd pollers[2];
		for (int j = 0; j < 2; j++) {
			int pid;
			OK(tutti_queue_get_into(owner.queue, &pid, sizeof pid, NULL, tutti_seconds(5)));
			pollers[j] = (struct pollfd){.fd = tutti__pidfd_open(pid), .events = POLLIN};
			assert_true(pollers[j].fd >= 0);
			assert_int_equal(poll(&pollers[j], 1, 0), 0);
		}
		support_kill(child);
		for (int j = 0; j < 2; j++) {
			assert_int_equal(poll(&pollers[j], 1, 3000), 1);
			close(pollers[j].fd);
		}
		tutti_queue_close(owner.queue);
		end(NULL);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_death[] = {
		TEST(without_retries_a_death_fails_the_task),
		TEST(with_retries_it_is_run_again),
		TEST(the_other_tasks_never_notice),
		TEST(an_idle_worker_that_dies_is_replaced),
		TEST(a_stream_survives_random_kills),
		TEST(what_the_dead_held_is_freed),
		TEST(a_task_that_runs_out_of_its_time_is_ended),
		TEST(killing_the_pool_ends_all_at_once),
		TEST(an_initializer_that_dies_breaks_the_pool),
		TEST(a_stopped_worker_is_waited_for),
		TEST(workers_end_when_their_owner_is_killed),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool_death);
}
