/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include <string.h>

static unsigned char byte_of(unsigned id, size_t i) { return (unsigned char)(id * 31 + i * 7 + (i >> 8)); }

void message_write(unsigned char *bytes, size_t size, unsigned id)
{
	memcpy(bytes, &id, sizeof id);
	for (size_t i = sizeof id; i < size; i++)
		bytes[i] = byte_of(id, i);
}

unsigned message_read(const unsigned char *bytes, size_t size)
{
	unsigned id;
	if (size < sizeof id)
		fail(TORN, "K2: a message has %zu bytes; nobody put one of that size", size);
	memcpy(&id, bytes, sizeof id);
	for (size_t i = sizeof id; i < size; i++)
		if (bytes[i] != byte_of(id, i))
			fail(TORN, "K2: byte %zu of %zu of message %u is not what was put", i, size, id);
	return id;
}

tutti_err message_put(tutti_queue *queue, size_t size, unsigned id, tutti_time timeout)
{
	static unsigned char bytes[LARGEST];
	message_write(bytes, size, id);
	return tutti_queue_put(queue, bytes, size, timeout);
}

tutti_err message_put_with(tutti_queue *queue, size_t size, unsigned id, tutti_handle handle)
{
	static unsigned char bytes[LARGEST];
	message_write(bytes, size, id);
	return tutti_queue_put_with(queue, &(tutti_view){bytes, size}, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW);
}

/* One message, or the end: false. */
static bool take(tutti_queue *queue, size_t *size, unsigned *id)
{
	tutti_message message;
	tutti_err err = tutti_queue_get(queue, &message, TUTTI_NOW);
	if (err == TUTTI_EEMPTY || err == TUTTI_EOF)
		return false;
	if (err != TUTTI_OK)
		fail(HUNG, "K1: get answers %s: %s", tutti_error_name(err), tutti_last_error());
	*size = message.view.size;
	*id = message_read(message.view.data, message.view.size);
	tutti_message_release(&message);
	return true;
}

void messages_check(struct stage *stage, bool probe)
{
	const struct operation *operation = stage->operation;
	unsigned id, first = 0, next = 0, count = 0, end = operation->queued + operation->adds;
	bool has_returned = board->has_returned, saw_probe = false;
	size_t size;
	while (take(stage->queue, &size, &id)) {
		if (id == PROBE && probe && !saw_probe) {
			saw_probe = true;
			continue;
		}
		if (saw_probe || id >= end || size != operation->size)
			fail(TORN, "K2: message %u of %zu bytes comes out%s", id, size, saw_probe ? " behind a later one" : "");
		if (count++ == 0)
			first = id;
		else if (id != next)
			fail(id < next ? TORN : LOST, "K2: message %u comes out where %u is due", id, next);
		next = id + 1;
	}
	if (probe && !saw_probe)
		fail(LOST, "K2: a message that the survivor put is lost");
	if (count == 0)
		first = next = operation->queued; /* everything before was taken, nothing put */
	unsigned taken = first - operation->gone, put = next - operation->queued;
	if (first < operation->gone)
		fail(TORN, "K2: message %u comes out again", first);
	if (taken > operation->takes || next < operation->queued)
		fail(LOST, "K2: messages %u to %u are in the queue, where %u to %u were", first, next, operation->gone,
		     operation->queued);
	if (operation->takes == 1 && taken != stage->get_was_committed)
		fail(taken ? LOST : TORN, "K2: the get was%s committed, but its message is%s in the queue",
		     stage->get_was_committed ? "" : " not", taken ? " not" : "");
	if (has_returned && (put < operation->adds || taken < operation->takes))
		fail(LOST, "K2: the operation had returned, but %u of %u messages are in, %u of %u out", put, operation->adds,
		     taken, operation->takes);
	board->outcome = put + taken;
}

void messages_check_probe(tutti_queue *queue)
{
	size_t size;
	unsigned id;
	if (!take(queue, &size, &id))
		fail(LOST, "K2: a message that the survivor put is lost");
	if (id != PROBE || take(queue, &size, &id))
		fail(TORN, "K2: message %u comes out of a queue that was empty", id);
}

void messages_use(tutti_queue *queue)
{
	static const size_t sizes[] = {64, 8, 20000, 64, 4096, 200, 4097, 1000, 70000, 64};
	enum { COUNT = sizeof sizes / sizeof sizes[0] };
	size_t size;
	unsigned id;
	for (unsigned i = 0; i < COUNT; i++) {
		tutti_err err = message_put(queue, sizes[i], i, TUTTI_NOW);
		if (err == TUTTI_ESHUTDOWN)
			return;
		if (err != TUTTI_OK)
			fail(HUNG, "K1: put answers %s after the recovery: %s", tutti_error_name(err), tutti_last_error());
	}
	for (unsigned i = 0; i < COUNT; i++)
		if (!take(queue, &size, &id) || id != i || size != sizes[i])
			fail(LOST, "K2: message %u, put after the recovery, does not come out", i);
	if (take(queue, &size, &id))
		fail(TORN, "K2: message %u comes out of an empty queue", id);
}
