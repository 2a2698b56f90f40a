/* SPDX-License-Identifier: MIT */
/*
 * The limit of whatever starts commands: vfork, exec and wait of `true`, with nothing around
 * them, in as many processes as run at a time. One process that starts them all is slower: it
 * stands still until each has been executed.
 */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* With an argument, as the programs that it is compared with give it one: `true` then sets up its locale. */
static void run_true(uint64_t job)
{
	char number[24];
	int status;
	snprintf(number, sizeof number, "%" PRIu64, job);
	char *const arguments[] = {"true", number, NULL};
	pid_t child = vfork();
	if (child < 0)
		fail_system("vfork");
	if (child == 0) {
		execv("/bin/true", arguments);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		fail_system("waitpid");
	if (status != 0)
		fail("/bin/true cannot be run here");
}

static void run_many(void *context)
{
	const uint64_t *count = context;
	for (uint64_t job = 1; job <= *count; job++)
		run_true(job);
}

enum { MOST = 64 };

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	uint64_t count = argument(argc, argv, 1, 5000), at_a_time = argument(argc, argv, 2, 2);
	pid_t starters[MOST];
	if (at_a_time < 1 || at_a_time > MOST)
		fail("%" PRIu64 " at a time: give a number from 1 to %d", at_a_time, MOST);
	uint64_t each = (count + at_a_time - 1) / at_a_time;
	int64_t begin = now_ns();
	for (uint64_t i = 0; i < at_a_time; i++)
		starters[i] = child_start(run_many, &each, -1);
	for (uint64_t i = 0; i < at_a_time; i++)
		child_wait(starters[i]);
	report("rate", (double)(each * at_a_time) * 1e9 / (double)(now_ns() - begin));
	return 0;
}
