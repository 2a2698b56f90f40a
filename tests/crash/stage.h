/* SPDX-License-Identifier: MIT */
/* Runs of one operation. Each is a process of its own, so that what one breaks does not reach the next. */
#ifndef TUTTI_TESTS_CRASH_STAGE_H
#define TUTTI_TESTS_CRASH_STAGE_H

#include "ring.h"

/* What is done with the victim. */
struct plan {
	const struct operation *operation;
	const struct operation *corpse; /* who died before in what, NULL: nobody */
	unsigned corpse_state; /* in which of the states that this operation goes through: 1, 2, ... */
	bool is_linear; /* stepped once, a checker after each change; else killed after `kill_after` steps */
	bool leaves_zombie; /* for a real kill */
	enum way way; /* the same */
	uint64_t kill_after;
};

/* Runs a plan; adds to the board's counts. False if a check failed. */
bool stage_run(const struct plan *plan);

/* How many different states of the arena an operation goes through. */
unsigned stage_count_states(const struct operation *operation);

#endif
