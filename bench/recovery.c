/* SPDX-License-Identifier: MIT */
/*
 * What the survivors of a SIGKILL wait for: the lock that the killed one held, and
 * the sweep of the million blocks that it left.
 */
#include "tutti_check.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_BYTES 64

typedef struct state {
	tutti_lock *lock;
	tutti_queue *queue;
	uint64_t blocks;
	side holder, waiter; /* their count is 1 when they hold */
	_Atomic int64_t taken_at; /* published by the waiter's count */
} state;

static void ready(side *self)
{
	note_cpu(self);
	/* Release: publishes what stands before it to the parent. */
	atomic_store_explicit(&self->count, 1, memory_order_release);
}

static void run_holder(void *context)
{
	state *all = context;
	check(tutti_lock_acquire(all->lock, TUTTI_FOREVER), "tutti_lock_acquire by the holder");
	ready(&all->holder);
	for (;;)
		pause();
}

static void run_waiter(void *context)
{
	state *all = context;
	tutti_err err = tutti_lock_acquire(all->lock, TUTTI_FOREVER);
	atomic_store_explicit(&all->taken_at, now_ns(), memory_order_relaxed);
	if (err != TUTTI_EOWNERDEAD)
		fail("the lock of a killed holder was taken with %s instead of TUTTI_EOWNERDEAD", tutti_error_name(err));
	ready(&all->waiter);
}

/* `delay` moves the kill against the waiter's tick. */
static void takeover(state *all, int64_t delay)
{
	check(tutti_lock_open(&all->lock, NULL), "tutti_lock_open");
	pid_t holder = child_start(run_holder, all, bench_cpu(0));
	wait_for_count(&all->holder.count, 1, "the holder's lock");
	pid_t waiter = child_start(run_waiter, all, bench_cpu(1));
	sleep_ns(5000000 + delay);
	wait_for_sleep(waiter, "the waiter");
	int64_t killed_at = now_ns();
	kill(holder, SIGKILL);
	wait_for_count(&all->waiter.count, 1, "the takeover of the lock");
	report("takeover_ms", (double)(all->taken_at - killed_at) / 1e6);
	report_cpus("from", all->holder.cpus);
	report_cpus("to", all->waiter.cpus);
	child_kill(holder);
	child_wait(waiter);
}

/* Takes messages and never gives them back. */
static void run_hoarder(void *context)
{
	state *all = context;
	char data[MESSAGE_BYTES] = {0};
	for (uint64_t i = 0; i < all->blocks; i++) {
		tutti_message message;
		check(tutti_queue_put(all->queue, data, sizeof data, TUTTI_NOW), "tutti_queue_put");
		check(tutti_queue_get(all->queue, &message, TUTTI_NOW), "tutti_queue_get");
	}
	ready(&all->holder);
	for (;;)
		pause();
}

static uint64_t live_blocks(void)
{
	tutti_arena *arena;
	tutti_arena_usage usage;
	check(tutti_arena_default(&arena), "tutti_arena_default");
	check(tutti_arena_usage_read(arena, &usage), "tutti_arena_usage_read");
	return usage.live_blocks;
}

static void sweep(state *all, uint64_t blocks)
{
	tutti_arena *arena;
	all->blocks = blocks;
	check(tutti_arena_default(&arena), "tutti_arena_default");
	check(tutti_queue_open(&all->queue, NULL), "tutti_queue_open");
	uint64_t before = live_blocks();
	pid_t hoarder = child_start(run_hoarder, all, bench_cpu(1));
	pin(0, bench_cpu(0));
	wait_for_count(&all->holder.count, 1, "the hoard");
	uint64_t hoarded = live_blocks() - before;
	if (hoarded < blocks)
		fail("%llu messages are held, but only %llu blocks", (unsigned long long)blocks, (unsigned long long)hoarded);
	child_kill(hoarder);
	int64_t begin = now_ns();
	unsigned recovered = tutti_arena_sweep(arena);
	int64_t took = now_ns() - begin;
	uint64_t left = live_blocks();
	if (recovered != 1 || left > before + 64)
		fail("the sweep recovered %u members and left %llu blocks", recovered, (unsigned long long)(left - before));
	note_cpu(&all->waiter);
	report("sweep_ms", (double)took / 1e6);
	report("blocks", (double)hoarded);
	report_cpus("from", all->waiter.cpus);
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	state *all = share(sizeof *all);
	if (argc > 1 && !strcmp(argv[1], "takeover"))
		takeover(all, (int64_t)argument(argc, argv, 2, 0) * 1000000);
	else if (argc > 1 && !strcmp(argv[1], "sweep"))
		sweep(all, argument(argc, argv, 2, 1000000));
	else
		fail("usage: %s takeover [DELAY_MS] | sweep [BLOCKS]", argv[0]);
	return 0;
}
