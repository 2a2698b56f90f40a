/* SPDX-License-Identifier: MIT */
/* Blocks, joining and leaving, and the recovery of somebody else: K5, and K3 for those who leave with a lock held. */
#include <unistd.h>

#include "arena/block.h"
#include "arena/member.h"
#include "arena/object.h"
#include "messages.h"
#include "ring.h"

enum { SMALL = 64, LARGE = 200000, VERY_LARGE = 3 << 20 /* more than is kept for reuse */ };

static void alloc(struct stage *stage, size_t size)
{
	must(tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, size, INT64_MAX, &stage->block), "alloc");
}

static void alloc_small(struct stage *stage) { alloc(stage, SMALL); }
static void alloc_large(struct stage *stage) { alloc(stage, LARGE); }
static void alloc_very_large(struct stage *stage) { alloc(stage, VERY_LARGE); }
static void free_block(struct stage *stage) { tutti__block_free(stage->arena, stage->block); }

/* Its own, but of a span that its cache has left for another one. */
static void alloc_elsewhere(struct stage *stage)
{
	uint64_t other;
	alloc_small(stage);
	for (unsigned i = 0; i < TUTTI__BLOCKS_PER_UNIT; i++)
		must(tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, SMALL, INT64_MAX, &other), "alloc");
}

/* Nearly all of what may be touched is in use; the rest lies in spans of other sizes, free and unused. */
static void fill_arena(struct stage *stage)
{
	uint64_t blocks[4];
	for (unsigned i = 0; i < 4; i++)
		must(tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, 1000 << i, INT64_MAX, &blocks[i]), "alloc");
	for (unsigned i = 0; i < 4; i++)
		tutti__block_free(stage->arena, blocks[i]);
	while (tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, TUTTI__UNIT_SIZE * 8, INT64_MAX, &stage->block) ==
	       TUTTI_OK)
		;
	while (tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, TUTTI__UNIT_SIZE, INT64_MAX, &stage->block) == TUTTI_OK)
		;
	tutti__block_free(stage->arena, stage->block - TUTTI__UNIT_SIZE);
}

static void alloc_in_vain(struct stage *stage)
{
	if (tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, VERY_LARGE, INT64_MAX, &stage->block) != TUTTI_ENOMEM)
		must(TUTTI_EINVAL, "a full arena");
}

static void join(struct stage *stage)
{
	must(tutti_arena_join_fd(&stage->second, tutti_arena_fd(stage->arena), "second"), "join");
}

static void join_and_acquire(struct stage *stage)
{
	join(stage);
	must(tutti_lock_at(&stage->own_lock, stage->second, tutti_lock_handle(stage->lock)), "at");
	must(tutti_lock_acquire(stage->own_lock, TUTTI_NOW), "acquire");
}

static void leave(struct stage *stage) { tutti_arena_close(stage->second); }

static void open_escort(struct stage *stage)
{
	must(tutti_escort_open(&stage->escort, stage->arena), "escort");
	must(tutti_escort_take(stage->escort, tutti_lock_handle(stage->own_lock)), "take");
}

static void open_lock(struct stage *stage)
{
	must(tutti_lock_open(&stage->own_lock, &(tutti_lock_options){.arena = stage->arena}), "open");
}

/* It holds the last handle. */
static void send(struct stage *stage)
{
	open_lock(stage);
	open_escort(stage);
	tutti_lock_close(stage->own_lock);
}

/* The victim itself, so that its death ends the escort however far it came. */
static void follow(struct stage *stage) { tutti_escort_follow(stage->escort, getpid()); }
static void close_escort(struct stage *stage) { tutti_escort_close(stage->escort); }

static void enter(struct stage *stage)
{
	if (tutti__enter(stage->arena) == 0)
		must(TUTTI_EMEMBERS, "join after fork");
}

static void put(struct stage *stage)
{
	must(tutti_queue_put(stage->queue, stage->bytes[0], stage->operation->size, TUTTI_FOREVER), "put");
}

/* The victim is a member twice. It leaves as the second one: has it said so yet? */
static void look_at_exit(struct stage *stage)
{
	unsigned alive = 0;
	for (uint32_t i = 1; i <= load_relaxed(&stage->arena->header->slot_cursor) + 1; i++) {
		uint64_t state = load_acquire(&stage->arena->slots[i].state);
		alive += tutti__state_status(state) == TUTTI__SLOT_ALIVE && tutti__state_pid(state) == (uint32_t)stage->victim;
	}
	stage->exit_was_announced = alive < 2;
}

static void expect(tutti_err got, tutti_err wanted, const char *what)
{
	if (got != wanted)
		fail(TORN, "K3: %s answers %s, where %s is due: %s", what, tutti_error_name(got), tutti_error_name(wanted),
		     tutti_last_error());
}

/* Who exits cleanly keeps a lock, and anybody may release it; who is killed loses it to the next, who is told. */
static void check_leaver(struct stage *stage)
{
	board->outcome = stage->exit_was_announced;
	if (board->has_returned && !stage->exit_was_announced)
		fail(LOST, "the member has left, but is still taken for one that was killed");
	expect(tutti_lock_acquire(stage->lock, stage->way == SWEEP_FIRST ? TUTTI_NOW : tutti_ms(500)),
	       !stage->exit_was_announced  ? TUTTI_EOWNERDEAD
	       : stage->way == SWEEP_FIRST ? TUTTI_EBUSY
	                                   : TUTTI_ETIMEDOUT,
	       "an acquire");
	expect(tutti_lock_release(stage->lock), TUTTI_OK, "the release");
	expect(tutti_lock_acquire(stage->lock, TUTTI_NOW), TUTTI_OK, "the next acquire");
	expect(tutti_lock_release(stage->lock), TUTTI_OK, "its release");
}

static void check_blocks(struct stage *stage)
{
	uint64_t block;
	tutti_err err = tutti__block_alloc(stage->arena, TUTTI__KIND_RAW, LARGE, INT64_MAX, &block);
	if (err != TUTTI_OK)
		fail(LEAKED, "K5: an arena that is nearly empty has no room: %s", tutti_last_error());
	tutti__block_free(stage->arena, block);
	messages_check(stage, false);
}

static void sweep(struct stage *stage) { tutti_arena_sweep(stage->arena); }

const struct operation arena_operations[] = {
	{.name = "alloc, small", .operate = alloc_small, .check = check_blocks},
	{.name = "alloc, small, cache warm",
     .is_short = true,
     .warm = SMALL,
     .operate = alloc_small,
     .check = check_blocks},
	{.name = "alloc, a large run", .operate = alloc_large, .check = check_blocks},
	{.name = "alloc, no room left", .prepare = fill_arena, .operate = alloc_in_vain, .check = check_blocks},
	{.name = "free, small", .is_short = true, .prepare = alloc_small, .operate = free_block, .check = check_blocks},
	{.name = "free, small, of a span not in the cache",
     .is_short = true,
     .prepare = alloc_elsewhere,
     .operate = free_block,
     .check = check_blocks},
	{.name = "free, a large run",
     .is_short = true,
     .prepare = alloc_large,
     .operate = free_block,
     .check = check_blocks},
	{.name = "free, a large run, its pages given back",
     .prepare = alloc_very_large,
     .operate = free_block,
     .check = check_blocks},
	{.name = "join by descriptor", .operate = join, .check = check_blocks},
	{.name = "join after fork", .is_first = true, .operate = enter, .check = check_blocks},
	{.name = "join after fork, by a put",
     .is_first = true,
     .adds = 1,
     .size = SMALL,
     .operate = put,
     .check = check_blocks},
	{.name = "leave", .prepare = join, .operate = leave, .check = check_blocks},
	{.name = "leave, a lock held",
     .prepare = join_and_acquire,
     .operate = leave,
     .look = look_at_exit,
     .check = check_leaver},
	{.name = "escort open and take", .prepare = open_lock, .operate = open_escort, .check = check_blocks},
	{.name = "escort follow", .prepare = send, .operate = follow, .check = check_blocks},
	{.name = "escort close", .prepare = send, .operate = close_escort, .check = check_blocks},
	{.name = NULL},
};

const struct operation recovery = {.name = "recovery of one killed in", .operate = sweep};

const char *const corpses[] = {"lock acquire",
                               "semaphore acquire, after another",
                               "semaphore acquire, from the dead",
                               "semaphore release of many",
                               "rwlock write",
                               "put, links a segment, cache warm",
                               "put of a draft, a block",
                               "get, leaves a segment",
                               "get and release of a view, a block",
                               "put, polled by a wait set",
                               "queue open",
                               "queue at, more holders than fit",
                               "queue close, the last handle",
                               "put with the last handle of a queue",
                               "joinable get by copy",
                               "task_done",
                               "pipe close, the last handle of an end",
                               "alloc, a large run",
                               "free, a large run",
                               "leave, a lock held",
                               "escort close",
                               "condition enlist, chains a block",
                               "condition sleep, notified",
                               "barrier wait, alone, an action",
                               "barrier wait, last of two",
                               "own worker: a handle there and back, its last run",
                               "own worker: the last run of what nobody waits for, a handle",
                               "publish",
                               NULL};
