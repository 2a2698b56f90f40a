/* SPDX-License-Identifier: MIT */
/*
 * A semaphore of two permits, and a process that is killed while it has both. Who asks
 * next gets them all the same, and is told.
 *
 *     semaphore
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>
#include <unistd.h>

TUTTI_TASK(take_both)
{
	tutti_handle handle;
	tutti_semaphore *slots = NULL;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_semaphore_at(&slots, NULL, handle);
	for (int i = 0; i < 2 && !err; i++)
		err = tutti_semaphore_acquire(slots, TUTTI_FOREVER);
	if (!err)
		kill(getpid(), SIGKILL);
	return err;
}

static tutti_err kill_one_that_has_both(tutti_semaphore *slots)
{
	tutti_process *process = NULL;
	tutti_handle handle = tutti_semaphore_handle(slots);
	tutti_err err =
		tutti_process_start(&process, "take_both", &(tutti_process_options){.input = {&handle, sizeof handle}});
	if (!err)
		err = tutti_process_wait(process, NULL, tutti_seconds(10));
	tutti_process_close(process);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_semaphore *slots = NULL;
	tutti_err err = tutti_semaphore_open(&slots, 2, &(tutti_semaphore_options){.name = "slots", .max_value = 2});
	if (!err)
		err = kill_one_that_has_both(slots);
	for (int i = 0; i < 2 && !err; i++) {
		err = tutti_semaphore_acquire(slots, tutti_seconds(10));
		if (err == TUTTI_EOWNERDEAD) {
			printf("%s\n", tutti_last_error());
			err = TUTTI_OK;
		}
	}
	if (!err)
		err = tutti_semaphore_release(slots, 2);
	if (err)
		return tutti_fatal(err);
	printf("%u permits; one more: %s\n", tutti_semaphore_value(slots),
	       tutti_error_name(tutti_semaphore_release(slots, 1)));
	tutti_semaphore_close(slots);
	return 0;
}
