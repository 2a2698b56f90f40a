/* SPDX-License-Identifier: MIT */
/*
 * An event that a signal handler sets: three processes wait for it, and Ctrl-C (or, when
 * nobody is there to press it, an alarm after 100 ms) lets them go.
 *
 *     event
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <tutti/tutti.h>

enum { WAITERS = 3 };

static tutti_event *start;

static void set_start(int signal_number)
{
	(void)signal_number;
	tutti_event_set(start); /* may be called in a handler NOLINT(bugprone-signal-handler) */
}

TUTTI_TASK(wait_for_start)
{
	tutti_handle handle;
	tutti_event *event = NULL;
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the first process */
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_event_at(&event, NULL, handle);
	if (!err)
		err = tutti_event_wait(event, tutti_seconds(10));
	tutti_event_close(event);
	return err;
}

/* The handler runs in this process, so its own wait may end with TUTTI_EINTR. */
static tutti_err wait_here(void)
{
	tutti_err err;
	do
		err = tutti_event_wait(start, TUTTI_FOREVER);
	while (err == TUTTI_EINTR);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_process *waiters[WAITERS] = {0};
	tutti_err err = tutti_event_open(&start, &(tutti_event_options){.name = "start"});
	if (err)
		return tutti_fatal(err);
	tutti_handle handle = tutti_event_handle(start);
	for (int i = 0; i < WAITERS && !err; i++)
		err = tutti_process_start(&waiters[i], "wait_for_start",
		                          &(tutti_process_options){.input = {&handle, sizeof handle}});
	if (err)
		return tutti_fatal(err);
	signal(SIGINT, set_start);
	signal(SIGALRM, set_start);
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 100000}}, NULL);
	err = wait_here();
	int released = 0;
	for (int i = 0; i < WAITERS && !err; i++) {
		tutti_exit status = {0};
		err = tutti_process_wait(waiters[i], &status, tutti_seconds(10));
		released += status.known && status.code == 0;
		tutti_process_close(waiters[i]);
	}
	tutti_event_close(start);
	printf("the event released %d of %d waiters\n", released, WAITERS);
	return err ? tutti_fatal(err) : released != WAITERS;
}
