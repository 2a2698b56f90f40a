/* SPDX-License-Identifier: MIT */
/* Which job is next: backlog.h. */
#include "pool/backlog.h"

#include "arena/arena.h"
#include "os/seeded_bug.h"

enum { LEVEL_0 = -TUTTI_PRIORITY_MIN };
static const uint32_t BELOW_0 = (1U << LEVEL_0) - 1, ABOVE_0 = ~((1U << (LEVEL_0 + 1)) - 1), ALL = UINT32_MAX;

/* ---- opening ---- */

static tutti_queue *level_at(const struct tutti__backlog *backlog, int n)
{
	return atomic_load_explicit(&backlog->level[n], memory_order_acquire);
}

/* In a worker, which has one thread for this, or in the owner's process, where it is open. */
static tutti_err open_level(struct tutti__backlog *backlog, int n, tutti_queue **queue)
{
	*queue = level_at(backlog, n);
	if (*queue)
		return TUTTI_OK;
	tutti_err err = tutti_queue_at(queue, backlog->arena, backlog->shared->level[n]);
	if (!err)
		atomic_store_explicit(&backlog->level[n], *queue, memory_order_release);
	return err;
}

tutti_err tutti__backlog_create(struct tutti__backlog *backlog, tutti_arena *arena, const char *name)
{
	backlog->arena = arena;
	pthread_mutex_init(&backlog->mutex, NULL);
	return tutti_queue_open(&backlog->jobs, &(tutti_queue_options){.arena = arena, .name = name});
}

void tutti__backlog_publish(struct tutti__backlog *backlog, struct tutti__shared_backlog *shared)
{
	shared->jobs = tutti_queue_handle(backlog->jobs);
	backlog->shared = shared;
}

tutti_err tutti__backlog_open(struct tutti__backlog *backlog, tutti_arena *arena, struct tutti__shared_backlog *shared)
{
	backlog->arena = arena;
	backlog->shared = shared;
	pthread_mutex_init(&backlog->mutex, NULL);
	tutti_err err = tutti_queue_at(&backlog->jobs, arena, shared->jobs);
	/* A level that comes later is opened when it is looked at. */
	for (uint32_t levels = load_acquire(&shared->levels); levels && !err; levels &= levels - 1) {
		tutti_queue *queue;
		err = open_level(backlog, __builtin_ctz(levels), &queue);
	}
	return err;
}

void tutti__backlog_close(struct tutti__backlog *backlog)
{
	if (!backlog->arena)
		return;
	for (int n = 0; n < TUTTI__LEVELS; n++)
		tutti_queue_close(atomic_load_explicit(&backlog->level[n], memory_order_relaxed));
	tutti_queue_close(backlog->jobs);
	pthread_mutex_destroy(&backlog->mutex);
}

/* ---- putting ---- */

/* With the mutex. The handle is there before the bit says so. */
static tutti_err make_level(struct tutti__backlog *backlog, int n)
{
	tutti_queue *queue;
	if (backlog->is_shut)
		return tutti__fail(TUTTI_ESHUTDOWN, "the pool takes no more tasks.");
	if (level_at(backlog, n))
		return TUTTI_OK;
	tutti_err err = tutti_queue_open(&queue, &(tutti_queue_options){.arena = backlog->arena, .name = "priority"});
	if (err)
		return err;
	backlog->shared->level[n] = tutti_queue_handle(queue);
	atomic_store_explicit(&backlog->level[n], queue, memory_order_release);
	atomic_fetch_or_explicit(&backlog->shared->levels, 1U << n, memory_order_release);
	return TUTTI_OK;
}

static tutti_err put_into_level(struct tutti__backlog *backlog, const uint64_t message[2], int n)
{
	tutti_err err = TUTTI_OK;
	if (!level_at(backlog, n)) {
		tutti__mutex_lock(&backlog->mutex);
		err = make_level(backlog, n);
		pthread_mutex_unlock(&backlog->mutex);
	}
	if (!err)
		err = tutti_queue_put(level_at(backlog, n), message, 2 * sizeof *message, TUTTI_FOREVER);
	if (!err)
		tutti__queue_ring(backlog->jobs, &backlog->shared->bell);
	return err;
}

tutti_err tutti__backlog_put(struct tutti__backlog *backlog, const uint64_t message[2], int priority)
{
	bool is_ordinary = priority == 0 && !(load_relaxed(&backlog->shared->levels) & BELOW_0);
	if (likely(is_ordinary))
		return tutti_queue_put(backlog->jobs, message, 2 * sizeof *message, TUTTI_FOREVER);
	return put_into_level(backlog, message, priority - TUTTI_PRIORITY_MIN);
}

/* ---- taking ---- */

/* From the highest of those levels that has one. TUTTI_EEMPTY: none has. `claim` may be NULL. */
static tutti_err claim_of(struct tutti__backlog *backlog, uint32_t levels, uint64_t message[2], atomic_u64 claim[2])
{
	tutti_err err = TUTTI_EEMPTY;
	levels &= load_acquire(&backlog->shared->levels);
	while (levels && (err == TUTTI_EEMPTY || err == TUTTI_EOF)) {
		int n = 31 - __builtin_clz(levels);
		tutti_queue *queue;
		levels &= ~(1U << n);
		err = open_level(backlog, n, &queue);
		if (!err)
			err = tutti_queue_size(queue)
			          ? tutti__queue_claim(queue, message, TUTTI__BUG(52) ? NULL : claim, NULL, TUTTI_NOW)
			          : TUTTI_EEMPTY;
	}
	return err == TUTTI_EOF ? TUTTI_EEMPTY : err;
}

/* The highest that is there at this moment. TUTTI_EEMPTY. */
static tutti_err claim_highest(struct tutti__backlog *backlog, uint64_t message[2], atomic_u64 claim[2])
{
	tutti_err err = claim_of(backlog, ABOVE_0, message, claim);
	if (err == TUTTI_EEMPTY && tutti_queue_size(backlog->jobs))
		err = tutti__queue_claim(backlog->jobs, message, claim, NULL, TUTTI_NOW);
	return err == TUTTI_EEMPTY || err == TUTTI_EOF ? claim_of(backlog, ALL, message, claim) : err;
}

static tutti_time time_left(tutti_time timeout, int64_t *deadline)
{
	if (timeout == TUTTI_FOREVER || timeout <= 0)
		return timeout;
	if (*deadline == 0)
		*deadline = tutti__deadline(timeout);
	tutti_time left = *deadline - tutti__os.clock_now();
	return left > 0 ? left : TUTTI_NOW;
}

tutti_err tutti__backlog_claim(struct tutti__backlog *backlog, uint64_t message[2], atomic_u64 claim[2],
                               tutti_time timeout)
{
	struct tutti__bell bell = {.count = &backlog->shared->bell};
	int64_t deadline = 0; /* when it is known, if there is one: the clock costs as much as a message */
	tutti_time left = timeout;
	tutti_err err;
	do {
		bell.heard = load_acquire(bell.count);
		err = tutti__backlog_has_levels(backlog) ? claim_highest(backlog, message, claim) : TUTTI_EEMPTY;
		if (err != TUTTI_EEMPTY)
			return err;
		if (tutti__backlog_has_levels(backlog))
			left = time_left(timeout, &deadline);
		err = tutti__queue_claim(backlog->jobs, message, claim, &bell, left);
	} while (err == TUTTI_EBUSY && tutti__bell_has_rung(&bell));
	if (err != TUTTI_EOF || !tutti__backlog_has_levels(backlog))
		return err;
	tutti_err last = claim_of(backlog, ALL, message, claim);
	return last == TUTTI_EEMPTY ? err : last;
}

bool tutti__backlog_take(struct tutti__backlog *backlog, uint64_t message[2])
{
	return tutti_queue_get_into(backlog->jobs, message, 2 * sizeof *message, NULL, TUTTI_NOW) == TUTTI_OK ||
	       claim_of(backlog, ALL, message, NULL) == TUTTI_OK;
}

uint64_t tutti__backlog_size(const struct tutti__backlog *backlog)
{
	uint64_t size = tutti_queue_size(backlog->jobs);
	for (int n = 0; tutti__backlog_has_levels(backlog) && n < TUTTI__LEVELS; n++)
		size += level_at(backlog, n) ? tutti_queue_size(level_at(backlog, n)) : 0;
	return size;
}

tutti_err tutti__backlog_shutdown(struct tutti__backlog *backlog)
{
	tutti__mutex_lock(&backlog->mutex);
	backlog->is_shut = true;
	for (int n = 0; n < TUTTI__LEVELS; n++)
		if (level_at(backlog, n))
			tutti_queue_shutdown(level_at(backlog, n));
	pthread_mutex_unlock(&backlog->mutex);
	return tutti_queue_shutdown(backlog->jobs);
}
