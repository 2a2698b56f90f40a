/* SPDX-License-Identifier: MIT */
/*
 * The barrier: one word that all agree on, and a roster of the parties (roster.h).
 *
 *     word    generation << 32 | parties that have arrived << 4 | phase; changed by CAS only
 *     state   of a party's entry: generation << 5 | ASLEEP | code
 *
 * A round, generation g:
 *   FILLING   an arrival is one CAS, count + 1, after the party's entry says WAITING(g)
 *   ACTION    the last has arrived and runs the action; without an action this is skipped
 *   RELEASED  the round is complete: this CAS is what releases the parties. Then each WAITING(g)
 *             entry is told, and the word goes on to FILLING, g + 1
 *   RESET     the same, but those told are told that it broke
 *   BROKEN_*  told the same; the word stays until a reset
 * Who finds RELEASED or RESET finishes it (telling is idempotent: only entries of g that still
 * wait are changed), so nobody waits for whoever began. A party is told before the generation
 * moves on, so a slow one learns how its own round ended, whatever came after it.
 *
 * Valid: 1. FILLING: count < parties, and at least count entries say WAITING(g); 2. ACTION: count
 * = parties; 3. no entry belongs to a dead member; 4. none waits for another generation, unless
 * its party is just arriving.
 *
 * What a death leaves: an entry with the dead id. If it says WAITING for the current generation
 * and the round is not complete, the barrier breaks: it had arrived, or was about to. A killed
 * one that had been told, or waits for an action of others to end (QUEUED), breaks nothing. A
 * word left at RELEASED or RESET is finished by the recovery or by who comes first.
 */
#ifndef TUTTI_SYNC_BARRIER_H
#define TUTTI_SYNC_BARRIER_H

#include <tutti/barrier.h>

#include "arena/wait.h"
#include "sync/roster.h"

enum tutti__phase {
	TUTTI__FILLING,
	TUTTI__ACTION,
	TUTTI__RELEASED,
	TUTTI__RESET,
	TUTTI__BROKEN_BY_ABORT,
	TUTTI__BROKEN_BY_TIME,
	TUTTI__BROKEN_BY_ACTION,
	TUTTI__BROKEN_BY_DEATH,
};

enum { TUTTI__BARRIER_PARTIES_MAX = 1 << 20, TUTTI__BARRIER_INDEXES = 4 };

struct tutti__barrier {
	struct tutti__object object;
	struct tutti__roster roster;
	atomic_u64 word;
	atomic_u64 indexes[TUTTI__BARRIER_INDEXES]; /* generation << 32 | indexes given out, for the last generations */
	uint32_t parties; /* never changes */
	atomic_u32 partner; /* stamp of whoever arrived last */
	struct tutti__wait_hints hints;
	int32_t gone_pid; /* of a party that was killed; written before the word says so */
	char gone_name[TUTTI__NAME_SIZE];
};

struct tutti_barrier {
	struct tutti__reference reference;
	struct tutti__barrier *shared;
	struct tutti__patience patience;
	atomic_u32 partner; /* stamp of another party, seen last: the shared one may be our own */
	struct tutti__roster_polls polls;
};

static inline enum tutti__phase tutti__phase_of(uint64_t word) { return (enum tutti__phase)(word & 15); }
static inline uint32_t tutti__arrived(uint64_t word) { return (uint32_t)word >> 4; }
static inline uint32_t tutti__generation_of(uint64_t word) { return (uint32_t)(word >> 32); }
static inline bool tutti__is_broken(uint64_t word) { return tutti__phase_of(word) >= TUTTI__BROKEN_BY_ABORT; }

/* Ends the round of `word` with that phase and tells the parties. False if the word had changed. */
bool tutti__barrier_end(tutti_arena *arena, struct tutti__barrier *shared, uint64_t word, enum tutti__phase phase);

/* For struct tutti__roster_polls: a party whose entry says so was told. */
bool tutti__barrier_was_told(uint32_t state);

/* Finishes what `word` says has ended: tells the parties, and moves on unless it is broken. */
void tutti__barrier_finish(tutti_arena *arena, struct tutti__barrier *shared, uint64_t word);

/* What a dead member leaves. */
void tutti__barrier_recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean);

/* Visits the chained blocks. True if it is valid for an arena without dead members, and nobody is just arriving. */
bool tutti__barrier_is_valid(tutti_arena *arena, struct tutti__barrier *shared,
                             void (*visit)(void *context, uint64_t block), void *context);

#endif
