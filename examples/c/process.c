/* SPDX-License-Identifier: MIT */
/*
 * Processes: started by fork and by spawn, watched, stopped, and asked how they ended.
 *
 *     process
 */
#include <stdio.h>
#include <tutti/tutti.h>
#include <unistd.h>

TUTTI_TASK(greet)
{
	tutti_view name = tutti_task_input(task);
	printf("hello, %.*s\n", (int)name.size, (const char *)name.data);
	return TUTTI_OK;
}

TUTTI_TASK(complain) { return tutti_task_fail(task, 7, "this task always fails"); }

TUTTI_TASK(wait_to_be_stopped)
{
	while (pause() != 0) /* a signal ends it */
		;
	return tutti_task_return(task, "", 0);
}

/* Runs one task in a process of its own, and tells how that ended. `stop`: ends it gently at once. */
static tutti_err run(const char *task, tutti_start start, bool stop)
{
	static const char *const how[] = {[TUTTI_FORK] = "fork", [TUTTI_SPAWN] = "spawn"};
	tutti_process *process = NULL;
	tutti_exit status;
	tutti_err err =
		tutti_process_start(&process, task, &(tutti_process_options){.start = start, .input = {"world", 5}});
	if (!err && stop)
		err = tutti_process_stop(process);
	if (!err)
		err = tutti_process_wait(process, &status, tutti_seconds(10));
	if (!err)
		printf("%s by %s: exit code %d, signal %d\n", task, how[start], status.code, status.signal);
	tutti_process_close(process);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv); /* a spawned process ends in here */
	tutti_err err = TUTTI_OK;
	for (tutti_start start = TUTTI_FORK; start <= TUTTI_SPAWN && !err; start++) {
		err = run("greet", start, false);
		if (!err)
			err = run("complain", start, false);
		if (!err)
			err = run("wait_to_be_stopped", start, true);
	}
	return tutti_fatal(err);
}
