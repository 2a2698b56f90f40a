/* SPDX-License-Identifier: MIT */
/*
 * Starting a command is most of what a small job costs, so: vfork, no search of PATH for the
 * same name twice, and no system call in the child that is not needed.
 *
 * Kill: a command dies with the worker that started it; see groups.h for its children.
 */
#include "command.h"

#include "buffer.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long a command that ran out of time may take to clean up after SIGTERM. */
#define GRACE tutti_ms(200)

static int reset_signals[NSIG]; /* up to a 0 */
static sigset_t no_signals, all_signals;

/* Which signals are not at their default here though the user did not ask for that. */
static void note_signals(void)
{
	size_t count = 0;
	for (int number = 1; number < 32; number++) {
		struct sigaction action;
		if (number == SIGKILL || number == SIGSTOP || sigaction(number, NULL, &action))
			continue;
		bool ours = number == SIGINT || number == SIGTERM || number == SIGPIPE || number == SIGQUIT;
		if (action.sa_handler != SIG_DFL && (ours || action.sa_handler != SIG_IGN))
			reset_signals[count++] = number;
	}
	reset_signals[count] = 0;
}

bool command_prepare(void)
{
	sigemptyset(&no_signals);
	sigfillset(&all_signals);
	note_signals();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return false;
	close(null);
	return true;
}

/* --- finding it --- */

static bool is_program(const char *path)
{
	struct stat status;
	if (stat(path, &status))
		return false;
	errno = EACCES; /* also for a folder */
	return S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* The first program of that name in PATH. A file that may not be executed is remembered as the reason. */
static bool search_path(struct buffer *found, const char *name)
{
	int reason = ENOENT;
	const char *path = getenv("PATH");
	for (const char *end, *folder = path ? path : "/usr/bin:/bin"; folder; folder = *end ? end + 1 : NULL) {
		end = strchrnul(folder, ':');
		found->size = 0;
		buffer_add(found, end > folder ? folder : ".", end > folder ? (size_t)(end - folder) : 1);
		buffer_add_byte(found, '/');
		buffer_add(found, name, strlen(name) + 1);
		if (is_program(found->data))
			return true;
		if (errno == EACCES)
			reason = EACCES;
	}
	errno = reason;
	return false;
}

const char *command_find(const char *name)
{
	static struct buffer last_name, found;
	if (strchr(name, '/'))
		return is_program(name) ? name : NULL;
	if (last_name.size && strcmp(last_name.data, name) == 0)
		return found.data;
	last_name.size = 0;
	if (!*name)
		errno = ENOENT;
	if (!*name || !search_path(&found, name))
		return NULL;
	buffer_add(&last_name, name, strlen(name) + 1);
	return found.data;
}

/* --- starting it --- */

/*
 * In the child, which shares the parent's memory until it executes. It notes its group itself, so that
 * a worker killed right here leaves no group that nobody knows.
 */
static _Noreturn void child(const struct command *command, const char *path, pid_t worker, volatile int *start_error)
{
	setpgid(0, 0);
	atomic_store(&command->slot->group, getpid());
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		_exit(127);
	dup2(command->output, STDOUT_FILENO);
	dup2(command->error, STDERR_FILENO);
	for (const int *number = reset_signals; *number; number++)
		signal(*number, SIG_DFL);
	sigprocmask(SIG_SETMASK, &no_signals, NULL);
	execve(path, command->arguments, environ);
	*start_error = errno;
	_exit(127);
}

/* Signals wait meanwhile: a handler must not run in a child that shares our memory. */
static pid_t start(const struct command *command, const char *path, int *start_error)
{
	sigset_t before;
	volatile int error = 0;
	pid_t worker = getpid();
	sigprocmask(SIG_SETMASK, &all_signals, &before);
	pid_t pid = vfork();
	if (pid == 0)
		child(command, path, worker, &error); /* NOLINT(clang-analyzer-unix.Vfork): it makes system calls only */
	int fork_error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	*start_error = pid < 0 ? fork_error : error;
	return pid;
}

/* A script without a first line "#!" is run by the shell, as every shell does. */
static pid_t start_script(const struct command *command, const char *path, int *start_error)
{
	size_t count = 0;
	while (command->arguments[count])
		count++;
	char **arguments = allocate((count + 2) * sizeof *arguments);
	memcpy(arguments + 1, command->arguments, (count + 1) * sizeof *arguments);
	arguments[0] = "/bin/sh";
	arguments[1] = (char *)path;
	struct command script = *command;
	script.arguments = arguments;
	pid_t pid = start(&script, "/bin/sh", start_error);
	free(arguments);
	return pid;
}

/* --- waiting for it --- */

static tutti_time now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (tutti_time)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* True when the process behind `pidfd` has ended, false when the time ran out. */
static bool ended_within(int pidfd, tutti_time timeout)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	tutti_time deadline = timeout > TUTTI_FOREVER - now() ? TUTTI_FOREVER : now() + timeout;
	for (;;) {
		tutti_time left = deadline - now();
		if (left < 0)
			left = 0;
		struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
		int ready = ppoll(&ended, 1, &time, NULL);
		if (ready > 0)
			return true;
		if (ready == 0 && deadline <= now())
			return false;
	}
}

/* Waits with a limit; past it the whole group is asked to end, and then made to. */
static void limit(pid_t pid, tutti_time timeout, struct command_end *end)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		end->start_error = errno;
		kill(-pid, SIGKILL);
		return;
	}
	end->timed_out = !ended_within(pidfd, timeout);
	if (end->timed_out) {
		kill(-pid, SIGTERM);
		ended_within(pidfd, GRACE);
		kill(-pid, SIGKILL);
	}
	close(pidfd);
}

/* The group is struck off before the process is reaped: until then nobody else can have its number. */
static int reap(pid_t pid, struct group_slot *slot)
{
	siginfo_t info;
	int status = 0;
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	atomic_store(&slot->group, 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

struct command_end command_run(const struct command *command)
{
	struct command_end end = {0};
	const char *path = command_find(command->arguments[0]);
	if (!path) {
		end.start_error = errno;
		return end;
	}
	pid_t pid = start(command, path, &end.start_error);
	if (pid > 0 && end.start_error == ENOEXEC) {
		reap(pid, command->slot);
		pid = start_script(command, path, &end.start_error);
	}
	if (pid < 0)
		return end;
	if (end.start_error == 0 && command->timeout != TUTTI_FOREVER)
		limit(pid, command->timeout, &end);
	end.status = reap(pid, command->slot);
	return end;
}
