/* SPDX-License-Identifier: MIT */
/*
 * Pools whose workers their owner starts himself, where more than one has to see to it that a job comes to its end.
 *
 * A worker dies over a job that nobody waits for any more, or after its job has run for longer than it may, or was
 * cancelled: once its owner has settled that, the job is gone, was run again by another one, or has failed as cancelled.
 *
 * The owner dies while it settles the death of a worker. That one was killed before, in one of the states that a job
 * goes through. Another worker lives on: until it leaves, too, the job is known, by the queue or by the dead worker's
 * claim, and runs once at most; then nothing of it is left.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arena/object.h"
#include "arena/recover.h"
#include "check.h"
#include "errand.h"
#include "step.h"

static bool is_pending(struct tutti__job *job)
{
	return tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_PENDING;
}

/* ---- a job that nobody waits for ---- */

static void arrange_unwanted(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 40, .retries = 1, .is_unwanted = true});
}

static void arrange_unwanted_carrying(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = ERRAND_LARGE, .result = 100, .carries = true, .is_unwanted = true});
}

/* The survivor owns the pool, and keeps it for longer. */
static void check_unwanted(struct stage *stage)
{
	errand_tell_death(stage);
	struct tutti__job *job = errand_find(stage->arena);
	if (job && is_pending(job))
		errand_run_again(stage);
	if (errand_find(stage->arena))
		fail(LEAKED, "K6: a job that nobody waits for has come to its end, and stays");
	tutti_pool_close(stage->pool);
}

/* ---- a job that runs for longer than it may ---- */

static int wait_no_longer(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	(void)word, (void)expected, (void)deadline;
	return ETIMEDOUT;
}

static void arrange_overdue(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 1000, .retries = 1, .timeout = 1});
}

/* The victim plays the owner, too: he has found that he is to kill it. */
static void begin_and_be_overdue(struct stage *stage)
{
	unsigned run;
	errand_become_worker(stage);
	must(tutti_worker_next(errand_worker, &stage->message, &run, TUTTI_NOW), "next");
	while (!tutti_pool_worker_condemned(stage->pool, 0))
		;
	tutti__os.futex_wait = wait_no_longer;
}

static void finish_too_late(struct stage *stage)
{
	tutti_view bytes = {errand_bytes, errand.result};
	tutti_worker_finish(errand_worker, TUTTI_OK, 0, &bytes, 1, TUTTI_PICKLE, NULL, 0);
	tutti_message_release(&stage->message);
	tutti_worker_close(errand_worker);
}

static void check_overdue(struct stage *stage)
{
	struct tutti__job *job = errand_find(stage->arena);
	if (!job || tutti__job_status(load_acquire(&job->state)) != TUTTI__JOB_RUNNING)
		fail(TORN, "K6: a worker is to be killed for its job, and that is not its job any more");
	errand_tell_death(stage);
	if (!is_pending(job))
		fail(LOST, "K6: a job with a further run is not run again");
	errand_run_again(stage);
	tutti_future_close(errand_future);
	tutti_pool_close(stage->pool);
}

/* ---- a job that is cancelled while it runs ---- */

static void begin_job(struct stage *stage)
{
	unsigned run;
	errand_become_worker(stage);
	must(tutti_worker_next(errand_worker, &stage->message, &run, TUTTI_NOW), "next");
	tutti__os.futex_wait = wait_no_longer;
}

/* With a further run that it is not to get. */
static void arrange_cancelled(struct stage *stage)
{
	errand_arrange(stage, (struct errand){.input = 40, .result = 1000, .retries = 1});
}

static void begin_and_be_cancelled(struct stage *stage)
{
	begin_job(stage);
	must(tutti_future_terminate(errand_future), "cancel");
}

static void check_cancelled(struct stage *stage)
{
	tutti_result result;
	if (!tutti_pool_worker_condemned(stage->pool, 0))
		fail(TORN, "K6: a task was cancelled, and its worker is not to be killed for it");
	errand_tell_death(stage);
	tutti_err err = tutti_future_get(errand_future, &result, TUTTI_NOW);
	if (err || result.err != TUTTI_ECANCELLED)
		fail(LOST, "K6: a cancelled task ends with %s", tutti_error_name(err ? err : result.err));
	tutti_result_release(&result);
	tutti_future_close(errand_future);
	tutti_pool_close(stage->pool);
}

/* The victim is owner and worker. */
static void open_and_begin(struct stage *stage)
{
	arrange_cancelled(stage);
	begin_job(stage);
}

static void cancel_run(struct stage *stage)
{
	(void)stage;
	must(tutti_future_terminate(errand_future), "cancel");
}

/* ---- the owner settles a death ---- */

static struct tutti__worker_entry *entry_of_worker(struct tutti__pool *pool) { return &pool->workers[0]; }

static bool is_taken(struct stage *stage, struct tutti__job *job)
{
	return is_pending(job) && tutti__backlog_size(&stage->pool->backlog) == 0;
}

static bool has_result(struct stage *stage, struct tutti__job *job)
{
	(void)stage;
	return load_acquire(&job->result.parcel) != 0;
}

static bool is_running(struct stage *stage, struct tutti__job *job)
{
	(void)stage;
	return tutti__job_status(load_acquire(&job->state)) == TUTTI__JOB_RUNNING;
}

static bool is_done(struct stage *stage, struct tutti__job *job)
{
	(void)stage;
	return tutti__job_is_done(job);
}

_Noreturn static void be_worker(struct stage *stage)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	step_offer();
	errand_become_worker(stage);
	step_begin_here();
	errand_serve(stage);
	_exit(0);
}

/* The victim opens the pool, and its worker is killed as soon as the job is in the given state. */
static void lose_worker(struct stage *stage, bool (*is_time)(struct stage *, struct tutti__job *))
{
	errand_arrange(stage, errand);
	struct tutti__job *job = errand_find(stage->arena);
	pid_t pid = fork();
	if (pid == 0)
		be_worker(stage);
	bool is_there = pid > 0 && step_wait_begin(pid);
	while (is_there && !is_time(stage, job))
		is_there = step(pid);
	must(is_there ? TUTTI_OK : TUTTI_ESYSTEM, "a worker that is killed in time");
	step_kill(pid, false);
	tutti_arena_sweep(stage->arena); /* what that does at each step: the recovery of one killed in (corpses) */
}

static void lose_it_when_taken(struct stage *stage) { lose_worker(stage, is_taken); }
static void lose_it_when_running(struct stage *stage) { lose_worker(stage, is_running); }
static void lose_it_with_a_result(struct stage *stage) { lose_worker(stage, has_result); }
static void lose_it_when_done(struct stage *stage) { lose_worker(stage, is_done); }

/* The survivor, and so each checker, knows what it is about. */
static void plan_last_run(struct stage *stage)
{
	(void)stage;
	errand = (struct errand){.input = 40, .result = 40};
}

static void plan_two_runs(struct stage *stage)
{
	(void)stage;
	errand = (struct errand){.input = 40, .result = 40, .retries = 1, .carries = true};
}

static void plan_two_urgent_runs(struct stage *stage)
{
	(void)stage;
	errand = (struct errand){.input = 40, .result = 40, .retries = 1, .priority = 3};
}

static void plan_large_last_run(struct stage *stage)
{
	(void)stage;
	errand = (struct errand){.input = ERRAND_LARGE, .result = 100, .carries = true};
}

static void plan_unwanted(struct stage *stage)
{
	(void)stage;
	errand = (struct errand){.input = 40, .result = 100, .carries = true, .is_unwanted = true};
}

static void note_pool(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	(void)arena;
	if (kind == TUTTI__KIND_POOL && owner == TUTTI__SHARED)
		*(uint64_t *)context = offset;
}

static tutti_worker *other; /* of the pool; what it knew before its owner died: */
static struct errand_place {
	bool is_claimed, is_pending;
} place;

/* A worker that was there all the time, and what was known of the job when the owner died. */
static void look_as_other_worker(struct stage *stage)
{
	uint64_t offset = 0;
	tutti__blocks_visit(stage->arena, note_pool, &offset);
	struct tutti__pool *pool = tutti__at(stage->arena, offset);
	struct tutti__job *job = errand_find(stage->arena);
	tutti_handle handle = {stage->arena->header->arena_id, load_acquire(&pool->object.generation), offset};
	must(tutti_worker_open(&other, stage->arena, handle, 1), "another worker");
	uint64_t claim = load_acquire(&entry_of_worker(pool)->claim[0]);
	place.is_claimed = job && claim == tutti__offset(stage->arena, job);
	place.is_pending = job && is_pending(job);
	board->outcome = claim == 0;
	if (job && !place.is_claimed && !place.is_pending && !tutti__job_is_done(job))
		fail(LOST, "K6: the job has not come to its end, and no claim names it (state %#llx)",
		     (unsigned long long)load_acquire(&job->state));
}

static void check_settled(struct stage *stage)
{
	tutti_message input;
	unsigned run, runs = 0;
	for (; tutti_worker_next(other, &input, &run, TUTTI_NOW) == TUTTI_OK; runs++) {
		errand_check_input(stage, &input);
		must(tutti_worker_finish(other, TUTTI_OK, 0, NULL, 0, TUTTI_RAW, NULL, 0), "finish");
		tutti_message_release(&input);
	}
	if (runs > place.is_pending)
		fail(TORN, "K6: a job is run %u times that is to run %u more times", runs, place.is_pending);
	if (runs == 0 && place.is_pending && !place.is_claimed)
		fail(LOST, "K6: the job is to be run, is not in the queue, and no claim names it");
	tutti_worker_close(other);
	check_pools_gone(stage->arena);
}

/* Nobody else has the pool. */
static void check_gone(struct stage *stage) { check_pools_gone(stage->arena); }

const struct operation settle_operations[] = {
	{.name = "own worker: a job that nobody waits for",
     .arrange = arrange_unwanted,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_unwanted},
	{.name = "own worker: the last run of what nobody waits for, a handle",
     .arrange = arrange_unwanted_carrying,
     .prepare = errand_become_worker,
     .operate = errand_serve,
     .check = check_unwanted},
	{.name = "own worker: finish what is overdue",
     .arrange = arrange_overdue,
     .prepare = begin_and_be_overdue,
     .operate = finish_too_late,
     .check = check_overdue},
	{.name = "own worker: finish what was cancelled",
     .arrange = arrange_cancelled,
     .prepare = begin_and_be_cancelled,
     .operate = finish_too_late,
     .check = check_cancelled},
	{.name = "cancel what runs", .prepare = open_and_begin, .operate = cancel_run, .check = check_gone},
	{.name = "settle a death: its job of a high priority was taken, and not begun",
     .arrange = plan_two_urgent_runs,
     .prepare = lose_it_when_taken,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job of a high priority is run again",
     .arrange = plan_two_urgent_runs,
     .prepare = lose_it_when_running,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job was taken, and not begun",
     .arrange = plan_last_run,
     .prepare = lose_it_when_taken,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job is run again",
     .arrange = plan_two_runs,
     .prepare = lose_it_when_running,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job fails",
     .arrange = plan_large_last_run,
     .prepare = lose_it_with_a_result,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job fails, nobody else has the pool",
     .arrange = plan_large_last_run,
     .prepare = lose_it_with_a_result,
     .operate = errand_tell_death,
     .check = check_gone},
	{.name = "settle a death: its job fails, and nobody waits for it",
     .arrange = plan_unwanted,
     .prepare = lose_it_when_running,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = "settle a death: its job was done, and nobody waits for it",
     .arrange = plan_unwanted,
     .prepare = lose_it_when_done,
     .operate = errand_tell_death,
     .look = look_as_other_worker,
     .check = check_settled},
	{.name = NULL},
};
