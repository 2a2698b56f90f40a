/* SPDX-License-Identifier: MIT */
/* What a condition must know of a lock beyond its public functions. */
#ifndef TUTTI_SYNC_LOCK_H
#define TUTTI_SYNC_LOCK_H

#include <tutti/lock.h>

/* True if the calling member holds it. One load. */
bool tutti__lock_is_mine(const tutti_lock *lock);

#endif
