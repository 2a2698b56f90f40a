/* SPDX-License-Identifier: MIT */
/*
 * The books of the live traffic, outside of the arena and shared by all: each message is entered
 * before it is put, after the put has returned, and when it was received.
 *
 * A message that was put and is nowhere must be in the hands of a getter that was killed: each getter
 * has its buffer in the ledger, where a copy lies before the get commits. A block is copied only
 * after that; so many blocks may be missing as getters were killed with nothing else missing in hand.
 */
#ifndef TUTTI_TESTS_CRASH_LEDGER_H
#define TUTTI_TESTS_CRASH_LEDGER_H

#include "ring.h"

enum {
	SEATS = 7, /* members at a time */
	LIVES = 4096, /* members over time; a life's number is never used again */
	SEQUENCES = 8192, /* messages that one putter puts before it ends */
	BUFFER = 24576, /* no message is larger */
	QUEUES = 2,
	LOCKS = 4, /* one of each kind */
};

enum role { PUTTER, GETTER, LOCKER, SWEEPER, ROLES };

struct life {
	enum role role;
	atomic_u32 progress; /* counts what it has done, so that a hang can be told from work */
	atomic_u32 begun, returned; /* of a putter: sequences, from 1 */
	bool was_killed;
	unsigned char *hand; /* of a getter: its buffer */
};

/* What a lock of the traffic guards: false at any time outside of it means that it was broken. */
struct guarded {
	uint32_t holder; /* life + 1; 0: nobody */
	uint64_t a, b; /* equal */
};

struct ledger {
	atomic_u32 is_closing; /* 1: putters end; 2: all end */
	atomic_u32 told; /* times that a killed holder was reported */
	struct guarded guarded[LOCKS];
	struct life lives[LIVES];
	unsigned char hands[LIVES][BUFFER]; /* sparse: touched only by getters */
	atomic_u32 received[LIVES][SEQUENCES]; /* by putter: how often; sparse too */
};

extern struct ledger *ledger;

void ledger_open(void);

/* The start of each message. */
struct letter_head {
	uint32_t life, sequence, size, queue;
};

/* A putter's next message: writes it and returns its size. */
size_t ledger_write(unsigned char *bytes, uint32_t life, uint32_t sequence, uint32_t queue);
/* A received message: enters it. Torn bytes, and one that came before, are findings. */
struct letter_head ledger_receive(const unsigned char *bytes, size_t size);

/* When all is over: every message that was put is accounted for. */
void ledger_balance(unsigned lives);

#endif
