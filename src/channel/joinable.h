/* SPDX-License-Identifier: MIT */
/*
 * The joinable queue: its items stay with it until somebody says that they are done.
 *
 * Each message is a parcel. A get moves it from the segments to the list of open items,
 * oldest first, and hands out a copy; `task_done` ends it. A killed getter's items are given
 * back: they stay in the list, and the next getter takes them from there, first.
 *
 * What joins wait for is counted apart from that: done_count is how many items were said to be
 * done (or dropped), whether they have been got or not. A `task_done` that finds nothing to end is
 * counted *ahead*; the next item that is got is ended by its getter for it, as soon as it is copied.
 * So a killed getter's item may come again although all is done, and is then ended in the same way.
 *
 * parcel.state is one word: status | redelivered << 8 | holder's id << 32.
 *
 *   QUEUED      in a segment
 *   LINKING     a getter moves it to the list, under get_latch
 *   TAKING      in the list; the getter copies it. Nobody can end it yet, as its get has not returned
 *   OPEN        got, not done. The holder is KEPT after a clean exit: nothing is given back then
 *   GIVEN_BACK  its getter was killed (or had no memory): any getter may take it
 *   DONE        on its way out of the list, under get_latch
 *
 * Everything but TAKING -> OPEN (by the taker) and TAKING, OPEN -> GIVEN_BACK (by the taker, or the
 * recovery of the holder, a CAS from a word that names it) happens under get_latch.
 *
 * queue.moving is the parcel on its way into the list or out of it, `previous` the one before it
 * there (0: it is the first):
 *   In:  next, previous, value = position of head afterwards; moving; LINKING; redo, head: COMMIT;
 *        link, open_last; TAKING; moving = 0.
 *        Death: LINKING: head == value: committed, linked by the recovery; else QUEUED again.
 *   Out: previous, value = done_count afterwards (as before, if it was counted ahead); moving; DONE: COMMIT;
 *        link, open_last, done_count; ahead; the owner word is the caller's; moving = 0.
 *        Death: DONE: the recovery does the rest and gives the parcel to the dead id.
 *   Ahead: done_count: COMMIT; ahead.
 *
 * queue.ahead follows from the rest (below), with the list's length for what is not got.count. So whoever
 * recovers the holder of get_latch counts the list and makes it anew, whatever step the dead was at.
 *
 * queue.given_back tells getters that some item may be GIVEN_BACK: set after the state, cleared before
 * the look.
 *
 * Who says that something is done must know of a put, but need not wait for putters: each put that has returned
 * is in put.count, and each message that was got is in got.count, so done_count < the larger of them is the test.
 *
 * Valid while no latch is held: done_count + items in the list = got.count + ahead; done_count <= put.count.
 */
#ifndef TUTTI_CHANNEL_JOINABLE_H
#define TUTTI_CHANNEL_JOINABLE_H

#include "channel/parcel.h"
#include "channel/queue.h"

enum tutti__item_status {
	TUTTI__ITEM_QUEUED,
	TUTTI__ITEM_LINKING,
	TUTTI__ITEM_TAKING,
	TUTTI__ITEM_OPEN,
	TUTTI__ITEM_GIVEN_BACK,
	TUTTI__ITEM_DONE,
	TUTTI__ITEM_REDELIVERED = 256
};

static inline unsigned tutti__item_status(uint64_t state) { return (unsigned)(state & 0xff); }
static inline uint32_t tutti__item_holder(uint64_t state) { return (uint32_t)(state >> 32); }

/* Under get_latch, around the commit of a get: the parcel, next in the segments, becomes an open item. */
void tutti__item_begin(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, uint64_t parcel,
                       uint64_t position);
void tutti__item_finish(tutti_arena *arena, struct tutti__queue *shared, uint64_t parcel);

/* Under get_latch: the oldest item that was given back, 0: none. Then it may be taken. */
uint64_t tutti__given_back_first(tutti_arena *arena, struct tutti__queue *shared);
void tutti__given_back_take(tutti_arena *arena, uint32_t id, uint64_t parcel);

/* How many are given back. Takes get_latch. */
uint64_t tutti__given_back_count(tutti_queue *queue);

/* Hands a parcel that the caller has taken out of the queue to the message, or into the buffer. */
tutti_err tutti__parcel_deliver(tutti_queue *queue, uint64_t parcel, tutti_message *message);
void tutti__parcel_deliver_into(tutti_queue *queue, uint64_t parcel, void *buffer);

/* Drops all that is in a queue that was shut down at once; or only what is given back to it. */
tutti_err tutti__queue_drop_all(tutti_queue *queue);
tutti_err tutti__drop_given_back(tutti_queue *queue, uint32_t id);

/* The caller's id, as tutti__use(), which a queue that is not joinable refuses (TUTTI_EINVAL). */
tutti_err tutti__use_joinable(tutti_queue *queue, uint32_t *id);

/* A put counts a moment after its message can be got and ended: then more are done than put, and that is all. */
static inline bool tutti__queue_seems_done(const struct tutti__queue *shared)
{
	uint64_t done = load_acquire(&shared->done_count);
	return done >= load_acquire(&shared->put.count);
}

/* For a recovery: the list, if the dead held get_latch; then each item. */
void tutti__joinable_recover(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead);
void tutti__item_recover(tutti_arena *arena, uint64_t parcel, uint32_t dead, bool clean);

/* Empties the list of a dying queue. */
void tutti__joinable_destroy(tutti_arena *arena, struct tutti__queue *shared);

#endif
