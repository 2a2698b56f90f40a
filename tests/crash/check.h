/* SPDX-License-Identifier: MIT */
/* What must hold in an arena whenever nobody is inside an operation: K1 (nothing torn) and K5 (nothing leaks). */
#ifndef TUTTI_TESTS_CRASH_CHECK_H
#define TUTTI_TESTS_CRASH_CHECK_H

#include "arena/context.h"
#include "ring.h"

/*
 * Checks the heap, every object, every owner word and every slot. Nobody but the members that are in may be named
 * anywhere, live blocks must be those that objects reach, and the living must own `held_blocks` others. Ends the
 * process if it finds something.
 */
void check_arena(tutti_arena *arena, unsigned held_blocks, const char *when);

/*
 * The ids of a process that is to be recovered: noted before, and afterwards they must be nobody's for ever: a word
 * somewhere that still holds one would be taken for the next member's.
 */
void check_note_ids(tutti_arena *arena, pid_t pid);
void check_ids_retired(tutti_arena *arena);

/* Everybody who had a pool is dead: recovers them, and checks that no pool is left and no job. */
void check_pools_gone(tutti_arena *arena);

/* Checks that nothing is left: no block in use. */
void check_empty(tutti_arena *arena);

#endif
