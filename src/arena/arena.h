/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_ARENA_ARENA_H
#define TUTTI_ARENA_ARENA_H

#include "arena/context.h"

/* `given`, or the default arena if it is NULL: what `.arena` in an options struct means. */
tutti_err tutti__arena_or_default(tutti_arena *given, tutti_arena **arena);

/* Makes an arena that was joined the default one: in a process that was spawned. */
void tutti__arena_set_default(tutti_arena *arena);

#endif
