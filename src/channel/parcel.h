/* SPDX-License-Identifier: MIT */
/*
 * A parcel: a message that is more than bytes in a segment. It carries handles, or it is
 * an item of a joinable queue, which outlives its get until it is done.
 *
 *     struct tutti__parcel | carried handles | payload, if it has less than 4 KiB
 *
 * A larger payload lies in a block of its own (`body`), which is SHARED and the parcel's.
 *
 * Each carried object has a holder word that names this parcel by its place, so that it
 * lives until the parcel is freed: by the getter's release, with its queue, or by the
 * recovery of a member that owned it.
 *
 * Made: `count` before the holder words, `body` before its owner word. Freed: the holder
 * words, then `count`; the body's owner word, then `body`; then the parcel. So whatever
 * `count` and `body` say at a death may be taken back, and may be taken back again; and
 * in a free parcel both are 0 (parcels are type-stable).
 *
 * Owner word of a parcel: a member's that makes it or has got it; SHARED while a queue has
 * it, as an entry or as an open item (joinable.h).
 */
#ifndef TUTTI_CHANNEL_PARCEL_H
#define TUTTI_CHANNEL_PARCEL_H

#include <tutti/queue.h>

#include "arena/object.h"

enum { TUTTI__PARCEL_INLINE = 4096, TUTTI__CARRIED_MAX = 1000 };

struct tutti__parcel {
	/* Of an item of a joinable queue: see joinable.h. */
	atomic_u64 state;
	atomic_u64 next;
	atomic_u64 previous, value;
	atomic_u64 queue;
	/* Of every parcel. */
	uint64_t size; /* payload */
	atomic_u64 body; /* 0: the payload is in the parcel */
	uint32_t encoding;
	atomic_u32 count; /* carried handles */
	tutti_handle carried[];
};
_Static_assert(sizeof(struct tutti__parcel) == 64, "the handles begin on a line of their own");

static inline struct tutti__parcel *tutti__parcel_at(const tutti_arena *arena, uint64_t offset)
{
	return tutti__at(arena, offset);
}

/*
 * Makes a parcel of the caller's with room for `size` bytes, which holds the given objects. `body`: a block of the
 * caller's that has the payload already and becomes the parcel's, or 0.
 * TUTTI_ENOMEM; TUTTI_ESTALE, TUTTI_EFOREIGN: a handle whose object is not there. TUTTI_EINVAL: more than 1000.
 */
tutti_err tutti__parcel_create(tutti_arena *arena, const tutti_handle *carried, size_t count, uint64_t size,
                               uint64_t body, int64_t deadline, uint64_t *offset);

/* Where the payload of a parcel is. */
void *tutti__parcel_payload(const tutti_arena *arena, uint64_t offset);

/* Frees a parcel of the caller's with all that it has. Never call it with a latch held. */
void tutti__parcel_free(tutti_arena *arena, uint64_t offset);

/* Gives the body back to the caller, whose parcel it is; 0: there is none. */
uint64_t tutti__parcel_take_body(tutti_arena *arena, uint64_t offset);

extern const struct tutti__kind tutti__parcel_kind;

#endif
