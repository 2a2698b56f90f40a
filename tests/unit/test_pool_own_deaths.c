/* SPDX-License-Identifier: MIT */
/* Pools whose workers their owner starts: deaths, limits of time, and pools that cannot work. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/pool.h" /* first: the scene has a variable of the name of its arguments */

#include "own_workers_scene.h"

/* --- deaths ------------------------------------------------------------------------------------------------------ */

/* By another worker, which finds the input as it was. */
static void run_again_after(serve_job *serve, size_t size)
{
	tutti_message message;
	tutti_future *future;
	tutti_pool *pool = open_own(2);
	tutti_handle handle = send_queue(pool, &future, size, size, 1);
	tutti_future *plain = submit(pool, size, (tutti_task_options){.retries = 1});
	bury(pool, 0, hire(pool, 0, serve));
	bury(pool, 1, hire(pool, 1, serve)); /* a job that is run again is behind those that wait */
	pid_t worker = hire(pool, 0, serve);
	tutti_result result = get(future);
	expect_echo(&result, size);
	assert_int_equal(result.runs, 2);
	assert_int_equal(result.pid, worker);
	tutti_result_take(&result, &message);
	support_take_number(arena, message.carried[0], size);
	tutti_message_release(&message);
	tutti_result_release(&result);
	expect_gone(handle);
	result = get(plain);
	expect_echo(&result, size);
	assert_int_equal(result.runs, 2);
	tutti_result_release(&result);
	end_with(pool, worker);
}

static void with_retries_another_worker_runs_it_again(void **state)
{
	static const size_t sizes[] = {40, 1000, MEBIBYTE};
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		run_again_after(die_at_first, sizes[i]);
		run_again_after(leave_at_first, sizes[i]);
	}
}

/* The dead has taken the input away: it goes with him. */
static void without_retries_a_death_fails_it(void **state)
{
	static const size_t sizes[] = {40, 1000, MEBIBYTE};
	char text[64];
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		tutti_future *future;
		bool killed = i % 2;
		tutti_pool *pool = open_own(1);
		tutti_handle handle = send_queue(pool, &future, sizes[i / 2], 1, 0);
		pid_t worker = hire(pool, 0, killed ? die_at_first : leave_at_first);
		bury(pool, 0, worker);
		tutti_result result = get(future);
		assert_int_equal(result.err, TUTTI_EWORKERDIED);
		assert_int_equal(result.code, killed ? SIGKILL : -7);
		assert_int_equal(result.runs, 1);
		assert_int_equal(result.pid, worker);
		assert_int_equal(result.encoding, TUTTI_RAW);
		snprintf(text, sizeof text, "task 0: worker %d", (int)worker);
		assert_non_null(strstr(result.text, text));
		assert_non_null(strstr(result.text, killed ? "SIGKILL" : "exit code 7"));
		tutti_result_release(&result);
		expect_gone(handle);
		end(pool);
	}
}

/* Killed while it has nothing, and before it could look. */
static void a_death_between_jobs_costs_none(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	for (unsigned i = 0; i < 20; i++) {
		pid_t worker = hire(pool, 0, echo);
		if (i % 2) {
			tutti_result result = get(submit(pool, 100, (tutti_task_options){0}));
			expect_echo(&result, 100);
			tutti_result_release(&result);
		}
		kill(worker, SIGKILL);
		int status = support_wait(worker);
		/* Those that were killed at once may not have been ready; never so many in a row that the pool gives up. */
		OK(tell_end(pool, 0, status));
	}
	end_with(pool, hire(pool, 0, echo));
}

static void an_overdue_job_is_told_of(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	assert_false(tutti_pool_worker_condemned(pool, 0)); /* there is none */
	tutti_future *future = submit(pool, 40, (tutti_task_options){.index = 12, .timeout = tutti_ms(50), .retries = 1});
	for (unsigned run = 1; run <= 2; run++) {
		store_release(running, 0);
		pid_t worker = hire_busy(pool, 0);
		int64_t start = support_now();
		assert_false(tutti_pool_worker_condemned(pool, 0)); /* this starts the clock */
		UNTIL(5000, tutti_pool_worker_condemned(pool, 0));
		assert_true(support_now() - start >= 50000000);
		kill(worker, SIGKILL);
		OK(tell_end(pool, 0, support_wait(worker)));
		assert_false(tutti_pool_worker_condemned(pool, 0));
	}
	tutti_result result = get(future);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	assert_int_equal(result.runs, 2);
	assert_non_null(strstr(result.text, "task 12"));
	assert_non_null(strstr(result.text, "longer than 0.05 s"));
	assert_non_null(strstr(result.text, "run 2 times"));
	tutti_result_release(&result);
	end(pool);
}

static void a_job_without_a_time_is_never_overdue(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 40, (tutti_task_options){0});
	pid_t worker = hire_busy(pool, 0);
	int64_t start = support_now();
	while (support_now() - start < 20000000)
		assert_false(tutti_pool_worker_condemned(pool, 0));
	kill(worker, SIGKILL);
	bury(pool, 0, worker);
	tutti_result result = get(future);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	assert_non_null(strstr(result.text, "SIGKILL"));
	tutti_result_release(&result);
	end(pool);
}

/* --- pools that cannot work -------------------------------------------------------------------------------------- */

static void refuse(void *context)
{
	const struct place *place = context;
	tutti_worker *worker;
	OK(tutti_worker_open(&worker, arena, place->pool, place->index));
	tutti_worker_refuse(worker, place->index == 0 ? "no luck with zero" : "nor with one");
	tutti_worker_close(worker);
}

static void a_worker_that_refuses_breaks_the_pool(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(2);
	tutti_future *waiting = submit(pool, 5000, (tutti_task_options){0}), *future;
	tutti_result result;
	for (unsigned i = 0; i < 2; i++) {
		struct place place = {tutti_pool_handle(pool), i, NULL};
		OK(tutti_pool_worker_begin(pool, i));
		pid_t worker = support_fork(refuse, &place);
		support_join_child(worker);
		EXPECT_TEXT(TUTTI_EFAILED, "no luck with zero", tell_end(pool, i, 0));
	}
	EXPECT_TEXT(TUTTI_EFAILED, "no luck with zero", tutti_future_get(waiting, &result, tutti_seconds(5)));
	EXPECT_TEXT(TUTTI_EFAILED, "no luck with zero", submit_with(pool, &future, 10, NULL, 0, (tutti_task_options){0}));
	tutti_future_close(waiting);
	end(pool);
}

static struct tutti__pool *unwritten; /* broken by a worker that has not come to its text */
static unsigned yields;

static void count_yield(void) { yields++; }

static void write_at_third_yield(void)
{
	if (++yields == 3) {
		snprintf(unwritten->broken_text, sizeof unwritten->broken_text, "no luck at last");
		store_release(&unwritten->broken, 2);
	}
}

static void expect_broken(const char *words, void (*yield)(void))
{
	tutti_pool *pool = open_own(1);
	tutti_future *future;
	struct tutti__os_calls real = tutti__os;
	unwritten = pool->shared;
	store_release(&unwritten->broken, 1);
	tutti__os.yield = yield;
	yields = 0;
	EXPECT_TEXT(TUTTI_EFAILED, words, submit_with(pool, &future, 10, NULL, 0, (tutti_task_options){0}));
	unsigned first = yields;
	EXPECT_TEXT(TUTTI_EFAILED, words, submit_with(pool, &future, 10, NULL, 0, (tutti_task_options){0}));
	tutti__os = real;
	assert_in_range(first, 3, UINT32_MAX);
	assert_int_equal(yields, first); /* who comes later need not wait */
	end(pool);
}

static void the_reason_of_a_broken_pool_is_waited_for(void **state)
{
	(void)state;
	expect_broken("no luck at last", write_at_third_yield);
}

static void a_reason_that_nobody_writes_any_more_is_not_waited_for_long(void **state)
{
	(void)state;
	expect_broken("it failed", count_yield);
}

static void end_early(void *context)
{
	const struct place *place = context;
	tutti_worker *worker;
	if (place->index == 1)
		OK(tutti_worker_open(&worker, arena, place->pool, place->index));
	_exit(3);
}

static void workers_that_never_become_ready_break_the_pool(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(2);
	tutti_future *future;
	tutti_err err = TUTTI_OK;
	unsigned ends = 0;
	for (; err == TUTTI_OK && ends < 20; ends++) {
		struct place place = {tutti_pool_handle(pool), ends % 2, NULL};
		OK(tutti_pool_worker_begin(pool, ends % 2));
		err = tell_end(pool, ends % 2, support_wait(support_fork(end_early, &place)));
		if (ends == 3) { /* one that works makes up for them */
			pid_t worker = hire(pool, 0, echo);
			tutti_result result = get(submit(pool, 10, (tutti_task_options){0}));
			tutti_result_release(&result);
			kill(worker, SIGKILL);
			bury(pool, 0, worker);
		}
	}
	assert_in_range(ends, 4 + 3, 4 + 8);
	EXPECT_TEXT(TUTTI_EFAILED, "exit code 3", err);
	EXPECT_TEXT(TUTTI_EFAILED, "before they are ready",
	            submit_with(pool, &future, 10, NULL, 0, (tutti_task_options){0}));
	end(pool);
}

/* Somebody kills those that start, and others come through all the same: the pool works. */
static void early_ends_are_forgiven_while_others_become_ready(void **state)
{
	enum { PLACES = 6, EARLY = 4, LAST = PLACES - 1 }; /* in a row 4, all in all 20: more than 3 + PLACES */
	(void)state;
	pid_t workers[LAST];
	tutti_pool *pool = open_own(PLACES);
	for (unsigned i = 0; i < LAST; i++) {
		workers[i] = hire(pool, i, echo);
		UNTIL(5000, load_acquire(&pool->shared->workers[i].ready));
		for (unsigned ends = 0; ends < EARLY; ends++) {
			struct place place = {tutti_pool_handle(pool), LAST, NULL};
			OK(tutti_pool_worker_begin(pool, LAST));
			OK(tell_end(pool, LAST, support_wait(support_fork(end_early, &place))));
		}
	}
	tutti_result result = get(submit(pool, 10, (tutti_task_options){0}));
	expect_echo(&result, 10);
	tutti_result_release(&result);
	OK(tutti_pool_drain(pool, tutti_seconds(5)));
	for (unsigned i = 0; i < LAST; i++) {
		support_join_child(workers[i]);
		OK(tell_end(pool, i, 0));
	}
	end(pool);
}

/* --- ends by force ------------------------------------------------------------------------------------------------ */

/* Who runs what is told by the pool's owner, who has killed them. */
static void killing_the_pool_fails_what_runs_whatever_its_retries(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	tutti_future *runs = submit(pool, 5000, (tutti_task_options){.retries = 5});
	tutti_future *waits = submit(pool, 5000, (tutti_task_options){.retries = 5});
	pid_t worker = hire_busy(pool, 0);
	OK(tutti_pool_kill(pool));
	kill(worker, SIGKILL);
	bury(pool, 0, worker);
	tutti_result result = get(runs);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	tutti_result_release(&result);
	result = get(waits);
	assert_int_equal(result.err, TUTTI_ECANCELLED);
	tutti_result_release(&result);
	end(pool);
}

/* The owner is killed with jobs under way and a catalogue; its worker learns that there is no more, and goes. */
static void own_and_wait(void *context)
{
	tutti_handle *handle = context;
	tutti_future *future;
	uint32_t number;
	tutti_pool *pool = open_own(1);
	OK(tutti_pool_publish(pool, (tutti_view){"bytes", 5}, &number));
	send_queue(pool, &future, 5000, 1, 0);
	send_queue(pool, &future, 40, 2, 1);
	*handle = tutti_pool_handle(pool);
	store_release(running, 1);
	support_pause_forever();
}

static void a_killed_owner_leaves_nothing(void **state)
{
	tutti_worker *worker;
	tutti_message input;
	unsigned run;
	(void)state;
	arena = support_arena(256 * MEBIBYTE);
	running = support_shared(sizeof *running);
	tutti_handle *handle = support_shared(sizeof *handle);
	pid_t owner = support_fork(own_and_wait, handle);
	UNTIL(5000, load_acquire(running) == 1);
	OK(tutti_worker_open(&worker, arena, *handle, 0));
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	support_kill(owner);
	tutti_arena_sweep(arena);
	tutti_view bytes;
	OK(tutti_worker_published(worker, 0, &bytes));
	assert_memory_equal(bytes.data, "bytes", 5);
	echo(worker, &input, run);
	tutti_message_release(&input);
	tutti_worker_close(worker);
	EXPECT(TUTTI_ESTALE, tutti_worker_open(&worker, arena, *handle, 0));
	end(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_own_deaths[] = {
		TEST(with_retries_another_worker_runs_it_again),
		TEST(without_retries_a_death_fails_it),
		TEST(a_death_between_jobs_costs_none),
		TEST(an_overdue_job_is_told_of),
		TEST(a_job_without_a_time_is_never_overdue),
		TEST(a_worker_that_refuses_breaks_the_pool),
		TEST(the_reason_of_a_broken_pool_is_waited_for),
		TEST(a_reason_that_nobody_writes_any_more_is_not_waited_for_long),
		TEST(workers_that_never_become_ready_break_the_pool),
		TEST(early_ends_are_forgiven_while_others_become_ready),
		TEST(killing_the_pool_fails_what_runs_whatever_its_retries),
		TEST(a_killed_owner_leaves_nothing),
	};
	return RUN_TESTS(pool_own_deaths);
}
