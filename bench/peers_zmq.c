/* SPDX-License-Identifier: MIT */
/*
 * The peer ZeroMQ: PUSH to PULL over ipc. Each consumer binds, each producer
 * connects to all of them, and ZeroMQ deals the messages out in turn. Its threads
 * are started after the pinning, so each side stays on its CPU.
 */
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

static char folder[] = "/tmp/bench-zmq-XXXXXX";

static void must(int worked, const char *what)
{
	if (!worked)
		fail("%s: %s", what, zmq_strerror(zmq_errno()));
}

static void address_of(unsigned consumer, char *address, size_t capacity)
{
	snprintf(address, capacity, "ipc://%s/%u", folder, consumer);
}

static void zmq_open(traffic *stream)
{
	(void)stream;
	if (!mkdtemp(folder))
		fail_system("mkdtemp");
}

static void zmq_close_folder(traffic *stream)
{
	char address[64];
	for (unsigned i = 0; i < stream->consumers; i++) {
		address_of(i, address, sizeof address);
		unlink(address + sizeof "ipc://" - 1);
	}
	rmdir(folder);
}

static void zmq_produce(traffic *stream, unsigned index)
{
	char address[64];
	void *socket = zmq_socket(zmq_ctx_new(), ZMQ_PUSH);
	must(socket != NULL, "zmq_socket");
	for (unsigned i = 0; i < stream->consumers; i++) {
		address_of(i, address, sizeof address);
		must(zmq_connect(socket, address) == 0, "zmq_connect");
	}
	for (uint64_t count = 1;; count++) {
		must(zmq_send(socket, stream->source, stream->size, 0) >= 0, "zmq_send");
		note_count(producer_side(stream, index), count);
	}
}

static void zmq_consume(traffic *stream, unsigned index)
{
	char address[64];
	char *buffer = malloc(stream->size);
	void *socket = zmq_socket(zmq_ctx_new(), ZMQ_PULL);
	must(socket != NULL, "zmq_socket");
	address_of(index, address, sizeof address);
	must(zmq_bind(socket, address) == 0, "zmq_bind");
	for (uint64_t count = 1;; count++) {
		must(zmq_recv(socket, buffer, stream->size, 0) == (int)stream->size, "zmq_recv");
		note_count(consumer_side(stream, index), count);
	}
}

int main(int argc, char **argv)
{
	static const carrier carriers[] = {{"zmq", zmq_open, zmq_produce, zmq_consume, zmq_close_folder}, {0}};
	return traffic_main(argc, argv, carriers);
}
