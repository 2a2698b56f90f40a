/* SPDX-License-Identifier: MIT */
/*
 * The queue's bytes.
 *
 * Messages lie in a chain of segments (raw blocks of 256 B to 64 KiB). A segment is
 *     next (8 bytes) | entry | entry | ... | 0 or END
 * and an entry an 8-byte header followed by
 *     INLINE: the payload, padded to 8 bytes
 *     BLOCK:  offset and size of a block with the payload (messages over 4 KiB)
 *     PARCEL: offset of a parcel and size of its payload (carries handles, or the queue is joinable: parcel.h)
 *     END:    nothing: go on in segment `next`
 * A header of 0 is where the next entry will be. Storing the header commits the entry:
 * it is the one store by which a message (or a segment) becomes the queue's.
 *
 * Putters are serialised by put.latch, getters by get.latch; the two sides share no
 * line but that of the messages themselves.
 *
 * Put, under put.latch:
 *   1. payload; header 0 behind it           nobody sees it
 *   2. redo: tail, count, bytes after it     (absolute values: to redo is idempotent)
 *   3. if BLOCK or PARCEL: pending = block, owner(block) = SHARED
 *   4. header                                COMMIT
 *   5. pending = 0; tail; count; bytes
 * Death: header at tail is 0: not committed; a pending block goes to the dead id.
 *        header at tail is set: committed; tail and counts are redone.
 *        tail == redo.tail: the counts are redone.
 *
 * Link a segment, under put.latch:
 *   1. pending_segment = new, owner(new) = SHARED, old.next = new
 *   2. header at tail = END                  COMMIT
 *   3. pending_segment = 0; tail_end; tail = first entry of new
 * Between 2 and 3 a getter may pass END: it moves tail onward by CAS before it frees the
 * old segment, so that tail never names freed memory.
 *
 * Get, under get.latch:
 *   1. INLINE: copy out. BLOCK, PARCEL: owner(block) = getter (of a joinable queue: joinable.h)
 *   2. redo: head, count, bytes after it
 *   3. head = next entry                     COMMIT
 *   4. count; bytes
 * Death: the block at head and the segment around head become SHARED again;
 *        head == redo.head: the counts are redone.
 *
 * Valid (tutti__queue_is_valid), while no latch is held:
 *  1. head and tail lie in segments of the chain, head not behind tail;
 *  2. walking from head to tail meets put.count - got.count entries with
 *     put.bytes - got.bytes payload bytes, and the header at tail is 0;
 *  3. every segment of the chain and every BLOCK in it is SHARED.
 */
#ifndef TUTTI_CHANNEL_LAYOUT_H
#define TUTTI_CHANNEL_LAYOUT_H

#include "arena/latch.h"
#include "arena/object.h"
#include "arena/station.h"
#include "arena/wait.h"

enum { TUTTI__ENTRY_INLINE = 1, TUTTI__ENTRY_BLOCK, TUTTI__ENTRY_END, TUTTI__ENTRY_PARCEL };
enum { TUTTI__INLINE_MAX = 4096, TUTTI__SEGMENT_MIN = 256, TUTTI__SEGMENT_MAX = 65536 };
_Static_assert((int)TUTTI__INLINE_MAX <= (int)TUTTI_NEAR,
               "each message without a block fits into what tutti_queue_get_near() is given");

enum tutti__shut { TUTTI__IS_OPEN, TUTTI__IS_SHUT, TUTTI__IS_DROPPED /* and what is given back is dropped */ };

/* What one side of the queue has done so far. */
struct tutti__progress {
	atomic_u64 position; /* offset in the arena: tail or head */
	atomic_u64 count; /* messages */
	atomic_u64 bytes; /* payload */
};

struct tutti__queue {
	struct tutti__object object;
	/* Never changed after creation. */
	uint64_t max_items, max_bytes, max_message; /* UINT64_MAX: no bound */
	uint32_t is_joinable;
	uint32_t reserved[9];
	/* Written by putters. */
	alignas(64) struct tutti__latch put_latch;
	struct tutti__progress put;
	struct tutti__progress put_redo;
	atomic_u64 tail_end; /* where the tail segment's last header may lie */
	atomic_u64 pending; /* a block on its way in */
	atomic_u64 pending_segment;
	/* What the getters had done when the putters last looked: the least that they have done by now. */
	atomic_u64 seen_count, seen_bytes;
	struct tutti__wait_hints room_hints;
	/* No putter that sleeps for room wants fewer bytes than this: put.c. UINT64_MAX: none sleeps. */
	atomic_u64 least_wanted;
	/* Written by getters. */
	alignas(64) struct tutti__latch get_latch;
	struct tutti__progress got;
	struct tutti__progress got_redo;
	struct tutti__wait_hints item_hints;
	/* Read by all at each operation, rarely written. */
	alignas(64) struct tutti__wait_point items; /* getters wait here */
	struct tutti__wait_point room; /* putters wait here */
	struct tutti__pollable pollable; /* here: this line is read by each put anyway */
	struct tutti__pollable room_pollable; /* putters poll here; read by each get of a bounded queue */
	atomic_u32 is_shut; /* enum tutti__shut */
	atomic_u64 ahead; /* of a joinable queue: joinable.h; read by each get, rarely written */
	/* Of a joinable queue: joinable.h. */
	alignas(64) atomic_u64 done_count;
	atomic_u64 open_first, open_last;
	atomic_u64 moving;
	atomic_u32 given_back;
	struct tutti__wait_point done; /* joiners wait here */
	struct tutti__wait_hints done_hints;
	struct tutti__pollable done_pollable; /* joiners poll here */
};
_Static_assert(sizeof(struct tutti__queue) <= 512, "an empty queue with its first segment takes at most 1 KiB");

struct tutti__segment {
	atomic_u64 next;
};
enum { TUTTI__SEGMENT_HEAD = sizeof(struct tutti__segment), TUTTI__HEADER_SIZE = 8 };

/* Header: kind (8 bits) | encoding << 8 (8 bits) | payload size << 32 if INLINE. Never 0. */
static inline uint64_t tutti__header_make(unsigned kind, uint32_t encoding, uint64_t size)
{
	return kind | (uint64_t)(encoding & 0xff) << 8 | size << 32;
}
static inline unsigned tutti__header_kind(uint64_t header) { return (unsigned)(header & 0xff); }
static inline uint32_t tutti__header_encoding(uint64_t header) { return (uint32_t)(header >> 8) & 0xff; }

/* What follows a BLOCK or PARCEL header. */
struct tutti__block_entry {
	uint64_t offset;
	uint64_t size;
};

/* Bytes of an entry with `size` bytes of payload behind the header. */
static inline uint64_t tutti__entry_size(uint64_t size) { return TUTTI__HEADER_SIZE + ((size + 7) & ~7ULL); }

static inline atomic_u64 *tutti__header_at(const tutti_arena *arena, uint64_t position)
{
	return tutti__at(arena, position);
}

/* The bytes that the entry at `position` takes, and its payload size. */
uint64_t tutti__entry_extent(const tutti_arena *arena, uint64_t position, uint64_t header, uint64_t *payload);

#endif
