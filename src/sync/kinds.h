/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_SYNC_KINDS_H
#define TUTTI_SYNC_KINDS_H

#include "arena/object.h"

extern const struct tutti__kind tutti__lock_kind;
extern const struct tutti__kind tutti__event_kind;
extern const struct tutti__kind tutti__rlock_kind;
extern const struct tutti__kind tutti__semaphore_kind;
extern const struct tutti__kind tutti__rwlock_kind;
extern const struct tutti__kind tutti__once_kind;
extern const struct tutti__kind tutti__condition_kind;
extern const struct tutti__kind tutti__barrier_kind;

/* For tests, while nobody is inside: its invariants hold; `reach` is called for each block that it reaches. */
bool tutti__semaphore_is_valid(tutti_arena *arena, uint64_t offset, void (*reach)(void *context, uint64_t offset),
                               void *context);
bool tutti__rwlock_is_valid(tutti_arena *arena, uint64_t offset, void (*reach)(void *context, uint64_t offset),
                            void *context);

#endif
