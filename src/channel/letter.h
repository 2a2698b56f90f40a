/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_CHANNEL_LETTER_H
#define TUTTI_CHANNEL_LETTER_H

#include "channel/queue.h"

/* One message on its way in. */
struct tutti__letter {
	const tutti_view *parts;
	size_t count;
	uint64_t size; /* of all parts */
	uint32_t encoding;
	bool is_parcel; /* the block is a parcel */
	uint64_t block; /* holds the payload if it is not inline; the caller's own until committed */
};

/* The bytes of all parts, and one behind the other at `to`. */
uint64_t tutti__parts_size(const tutti_view *parts, size_t count);
void tutti__parts_copy(unsigned char *to, const tutti_view *parts, size_t count);

/* TUTTI_ETOOBIG: over the queue's max_message. */
tutti_err tutti__check_message_size(const struct tutti__queue *shared, uint64_t size);

/*
 * Puts letters that have been prepared, in order; `*done` tells how many are in, also on an error. What the others
 * have stays the caller's.
 */
tutti_err tutti__put_letters(tutti_queue *queue, const struct tutti__letter *letters, size_t count, size_t *done,
                             tutti_time timeout);

#endif
