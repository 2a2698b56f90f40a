/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_TESTS_CRASH_POISON_H
#define TUTTI_TESTS_CRASH_POISON_H

#include "arena/context.h"

/*
 * Overwrites all free blocks of raw memory: whoever relies on what stands in freed memory (it may be somebody else's by
 * then) finds nonsense. Only for an arena in which nobody else is at work: a checker's snapshot.
 */
void poison_free_memory(tutti_arena *arena);

#endif
