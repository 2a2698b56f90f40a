/* SPDX-License-Identifier: MIT */
/*
 * The limit: a bare ring buffer in shared memory under one robust process-shared
 * mutex. It has fixed slots, no owner records, no bounds in bytes and no sleeping:
 * the least that a queue between processes under a lock can do.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include "support.h"

typedef struct bare_ring bare_ring;

bare_ring *ring_open(size_t slot_bytes, size_t slots);
void ring_put(bare_ring *ring, const void *data, size_t size);
void ring_get(bare_ring *ring, void *data, size_t size);

#endif
