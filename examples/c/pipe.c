/* SPDX-License-Identifier: MIT */
/*
 * A pipe between two processes. The child is asked and answers; then it is killed. What it had
 * sent is received, then comes the end.
 *
 *     pipe
 */
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>

TUTTI_TASK(answer) /* has one end */
{
	tutti_handle handle;
	tutti_pipe *end = NULL;
	char question[40];
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_pipe_at(&end, NULL, handle);
	while (!err && (err = tutti_pipe_receive_into(end, question, sizeof question, NULL, TUTTI_FOREVER)) == TUTTI_OK)
		for (const char *word = question; *word && !err; word++)
			err = tutti_pipe_send(end, word, 1, TUTTI_FOREVER);
	tutti_pipe_close(end);
	return err == TUTTI_EOF ? TUTTI_OK : err; /* the other end was closed */
}

static tutti_err receive_letters(tutti_pipe *end, size_t count)
{
	tutti_err err = TUTTI_OK;
	for (size_t i = 0; i < count && !err; i++) {
		char letter;
		err = tutti_pipe_receive_into(end, &letter, 1, NULL, tutti_seconds(10));
		if (!err)
			putchar(letter);
	}
	putchar('\n');
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_pipe *ours = NULL, *theirs = NULL;
	tutti_process *child = NULL;
	tutti_err err = tutti_pipe_open(&ours, &theirs, &(tutti_pipe_options){.name = "talk"});
	if (err)
		return tutti_fatal(err);
	tutti_handle handle = tutti_pipe_handle(theirs);
	err = tutti_process_start(&child, "answer", &(tutti_process_options){.input = {&handle, sizeof handle}});
	if (!err)
		err = tutti_pipe_send(ours, "hello", sizeof "hello", TUTTI_FOREVER);
	if (!err)
		err = receive_letters(ours, 5);
	if (err)
		return tutti_fatal(err);
	tutti_pipe_close(theirs); /* the child has it: now it is the only one */
	tutti_process_kill(child);
	char letter;
	err = tutti_pipe_receive_into(ours, &letter, 1, NULL, tutti_seconds(10));
	printf("%s: %s\n", tutti_error_name(err), tutti_last_error());
	tutti_process_wait(child, NULL, TUTTI_FOREVER);
	tutti_process_close(child);
	tutti_pipe_close(ours);
	return err == TUTTI_EOF ? 0 : 1;
}
