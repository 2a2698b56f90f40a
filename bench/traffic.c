/* SPDX-License-Identifier: MIT */
/*
 * Placement: all producers on the first CPU and all consumers on the second, so
 * that every message crosses. `mixed` spreads both kinds over both CPUs: then a
 * producer and a consumer take turns on one CPU, and most messages never cross.
 */
#include "traffic.h"

#include <string.h>

#define WARM_UP_NS INT64_C(30000000)

typedef struct role {
	traffic *stream;
	const carrier *carried_by;
	unsigned index;
} role;

static void run_producer(void *context)
{
	role *self = context;
	note_cpu(producer_side(self->stream, self->index));
	self->carried_by->produce(self->stream, self->index);
}

static void run_consumer(void *context)
{
	role *self = context;
	note_cpu(consumer_side(self->stream, self->index));
	self->carried_by->consume(self->stream, self->index);
}

static uint64_t received(const traffic *stream)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < stream->consumers; i++)
		sum += atomic_load_explicit(&consumer_side(stream, i)->count, memory_order_relaxed);
	return sum;
}

static uint64_t cpus_of(const side *sides, unsigned count)
{
	uint64_t cpus = 0;
	for (unsigned i = 0; i < count; i++)
		cpus |= atomic_load_explicit(&sides[i].cpus, memory_order_relaxed);
	return cpus;
}

static double rate_in_window(const traffic *stream, int64_t window)
{
	for (unsigned i = 0; i < stream->consumers; i++)
		wait_for_count(&consumer_side(stream, i)->count, 1, "the first message to each consumer");
	sleep_ns(WARM_UP_NS);
	uint64_t before = received(stream);
	int64_t begin = now_ns();
	sleep_ns(window);
	uint64_t after = received(stream);
	if (after == before)
		fail("nothing arrived in %.0f ms", (double)window / 1e6);
	return (double)(after - before) * 1e9 / (double)(now_ns() - begin);
}

static void measure(traffic *stream, const carrier *carried_by, int64_t window, bool mixed)
{
	pid_t processes[2 * MOST_SIDES];
	unsigned all = stream->producers + stream->consumers;
	carried_by->open(stream);
	for (unsigned i = 0; i < all; i++) {
		bool consumes = i < stream->consumers;
		unsigned index = consumes ? i : i - stream->consumers;
		role self = {stream, carried_by, index};
		int cpu = bench_cpu(mixed ? index + consumes : consumes);
		processes[i] = child_start(consumes ? run_consumer : run_producer, &self, cpu);
	}
	report("rate", rate_in_window(stream, window));
	report_cpus("from", cpus_of(producer_side(stream, 0), stream->producers));
	report_cpus("to", cpus_of(consumer_side(stream, 0), stream->consumers));
	for (unsigned i = 0; i < all; i++)
		child_kill(processes[i]);
	if (carried_by->close)
		carried_by->close(stream);
}

static const carrier *find_carrier(const carrier *carriers, const char *name)
{
	for (; carriers->name; carriers++)
		if (!strcmp(carriers->name, name))
			return carriers;
	fail("no carrier is called '%s'; bench/README.md lists them", name);
}

int traffic_main(int argc, char **argv, const carrier *carriers)
{
	bench_start(argv[0]);
	if (argc < 2)
		fail("usage: %s CARRIER [BYTES [PRODUCERS [CONSUMERS [WINDOW_MS [mixed]]]]]", argv[0]);
	traffic stream = {
		.size = argument(argc, argv, 2, 64),
		.producers = (unsigned)argument(argc, argv, 3, 1),
		.consumers = (unsigned)argument(argc, argv, 4, 1),
	};
	if (!stream.size || !stream.producers || stream.producers > MOST_SIDES || !stream.consumers ||
	    stream.consumers > MOST_SIDES)
		fail("1 byte and 1 to %d producers and consumers are possible", MOST_SIDES);
	stream.sides = share(2 * MOST_SIDES * sizeof(side));
	stream.source = share(stream.size);
	memset(stream.source, 'm', stream.size);
	bool mixed = argc > 6 && !strcmp(argv[6], "mixed");
	measure(&stream, find_carrier(carriers, argv[1]), (int64_t)argument(argc, argv, 5, 100) * 1000000, mixed);
	return 0;
}
