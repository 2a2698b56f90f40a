/* SPDX-License-Identifier: MIT */
/*
 * Something that several processes need and one of them does.
 *
 *     once
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tutti/tutti.h>

enum { WORKERS = 4 };

static int *count; /* shared with the forked processes: how often it was done */

static bool set_up(void *context)
{
	(void)context;
	++*count;
	return true;
}

TUTTI_TASK(work)
{
	tutti_handle handle;
	tutti_once *once = NULL;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_once_at(&once, NULL, handle);
	if (!err)
		err = tutti_once_run(once, set_up, NULL, tutti_seconds(10));
	tutti_once_close(once);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (count == MAP_FAILED)
		return perror("once: mmap"), 1;
	tutti_once *once = NULL;
	tutti_process *workers[WORKERS] = {NULL};
	tutti_err err = tutti_once_open(&once, &(tutti_once_options){.name = "set up"});
	tutti_handle handle = {0};
	if (!err)
		handle = tutti_once_handle(once);
	for (int i = 0; i < WORKERS && !err; i++)
		err = tutti_process_start(&workers[i], "work",
		                          &(tutti_process_options){.start = TUTTI_FORK, .input = {&handle, sizeof handle}});
	for (int i = 0; i < WORKERS && !err; i++) {
		err = tutti_process_wait(workers[i], NULL, tutti_seconds(10));
		tutti_process_close(workers[i]);
	}
	if (err)
		return tutti_fatal(err);
	printf("%d workers, set up %d time\n", WORKERS, *count);
	tutti_once_close(once);
	return 0;
}
