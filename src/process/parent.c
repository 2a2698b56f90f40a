/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "process/parent.h"

enum { EXIT_ORPHANED = 128 + SIGTERM };

static pid_t parent_pid;
static timer_t timer;
static int has_timer;

/* Far from the signals that programs and debuggers use. */
static int hint_signal(void) { return SIGRTMAX - 3; }

static void look_for_parent(int signal_number)
{
	(void)signal_number;
	int saved = errno;
	if (getppid() != parent_pid)
		_exit(EXIT_ORPHANED);
	struct itimerspec every = {.it_interval = {.tv_nsec = 250000000}, .it_value = {.tv_nsec = 250000000}};
	if (has_timer)
		timer_settime(timer, 0, &every, NULL);
	errno = saved;
}

void tutti__follow_parent(pid_t parent)
{
	struct sigaction action = {.sa_handler = look_for_parent, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = hint_signal()};
	parent_pid = parent;
	sigemptyset(&action.sa_mask);
	sigaction(hint_signal(), &action, NULL);
	has_timer = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
	prctl(PR_SET_PDEATHSIG, hint_signal());
	if (getppid() != parent) /* it ended before the request */
		_exit(EXIT_ORPHANED);
}
