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

void tutti__letter_copy(unsigned char *to, const struct tutti__letter *letter);

/* TUTTI_ETOOBIG: over the queue's max_message. */
tutti_err tutti__check_message_size(const struct tutti__queue *shared, uint64_t size);

/*
 * Puts letters that have been prepared, in order; `*done` tells how many are in, also on an error. What the others
 * have stays the caller's.
 */
tutti_err tutti__put_letters(tutti_queue *queue, const struct tutti__letter *letters, size_t count, size_t *done,
                             tutti_time timeout);

#endif
