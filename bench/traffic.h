/* SPDX-License-Identifier: MIT */
/*
 * A stream of messages from some processes to others, and how many a second
 * arrive: the same harness for Tutti's queue, the bare ring and each peer.
 *
 * Producers and consumers run until they are killed. The parent waits until every
 * consumer has received something, lets them warm up, and counts what is received
 * in a window: so neither start nor end is in the number.
 */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include "support.h"

#define MOST_SIDES 4

typedef struct traffic {
	size_t size; /* bytes of one message */
	unsigned producers, consumers;
	side *sides; /* producers, then consumers */
	void *source; /* what producers send: `size` bytes */
	void *context; /* the carrier's own */
} traffic;

/* How messages are carried. `produce` and `consume` loop for ever and note their count on each message. */
typedef struct carrier {
	const char *name;
	void (*open)(traffic *stream); /* in the parent, before the processes start */
	void (*produce)(traffic *stream, unsigned index);
	void (*consume)(traffic *stream, unsigned index);
	void (*close)(traffic *stream); /* may be NULL */
} carrier;

static inline side *producer_side(const traffic *stream, unsigned index) { return stream->sides + index; }
static inline side *consumer_side(const traffic *stream, unsigned index)
{
	return stream->sides + stream->producers + index;
}

/*
 * main() of a traffic program: CARRIER [BYTES [PRODUCERS [CONSUMERS [WINDOW_MS [mixed]]]]].
 * `carriers` ends with a NULL name.
 */
int traffic_main(int argc, char **argv, const carrier *carriers);

#endif
