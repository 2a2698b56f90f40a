/* SPDX-License-Identifier: MIT */
/*
 * A queue between processes: two writers put numbers into it, this process gets them. A
 * writer finds the queue by its handle, a plain value that can be sent anywhere.
 *
 *     queue
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>

enum { WRITERS = 2, NUMBERS = 1000 };

TUTTI_TASK(write_numbers) /* runs in a process of its own */
{
	tutti_handle handle;
	tutti_queue *numbers = NULL;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_queue_at(&numbers, NULL, handle);
	for (uint64_t number = 1; !err && number <= NUMBERS; number++)
		err = tutti_queue_put(numbers, &number, sizeof number, TUTTI_FOREVER); /* waits while it is full */
	tutti_queue_close(numbers);
	return err;
}

/* Adds up what comes until all the writers' numbers are here. */
static tutti_err read_numbers(tutti_queue *numbers, uint64_t *sum)
{
	tutti_message message;
	tutti_err err = TUTTI_OK;
	for (int left = WRITERS * NUMBERS; left > 0 && !err; left--) {
		err = tutti_queue_get(numbers, &message, tutti_seconds(10));
		if (!err)
			*sum += *(const uint64_t *)message.view.data; /* a view into the arena, ours until it is released */
		tutti_message_release(&message);
	}
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_queue *numbers = NULL;
	tutti_err err = tutti_queue_open(&numbers, &(tutti_queue_options){.name = "numbers", .max_items = 100});
	if (err)
		return tutti_fatal(err);
	tutti_handle handle = tutti_queue_handle(numbers);
	tutti_process *writers[WRITERS] = {0};
	for (int i = 0; i < WRITERS && !err; i++)
		err = tutti_process_start(&writers[i], "write_numbers",
		                          &(tutti_process_options){.input = {&handle, sizeof handle}});
	uint64_t sum = 0;
	if (!err)
		err = read_numbers(numbers, &sum);
	if (err)
		return tutti_fatal(err);
	for (int i = 0; i < WRITERS; i++) {
		tutti_process_wait(writers[i], NULL, TUTTI_FOREVER);
		tutti_process_close(writers[i]);
	}
	tutti_queue_close(numbers);
	printf("%d writers sent numbers whose sum is %" PRIu64 "\n", WRITERS, sum);
	return 0;
}
