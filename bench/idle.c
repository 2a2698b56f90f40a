/* SPDX-License-Identifier: MIT */
/*
 * What getters cost that wait on empty queues: how often each wakes, and how much
 * CPU it uses. Five wait, each on a queue of its own; the worst is reported.
 */
#include "tutti_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GETTERS 5

typedef struct use {
	int64_t at;
	uint64_t wakes; /* voluntary context switches */
	uint64_t cpu_ns;
} use;

static void run_getter(void *queue)
{
	tutti_message message;
	check(tutti_queue_get(queue, &message, TUTTI_FOREVER), "tutti_queue_get");
	fail("a message came out of a queue into which nothing was put");
}

static FILE *open_of(pid_t process, const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)process, file);
	FILE *opened = fopen(path, "r");
	if (!opened)
		fail_system(path);
	return opened;
}

static use use_of(pid_t process)
{
	use found = {.at = now_ns()};
	char line[256];
	FILE *status = open_of(process, "status");
	bool seen = false;
	while (!seen && fgets(line, sizeof line, status))
		seen = sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &found.wakes) == 1;
	fclose(status);
	FILE *times = open_of(process, "schedstat");
	seen = fscanf(times, "%" SCNu64, &found.cpu_ns) == 1 && seen;
	fclose(times);
	if (!seen)
		fail("this kernel does not tell context switches or run time of process %d", (int)process);
	return found;
}

/*
 * What it used up to right after a wake, or up to a second from now if none comes. From there on a window of any
 * length holds no more wakes than its length allows; from elsewhere it could hold one more.
 */
static use use_after_wake(pid_t process)
{
	use first = use_of(process), found = first;
	while (found.wakes == first.wakes && found.at - first.at < 1000000000) {
		sleep_ns(1000000);
		found = use_of(process);
	}
	return found;
}

static void worse(double *worst, double value)
{
	if (value > *worst)
		*worst = value;
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	int64_t window = (int64_t)argument(argc, argv, 1, 3500) * 1000000;
	pid_t getters[GETTERS];
	use before[GETTERS];
	double wakes = 0, cpu = 0;
	for (unsigned i = 0; i < GETTERS; i++) {
		tutti_queue *queue;
		check(tutti_queue_open(&queue, NULL), "tutti_queue_open");
		getters[i] = child_start(run_getter, queue, bench_cpu(i));
	}
	for (unsigned i = 0; i < GETTERS; i++)
		wait_for_sleep(getters[i], "an idle getter");
	for (unsigned i = 0; i < GETTERS; i++)
		before[i] = use_after_wake(getters[i]);
	sleep_ns(window);
	for (unsigned i = 0; i < GETTERS; i++) {
		use after = use_of(getters[i]);
		double seconds = (double)(after.at - before[i].at) / 1e9;
		worse(&wakes, (double)(after.wakes - before[i].wakes) / seconds);
		worse(&cpu, (double)(after.cpu_ns - before[i].cpu_ns) / 1e6 / seconds);
	}
	report("wakes_per_s", wakes);
	report("cpu_ms_per_s", cpu);
	report_cpus("from", UINT64_C(1) << bench_cpu(0) | UINT64_C(1) << bench_cpu(1));
	for (unsigned i = 0; i < GETTERS; i++)
		child_kill(getters[i]);
	return 0;
}
