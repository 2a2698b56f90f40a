/* SPDX-License-Identifier: MIT */
/*
 * A member's private view of an arena: where it is mapped, which id it has there, and
 * its caches of free blocks.
 *
 * What a fork must not inherit lies in one private mapping that the kernel wipes in the
 * child (MADV_WIPEONFORK): there the id is 0, and the first operation joins anew.
 */
#ifndef TUTTI_ARENA_CONTEXT_H
#define TUTTI_ARENA_CONTEXT_H

#include <pthread.h>

#include <tutti/arena.h>

#include "arena/layout.h"

/* The kinds of blocks. Spans of a kind other than RAW never become anything else. */
enum tutti__kind_number {
	TUTTI__KIND_RAW,
	TUTTI__KIND_LOCK,
	TUTTI__KIND_EVENT,
	TUTTI__KIND_QUEUE,
	TUTTI__KIND_POOL,
	TUTTI__KIND_TASK,
	TUTTI__KIND_RLOCK,
	TUTTI__KIND_SEMAPHORE,
	TUTTI__KIND_RWLOCK,
	TUTTI__KIND_ONCE,
	TUTTI__KIND_CONDITION,
	TUTTI__KIND_BARRIER,
	TUTTI__KIND_PARCEL,
	TUTTI__KIND_PIPE,
	TUTTI__KIND_BLOCK,
	TUTTI__KIND_COUNT
};

enum { TUTTI__CLASS_COUNT = 19 };

/* The free blocks that this member took out of one span at a time. Their owner words are 0: a death needs no repair. */
struct tutti__cache {
	uint32_t unit; /* the span, 0: none */
	uint32_t cursor; /* where to look for the next span */
	uint16_t count;
	uint16_t free[TUTTI__BLOCKS_PER_UNIT];
};

struct tutti__local {
	atomic_u32 id; /* 0: not a member (yet, or in a forked child) */
	atomic_u32 operations; /* counted to look for the dead now and then; a race loses a count only */
	pthread_mutex_t mutex; /* guards the caches; all zero is its initial state */
	pthread_mutex_t renewing; /* outside of it: two threads of a forked child may use an inherited handle at once */
	struct tutti__cache caches[TUTTI__KIND_COUNT][TUTTI__CLASS_COUNT];
};

/*
 * The mapping of an arena; members of one process share it. Guarded by the members' mutex.
 */
struct tutti__mapping {
	unsigned char *base;
	uint64_t size;
	unsigned users;
};

struct tutti_arena {
	struct tutti__mapping *mapping;
	unsigned char *base; /* of the mapping */
	uint64_t size;
	int fd;
	struct tutti__header *header;
	struct tutti__slot *slots;
	struct tutti__unit *units;
	atomic_u32 *owners;
	struct tutti__local *local;
	char member_name[TUTTI__NAME_SIZE];
	tutti_arena *next; /* list of this process's members */
};

static inline void *tutti__at(const tutti_arena *arena, uint64_t offset) { return arena->base + offset; }

static inline uint64_t tutti__offset(const tutti_arena *arena, const void *address)
{
	return (uint64_t)((const unsigned char *)address - arena->base);
}

static inline struct tutti__slot *tutti__slot_of(const tutti_arena *arena, uint32_t id)
{
	return &arena->slots[id & ((1U << TUTTI__SLOT_BITS) - 1)];
}

/* Joins again in a forked child; 0 and the error text if that fails. */
uint32_t tutti__rejoin(tutti_arena *arena);

/* The caller's member id. First line of every operation. 0: this forked child cannot join. */
static inline uint32_t tutti__enter(tutti_arena *arena)
{
	uint32_t id = load_relaxed(&arena->local->id); /* relaxed: written once, before the arena is handed out */
	return likely(id != 0) ? id : tutti__rejoin(arena);
}

#endif
