/* SPDX-License-Identifier: MIT */
/*
 * The composition root: the one place that knows every kind of shared block. Floor 1
 * knows only the table's shape, and each floor only its own kinds; linked statically,
 * a program that uses one kind can still recover all of them.
 */
#include "channel/parcel.h"
#include "channel/pipe.h"
#include "channel/queue.h"
#include "object/block.h"
#include "pool/pool.h"
#include "sync/kinds.h"

const struct tutti__kind *const tutti__kinds[TUTTI__KIND_COUNT] = {
	[TUTTI__KIND_LOCK] = &tutti__lock_kind,
	[TUTTI__KIND_EVENT] = &tutti__event_kind,
	[TUTTI__KIND_QUEUE] = &tutti__queue_kind,
	[TUTTI__KIND_POOL] = &tutti__pool_kind,
	[TUTTI__KIND_TASK] = &tutti__job_kind,
	[TUTTI__KIND_RLOCK] = &tutti__rlock_kind,
	[TUTTI__KIND_SEMAPHORE] = &tutti__semaphore_kind,
	[TUTTI__KIND_RWLOCK] = &tutti__rwlock_kind,
	[TUTTI__KIND_ONCE] = &tutti__once_kind,
	[TUTTI__KIND_CONDITION] = &tutti__condition_kind,
	[TUTTI__KIND_BARRIER] = &tutti__barrier_kind,
	[TUTTI__KIND_PARCEL] = &tutti__parcel_kind,
	[TUTTI__KIND_PIPE] = &tutti__pipe_kind,
	[TUTTI__KIND_BLOCK] = &tutti__block_kind,
};
