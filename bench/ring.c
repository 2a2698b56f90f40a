/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define SPINS_BEFORE_YIELD 200

struct bare_ring {
	/* On one line with the lock: who has the lock has the counts too. Apart they were slower. */
	alignas(CACHE_LINE) pthread_mutex_t lock;
	_Atomic uint64_t put; /* messages that ever went in; changed under the lock */
	_Atomic uint64_t got; /* messages that ever came out; changed under the lock */
	alignas(CACHE_LINE) size_t slots, stride;
	alignas(CACHE_LINE) char bytes[];
};

bare_ring *ring_open(size_t slot_bytes, size_t slots)
{
	size_t stride = (slot_bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	bare_ring *made = share(sizeof *made + slots * stride);
	pthread_mutexattr_t kind;
	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	if (pthread_mutex_init(&made->lock, &kind))
		fail("a robust process-shared mutex cannot be made here");
	made->slots = slots;
	made->stride = stride;
	memset(made->bytes, 0, slots * stride);
	return made;
}

static void lock(bare_ring *ring)
{
	if (pthread_mutex_lock(&ring->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&ring->lock);
}

/* Looks without the lock, so that who waits for the partner does not fight it for the lock. */
static uint64_t filled(bare_ring *ring)
{
	return atomic_load_explicit(&ring->put, memory_order_relaxed) -
	       atomic_load_explicit(&ring->got, memory_order_relaxed);
}

static void pause_or_yield(unsigned *spins)
{
	if (++*spins < SPINS_BEFORE_YIELD) {
		cpu_relax();
	} else {
		*spins = 0;
		sched_yield();
	}
}

void ring_put(bare_ring *ring, const void *data, size_t size)
{
	for (unsigned spins = 0;; pause_or_yield(&spins)) {
		if (filled(ring) == ring->slots)
			continue;
		lock(ring);
		if (filled(ring) < ring->slots)
			break;
		pthread_mutex_unlock(&ring->lock);
	}
	/* Relaxed: the lock orders all of it. */
	uint64_t at = atomic_load_explicit(&ring->put, memory_order_relaxed);
	memcpy(ring->bytes + at % ring->slots * ring->stride, data, size);
	atomic_store_explicit(&ring->put, at + 1, memory_order_relaxed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_get(bare_ring *ring, void *data, size_t size)
{
	for (unsigned spins = 0;; pause_or_yield(&spins)) {
		if (filled(ring) == 0)
			continue;
		lock(ring);
		if (filled(ring) > 0)
			break;
		pthread_mutex_unlock(&ring->lock);
	}
	/* Relaxed: the lock orders all of it. */
	uint64_t at = atomic_load_explicit(&ring->got, memory_order_relaxed);
	memcpy(data, ring->bytes + at % ring->slots * ring->stride, size);
	atomic_store_explicit(&ring->got, at + 1, memory_order_relaxed);
	pthread_mutex_unlock(&ring->lock);
}
