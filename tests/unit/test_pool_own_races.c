/* SPDX-License-Identifier: MIT */
/* Pools whose workers their owner starts: what happens at the same moment as something else, and what comes too late. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/pool.h"

#include "own_workers_scene.h"

/* --- limits of time ---------------------------------------------------------------------------------------------- */

enum { BEGUN = 1, MAY_FINISH, FINISHES, HAS_FINISHED };

/* Finishes when it is told so, and tells how that went. */
static atomic_u32 *answer;

static void finish_when_told(tutti_worker *worker, tutti_message *input, unsigned run)
{
	(void)run;
	store_release(running, BEGUN);
	UNTIL(10000, load_acquire(running) == MAY_FINISH);
	store_release(running, FINISHES);
	store_release(answer, (uint32_t)tutti_worker_finish(worker, TUTTI_OK, 0, &input->view, 1, TUTTI_PICKLE, NULL, 0));
	store_release(running, HAS_FINISHED);
}

static void until_begun(void) { UNTIL(5000, load_acquire(running) == BEGUN); }

/* Two jobs, of which the first is overdue, and its worker is at the point of finishing it. */
struct overdue {
	tutti_pool *pool;
	tutti_future *late, *next;
	pid_t worker;
};

static struct overdue arrange_overdue(unsigned retries)
{
	running = support_shared(sizeof *running);
	answer = support_shared(sizeof *answer);
	tutti_pool *pool = open_own(1);
	struct overdue scene = {
		.pool = pool,
		.late = submit(pool, 40, (tutti_task_options){.timeout = tutti_ms(20), .retries = retries}),
		.next = submit(pool, 1000, (tutti_task_options){0}),
		.worker = hire(pool, 0, finish_when_told),
	};
	until_begun();
	UNTIL(5000, tutti_pool_worker_condemned(scene.pool, 0));
	store_release(running, MAY_FINISH);
	return scene;
}

/* By a worker that has time for both. */
static void end_overdue(struct overdue scene, unsigned runs)
{
	tutti_result result;
	pid_t worker = hire(scene.pool, 0, echo);
	result = get(scene.next);
	expect_echo(&result, 1000);
	assert_int_equal(result.runs, 1);
	assert_int_equal(result.pid, worker);
	tutti_result_release(&result);
	result = get(scene.late);
	assert_int_equal(result.runs, runs);
	if (runs > 1) {
		expect_echo(&result, 40);
	} else {
		assert_int_equal(result.err, TUTTI_EWORKERDIED);
		assert_int_equal(result.pid, scene.worker);
		assert_non_null(strstr(result.text, "longer than 0.02 s"));
	}
	tutti_result_release(&result);
	end_with(scene.pool, worker);
}

/* The owner has asked, and is slow to kill: meanwhile the worker has come to the end of the job, and must not go on. */
static void killing_the_overdue_costs_its_job_alone(void **state)
{
	(void)state;
	for (unsigned retries = 0; retries < 2; retries++) {
		struct overdue scene = arrange_overdue(retries);
		UNTIL(5000, load_acquire(running) != MAY_FINISH);
		UNTIL(5000, load_acquire(running) != FINISHES || support_is_asleep(scene.worker));
		assert_false(tutti_future_has_started(scene.next));
		assert_true(tutti_pool_worker_condemned(scene.pool, 0)); /* that stays so */
		assert_int_equal(tutti_future_wait(scene.late, TUTTI_NOW), TUTTI_ETIMEDOUT);
		kill(scene.worker, SIGKILL);
		OK(tell_end(scene.pool, 0, support_wait(scene.worker)));
		end_overdue(scene, 1 + retries);
	}
}

/* Nobody kills it: it ends by itself. */
static void an_overdue_worker_is_told_to_leave(void **state)
{
	(void)state;
	struct overdue scene = arrange_overdue(1);
	UNTIL(5000, load_acquire(running) == HAS_FINISHED);
	assert_int_equal(load_acquire(answer), TUTTI_ETIMEDOUT);
	support_join_child(scene.worker); /* its next job was TUTTI_EOF */
	assert_false(tutti_future_has_started(scene.next));
	OK(tell_end(scene.pool, 0, 0));
	end_overdue(scene, 2);
}

/* Also one that does not take the answer for what it is: it waits for its end once, and takes no other job. */
static void an_overdue_worker_finishes_nothing(void **state)
{
	tutti_worker *worker;
	tutti_message input;
	unsigned run;
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 40, (tutti_task_options){.timeout = 1});
	tutti_future *next = submit(pool, 40, (tutti_task_options){0});
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
	UNTIL(5000, tutti_pool_worker_condemned(pool, 0));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "longer", tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, NULL, 0));
	int64_t start = support_now();
	for (unsigned i = 0; i < 3; i++)
		EXPECT(TUTTI_ETIMEDOUT, tutti_worker_finish(worker, TUTTI_OK, 0, &input.view, 1, TUTTI_RAW, NULL, 0));
	EXPECT(TUTTI_EOF, tutti_worker_next(worker, &input, &run, tutti_seconds(5)));
	assert_true(support_now() - start < 900000000);
	EXPECT(TUTTI_ETIMEDOUT, tutti_future_wait(future, TUTTI_NOW));
	assert_false(tutti_future_has_started(next));
	tutti_worker_close(worker);
	tutti_future_close(next);
	tutti_future_close(future);
	end(pool);
}

/* The clock of one job says nothing about the next. */
static void what_ended_in_time_is_not_overdue(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	answer = support_shared(sizeof *answer);
	tutti_pool *pool = open_own(1);
	tutti_future *first = submit(pool, 40, (tutti_task_options){.timeout = tutti_ms(20)});
	tutti_future *second = submit(pool, 50, (tutti_task_options){.timeout = tutti_ms(20)});
	pid_t worker = hire(pool, 0, finish_when_told);
	until_begun();
	assert_false(tutti_pool_worker_condemned(pool, 0)); /* this starts the clock */
	int64_t start = support_now();
	UNTIL(5000, support_now() - start > 30000000);
	store_release(running, MAY_FINISH);
	until_begun();
	assert_false(tutti_pool_worker_condemned(pool, 0)); /* and this the second's */
	tutti_result result = get(first);
	expect_echo(&result, 40);
	tutti_result_release(&result);
	UNTIL(5000, tutti_pool_worker_condemned(pool, 0));
	kill(worker, SIGKILL);
	OK(tell_end(pool, 0, support_wait(worker)));
	result = get(second);
	assert_int_equal(result.err, TUTTI_EWORKERDIED);
	tutti_result_release(&result);
	end(pool);
}

/* --- drained while a death is settled ---------------------------------------------------------------------------- */

struct burial {
	tutti_pool *pool;
	pid_t worker;
};

static void *bury_apart(void *context)
{
	const struct burial *burial = context;
	tutti_exit ended = {.known = true, .code = -1, .signal = SIGKILL};
	tutti_err err;
	UNTIL(5000, (err = tutti_pool_worker_ended(burial->pool, 0, &ended)) != TUTTI_EBUSY);
	REQUIRE(err == TUTTI_OK);
	return NULL;
}

static void die(tutti_worker *worker, tutti_message *input, unsigned run)
{
	if (run == 1)
		kill(getpid(), SIGKILL);
	echo(worker, input, run);
}

/* The one who settles it cannot put the job again as long as we hold the queue's latch. */
static void a_job_that_is_put_again_is_left(void **state)
{
	pthread_t thread;
	(void)state;
	tutti_pool *pool = open_own(1);
	struct tutti__latch *latch = &pool->backlog.jobs->shared->put_latch;
	tutti_future *future = submit(pool, 40, (tutti_task_options){.retries = 1});
	struct burial burial = {pool, hire(pool, 0, die)};
	support_wait(burial.worker);
	tutti_arena_sweep(arena); /* its own latches are free */
	struct tutti__job *job = tutti__job_at(arena, load_acquire(&pool->shared->workers[0].claim[0]));
	assert_true(tutti__latch_try(latch, load_relaxed(&arena->local->id)));
	assert_int_equal(pthread_create(&thread, NULL, bury_apart, &burial), 0);
	UNTIL(5000, tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_PENDING);
	for (unsigned i = 0; i < 100; i++)
		EXPECT(TUTTI_ETIMEDOUT, tutti_pool_drain(pool, TUTTI_NOW));
	tutti__latch_release(latch);
	pthread_join(thread, NULL);
	EXPECT(TUTTI_ETIMEDOUT, tutti_pool_drain(pool, TUTTI_NOW));
	pid_t worker = hire(pool, 0, die);
	tutti_result result = get(future);
	expect_echo(&result, 40);
	assert_int_equal(result.runs, 2);
	tutti_result_release(&result);
	end_with(pool, worker);
}

/* At whatever moment it asks. */
static void a_drain_waits_for_what_is_run_again(void **state)
{
	unsigned rounds = support_is_slow() ? 40 : 200;
	(void)state;
	tutti_pool *pool = NULL;
	for (unsigned i = 0; i < rounds; i++) {
		pthread_t thread;
		tutti_err err;
		pool = open_own(1);
		tutti_future *future = submit(pool, 40, (tutti_task_options){.retries = 1});
		struct burial burial = {pool, hire(pool, 0, die)};
		support_wait(burial.worker);
		assert_int_equal(pthread_create(&thread, NULL, bury_apart, &burial), 0);
		while ((err = tutti_pool_drain(pool, TUTTI_NOW)) == TUTTI_ETIMEDOUT &&
		       tutti_queue_size(pool->backlog.jobs) == 0)
			;
		for (unsigned again = 0; again < 100 && err == TUTTI_ETIMEDOUT; again++)
			err = tutti_pool_drain(pool, TUTTI_NOW);
		pthread_join(thread, NULL);
		assert_int_equal(err, TUTTI_ETIMEDOUT);
		tutti_future_close(future);
		tutti_pool_close(pool);
	}
	end(NULL);
}

/* --- closed beside other calls ------------------------------------------------------------------------------------ */

struct drainer {
	tutti_pool *pool;
	atomic_u32 thread; /* id, when it begins */
	tutti_err err;
};

static void *drain_apart(void *context)
{
	struct drainer *drainer = context;
	store_release(&drainer->thread, (uint32_t)syscall(SYS_gettid));
	drainer->err = tutti_pool_drain(drainer->pool, tutti_seconds(10));
	return NULL;
}

/* Who waits in it for its end is told; the handle is there until that thread has left. */
static void closing_ends_a_drain_in_another_thread(void **state)
{
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 40, (tutti_task_options){0});
	pid_t worker = hire_busy(pool, 0);
	tutti_future_close(future);
	pthread_t thread;
	struct drainer drainer = {.pool = pool};
	assert_int_equal(pthread_create(&thread, NULL, drain_apart, &drainer), 0);
	UNTIL(5000, load_acquire(&drainer.thread) && support_thread_is_asleep((pid_t)load_acquire(&drainer.thread)));
	tutti_pool_close(pool);
	pthread_join(thread, NULL);
	assert_int_equal(drainer.err, TUTTI_ESHUTDOWN);
	support_kill(worker);
	end(NULL);
}

/* As long as a future is open there is something to say so. */
static void a_closed_pool_answers_with_errors(void **state)
{
	tutti_future *future, *late;
	tutti_result result;
	uint32_t number;
	(void)state;
	running = support_shared(sizeof *running);
	tutti_pool *pool = open_own(1);
	future = submit(pool, 40, (tutti_task_options){.retries = 1});
	pid_t worker = hire_busy(pool, 0);
	tutti_pool_close(pool);
	tutti_pool_close(pool);
	EXPECT(TUTTI_ESHUTDOWN, submit_with(pool, &late, 40, NULL, 0, (tutti_task_options){0}));
	EXPECT(TUTTI_ESHUTDOWN, submit_with(pool, &late, 5000, NULL, 0, (tutti_task_options){0}));
	EXPECT(TUTTI_ESHUTDOWN, tutti_pool_publish(pool, (tutti_view){"x", 1}, &number));
	EXPECT_TEXT(TUTTI_ESHUTDOWN, "closed", tutti_pool_drain(pool, tutti_seconds(5)));
	tutti_pool_cancel_waiting(pool);
	tutti_pool_wake(pool);
	assert_false(tutti_pool_worker_condemned(pool, 0));
	assert_int_equal(tutti_pool_worker(pool, 0), 0);
	kill(worker, SIGKILL);
	bury(pool, 0, worker); /* nobody is there to run it again */
	OK(tutti_future_get(future, &result, TUTTI_NOW));
	assert_int_equal(result.err, TUTTI_ECANCELLED);
	tutti_result_release(&result);
	OK(tutti_pool_kill(pool));
	tutti_pool_close(pool);
	tutti_future_close(future);
	end(NULL);
}

static void *submit_until_the_end(void *context)
{
	tutti_pool *pool = context;
	tutti_future *future;
	tutti_err err;
	for (unsigned i = 0; (err = submit_with(pool, &future, i % 2 ? 40 : 200, NULL, 0, (tutti_task_options){0})) == 0;
	     i++)
		tutti_future_close(future);
	REQUIRE(err == TUTTI_ESHUTDOWN);
	return NULL;
}

/* A job that another thread was just submitting is cancelled once, or refused; none is left. */
static void closing_beside_a_submit_leaves_nothing(void **state)
{
	unsigned rounds = support_is_slow() ? 60 : 300;
	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		pthread_t thread;
		tutti_pool *pool = open_own(1);
		tutti_future *keeper = submit(pool, 40, (tutti_task_options){0});
		assert_int_equal(pthread_create(&thread, NULL, submit_until_the_end, pool), 0);
		UNTIL(5000, tutti_queue_size(pool->backlog.jobs) > 1 + i % 7);
		tutti_pool_close(pool);
		pthread_join(thread, NULL);
		tutti_future_close(keeper);
	}
	end(NULL);
}

/* --- a worker's calls out of turn --------------------------------------------------------------------------------- */

/* It would not be known any more. */
static void a_place_with_a_job_is_not_made_free(void **state)
{
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_future *future = submit(pool, 40, (tutti_task_options){.retries = 1});
	pid_t worker = hire(pool, 0, die);
	int status = support_wait(worker);
	EXPECT_TEXT(TUTTI_EINVAL, "still has a task", tutti_pool_worker_begin(pool, 0));
	OK(tell_end(pool, 0, status));
	worker = hire(pool, 0, die);
	tutti_result result = get(future);
	expect_echo(&result, 40);
	tutti_result_release(&result);
	end_with(pool, worker);
}

static void a_worker_has_one_job_at_a_time(void **state)
{
	tutti_worker *worker;
	tutti_message input, second;
	unsigned run;
	(void)state;
	tutti_pool *pool = open_own(1);
	tutti_future *futures[] = {submit(pool, 40, (tutti_task_options){0}), submit(pool, 50, (tutti_task_options){0})};
	OK(tutti_worker_open(&worker, arena, tutti_pool_handle(pool), 0));
	EXPECT_TEXT(TUTTI_EINVAL, "no job", tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, NULL, 0));
	for (unsigned i = 0; i < 2; i++) {
		OK(tutti_worker_next(worker, &input, &run, TUTTI_NOW));
		EXPECT_TEXT(TUTTI_EINVAL, "Finish", tutti_worker_next(worker, &second, &run, TUTTI_NOW));
		echo(worker, &input, run);
		tutti_message_release(&input);
		EXPECT(TUTTI_EINVAL, tutti_worker_finish(worker, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, NULL, 0));
		tutti_result result = get(futures[i]);
		expect_echo(&result, 40 + 10 * i);
		tutti_result_release(&result);
	}
	tutti_worker_close(worker);
	end(pool);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pool_own_races[] = {
		TEST(killing_the_overdue_costs_its_job_alone), TEST(an_overdue_worker_is_told_to_leave),
		TEST(an_overdue_worker_finishes_nothing),      TEST(what_ended_in_time_is_not_overdue),
		TEST(a_job_that_is_put_again_is_left),         TEST(a_drain_waits_for_what_is_run_again),
		TEST(closing_ends_a_drain_in_another_thread),  TEST(a_closed_pool_answers_with_errors),
		TEST(closing_beside_a_submit_leaves_nothing),  TEST(a_place_with_a_job_is_not_made_free),
		TEST(a_worker_has_one_job_at_a_time),
	};
	return RUN_TESTS(pool_own_races);
}
