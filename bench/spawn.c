/* SPDX-License-Identifier: MIT */
/*
 * The limit of whatever starts commands: vfork, exec and wait of `true`, a few at a time,
 * with nothing around them.
 */
#include "support.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_true(void)
{
	char *const arguments[] = {"true", NULL};
	pid_t child = vfork();
	if (child < 0)
		fail_system("vfork");
	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
}

static void wait_for_one(void)
{
	int status;
	if (wait(&status) < 0)
		fail_system("wait");
	if (status != 0)
		fail("`true` cannot be run here");
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	uint64_t count = argument(argc, argv, 1, 5000), at_a_time = argument(argc, argv, 2, 2);
	int64_t begin = now_ns();
	for (uint64_t i = 0; i < count; i++) {
		if (i >= at_a_time)
			wait_for_one();
		start_true();
	}
	for (uint64_t i = 0; i < count && i < at_a_time; i++)
		wait_for_one();
	report("rate", (double)count * 1e9 / (double)(now_ns() - begin));
	return 0;
}
