/* SPDX-License-Identifier: MIT */
/* One member's life: random operations until it is told to stop, chooses to, or is killed. */
#ifndef TUTTI_TESTS_CHAOS_MEMBER_H
#define TUTTI_TESTS_CHAOS_MEMBER_H

#include "world.h"

enum { HELD = 8 }; /* views that a member keeps for a while */

struct member {
	struct world world;
	struct life *life;
	uint32_t number; /* of the life */
	uint64_t random;
	tutti_message held[HELD];
	tutti_queue *mailed[HELD]; /* whose handles were sent; kept open for a while */
	uint32_t (*last)[QUEUES]; /* of each life's messages in each queue the last that this member saw */
	unsigned lifetime; /* operations until it leaves by itself */
	unsigned puts, gets; /* how much it likes each */
};

/* A number below `limit`. */
uint32_t member_random(struct member *member, uint32_t limit);

void member_begin(struct member *member, uint32_t number, uint64_t seed);
/* True when its life ended by itself, or all are to stop. False: it is to vanish at this point, as if killed. */
bool member_live(struct member *member, bool (*is_to_vanish)(struct member *member));
/* Gives back what it holds, except for the world's handles. */
void member_end(struct member *member);

/* messages.c: the operations on queues. */
void member_put(struct member *member);
void member_put_batch(struct member *member);
void member_put_draft(struct member *member);
void member_get(struct member *member);
void member_get_of(struct member *member, uint32_t queue);
void member_get_copy(struct member *member);
void member_get_batch(struct member *member);
/* Gets one from this queue; false when it is empty. For the end, when nobody else is there. */
bool member_get_from(struct member *member, uint32_t queue);
void member_release_held(struct member *member);

/* channels.c: messages that carry handles, and the joinable queue. */
void member_carry(struct member *member);
bool member_open_carried(struct member *member);
void member_put_job(struct member *member);
bool member_get_job(struct member *member);
void member_do_job(struct member *member);
/* In the end, when nobody else is there: all is there, all can be done. */
void member_drain_channels(struct member *member);

/* polling.c */
void member_poll(struct member *member);

/* Answers that any operation may give amid kills and a full arena; others are failures. True if it is one of them. */
bool member_tolerates(tutti_err err, const char *operation);

#endif
