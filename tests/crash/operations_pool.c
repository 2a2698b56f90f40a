/* SPDX-License-Identifier: MIT */
/*
 * The pool: its owner dies while it submits. Its one worker stands still meanwhile (stopped, so that the steps are
 * the owner's alone) and ends after it; with the last of them the pool and its jobs must be gone.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "arena/object.h"
#include "check.h"
#include "pool/pool.h"
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

static void open_pool(struct stage *stage)
{
	siginfo_t info;
	must(tutti_pool_open(&stage->pool, &(tutti_pool_options){.arena = stage->arena, .workers = 1}), "pool");
	board->helper = tutti_pool_worker(stage->pool, 0);
	wait_until_ready(stage->pool);
	kill(board->helper, SIGSTOP);
	must(waitid(P_PID, (id_t)board->helper, &info, WSTOPPED | WNOWAIT) == 0 ? TUTTI_OK : TUTTI_ESYSTEM, "stop");
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
	tutti_arena_sweep(stage->arena);
	check_arena(stage->arena, 0, "after the last worker's death");
	for (uint64_t unit = stage->arena->header->first_unit; unit < stage->arena->header->heap.frontier; unit++) {
		const struct tutti__unit *record = &stage->arena->units[unit];
		bool is_pool = record->kind == TUTTI__KIND_POOL || record->kind == TUTTI__KIND_TASK;
		if (TUTTI__RUN_KIND(load_acquire(&record->run)) != TUTTI__RUN_SPAN || !is_pool)
			continue;
		for (uint32_t i = 0; i < TUTTI__BLOCKS_PER_UNIT; i++)
			if (load_acquire(tutti__owner_at(stage->arena, unit, i)))
				fail(LEAKED, "K5: the pool or a job of it is still there when owner and workers are dead");
	}
}

const struct operation pool_operations[] = {
	{.name = "submit", .prepare = open_pool, .operate = submit_small, .check = check_pool},
	{.name = "submit, others waiting",

     .prepare = open_and_submit,
     .operate = submit_small,
     .check = check_pool},
	{.name = "submit, with an input in a block",
     .prepare = open_and_submit,
     .operate = submit_large,
     .check = check_pool},
	{.name = "submit and cancel", .prepare = open_and_submit, .operate = submit_and_cancel, .check = check_pool},
	{.name = NULL},
};
