/* SPDX-License-Identifier: MIT */
/*
 * The pool: its owner dies while it submits. Its one worker stands still meanwhile (stopped, so that the steps are
 * the owner's alone) and ends after it; with the last of them the pool and its jobs must be gone.
 *
 * And a worker dies while it claims a job, runs it and finishes it. The victim steps into the place of the real
 * worker, which stands still. Afterwards the owner must be able to tell what became of the job, wherever the worker
 * died: it waits in the queue, or the worker's claim names it, or its result is there.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "arena/object.h"
#include "arena/recover.h"
#include "channel/queue.h"
#include "check.h"
#include "pool/pool.h"
#include "process/task.h"
#include "ring.h"
#include "world.h"

TUTTI_TASK(crash_nothing) { return tutti_task_return(task, NULL, 0); }

/* With a deadline: a worker that never comes is a broken test. */
static void wait_until_ready(tutti_pool *pool)
{
	int64_t deadline = tutti__deadline(tutti_seconds(5));
	while (!load_acquire(&pool->shared->workers[0].ready))
		if (tutti__os.clock_now() > deadline || sched_yield() != 0)
			must(TUTTI_ETIMEDOUT, "the worker's start");
}

static void signal_worker(int signal, int change)
{
	siginfo_t info;
	kill(board->helper, signal);
	must(waitid(P_PID, (id_t)board->helper, &info, change | WNOWAIT) == 0 ? TUTTI_OK : TUTTI_ESYSTEM, "a signal");
}

static bool holds_a_latch(struct stage *stage)
{
	tutti_queue *jobs;
	must(tutti_queue_at(&jobs, stage->arena, stage->pool->shared->backlog.jobs), "the job queue");
	struct tutti__queue *queue = jobs->shared;
	bool held = load_acquire(&queue->get_latch.word) || load_acquire(&queue->put_latch.word) ||
	            load_acquire(&stage->arena->header->heap.latch.word);
	tutti_queue_close(jobs);
	return held;
}

/* Between two operations: one that stands still in the middle of one lives, and would keep its latch. */
static void stop_worker(struct stage *stage)
{
	int64_t deadline = tutti__deadline(tutti_seconds(5));
	signal_worker(SIGSTOP, WSTOPPED);
	while (holds_a_latch(stage)) {
		if (tutti__os.clock_now() > deadline)
			must(TUTTI_ETIMEDOUT, "the worker's pause");
		signal_worker(SIGCONT, WCONTINUED);
		sched_yield();
		signal_worker(SIGSTOP, WSTOPPED);
	}
}

static void open_pool(struct stage *stage)
{
	must(tutti_pool_open(&stage->pool,
	                     &(tutti_pool_options){.arena = stage->arena, .workers = 1, .tasks_per_worker = 1}),
	     "pool");
	board->helper = tutti_pool_worker(stage->pool, 0);
	wait_until_ready(stage->pool);
	stop_worker(stage);
}

static void submit(struct stage *stage, size_t size)
{
	tutti_future *future;
	must(tutti_pool_submit(stage->pool, &future, "crash_nothing", (tutti_view){stage->bytes[0], size}), "submit");
}

static void submit_small(struct stage *stage) { submit(stage, 40); }
static void submit_large(struct stage *stage) { submit(stage, 1000); }

static void open_and_submit(struct stage *stage)
{
	open_pool(stage);
	submit_small(stage);
	submit_large(stage);
}

static void submit_and_cancel(struct stage *stage)
{
	tutti_future *future;
	must(tutti_pool_submit(stage->pool, &future, "crash_nothing", (tutti_view){NULL, 0}), "submit");
	must(tutti_future_cancel(future), "cancel");
	tutti_future_close(future);
}

/* The owner's death alone leaves a pool that its worker still has; then that one ends as well. */
static void check_pool(struct stage *stage)
{
	if (stage->way == SWEEP_FIRST)
		check_arena(stage->arena, 0, "after the owner's death");
	world_declare_dead(board->helper);
	check_pools_gone(stage->arena);
}

enum { RESULT_SIZE = 1000, INPUT_SIZE = 40 };

TUTTI_TASK(crash_echo)
{
	tutti_view input = tutti_task_input(task);
	return tutti_task_return(task, input.data, input.size);
}

TUTTI_TASK(crash_large)
{
	unsigned char bytes[RESULT_SIZE];
	memset(bytes, 'r', sizeof bytes);
	return tutti_task_return(task, bytes, sizeof bytes);
}

TUTTI_TASK(crash_failing)
{
	return tutti_task_fail(task, 7,
	                       "it failed as it was told to, with a text that is longer "
	                       "than what fits into the job itself");
}

/* The survivor's pool with one job, and nobody who takes it. */
static void open_pool_with(struct stage *stage, const char *task)
{
	tutti_future *future;
	unsigned char input[INPUT_SIZE];
	memset(input, 'i', sizeof input);
	open_pool(stage);
	must(tutti_pool_submit(stage->pool, &future, task, (tutti_view){input, sizeof input}), "submit");
}

static void arrange_echo(struct stage *stage) { open_pool_with(stage, "crash_echo"); }
static void arrange_large(struct stage *stage) { open_pool_with(stage, "crash_large"); }
static void arrange_failing(struct stage *stage) { open_pool_with(stage, "crash_failing"); }

/* As the worker's process runs it; it returns after one job. */
static void work(struct stage *stage)
{
	struct tutti__worker_input input = {tutti__reference_handle(&stage->pool->reference), 0};
	tutti_task task = {.arena = stage->arena, .input = {&input, sizeof input}, .attempt = 1};
	must(tutti__task_find(tutti__worker_task)->function(&task), "the worker");
}

/* The victim's own handle of the pool, before the steps begin. */
static void prepare_work(struct stage *stage)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&stage->pool->reference, &err) == 0)
		must(err, "an inherited pool");
}

struct job_search {
	struct stage *stage;
	uint64_t offset;
};

static void note_job(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner, void *context)
{
	(void)arena;
	struct job_search *search = context;
	if (kind != TUTTI__KIND_TASK || owner != TUTTI__SHARED)
		return;
	if (search->offset)
		fail(TORN, "K6: one job was submitted, and there are two");
	search->offset = offset;
}

static bool is_in_queue(struct stage *stage, uint64_t offset, uint32_t sequence)
{
	uint64_t message[2];
	tutti_queue *jobs;
	bool found = false;
	must(tutti_queue_at(&jobs, stage->arena, stage->pool->shared->backlog.jobs), "the job queue");
	while (tutti_queue_get_into(jobs, message, sizeof message, NULL, TUTTI_NOW) == TUTTI_OK)
		found |= message[0] == offset && (uint32_t)message[1] == sequence;
	tutti_queue_close(jobs);
	return found;
}

static void check_result(struct stage *stage, uint64_t offset)
{
	tutti_result result;
	tutti__job_read(stage->arena, offset, &result);
	bool large = result.view.size == RESULT_SIZE && ((const char *)result.view.data)[RESULT_SIZE - 1] == 'r';
	bool echoed = result.view.size == INPUT_SIZE && ((const char *)result.view.data)[INPUT_SIZE - 1] == 'i';
	bool failed = result.err == TUTTI_EFAILED && result.code == 7 && strstr(result.text, "than what fits");
	if (!large && !echoed && !failed)
		fail(TORN, "K6: the job is done, and its result is not what the task returned");
	tutti_result_release(&result);
}

/* What the owner goes by when it learns of the death (settle_claim in death.c). */
static void check_job_is_known(struct stage *stage)
{
	struct job_search search = {.stage = stage};
	const struct tutti__worker_entry *entry = &stage->pool->shared->workers[0];
	tutti__blocks_visit(stage->arena, note_job, &search);
	if (search.offset == 0)
		fail(LOST, "K6: the job is gone");
	struct tutti__job *job = tutti__job_at(stage->arena, search.offset);
	uint64_t state = load_acquire(&job->state);
	uint32_t sequence = tutti__job_sequence(state);
	bool claimed = load_acquire(&entry->claim[0]) == search.offset && load_acquire(&entry->claim[1]) == sequence;
	bool waits = is_in_queue(stage, search.offset, sequence);
	switch (tutti__job_status(state)) {
	case TUTTI__JOB_PENDING:
		if (!waits && !claimed)
			fail(LOST, "K6: the job is to be run, is not in the queue, and no claim names it");
		break;
	case TUTTI__JOB_RUNNING:
		if (!claimed || tutti__job_runner(state) != 0)
			fail(LOST, "K6: the job is being run, and the dead worker's claim does not name it");
		break;
	case TUTTI__JOB_DONE:
		check_result(stage, search.offset);
		break;
	default:
		fail(TORN, "K6: the job is in state %#llx", (unsigned long long)state);
	}
}

static void check_work(struct stage *stage)
{
	check_job_is_known(stage);
	world_declare_dead(board->helper); /* the real worker has stood still for long enough */
	tutti_arena_sweep(stage->arena);
}

const struct operation pool_operations[] = {
	{.name = "work: claim, run and finish a job",
     .arrange = arrange_echo,
     .prepare = prepare_work,
     .operate = work,
     .check = check_work},
	{.name = "work, the result in a block",
     .arrange = arrange_large,
     .prepare = prepare_work,
     .operate = work,
     .check = check_work},
	{.name = "work, the job fails",
     .arrange = arrange_failing,
     .prepare = prepare_work,
     .operate = work,
     .check = check_work},
	{.name = "submit", .prepare = open_pool, .operate = submit_small, .check = check_pool},
	{.name = "submit, others waiting", .prepare = open_and_submit, .operate = submit_small, .check = check_pool},
	{.name = "submit, with an input in a block",
     .prepare = open_and_submit,
     .operate = submit_large,
     .check = check_pool},
	{.name = "submit and cancel", .prepare = open_and_submit, .operate = submit_and_cancel, .check = check_pool},
	{.name = NULL},
};
