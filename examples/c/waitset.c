/* SPDX-License-Identifier: MIT */
/*
 * One loop for everything: two processes send words through a queue each, something is typed (here: written into a
 * pipe), an event says that it is enough, and the processes end. A wait set reports what is ready.
 *
 *     waitset
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <tutti/tutti.h>

enum { SENDERS = 2, WORDS = 1000 };

struct job {
	tutti_handle queue, enough;
	int number;
};

TUTTI_TASK(send_words)
{
	struct job job;
	tutti_queue *queue = NULL;
	tutti_event *enough = NULL;
	memcpy(&job, tutti_task_input(task).data, sizeof job);
	tutti_err err = tutti_queue_at(&queue, NULL, job.queue);
	if (!err)
		err = tutti_event_at(&enough, NULL, job.enough);
	for (int i = 0; i < WORDS && !err; i++)
		err = tutti_queue_put(queue, "word", 4, TUTTI_FOREVER);
	if (!err && job.number == 0)
		err = tutti_event_set(enough);
	tutti_event_close(enough);
	tutti_queue_close(queue);
	return err;
}

static struct {
	int words, typed, events, ended;
} seen;

/* What is ready says so again until it is used up. */
static tutti_err handle(const tutti_wait_item *ready, tutti_waitset *set)
{
	char bytes[16];
	switch (ready->kind) {
	case TUTTI_WAIT_QUEUE:
		while (tutti_queue_get_into(ready->object, bytes, sizeof bytes, NULL, TUTTI_NOW) == TUTTI_OK)
			seen.words++;
		return TUTTI_OK;
	case TUTTI_WAIT_EVENT:
		seen.events++;
		return tutti_event_clear(ready->object);
	case TUTTI_WAIT_PROCESS:
		seen.ended++;
		return tutti_waitset_remove(set, *ready);
	default:
		seen.typed += (int)read(ready->fd, bytes, sizeof bytes);
		return TUTTI_OK;
	}
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_waitset *set = NULL;
	tutti_event *enough = NULL;
	tutti_queue *queues[SENDERS] = {0};
	tutti_process *senders[SENDERS] = {0};
	int typed[2];
	if (pipe(typed) != 0 || write(typed[1], "hello", 5) != 5)
		return 1;
	tutti_err err = tutti_waitset_open(&set, NULL);
	if (!err)
		err = tutti_event_open(&enough, NULL);
	if (!err)
		err = tutti_waitset_add(set, tutti_wait_event(enough, NULL));
	for (int i = 0; i < SENDERS && !err; i++) {
		err = tutti_queue_open(&queues[i], NULL);
		if (!err)
			err = tutti_waitset_add(set, tutti_wait_queue(queues[i], NULL));
		struct job job = {.enough = tutti_event_handle(enough), .number = i};
		if (!err) {
			job.queue = tutti_queue_handle(queues[i]);
			err = tutti_process_start(&senders[i], "send_words", &(tutti_process_options){.input = {&job, sizeof job}});
		}
		if (!err)
			err = tutti_waitset_add(set, tutti_wait_process(senders[i], NULL));
	}
	if (!err)
		err = tutti_waitset_add(set, tutti_wait_descriptor(typed[0], POLLIN, NULL));
	while (!err && (seen.words < SENDERS * WORDS || seen.ended < SENDERS || seen.typed < 5 || seen.events < 1)) {
		tutti_wait_item ready;
		err = tutti_waitset_next(set, &ready, tutti_seconds(10));
		if (!err)
			err = handle(&ready, set);
	}
	printf("%d words, %d bytes typed, the event %d time(s), %d processes ended\n", seen.words, seen.typed, seen.events,
	       seen.ended);
	for (int i = 0; i < SENDERS; i++) {
		tutti_queue_close(queues[i]);
		tutti_process_close(senders[i]);
	}
	tutti_event_close(enough);
	tutti_waitset_close(set);
	return tutti_fatal(err);
}
