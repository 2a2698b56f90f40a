/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_CHANNEL_QUEUE_H
#define TUTTI_CHANNEL_QUEUE_H

#include <tutti/queue.h>

#include "arena/poller.h"
#include "channel/layout.h"

struct tutti_queue {
	struct tutti__reference reference;
	struct tutti__queue *shared;
	struct tutti__patience item_patience, room_patience, done_patience;
	struct tutti__poll_list polls; /* for messages */
	struct tutti__poll_list room_polls, done_polls;
	atomic_u64 room_size; /* of the message that found no room last: for which room_polls looks */
};

extern const struct tutti__kind tutti__queue_kind;

/* True if a get would find something (a message, or the end). A hint: takes no latch, may be wrong for a moment. */
bool tutti__queue_is_ready(tutti_arena *arena, struct tutti__queue *shared);

/* Something besides the queue for which a getter waits: that `count` is another one than it has heard. */
struct tutti__bell {
	const atomic_u32 *count;
	uint32_t heard;
};

static inline bool tutti__bell_has_rung(const struct tutti__bell *bell)
{
	return load_acquire(bell->count) != bell->heard;
}

/*
 * Gets one message of at most 16 bytes. Before the message becomes the caller's, its bytes are
 * stored to `claim` in the arena (second word first), so that whoever recovers the caller
 * knows what it had taken or was about to take. `bell` may be NULL; TUTTI_EBUSY: it rang while the caller waited.
 */
tutti_err tutti__queue_claim(tutti_queue *queue, uint64_t message[2], atomic_u64 claim[2],
                             const struct tutti__bell *bell, tutti_time timeout);

/* Rings for all who wait at that queue with this bell: what is to be seen then is stored before. */
void tutti__queue_ring(tutti_queue *queue, atomic_u32 *bell);

/* Takes the next message of a joinable queue, which stays TAKING; the caller ends it. Never waits. TUTTI_EEMPTY, TUTTI_EOF. */
tutti_err tutti__queue_take(tutti_queue *queue, uint64_t *parcel);

/* Waits until a get would find something. TUTTI_EEMPTY. */
tutti_err tutti__queue_wait_ready(tutti_queue *queue, tutti_time timeout);

/* No more puts from now on, whoever asks: without the latch, for a queue to which nobody puts any more. */
void tutti__queue_shut(tutti_arena *arena, struct tutti__queue *shared);

/* How to wait for a message or the end. TUTTI_ESTALE, TUTTI_EMEMBERS. */
tutti_err tutti__queue_watch(tutti_queue *queue, struct tutti__watch *watch);

/* True if a put of that size would not wait, or be refused. A hint. */
bool tutti__queue_has_room(const struct tutti__queue *shared, uint64_t size);

/* True if a join would not wait, or has something to look after. A hint. */
bool tutti__queue_may_be_done(void *shared);
tutti_err tutti__fail_not_joinable(const struct tutti__queue *shared);

/* Empties a dying queue: its messages and segments. */
void tutti__queue_destroy(tutti_arena *arena, uint64_t offset);
void tutti__queue_recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean);

/* See the list in layout.h; `visit` (may be NULL) is called with each block that the queue reaches. */
bool tutti__queue_is_valid(tutti_arena *arena, const struct tutti__queue *shared,
                           void (*visit)(void *context, uint64_t block), void *context);

#endif
