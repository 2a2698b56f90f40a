/* SPDX-License-Identifier: MIT */
/* Tasks that are cancelled while they run. */
#include "own_workers_scene.h"

TUTTI_TASK(begin_and_wait)
{
	atomic_u32 *begun;
	memcpy(&begun, tutti_task_input(task).data, sizeof begun); /* mapped before the fork: those pools fork */
	fetch_add_relaxed(begun, 1);
	support_pause_forever();
}

TUTTI_TASK(answer_pid)
{
	int pid = getpid();
	return tutti_task_return(task, &pid, sizeof pid);
}

static void expect_cancelled(tutti_future *future, const char *text)
{
	tutti_result result = get(future);
	assert_int_equal(result.err, TUTTI_ECANCELLED);
	assert_non_null(strstr(result.text, text));
	tutti_result_release(&result);
}

static void what_runs_is_ended_at_once(void **state)
{
	(void)state;
	atomic_u32 *begun = support_shared(sizeof *begun);
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1, .start = TUTTI_FORK, .retries = 5});
	for (unsigned i = 1; i <= 3; i++) {
		tutti_future *future;
		OK(tutti_pool_submit(pool, &future, "begin_and_wait", (tutti_view){&begun, sizeof begun}));
		UNTIL(5000, load_acquire(begun) == i);
		int pid = tutti_pool_worker(pool, 0);
		EXPECT_TEXT(TUTTI_EBUSY, "started", tutti_future_cancel(future));
		OK(tutti_future_terminate(future));
		expect_cancelled(future, "while it ran");
		assert_int_equal(load_acquire(begun), i); /* it has further runs, and gets none */
		tutti_result result = result_of(pool, "answer_pid", NULL, 0);
		assert_true(*(const int *)result.view.data != pid);
		tutti_result_release(&result);
	}
	end(pool);
}

static void what_waits_is_cancelled_and_costs_nothing(void **state)
{
	(void)state;
	atomic_u32 *begun = support_shared(sizeof *begun);
	tutti_future *runs, *waits;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1, .start = TUTTI_FORK});
	OK(tutti_pool_submit(pool, &runs, "begin_and_wait", (tutti_view){&begun, sizeof begun}));
	UNTIL(5000, load_acquire(begun) == 1);
	int pid = tutti_pool_worker(pool, 0);
	OK(tutti_pool_submit(pool, &waits, "answer_pid", (tutti_view){NULL, 0}));
	OK(tutti_future_terminate(waits));
	OK(tutti_future_wait(waits, TUTTI_NOW));
	expect_cancelled(waits, "before it started");
	assert_int_equal(tutti_pool_worker(pool, 0), pid);
	OK(tutti_future_terminate(runs));
	expect_cancelled(runs, "while it ran");
	end(pool);
}

static void what_is_done_stays_so(void **state)
{
	(void)state;
	tutti_future *future;
	tutti_result result;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 1});
	OK(tutti_pool_submit(pool, &future, "answer_pid", (tutti_view){NULL, 0}));
	OK(tutti_future_wait(future, tutti_seconds(5)));
	EXPECT_TEXT(TUTTI_EBUSY, "done", tutti_future_terminate(future));
	OK(tutti_future_get(future, &result, TUTTI_NOW));
	assert_int_equal(result.err, TUTTI_OK);
	assert_int_equal(*(const int *)result.view.data, tutti_pool_worker(pool, 0));
	tutti_result_release(&result);
	EXPECT_TEXT(TUTTI_EBUSY, "done", tutti_future_terminate(future));
	tutti_future_close(future);
	end(pool);
}

/* It may be killed by somebody else, or run into its limit of time, before its owner gets to it. */
static void a_worker_that_dies_before_its_kill_ends_it_as_well(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 40, (tutti_task_options){.retries = 3, .timeout = tutti_ms(1)});
	pid_t worker = hire_busy(pool, 0);
	UNTIL(5000, tutti_pool_worker_condemned(pool, 0)); /* its time is over */
	OK(tutti_future_terminate(future));
	OK(tutti_future_terminate(future));
	assert_true(tutti_pool_worker_condemned(pool, 0));
	kill(worker, SIGTERM);
	bury(pool, 0, worker);
	assert_false(tutti_pool_worker_condemned(pool, 0));
	expect_cancelled(future, "while it ran");
	end(pool);
}

/* Who comes later by how much: the worker with the end, or the test with the cancel. At most one is not 0. */
struct handicap {
	int64_t worker, cancel; /* ns */
};

static void spin(int64_t ns)
{
	for (int64_t end = tutti__os.clock_now() + ns; tutti__os.clock_now() < end;)
		;
}

TUTTI_TASK(answer_pid_later)
{
	struct handicap handicap;
	memcpy(&handicap, tutti_task_input(task).data, sizeof handicap);
	spin(handicap.worker);
	int pid = getpid();
	return tutti_task_return(task, &pid, sizeof pid);
}

static void lengthen(int64_t *ours, int64_t *theirs)
{
	if (*theirs > 0)
		*theirs /= 2;
	else
		*ours = *ours * 2 + 256;
}

/*
 * The worker is at the point of finishing it: either it has, or it never does. Who lost a round gains time for the next,
 * twice as much each time: so the two stay close to each other on any machine, and each wins some.
 */
static void a_cancel_beside_the_end_has_one_outcome(void **state)
{
	unsigned cancelled = 0, done = 0;
	struct handicap handicap = {0, 0};
	(void)state;
	tutti_pool *pool = open_pool((tutti_pool_options){.workers = 2});
	for (unsigned i = 0; i < 100; i++) {
		tutti_future *future;
		OK(tutti_pool_submit(pool, &future, "answer_pid_later", (tutti_view){&handicap, sizeof handicap}));
		while (i % 4 && !tutti_future_has_started(future))
			;
		spin(handicap.cancel);
		tutti_err err = tutti_future_terminate(future);
		tutti_result result = get(future);
		assert_int_equal(result.err, err ? TUTTI_OK : TUTTI_ECANCELLED);
		if (err) {
			done++;
			lengthen(&handicap.worker, &handicap.cancel);
		} else {
			cancelled++;
			lengthen(&handicap.cancel, &handicap.worker);
		}
		tutti_result_release(&result);
	}
	assert_int_equal(cancelled + done, 100);
	assert_true(cancelled > 0);
	assert_true(done > 0);
	end(pool);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_terminate[] = {
		TEST(what_runs_is_ended_at_once),
		TEST(what_waits_is_cancelled_and_costs_nothing),
		TEST(what_is_done_stays_so),
		TEST(a_worker_that_dies_before_its_kill_ends_it_as_well),
		TEST(a_cancel_beside_the_end_has_one_outcome),
	};
	tutti_init(&argc, &argv);
	return RUN_TESTS(pool_terminate);
}
