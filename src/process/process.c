/* SPDX-License-Identifier: MIT */
/*
 * Starting a member by fork or by spawn, watching it by its pidfd, ending it.
 *
 * Fork: the child runs the task function and leaves by _exit, after announcing a clean
 * exit. Spawn: the program is executed again with the arena's descriptor passed on and
 * an environment variable that names a launch record in the arena; tutti_init() reads
 * it, joins, runs the task and exits. The record is a block of the parent's, freed
 * when the handle is closed: a parent that dies earlier takes its children with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/block.h"
#include "arena/member.h"
#include "process/parent.h"
#include "process/process.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static const char LAUNCH_VARIABLE[] = "TUTTI_LAUNCH";
enum { LAUNCH_MAGIC = 0x4c61756e };

/* What a spawned process reads first. Lies in the arena. */
struct launch {
	uint32_t magic;
	int32_t parent;
	char task[128];
	char member_name[TUTTI__NAME_SIZE];
	uint64_t input_size;
	unsigned char input[];
};

struct tutti_process {
	tutti_arena *arena;
	pid_t pid;
	int pidfd;
	uint64_t launch; /* the record's block, 0: none */
	bool ended;
	tutti_exit status;
};

static bool is_uninitialised_spawn(void) { return getenv(LAUNCH_VARIABLE) != NULL; }

tutti_err tutti__check_fork_bomb(void)
{
	if (!is_uninitialised_spawn())
		return TUTTI_OK;
	return tutti__fail(TUTTI_EFORKBOMB,
	                   "program \"%s\" was started as a worker, but runs its main again, and would start itself for "
	                   "ever. Put `tutti_init(&argc, &argv);` in the first line of main.",
	                   tutti__program_name());
}

/* Runs the task in the new process and leaves it. */
static _Noreturn void run_and_exit(tutti_arena *arena, const char *name, tutti_view input)
{
	const tutti_task_entry *entry = tutti__task_find(name);
	tutti_task task = {.arena = arena, .input = input, .attempt = 1};
	int code = 0;
	if (!entry || tutti__enter(arena) == 0) {
		if (!entry)
			tutti__fail_no_task(name);
		fprintf(stderr, "%s: %s\n", tutti__program_name(), tutti_last_error());
		code = 1;
	} else {
		tutti__task_run(&task, entry);
		if (task.err) {
			fprintf(stderr, "%s: %s: %s\n", tutti__program_name(), name, (const char *)tutti__task_result(&task));
			code = 1;
		}
	}
	fflush(NULL);
	tutti__member_announce_exit(arena);
	_exit(code);
}

static void set_member_name(tutti_arena *arena, const char *name)
{
	snprintf(arena->member_name, sizeof arena->member_name, "%s", name);
}

static tutti_err start_by_fork(tutti_process *process, const char *task, const tutti_process_options *options)
{
	pid_t parent = getpid();
	fflush(stdout); /* else the child would write it once more */
	fflush(stderr);
	pid_t pid = fork();
	if (pid < 0)
		return tutti__fail_system(errno, "cannot fork");
	if (pid == 0) {
		tutti__follow_parent(parent);
		set_member_name(process->arena, options->name ? options->name : task);
		tutti__arena_set_default(process->arena); /* as in a spawned process: `.arena = NULL` means the same there */
		run_and_exit(process->arena, task, options->input);
	}
	process->pid = pid;
	return TUTTI_OK;
}

static tutti_err write_launch(tutti_process *process, const char *task, const tutti_process_options *options)
{
	tutti_err err = tutti__block_alloc(process->arena, TUTTI__KIND_RAW, sizeof(struct launch) + options->input.size,
	                                   INT64_MAX, &process->launch);
	if (err)
		return err;
	struct launch *launch = tutti__at(process->arena, process->launch);
	launch->magic = LAUNCH_MAGIC;
	launch->parent = getpid();
	snprintf(launch->task, sizeof launch->task, "%s", task);
	snprintf(launch->member_name, sizeof launch->member_name, "%s", options->name ? options->name : task);
	launch->input_size = options->input.size;
	if (options->input.size)
		memcpy(launch->input, options->input.data, options->input.size);
	return TUTTI_OK;
}

/* The environment with the launch variable in front; to be freed. */
static char **launch_environment(char *variable)
{
	size_t count = 0;
	while (environ[count])
		count++;
	char **result = calloc(count + 2, sizeof *result);
	if (!result)
		return NULL;
	result[0] = variable;
	memcpy(result + 1, environ, count * sizeof *result);
	return result;
}

/* Between vfork and exec: shares the parent's memory, so it only makes system calls. */
static _Noreturn void exec_self(int arena_fd, char **environment, const sigset_t *mask, volatile int *error_number)
{
	char *arguments[] = {(char *)(uintptr_t)tutti__program_name(), NULL};
	fcntl(arena_fd, F_SETFD, 0); /* the child's table only: the parent's stays close-on-exec */
	sigprocmask(SIG_SETMASK, mask, NULL);
	execve("/proc/self/exe", arguments, environment);
	*error_number = errno;
	_exit(127);
}

static tutti_err start_by_spawn(tutti_process *process, const char *task, const tutti_process_options *options)
{
	char variable[96];
	tutti_err err = write_launch(process, task, options);
	if (err)
		return err;
	snprintf(variable, sizeof variable, "%s=%d:%llu", LAUNCH_VARIABLE, process->arena->fd,
	         (unsigned long long)process->launch);
	char **environment = launch_environment(variable);
	if (!environment)
		return tutti__fail(TUTTI_ENOMEM, "no memory to start a process");
	sigset_t all, mask;
	volatile int error_number = 0;
	sigfillset(&all); /* a handler must not run in the child on our stack */
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid_t pid = vfork();
	if (pid == 0)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): it execs */
		exec_self(process->arena->fd, environment, &mask, &error_number);
	int fork_error = errno;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	free(environment);
	if (pid < 0)
		return tutti__fail_system(fork_error, "cannot spawn");
	if (error_number) {
		waitpid(pid, NULL, 0);
		return tutti__fail_system(error_number, "cannot execute this program again");
	}
	process->pid = pid;
	return TUTTI_OK;
}

static tutti_start choose_start(tutti_start start)
{
	const char *variable = getenv("TUTTI_START");
	if (start != TUTTI_START_DEFAULT)
		return start;
	if (variable && strcmp(variable, "spawn") == 0)
		return TUTTI_SPAWN;
	if (variable && strcmp(variable, "fork") == 0)
		return TUTTI_FORK;
	return tutti__thread_count() == 1 ? TUTTI_FORK : TUTTI_SPAWN;
}

static tutti_err start(tutti_process *process, const char *task, const tutti_process_options *options)
{
	tutti_err err = choose_start(options->start) == TUTTI_FORK ? start_by_fork(process, task, options)
	                                                           : start_by_spawn(process, task, options);
	if (err)
		return err;
	process->pidfd = tutti__pidfd_open(process->pid);
	if (process->pidfd >= 0)
		return TUTTI_OK;
	err = tutti__fail_system(errno, "cannot watch the started process");
	kill(process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
	return err;
}

tutti_err tutti_process_start(tutti_process **result, const char *task, const tutti_process_options *options)
{
	static const tutti_process_options defaults;
	options = options ? options : &defaults;
	tutti_arena *arena;
	tutti_err err = tutti__check_fork_bomb();
	if (!err && !tutti__task_find(task))
		err = tutti__fail_no_task(task);
	if (!err && strlen(task) >= sizeof((struct launch *)0)->task)
		err = tutti__fail(TUTTI_EINVAL, "the task name \"%s\" is too long: 127 bytes at most.", task);
	if (!err)
		err = tutti__arena_or_default(options->arena, &arena);
	if (!err && tutti__enter(arena) == 0)
		err = TUTTI_EMEMBERS;
	if (err)
		return err;
	tutti_process *process = calloc(1, sizeof *process);
	if (!process)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a process handle");
	process->arena = arena;
	process->pidfd = -1;
	err = start(process, task, options);
	if (err) {
		if (process->launch)
			tutti__block_free(arena, process->launch);
		free(process);
		return err;
	}
	*result = process;
	return TUTTI_OK;
}

int tutti_process_pid(const tutti_process *process) { return process->pid; }

int tutti_process_fd(const tutti_process *process) { return process->pidfd; }

static tutti_err send_signal(tutti_process *process, int signal_number)
{
	if (process->ended || tutti__pidfd_send_signal(process->pidfd, signal_number) == 0 || errno == ESRCH)
		return TUTTI_OK;
	return tutti__fail_system(errno, "cannot signal the process");
}

tutti_err tutti_process_stop(tutti_process *process) { return send_signal(process, SIGTERM); }

tutti_err tutti_process_kill(tutti_process *process) { return send_signal(process, SIGKILL); }

bool tutti__process_poll(tutti_process *process, tutti_exit *status)
{
	siginfo_t info = {0};
	if (!process->ended) {
		int rc = waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
		if (rc == 0 && info.si_pid == 0)
			return false;
		if (rc != 0 && errno == EINTR)
			return false;
		process->ended = true;
		process->status = (tutti_exit){.known = rc == 0, .code = -1}; /* ECHILD: somebody else reaped it */
		if (rc == 0 && info.si_code == CLD_EXITED)
			process->status.code = info.si_status;
		else if (rc == 0)
			process->status.signal = info.si_status;
	}
	if (status)
		*status = process->status;
	return true;
}

tutti_err tutti_process_wait(tutti_process *process, tutti_exit *status, tutti_time timeout)
{
	int64_t deadline = tutti__deadline(timeout);
	while (!tutti__process_poll(process, status)) {
		struct pollfd poller = {.fd = process->pidfd, .events = POLLIN};
		int64_t left = deadline == INT64_MAX ? -1 : deadline - tutti__os.clock_now();
		if (deadline != INT64_MAX && left <= 0)
			return tutti__fail(TUTTI_ETIMEDOUT, "process %d still runs.", process->pid);
		/* Round up, so as not to spin through the last millisecond; with an upper bound that fits an int. */
		int64_t milliseconds = left < 0 ? -1 : left / 1000000 + 1;
		struct tutti__sleep sleep = tutti__sleep_begin();
		int rc = poll(&poller, 1, milliseconds > 1000000 ? 1000000 : (int)milliseconds);
		tutti__sleep_end(sleep);
		if (rc < 0 && errno == EINTR)
			return tutti__fail(TUTTI_EINTR, "a signal handler ran while waiting for process %d. Wait again.",
			                   process->pid);
	}
	return TUTTI_OK;
}

void tutti_process_close(tutti_process *process)
{
	if (!process)
		return;
	if (!process->ended) {
		tutti_process_kill(process);
		while (tutti_process_wait(process, NULL, TUTTI_FOREVER) == TUTTI_EINTR)
			;
	}
	if (process->launch)
		tutti__block_free(process->arena, process->launch);
	close(process->pidfd);
	free(process);
}

void tutti__describe_exit(const tutti_exit *status, char *text, size_t size)
{
	const char *name = status->signal ? sigabbrev_np(status->signal) : NULL;
	if (!status->known)
		snprintf(text, size, "ended with a status that another part of the program took");
	else if (status->signal && name)
		snprintf(text, size, "was killed by signal %d (SIG%s)", status->signal, name);
	else if (status->signal)
		snprintf(text, size, "was killed by signal %d", status->signal);
	else
		snprintf(text, size, "ended with exit code %d", status->code);
}

static _Noreturn void run_launch(int fd, uint64_t offset)
{
	tutti_arena *arena;
	tutti_err err = tutti_arena_join_fd(&arena, fd, NULL);
	close(fd); /* the arena has its own */
	if (err)
		exit(tutti_fatal(err));
	struct launch *launch = tutti__at(arena, offset);
	if (offset > arena->size - sizeof *launch || launch->magic != LAUNCH_MAGIC)
		exit(1); /* the parent is gone, and its record with it */
	tutti__follow_parent(launch->parent);
	set_member_name(arena, launch->member_name);
	memcpy(tutti__slot_of(arena, load_relaxed(&arena->local->id))->name, arena->member_name, TUTTI__NAME_SIZE);
	tutti__arena_set_default(arena);
	run_and_exit(arena, launch->task, (tutti_view){launch->input, launch->input_size});
}

void tutti_init(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	const char *variable = getenv(LAUNCH_VARIABLE);
	char *end;
	if (!variable)
		return;
	int fd = (int)strtol(variable, &end, 10);
	bool whole = end > variable && *end == ':';
	uint64_t offset = whole ? strtoull(end + 1, &end, 10) : 0;
	unsetenv(LAUNCH_VARIABLE); /* what this process starts is not a worker */
	if (offset != 0 && *end == 0)
		run_launch(fd, offset);
}
