/* SPDX-License-Identifier: MIT */
/*
 * A round trip between two processes, by event, condition or barrier; `line` is one word on which both
 * sides spin. The median is of batches, so that the clock is not in it.
 *
 * event: two events, set and cleared in turn. condition: a turn under a lock, one condition for both.
 * barrier: a round of a barrier of two: the first hears of the second, and the second of the first.
 */
#include "tutti_check.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 100

typedef struct way {
	const char *name;
	void (*open)(void);
	void (*ping)(void); /* lets the other side go, and waits until it has answered */
	void (*pong)(void); /* waits, and answers */
} way;

typedef struct meeting {
	alignas(CACHE_LINE) _Atomic uint32_t word; /* line: whose turn it is */
	alignas(CACHE_LINE) uint32_t turn; /* condition: the same, under the lock */
	side pinger, ponger;
} meeting;

static meeting *met;
static tutti_event *events[2];
static tutti_lock *lock;
static tutti_condition *condition;
static tutti_barrier *barrier;

static void line_open(void) {}

static void line_wait(uint32_t turn)
{
	/* Acquire and release: what a message would need. */
	while (atomic_load_explicit(&met->word, memory_order_acquire) != turn)
		cpu_relax();
}

static void line_ping(void)
{
	atomic_store_explicit(&met->word, 1, memory_order_release);
	line_wait(0);
}

static void line_pong(void)
{
	line_wait(1);
	atomic_store_explicit(&met->word, 0, memory_order_release);
}

static void event_open(void)
{
	for (int i = 0; i < 2; i++)
		check(tutti_event_open(&events[i], NULL), "tutti_event_open");
}

static void event_set(unsigned which) { check(tutti_event_set(events[which]), "tutti_event_set"); }

static void event_take(unsigned which)
{
	check(tutti_event_wait(events[which], TUTTI_FOREVER), "tutti_event_wait");
	check(tutti_event_clear(events[which]), "tutti_event_clear");
}

static void event_ping(void)
{
	event_set(0);
	event_take(1);
}

static void event_pong(void)
{
	event_take(0);
	event_set(1);
}

static void condition_open(void)
{
	check(tutti_lock_open(&lock, NULL), "tutti_lock_open");
	check(tutti_condition_open(&condition, NULL), "tutti_condition_open");
}

/* With the lock held, as a loop around a condition has it: gives the turn to the other side, waits until it is back. */
static void pass_turn(uint32_t own)
{
	static bool holds;
	if (!holds)
		check(tutti_lock_acquire(lock, TUTTI_FOREVER), "tutti_lock_acquire");
	holds = true;
	met->turn = !own;
	check(tutti_condition_notify(condition, 1, NULL), "tutti_condition_notify");
	while (met->turn != own)
		check(tutti_condition_wait(condition, lock, TUTTI_FOREVER), "tutti_condition_wait");
}

static void condition_ping(void) { pass_turn(0); }
static void condition_pong(void) { pass_turn(1); }

static void barrier_open(void) { check(tutti_barrier_open(&barrier, 2, NULL), "tutti_barrier_open"); }

static void barrier_pass(void)
{
	check(tutti_barrier_wait(barrier, NULL, NULL, NULL, TUTTI_FOREVER), "tutti_barrier_wait");
}

static void run_ponger(void *context)
{
	const way *with = context;
	for (uint64_t count = 1;; count++) {
		with->pong();
		note_count(&met->ponger, count);
	}
}

static double trips(const way *with)
{
	int64_t begin = now_ns();
	for (unsigned i = 0; i < BATCH; i++)
		with->ping();
	return (double)(now_ns() - begin) / BATCH;
}

int main(int argc, char **argv)
{
	static const way ways[] = {
		{"line", line_open, line_ping, line_pong},
		{"event", event_open, event_ping, event_pong},
		{"condition", condition_open, condition_ping, condition_pong},
		{"barrier", barrier_open, barrier_pass, barrier_pass},
	};
	const way *with = NULL;
	bench_start(argv[0]);
	for (size_t i = 0; argc > 2 && i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(argv[1], ways[i].name))
			with = &ways[i];
	if (!with)
		fail("usage: %s line|event|condition|barrier awake|onecpu [BATCHES]", argv[0]);
	size_t samples = argument(argc, argv, 3, 1000);
	double *times = malloc(samples * sizeof *times);
	met = share(sizeof *met);
	with->open();
	pid_t child = child_start(run_ponger, (void *)with, bench_cpu(!!strcmp(argv[2], "onecpu")));
	pin(0, bench_cpu(0));
	note_cpu(&met->pinger);
	for (size_t i = 0; i < samples + 10; i++)
		times[i < 10 ? 0 : i - 10] = trips(with);
	report("trip_ns", quantile(times, samples, 0.5));
	free(times);
	note_cpu(&met->pinger);
	report_cpus("from", met->pinger.cpus);
	report_cpus("to", met->ponger.cpus);
	child_kill(child);
	return 0;
}
