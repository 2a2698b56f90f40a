/* SPDX-License-Identifier: MIT */
/*
 * Queues that travel in messages. One has its last handle in a message and lives there, with what
 * is in it; the other goes to a server with a question, and brings the answer.
 *
 *     mailed
 */
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>

TUTTI_TASK(serve)
{
	tutti_handle handle;
	tutti_queue *requests = NULL, *answers = NULL;
	tutti_message request;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_queue_at(&requests, NULL, handle);
	while (!err && (err = tutti_queue_get(requests, &request, TUTTI_FOREVER)) == TUTTI_OK) {
		int number = *(const int *)request.view.data, answer = number * 2;
		if (request.carried_count == 1)
			err = tutti_queue_at(&answers, NULL, request.carried[0]);
		tutti_message_release(&request); /* what we have opened stays */
		if (!err)
			err = tutti_queue_put(answers, &answer, sizeof answer, TUTTI_NOW);
		tutti_queue_close(answers);
		answers = NULL;
	}
	tutti_queue_close(requests);
	return err == TUTTI_EOF ? TUTTI_OK : err;
}

/* Sends a number with a queue for the answer. */
static tutti_err ask(tutti_queue *requests, int number, tutti_queue **answers)
{
	tutti_err err = tutti_queue_open(answers, &(tutti_queue_options){.name = "answers"});
	if (err)
		return err;
	tutti_handle handle = tutti_queue_handle(*answers);
	return tutti_queue_put_with(requests, &(tutti_view){&number, sizeof number}, 1, TUTTI_RAW, &handle, 1,
	                            TUTTI_FOREVER);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_queue *requests = NULL, *answers = NULL;
	tutti_process *server = NULL;
	tutti_message request;
	int answer = 0;
	tutti_err err = tutti_queue_open(&requests, &(tutti_queue_options){.name = "requests"});
	if (err)
		return tutti_fatal(err);
	/* The last handle of a queue is in the message: the queue waits there with what is in it. */
	err = ask(requests, 1, &answers);
	if (!err)
		err = tutti_queue_put(answers, "still here", sizeof "still here", TUTTI_NOW);
	tutti_queue_close(answers);
	if (!err)
		err = tutti_queue_get(requests, &request, TUTTI_NOW);
	if (!err)
		err = tutti_queue_at(&answers, NULL, request.carried[0]);
	if (err)
		return tutti_fatal(err);
	tutti_message_release(&request);
	char text[40];
	err = tutti_queue_get_into(answers, text, sizeof text, NULL, TUTTI_NOW);
	tutti_queue_close(answers);
	printf("%s\n", err ? tutti_last_error() : text);
	/* A server that is told where to answer. */
	tutti_handle handle = tutti_queue_handle(requests);
	if (!err)
		err = tutti_process_start(&server, "serve", &(tutti_process_options){.input = {&handle, sizeof handle}});
	if (!err)
		err = ask(requests, 21, &answers);
	if (!err)
		err = tutti_queue_get_into(answers, &answer, sizeof answer, NULL, tutti_seconds(10));
	if (err)
		return tutti_fatal(err);
	printf("21 and 21 is %d\n", answer);
	tutti_queue_close(answers);
	tutti_queue_shutdown(requests); /* the server ends */
	tutti_process_wait(server, NULL, TUTTI_FOREVER);
	tutti_process_close(server);
	tutti_queue_close(requests);
	return 0;
}
