/* SPDX-License-Identifier: MIT */
/*
 * The peer nng: push to pull over ipc. Each consumer listens, each producer dials
 * all of them. Its threads are started after the pinning, so each side stays on
 * its CPU.
 */
#include "traffic.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/bench-nng-XXXXXX";

static void must(int code, const char *what)
{
	if (code)
		fail("%s: %s", what, nng_strerror(code));
}

static void address_of(unsigned consumer, char *address, size_t capacity)
{
	snprintf(address, capacity, "ipc://%s/%u", folder, consumer);
}

static void nng_open(traffic *stream)
{
	(void)stream;
	if (!mkdtemp(folder))
		fail_system("mkdtemp");
}

static void nng_close_folder(traffic *stream)
{
	char address[64];
	for (unsigned i = 0; i < stream->consumers; i++) {
		address_of(i, address, sizeof address);
		unlink(address + sizeof "ipc://" - 1);
	}
	rmdir(folder);
}

static void nng_produce(traffic *stream, unsigned index)
{
	char address[64];
	nng_socket socket;
	must(nng_push0_open(&socket), "nng_push0_open");
	/* As many messages may wait as ZeroMQ keeps by default. */
	must(nng_socket_set_int(socket, NNG_OPT_SENDBUF, 1000), "NNG_OPT_SENDBUF");
	for (unsigned i = 0; i < stream->consumers; i++) {
		address_of(i, address, sizeof address);
		must(nng_dial(socket, address, NULL, NNG_FLAG_NONBLOCK), "nng_dial");
	}
	for (uint64_t count = 1;; count++) {
		must(nng_send(socket, stream->source, stream->size, 0), "nng_send");
		note_count(producer_side(stream, index), count);
	}
}

static void nng_consume(traffic *stream, unsigned index)
{
	char address[64];
	char *buffer = malloc(stream->size);
	nng_socket socket;
	must(nng_pull0_open(&socket), "nng_pull0_open");
	address_of(index, address, sizeof address);
	must(nng_listen(socket, address, NULL, 0), "nng_listen");
	for (uint64_t count = 1;; count++) {
		size_t size = stream->size;
		must(nng_recv(socket, buffer, &size, 0), "nng_recv");
		note_count(consumer_side(stream, index), count);
	}
}

int main(int argc, char **argv)
{
	static const carrier carriers[] = {{"nng", nng_open, nng_produce, nng_consume, nng_close_folder}, {0}};
	return traffic_main(argc, argv, carriers);
}
