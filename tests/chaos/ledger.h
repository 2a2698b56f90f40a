/* SPDX-License-Identifier: MIT */
/*
 * The ledger: what was put, what was got, and who was in the middle of what when it was
 * killed. It lies outside the arena, in memory that all members share, so that no bug
 * of the arena can falsify it.
 *
 * A message's entry is written before and after each step, so a kill between a step and
 * its entry leaves a doubt; each life notes what it is at, so the doubts are counted,
 * and no more may be missing than there are doubts.
 */
#ifndef TUTTI_TESTS_CHAOS_LEDGER_H
#define TUTTI_TESTS_CHAOS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tutti/tutti.h>

enum { LIVES = 1 << 16, QUEUES = 4, LOCKS = 6, EVENTS = 2, MESSAGES = 1 << 24, BATCH = 8 };

/* What must hold; each is one line of the report. */
#define CHECKS(X)                                                                                                      \
	X(HUNG, "no member hangs")                                                                                         \
	X(ERROR, "no call gives an error that it should not")                                                              \
	X(TORN, "each message arrives whole")                                                                              \
	X(TWICE, "no message arrives twice, or after it was refused")                                                      \
	X(LOST, "what was put is got, or dies with its getter")                                                            \
	X(ORDER, "messages of one putter arrive in order")                                                                 \
	X(EXCLUSION, "a lock has one holder")                                                                              \
	X(GUARDED, "what a lock guards is whole, or the holder's death was told")                                          \
	X(VALID, "heap and queues are valid")                                                                              \
	X(LEAKED, "all blocks are free again")                                                                             \
	X(LEFT, "no member, process or descriptor is left")

enum check {
#define CHECK_NAME(name, text) CHECK_##name,
	CHECKS(CHECK_NAME)
#undef CHECK_NAME
		CHECK_COUNT
};

/* What is counted for the report. */
#define COUNTERS(X)                                                                                                    \
	X(PUTS, "puts")                                                                                                    \
	X(GETS, "gets")                                                                                                    \
	X(REFUSED, "refused puts")                                                                                         \
	X(LOCKED, "locks taken")                                                                                           \
	X(TOLD, "deaths told by a lock")                                                                                   \
	X(MAILED, "handles mailed")                                                                                        \
	X(OPENED, "mailed handles opened")                                                                                 \
	X(CARRIED, "last handles sent in messages")                                                                        \
	X(JOBS, "items done")                                                                                              \
	X(REDELIVERED, "items given back")                                                                                 \
	X(POLLED, "reports of a wait set")                                                                                 \
	X(FULL, "answers: the arena is full")                                                                              \
	X(BUSY, "answers: held up by a stopped member")                                                                    \
	X(KILLS, "kills")                                                                                                  \
	X(STOPS, "stops")                                                                                                  \
	X(EXITS, "clean exits")

enum counter {
#define COUNTER_NAME(name, text) COUNT_##name,
	COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
		COUNTER_COUNT
};

/* A message's entry: flags, and its queue in bits 4 and 5. */
enum { ENTRY_INTENT = 1, ENTRY_PUT = 2, ENTRY_GOT = 4, ENTRY_REFUSED = 8, ENTRY_QUEUE_SHIFT = 4 };

enum life_state { LIFE_NONE, LIFE_RUNS, LIFE_KILLED, LIFE_ENDED };

/* One member from its start to its end. */
struct life {
	_Atomic uint32_t state;
	_Atomic uint32_t heartbeat; /* grows with each operation */
	_Atomic uint32_t operation; /* which one, for the report of a hang */
	_Atomic uint32_t putting; /* messages whose put is under way */
	_Atomic uint32_t getting; /* the most messages that the get under way may take */
	_Atomic uint32_t getting_from; /* queue */
	_Atomic uint32_t next_in_queue[QUEUES]; /* numbers its messages */
};

/* Two numbers that are equal whenever nobody holds the lock. Plain on purpose: the lock orders them. */
struct guarded {
	uint64_t first, second;
	_Atomic uint32_t inside; /* life + 1 of the holder */
};

struct ledger {
	_Atomic uint32_t stop;
	_Atomic uint32_t failures[CHECK_COUNT];
	_Atomic uint64_t counters[COUNTER_COUNT];
	struct guarded guarded[LOCKS];
	struct life lives[LIVES];
	_Atomic uint64_t next_message;
	_Atomic uint8_t messages[MESSAGES];
};

extern struct ledger *ledger;

void ledger_make(void);
void ledger_free(void);

/* A failure of a check; the first few of each are printed. */
void ledger_fail(enum check check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void ledger_count(enum counter counter, uint64_t count)
{
	atomic_fetch_add_explicit(&ledger->counters[counter], count, memory_order_relaxed);
}

/* Numbers `count` messages that are about to be put; false when the ledger is full. */
bool ledger_intend(struct life *life, unsigned queue, unsigned count, uint64_t *first);
/* The put of them has returned: `accepted` are in, the others were refused. */
void ledger_put_done(struct life *life, uint64_t first, unsigned count, unsigned accepted);
/* A get of up to `count` is about to begin; has been noted down. */
void ledger_get_begin(struct life *life, unsigned queue, unsigned count);
void ledger_got(uint64_t message);
void ledger_get_done(struct life *life);

/* At the end, with all queues drained: are the doubts enough for what is missing? */
void ledger_audit(void);

/* Prints counters and checks, and "N passed, N failed"; returns how many failed. */
unsigned ledger_report(void);

#endif
