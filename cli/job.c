/* SPDX-License-Identifier: MIT */
/*
 * The task of `tutti map`: runs one job in a worker and returns its outcome.
 *
 * What the command prints goes to two fresh memory files, not pipes: nothing has to be read
 * while it runs, and a process that it leaves in the background keeps nobody waiting.
 *
 * Kill: a worker that is told to end (SIGTERM, or because the process that made the pool is
 * gone) takes its command's group along. One that is killed at once cannot: see groups.h.
 */
#include "job.h"

#include "buffer.h"
#include "command.h"
#include "groups.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct group_slot *slot; /* this worker's line */

/* --- preparing a worker --- */

static void end_with_command(int signal_number)
{
	pid_t group = atomic_load(&slot->group);
	if (group > 1)
		kill(-group, SIGKILL);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* The terminal sends these to the workers as well: what happens then is for the main process to say. */
static void set_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, end_with_command);
}

TUTTI_TASK(prepare_worker)
{
	unsigned number;
	char text[16];
	slot = groups_enter(&number);
	if (!slot)
		return tutti_task_fail(task, EAGAIN, "the table of workers is full; use a smaller -j");
	set_signals();
	if (!command_prepare())
		return tutti_task_fail(task, errno, "a worker cannot read /dev/null: %s", strerror(errno));
	snprintf(text, sizeof text, "%u", number);
	setenv("TUTTI_SLOT", text, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != groups_owner())
		raise(SIGTERM);
	return TUTTI_OK;
}

/* --- one run --- */

struct capture {
	int output, error;
};

/* Appending, so that a command that opens /dev/stderr by name does not leave a hole. */
static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_APPEND);
	return fd;
}

static void capture_close(struct capture *capture)
{
	if (capture->output >= 0)
		close(capture->output);
	if (capture->error >= 0)
		close(capture->error);
	*capture = (struct capture){-1, -1};
}

static bool capture_open(struct capture *capture)
{
	capture_close(capture);
	capture->output = memory_file("stdout");
	capture->error = memory_file("stderr");
	return capture->output >= 0 && capture->error >= 0;
}

static double seconds_of(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* What a shell would say, and the exit status that it would give. */
static int explain(int fd, const char *name, int error)
{
	if (error == ENOENT && !strchr(name, '/'))
		dprintf(fd, "tutti map: %s: command not found; is it installed, and in PATH?\n", name);
	else if (error == E2BIG)
		dprintf(fd, "tutti map: %s: the arguments are too long for one command; use a smaller -n\n", name);
	else
		dprintf(fd, "tutti map: cannot run %s: %s\n", name, strerror(error));
	return error == ENOENT ? 127 : 126;
}

static void note_end(struct outcome *outcome, const struct command_end *end)
{
	outcome->timed_out = end->timed_out;
	outcome->exit_status = WIFEXITED(end->status) ? WEXITSTATUS(end->status) : 0;
	outcome->signal_number = WIFSIGNALED(end->status) ? WTERMSIG(end->status) : 0;
	if (end->timed_out)
		outcome->exit_status = -1;
}

static void run_once(const struct job *job, char **arguments, const struct capture *capture, struct outcome *outcome)
{
	outcome->started = seconds_of(CLOCK_REALTIME);
	double start = seconds_of(CLOCK_MONOTONIC);
	struct command_end end = command_run(&(struct command){.arguments = arguments,
	                                                       .output = capture->output,
	                                                       .error = capture->error,
	                                                       .timeout = job->timeout,
	                                                       .slot = slot});
	outcome->seconds = seconds_of(CLOCK_MONOTONIC) - start;
	note_end(outcome, &end);
	if (end.start_error)
		outcome->exit_status = explain(capture->error, arguments[0], end.start_error);
	outcome->runs++;
}

/* --- the task --- */

static char **arguments_of(const struct job *job)
{
	char **arguments = allocate((job->argument_count + 1) * sizeof *arguments);
	char *text = (char *)(job + 1);
	for (uint32_t i = 0; i < job->argument_count; i++) {
		arguments[i] = text;
		text += strlen(text) + 1;
	}
	arguments[job->argument_count] = NULL;
	return arguments;
}

static uint64_t size_of(int fd)
{
	struct stat status;
	return fstat(fd, &status) ? 0 : (uint64_t)status.st_size;
}

/* Reads up to `size` bytes; a file that shrank meanwhile gives less. */
static uint64_t read_all(int fd, char *place, uint64_t size)
{
	uint64_t done = 0;
	while (done < size) {
		ssize_t got = pread(fd, place + done, size - done, (off_t)done);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		if (got > 0)
			done += (uint64_t)got;
	}
	return done;
}

/* The outcome goes straight from the memory files into the arena. */
static tutti_err give_back(tutti_task *task, struct outcome *outcome, const struct capture *capture)
{
	void *place;
	uint64_t output_size = size_of(capture->output), error_size = size_of(capture->error);
	tutti_err err = tutti_task_reserve(task, sizeof *outcome + output_size + error_size, &place);
	if (err)
		return tutti_task_fail(task, ENOMEM, "its %" PRIu64 " bytes of output do not fit: %s", output_size + error_size,
		                       tutti_last_error());
	char *bytes = (char *)place + sizeof *outcome;
	outcome->output_size = read_all(capture->output, bytes, output_size);
	outcome->error_size = read_all(capture->error, bytes + outcome->output_size, error_size);
	memcpy(place, outcome, sizeof *outcome);
	return tutti_task_return(task, place, sizeof *outcome + outcome->output_size + outcome->error_size);
}

static bool run_again(const struct job *job, const struct outcome *outcome)
{
	return outcome->runs < job->runs && !outcome_is_success(outcome) && groups_stop_level() < STOP_NOW;
}

TUTTI_TASK(run_job)
{
	const struct job *job = tutti_task_input(task).data;
	struct outcome outcome = {.skipped = groups_stop_level() > STOP_NOT};
	if (outcome.skipped)
		return tutti_task_return(task, &outcome, sizeof outcome);
	if (tutti_task_attempt(task) > 1)
		groups_kill_job(job->number, slot);
	atomic_store(&slot->job, job->number);

	struct capture capture = {-1, -1};
	char **arguments = arguments_of(job);
	tutti_err err = TUTTI_OK;
	do {
		if (!capture_open(&capture)) {
			err = tutti_task_fail(task, errno, "no memory file for its output: %s", strerror(errno));
			break;
		}
		run_once(job, arguments, &capture, &outcome);
	} while (run_again(job, &outcome));
	groups_count(err || !outcome_is_success(&outcome));
	if (!err)
		err = give_back(task, &outcome, &capture);
	capture_close(&capture);
	free(arguments);
	return err;
}
