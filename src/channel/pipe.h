/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_CHANNEL_PIPE_H
#define TUTTI_CHANNEL_PIPE_H

#include <tutti/pipe.h>

#include "arena/object.h"

/*
 * An end: an object that holds the queue it sends into and the one it receives from, by holder
 * words that name its block. While such a word is there the queue lives. When the end dies, it
 * shuts both: the other end receives what is left, then TUTTI_EOF; its sends are refused.
 */
struct tutti__pipe_end {
	struct tutti__object object;
	tutti_handle queues[2]; /* received from, sent into; all zero: that way is closed */
};

enum { TUTTI__PIPE_IN, TUTTI__PIPE_OUT };

extern const struct tutti__kind tutti__pipe_kind;

#endif
