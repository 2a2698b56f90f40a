/* SPDX-License-Identifier: MIT */
/*
 * Messages a second: Tutti's queue (copied out, or as a view), the ring that is
 * its limit, and the pipe.
 */
#include "ring.h"
#include "traffic.h"
#include "tutti_check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define RING_SLOTS 1024
#define VIEWS_IN_FLIGHT 8

static void open_queue(traffic *stream, uint64_t max_items)
{
	tutti_queue *queue;
	check(tutti_queue_open(&queue, &(tutti_queue_options){.max_items = max_items}), "tutti_queue_open");
	stream->context = queue;
}

static void tutti_open(traffic *stream) { open_queue(stream, 0); }
static void tutti_open_bounded(traffic *stream) { open_queue(stream, RING_SLOTS); }
static void tutti_open_views(traffic *stream) { open_queue(stream, VIEWS_IN_FLIGHT); }

static void tutti_produce(traffic *stream, unsigned index)
{
	for (uint64_t count = 1;; count++) {
		check(tutti_queue_put(stream->context, stream->source, stream->size, TUTTI_FOREVER), "tutti_queue_put");
		note_count(producer_side(stream, index), count);
	}
}

static void tutti_consume(traffic *stream, unsigned index)
{
	char *buffer = malloc(stream->size);
	size_t size;
	for (uint64_t count = 1;; count++) {
		check(tutti_queue_get_into(stream->context, buffer, stream->size, &size, TUTTI_FOREVER),
		      "tutti_queue_get_into");
		if (size != stream->size || buffer[size - 1] != 'm')
			fail("message %llu arrived damaged", (unsigned long long)count);
		note_count(consumer_side(stream, index), count);
	}
}

static void tutti_consume_views(traffic *stream, unsigned index)
{
	for (uint64_t count = 1;; count++) {
		tutti_message message;
		check(tutti_queue_get(stream->context, &message, TUTTI_FOREVER), "tutti_queue_get");
		const char *bytes = message.view.data;
		if (message.view.size != stream->size || bytes[0] != 'm' || bytes[stream->size - 1] != 'm')
			fail("message %llu arrived damaged", (unsigned long long)count);
		tutti_message_release(&message);
		note_count(consumer_side(stream, index), count);
	}
}

static void bare_open(traffic *stream) { stream->context = ring_open(stream->size, RING_SLOTS); }

static void bare_produce(traffic *stream, unsigned index)
{
	for (uint64_t count = 1;; count++) {
		ring_put(stream->context, stream->source, stream->size);
		note_count(producer_side(stream, index), count);
	}
}

static void bare_consume(traffic *stream, unsigned index)
{
	char *buffer = malloc(stream->size);
	for (uint64_t count = 1;; count++) {
		ring_get(stream->context, buffer, stream->size);
		if (buffer[stream->size - 1] != 'm')
			fail("message %llu arrived damaged", (unsigned long long)count);
		note_count(consumer_side(stream, index), count);
	}
}

static void pipe_open(traffic *stream)
{
	static int ends[2];
	/* Writes up to PIPE_BUF are whole; above it two writers would mix. */
	if (stream->size > 4096)
		fail("a pipe keeps messages whole up to 4096 bytes only");
	if (pipe(ends))
		fail_system("pipe");
	stream->context = ends;
}

static void pipe_produce(traffic *stream, unsigned index)
{
	const int *ends = stream->context;
	for (uint64_t count = 1;; count++) {
		if (write(ends[1], stream->source, stream->size) != (ssize_t)stream->size)
			fail_system("write to the pipe");
		note_count(producer_side(stream, index), count);
	}
}

static void pipe_consume(traffic *stream, unsigned index)
{
	const int *ends = stream->context;
	char *buffer = malloc(stream->size);
	for (uint64_t count = 1;; count++) {
		if (read(ends[0], buffer, stream->size) != (ssize_t)stream->size)
			fail_system("read from the pipe");
		note_count(consumer_side(stream, index), count);
	}
}

int main(int argc, char **argv)
{
	static const carrier carriers[] = {
		{"tutti", tutti_open, tutti_produce, tutti_consume, NULL},
		{"tutti-bounded", tutti_open_bounded, tutti_produce, tutti_consume, NULL},
		{"tutti-views", tutti_open_views, tutti_produce, tutti_consume_views, NULL},
		{"ring", bare_open, bare_produce, bare_consume, NULL},
		{"pipe", pipe_open, pipe_produce, pipe_consume, NULL},
		{0},
	};
	return traffic_main(argc, argv, carriers);
}
