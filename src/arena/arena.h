/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_ARENA_ARENA_H
#define TUTTI_ARENA_ARENA_H

#include "arena/context.h"

/* `given`, or the default arena if it is NULL: what `.arena` in an options struct means. */
tutti_err tutti__arena_or_default(tutti_arena *given, tutti_arena **arena);

/* Makes an arena that was joined the default one: in a process that was spawned. */
void tutti__arena_set_default(tutti_arena *arena);

/*
 * Whether a descriptor is of an arena that this library can join, and of which. Reads the header without
 * mapping: a foreign file must not be trusted with sizes. TUTTI_ENOTARENA, TUTTI_EVERSION.
 */
tutti_err tutti__arena_check_file(int fd, uint32_t *arena_id);

#endif
