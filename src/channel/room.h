/* SPDX-License-Identifier: MIT */
/*
 * Room in a bounded queue: whether there is some, waiting for it, and telling those who wait. Only who has the put latch
 * knows; without it the answer is a hint.
 */
#ifndef TUTTI_CHANNEL_ROOM_H
#define TUTTI_CHANNEL_ROOM_H

#include "channel/queue.h"

static inline bool tutti__queue_is_bounded(const struct tutti__queue *shared)
{
	return shared->max_items != UINT64_MAX || shared->max_bytes != UINT64_MAX;
}

/* A put counts a moment after its message can be got: who looks without the latch may see more got than put. */
static inline uint64_t tutti__room_used(uint64_t put, uint64_t got) { return put > got ? put - got : 0; }

/* Whether a message of `size` bytes does, if the getters have got `count` messages with `bytes`. */
static inline bool tutti__room_fits(const struct tutti__queue *shared, uint64_t size, uint64_t count, uint64_t bytes)
{
	uint64_t items = tutti__room_used(load_relaxed(&shared->put.count), count);
	bytes = tutti__room_used(load_relaxed(&shared->put.bytes), bytes);
	return items < shared->max_items &&
	       (items == 0 || (bytes <= shared->max_bytes && size <= shared->max_bytes - bytes));
}

static inline bool tutti__room_seems_enough(const struct tutti__queue *shared, uint64_t size)
{
	return !tutti__queue_is_bounded(shared) ||
	       tutti__room_fits(shared, size, load_acquire(&shared->got.count), load_acquire(&shared->got.bytes));
}

/*
 * Under the latch: the same, and the getters' line is read only when what was seen there last
 * time does not do. Looked at by each put it would cross between the CPUs twice a message.
 * Bytes first, as the getter stores them last: so the two never say more than was got.
 * Always inline: called, it is a page of code more between a put and its wake.
 */
static ALWAYS_INLINE bool tutti__room_find(struct tutti__queue *shared, uint64_t size)
{
	if (!tutti__queue_is_bounded(shared) ||
	    tutti__room_fits(shared, size, load_relaxed(&shared->seen_count), load_relaxed(&shared->seen_bytes)))
		return true;
	store_relaxed(&shared->seen_bytes, load_acquire(&shared->got.bytes));
	store_relaxed(&shared->seen_count, load_acquire(&shared->got.count));
	return tutti__room_fits(shared, size, load_relaxed(&shared->seen_count), load_relaxed(&shared->seen_bytes));
}

/* Waits until there seems to be room for `size` bytes. TUTTI_EFULL, TUTTI_EINTR. `timeout`: what `deadline` was made of. */
tutti_err tutti__room_wait(tutti_queue *queue, uint64_t size, int64_t deadline, tutti_time timeout);

/* After a put that had waited: room that is left is for another sleeper, whose wake this one may have been. */
void tutti__room_pass_on(struct tutti__queue *shared);

/* After a get: who waits for room looks. The latch's release was a full barrier. */
static ALWAYS_INLINE void tutti__room_announce(tutti_arena *arena, struct tutti__queue *shared)
{
	if (likely(!tutti__queue_is_bounded(shared)))
		return;
	tutti__wait_stamp(&shared->room);
	tutti__wake_one(&shared->room, &shared->room_hints);
	tutti__ring(arena, &shared->room_pollable);
}

#endif
