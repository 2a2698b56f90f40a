/* SPDX-License-Identifier: MIT */
/* The member table: joining, leaving, who is dead, and when to look. */
#ifndef TUTTI_ARENA_MEMBER_H
#define TUTTI_ARENA_MEMBER_H

#include "arena/context.h"

static inline uint32_t tutti__state_pid(uint64_t state) { return (uint32_t)state; }
static inline uint32_t tutti__state_generation(uint64_t state)
{
	return (uint32_t)(state >> 32) & ((1U << TUTTI__GENERATION_BITS) - 1);
}
static inline unsigned tutti__state_status(uint64_t state) { return (unsigned)(state >> 51) & 15; }

/* Takes a slot for the calling process and returns the new member's id; 0 and the error text if none is free. */
uint32_t tutti__member_join(tutti_arena *arena);

/* Marks a member that ends cleanly: its locks stay held, the rest is recovered when it is gone. */
void tutti__member_announce_exit(tutti_arena *arena);

/* True if the member was recovered already, or its process is dead for sure. A few us. */
bool tutti__member_is_dead(tutti_arena *arena, uint32_t id);

/* True if the member is in, alive or dead: nobody has recovered it. */
bool tutti__member_is_in(const tutti_arena *arena, uint32_t id);

/* Makes the member another process. The caller has claimed its slot (recover.h). */
void tutti__member_replace(tutti_arena *arena, uint32_t id, const struct tutti__identity *identity);

/* Recovers the member if it is dead. True if it is gone now. Never call it with a latch held. */
bool tutti__recover_if_dead(tutti_arena *arena, uint32_t id);

/* Recovers all dead members, if nobody has done so for half a second. Never call it with a latch held. */
void tutti__look_after_the_dead(tutti_arena *arena);

/* The same at once; returns how many were recovered. */
unsigned tutti__sweep(tutti_arena *arena);

/* The pid of a member that is in, else 0. */
int tutti__member_pid(const tutti_arena *arena, uint32_t id);

/* Calls tutti__look_after_the_dead every so many operations, so that also a member that never waits looks. */
static inline void tutti__count_operation(tutti_arena *arena)
{
	uint32_t count = load_relaxed(&arena->local->operations) + 1;
	store_relaxed(&arena->local->operations, count);
	if (unlikely((count & 255) == 0))
		tutti__look_after_the_dead(arena);
}

#endif
