/* SPDX-License-Identifier: MIT */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)

void step_offer(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(4);
}

void step_begin_here(void) { __asm__ __volatile__("int3" ::: "memory"); }

static bool wait_stop(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(status);
}

bool step_wait_begin(pid_t pid)
{
	return wait_stop(pid) && ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL) == 0;
}

bool step_seize(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_EXITKILL) != 0)
		return false;
	return ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && wait_stop(pid);
}

bool step(pid_t pid) { return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && wait_stop(pid); }

uint64_t step_place(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, (void *)offsetof(struct user_regs_struct, rip), NULL);
}

bool step_is_repeating(pid_t pid)
{
	/* A fork of ours: its code is ours. */
	const unsigned char *code = (const unsigned char *)(uintptr_t)step_place(pid);
	if (code[0] != 0xf3 && code[0] != 0xf2)
		return false;
	unsigned char instruction = (code[1] & 0xf0) == 0x40 ? code[2] : code[1]; /* REX prefix */
	return instruction == 0xa4 || instruction == 0xa5 || instruction == 0xaa || instruction == 0xab;
}

bool step_is_possible(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		step_offer();
		step_begin_here();
		_exit(0);
	}
	bool possible = pid > 0 && step_wait_begin(pid) && step(pid);
	if (pid > 0)
		step_kill(pid, false);
	return possible;
}

#else

void step_offer(void) {}
void step_begin_here(void) {}
bool step_wait_begin(pid_t pid) { return pid < 0; }
bool step_seize(pid_t pid) { return pid < 0; }
bool step(pid_t pid) { return pid < 0; }
uint64_t step_place(pid_t pid) { return pid < 0; }
bool step_is_repeating(pid_t pid) { return pid < 0; }
bool step_is_possible(void) { return false; }

#endif

void step_kill(pid_t pid, bool leave_zombie)
{
	siginfo_t info;
	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL | WNOWAIT) != 0 && errno == EINTR)
		;
	if (!leave_zombie)
		waitpid(pid, NULL, __WALL);
}
