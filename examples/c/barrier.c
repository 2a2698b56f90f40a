/* SPDX-License-Identifier: MIT */
/*
 * A barrier: workers compute in steps, and none begins a step before all have ended the one
 * before. The last one of each step adds up. Then a worker is killed: the others are told.
 *
 *     barrier
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tutti/tutti.h>
#include <unistd.h>

enum { WORKERS = 3, STEPS = 4 };

static struct table {
	int parts[WORKERS];
	int sum;
} * table; /* shared with the forked processes */

struct job {
	tutti_handle barrier;
	int number;
};

/* Runs in the worker that comes last, while the others still wait. */
static bool add_up(void *context)
{
	(void)context;
	for (int i = 0; i < WORKERS; i++)
		table->sum += table->parts[i];
	return true;
}

TUTTI_TASK(compute)
{
	struct job job;
	tutti_barrier *barrier = NULL;
	memcpy(&job, tutti_task_input(task).data, sizeof job);
	tutti_err err = tutti_barrier_at(&barrier, NULL, job.barrier);
	for (int step = 1; step <= STEPS && !err; step++) {
		table->parts[job.number] = step * (job.number + 1);
		err = tutti_barrier_wait(barrier, add_up, NULL, NULL, tutti_seconds(10));
	}
	if (err)
		return err;
	if (job.number == 0)
		kill(getpid(), SIGKILL); /* it will be missed */
	err = tutti_barrier_wait(barrier, NULL, NULL, NULL, tutti_ms(500));
	return err == TUTTI_EBROKEN ? TUTTI_OK : TUTTI_EFAILED;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		return perror("barrier: mmap"), 1;
	tutti_barrier *barrier = NULL;
	tutti_process *workers[WORKERS] = {0};
	int told = 0;
	tutti_err err = tutti_barrier_open(&barrier, WORKERS, &(tutti_barrier_options){.name = "step"});
	if (err)
		return tutti_fatal(err);
	for (int i = 0; i < WORKERS && !err; i++) {
		struct job job = {tutti_barrier_handle(barrier), i};
		err = tutti_process_start(&workers[i], "compute",
		                          &(tutti_process_options){.start = TUTTI_FORK, .input = {&job, sizeof job}});
	}
	for (int i = 0; i < WORKERS && !err; i++) {
		tutti_exit status = {0};
		err = tutti_process_wait(workers[i], &status, tutti_seconds(20));
		told += status.known && status.signal == 0 && status.code == 0;
		tutti_process_close(workers[i]);
	}
	printf("the sum of %d steps is %d\n", STEPS, table->sum);
	printf("%d of %d workers were told that the barrier is broken\n", told, WORKERS);
	if (!err && tutti_barrier_wait(barrier, NULL, NULL, NULL, TUTTI_NOW) == TUTTI_EBROKEN)
		printf("%s\n", tutti_last_error());
	tutti_barrier_close(barrier);
	return err ? tutti_fatal(err) : 0;
}
