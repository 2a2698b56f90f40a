/* SPDX-License-Identifier: MIT */
/*
 * The arena's bytes as they were: tells whether an instruction changed them, and lets a
 * checker play with a copy of its own.
 */
#ifndef TUTTI_TESTS_CRASH_SNAPSHOT_H
#define TUTTI_TESTS_CRASH_SNAPSHOT_H

#include "arena/context.h"

struct snapshot;

struct snapshot *snapshot_take(tutti_arena *arena);
/* True if any byte has changed since this was asked last. */
bool snapshot_has_changed(struct snapshot *snapshot);
/* Where: the offset of a changed byte. */
uint64_t snapshot_change(const struct snapshot *snapshot);

/* In a forked child: the arena becomes a private copy of what it is now. */
void snapshot_make_private(tutti_arena *arena);

#endif
