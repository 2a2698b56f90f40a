/* SPDX-License-Identifier: MIT */
/*
 * Work that is counted until it is done. One worker is killed with a job in its hands: the job
 * is given back, another worker does it, and the join comes to its end.
 *
 *     joinable
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>

enum { WORKERS = 2, JOBS = 20, DEADLY = 13 };

TUTTI_TASK(work)
{
	tutti_handle handles[2];
	tutti_queue *jobs = NULL, *results = NULL;
	tutti_message message;
	memcpy(handles, tutti_task_input(task).data, sizeof handles);
	tutti_err err = tutti_queue_at(&jobs, NULL, handles[0]);
	if (!err)
		err = tutti_queue_at(&results, NULL, handles[1]);
	while (!err && (err = tutti_queue_get(jobs, &message, TUTTI_FOREVER)) == TUTTI_OK) {
		int number = *(const int *)message.view.data, square = number * number;
		if (number == DEADLY && !message.redelivered)
			raise(SIGKILL); /* the first time */
		tutti_message_release(&message);
		err = tutti_queue_put(results, &square, sizeof square, TUTTI_FOREVER);
		if (!err)
			err = tutti_queue_task_done(jobs);
	}
	tutti_queue_close(jobs);
	tutti_queue_close(results);
	return err == TUTTI_EOF ? TUTTI_OK : err;
}

static tutti_err add_up(tutti_queue *results, int *count, int *sum)
{
	int square;
	tutti_err err;
	while ((err = tutti_queue_get_into(results, &square, sizeof square, NULL, TUTTI_NOW)) == TUTTI_OK) {
		++*count;
		*sum += square;
	}
	return err == TUTTI_EEMPTY ? TUTTI_OK : err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_queue *jobs = NULL, *results = NULL;
	tutti_process *workers[WORKERS] = {0};
	int count = 0, sum = 0;
	tutti_err err = tutti_queue_open(&jobs, &(tutti_queue_options){.name = "jobs", .joinable = true});
	if (!err)
		err = tutti_queue_open(&results, &(tutti_queue_options){.name = "results"});
	if (err)
		return tutti_fatal(err);
	tutti_handle handles[2] = {tutti_queue_handle(jobs), tutti_queue_handle(results)};
	for (int i = 0; i < WORKERS && !err; i++)
		err = tutti_process_start(&workers[i], "work", &(tutti_process_options){.input = {handles, sizeof handles}});
	for (int number = 1; number <= JOBS && !err; number++)
		err = tutti_queue_put(jobs, &number, sizeof number, TUTTI_FOREVER);
	if (!err)
		err = tutti_queue_join(jobs, tutti_seconds(10));
	if (!err)
		err = add_up(results, &count, &sum);
	if (!err)
		err = tutti_queue_shutdown(jobs); /* the workers end */
	if (err)
		return tutti_fatal(err);
	for (int i = 0; i < WORKERS; i++) {
		tutti_process_wait(workers[i], NULL, TUTTI_FOREVER);
		tutti_process_close(workers[i]);
	}
	tutti_queue_close(jobs);
	tutti_queue_close(results);
	printf("%d jobs are done, their results add up to %d\n", count, sum);
	return 0;
}
