/* SPDX-License-Identifier: MIT */
/*
 * The crash ring: what a death at any instruction leaves, and whether that is what was promised.
 *
 * Processes, all forks of one another, so that code and data have the same addresses:
 *     driver    one line of output for each operation
 *     stage     one run: makes an arena, its objects, and a victim; it is the survivor's process
 *     victim    runs one operation, single-stepped by the stage, until it is declared dead or killed
 *     checker   forked by the stage for each state of the arena: joins it, recovers the victim, and
 *               checks what is promised (K1, K2, K3, K5 of docs/architecture.md)
 *
 * They share the board, which lies outside of the arena.
 */
#ifndef TUTTI_TESTS_CRASH_RING_H
#define TUTTI_TESTS_CRASH_RING_H

#include <sys/types.h>

#include <tutti/tutti.h>

#include "os/atomics.h"

/* What a death may do to those who live on. None may ever happen. */
enum harm { HUNG, TORN, LOST, LEAKED, HARM_COUNT };

enum { TEXT_SIZE = 600, MAX_DEAD = 16, MAX_ADDS = 4, MAX_SIZE = 20480 };

/* Seen by all processes of the ring. */
struct board {
	atomic_u32 is_over; /* the operation that is stepped through has returned */
	bool has_returned; /* for checkers: the operation whose effects they check has */
	atomic_u32 dead_count; /* processes that are taken for dead whatever they do */
	int32_t dead[MAX_DEAD];
	bool was_notified; /* the victim, by itself, in the middle of its wait */
	pid_t helper; /* a process that the victim has started and that stands still; 0: none */
	int64_t outcome; /* how far the victim's operation took effect, as the last checker saw it */
	uint64_t instructions, states, kills;
	uint32_t harms[HARM_COUNT];
	atomic_u32 is_failing; /* elects who writes `failure` */
	enum harm harm; /* of the last failed check */
	char failure[TEXT_SIZE]; /* its text */
	char first_failure[2 * TEXT_SIZE]; /* the operation's first, with the place */
};

extern struct board *board;

struct stage;

/* What the survivor does first. Two of them bring the recovery about by use, or get along without it for a while. */
enum way { SWEEP_FIRST, PUT_FIRST, GET_FIRST, WAYS };

/* One operation that a victim does not survive. */
struct operation {
	const char *name;
	bool is_short; /* few instructions: really killed at each */
	/* The queue: ids 0 ... queued - 1 are in it, the victim has taken `gone` of them before the operation begins. */
	unsigned queued, gone;
	/* The operation puts `adds` more, and takes `takes`. */
	unsigned adds, takes;
	size_t size; /* bytes of each message */
	size_t warm; /* the victim's cache holds a free block of this size; 0: no cache is warm */
	bool is_first; /* of the victim's operations in the arena: it joins on the way */
	void (*arrange)(struct stage *stage); /* by the survivor, before there is a victim */
	void (*prepare)(struct stage *stage); /* by the victim, unseen */
	tutti_err (*wait)(struct stage *stage); /* by the survivor, before the next: it sleeps there (sleeper.h) */
	void (*operate)(struct stage *stage); /* by the victim, step by step */
	void (*look)(struct stage *stage); /* by the checker, before anybody recovers anything */
	void (*check)(struct stage *stage); /* by the checker, afterwards */
};

/* What one run plays with. Each process has its own copy. */
struct stage {
	const struct operation *operation;
	tutti_arena *arena;
	tutti_lock *lock;
	tutti_queue *queue;
	tutti_event *event; /* 0: none */
	tutti_rlock *rlock; /* the same holds for these */
	tutti_semaphore *semaphore;
	tutti_rwlock *rwlock;
	tutti_once *once;
	tutti_condition *condition; /* 0: none */
	tutti_barrier *barrier; /* 0: none */
	pid_t party; /* a member that waits at the barrier and is stopped; 0: none */
	tutti_waitset *set; /* the survivor's, 0: none */
	unsigned held_blocks; /* blocks that the survivor holds */
	tutti_handle handle; /* of the object that the operation is about */
	/* The victim's. */
	bool trusts_board; /* who is dead is known without a look */
	tutti_arena *second;
	tutti_lock *own_lock;
	tutti_escort escort;
	tutti_pool *pool;
	tutti_queue *own_queue;
	tutti_message message;
	tutti_draft draft;
	uint64_t block;
	unsigned char bytes[MAX_ADDS][MAX_SIZE]; /* the messages that it puts */
	/* The checker's. */
	enum way way;
	bool victim_held_lock;
	uint64_t ticket; /* the checker's, of the condition */
	uint32_t pending; /* notifications that had not been acted on */
	uint32_t arrived; /* parties at the barrier */
	bool was_broken;
	bool get_was_committed;
	bool exit_was_announced;
	uint64_t get_position; /* the survivor's: head before the operation */
	uint32_t victim_id;
	pid_t victim;
};

/* The operations, by what they are about; each table ends with an operation without a name. */
extern const struct operation lock_operations[], sync_operations[], queue_operations[], channel_operations[],
	pipe_operations[], poll_operations[], arena_operations[], pool_operations[], own_worker_operations[],
	settle_operations[], condition_operations[], barrier_operations[], sleep_operations[];

/* The recovery of somebody else, and the operations in which those others died. */
extern const struct operation recovery;
extern const char *const corpses[];

/* Ends the calling checker with a finding. */
_Noreturn void fail(enum harm harm, const char *format, ...) TUTTI_PRINTF(2, 3);

/* For the preparation of a test: it must succeed, or the test is broken. */
void must(tutti_err err, const char *what);

#endif
