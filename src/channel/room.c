/* SPDX-License-Identifier: MIT */
/*
 * Room for one of several sleepers. A get wakes one putter, for which the room may be too small, though it would do
 * for another's message. So each says what it wants before it sleeps (mark, want, look), and `least_wanted` is the
 * least of that, or less: those that leave do not take theirs back. Who was woken and leaves room of that size behind
 * passes it on: after its put by waking one; with room that does not do for itself by waking all, once: the word
 * begins anew, and each that sleeps again says what it wants. So room that does for nobody is not passed on from one
 * to the next for ever.
 *
 * Nobody is forgotten: who says what it wants after another has read the word looks for room after that, and sees
 * what the other saw. Who is killed between the word and the wakes costs the sleepers a tick, as everywhere.
 */
#include "channel/room.h"

struct room_question {
	struct tutti__queue *shared;
	uint64_t size;
};

bool tutti__queue_has_room(const struct tutti__queue *shared, uint64_t size)
{
	return load_acquire(&shared->is_shut) || tutti__room_seems_enough(shared, size);
}

static bool has_room_for_another(const struct tutti__queue *shared)
{
	/* Relaxed: both sides have a full barrier before. */
	return tutti__room_seems_enough(shared, load_relaxed(&shared->least_wanted));
}

static void say_what_is_wanted(struct tutti__queue *shared, uint64_t size)
{
	uint64_t least = load_relaxed(&shared->least_wanted);
	while (size < least && !cas_u64(&shared->least_wanted, least, size))
		least = load_relaxed(&shared->least_wanted);
	fence_seq_cst();
}

/* Ours may have been the wake, or our spinning may have spared one, for room that another could use. */
static void before_sleep(void *context)
{
	struct room_question *question = context;
	struct tutti__queue *shared = question->shared;
	say_what_is_wanted(shared, question->size);
	if (tutti__room_seems_enough(shared, question->size) || !has_room_for_another(shared))
		return;
	exchange_acq_rel(&shared->least_wanted, UINT64_MAX);
	fence_after_rmw();
	tutti__wake_all(&shared->room); /* us too: we come back here, and say again what we want */
}

static bool room_is_ready(void *context)
{
	struct room_question *question = context;
	return tutti__queue_has_room(question->shared, question->size);
}

/* A descriptor that asks for room asks for as much as was wanted here: with less it would be readable in vain. */
static tutti_err fail_full(tutti_queue *queue, uint64_t size, tutti_time timeout)
{
	const struct tutti__queue *shared = queue->shared;
	store_relaxed(&queue->room_size, size);
	tutti__poll_refresh(&queue->room_polls);
	if (timeout <= 0)
		return tutti__fail_plain(TUTTI_EFULL, "the queue is full. Raise max_items or max_bytes, or start a getter.");
	uint64_t items = load_relaxed(&shared->put.count) - load_relaxed(&shared->got.count);
	uint64_t bytes = load_relaxed(&shared->put.bytes) - load_relaxed(&shared->got.bytes);
	bool by_items = items >= shared->max_items;
	return tutti__fail(TUTTI_EFULL, "queue \"%s\" is full: %llu of %llu %s. Raise %s, or start a getter.",
	                   shared->object.name, (unsigned long long)(by_items ? items : bytes),
	                   (unsigned long long)(by_items ? shared->max_items : shared->max_bytes),
	                   by_items ? "messages" : "bytes", by_items ? "max_items" : "max_bytes");
}

tutti_err tutti__room_wait(tutti_queue *queue, uint64_t size, int64_t deadline, tutti_time timeout)
{
	struct room_question question = {queue->shared, size};
	struct tutti__waiting waiting = {.arena = queue->reference.arena,
	                                 .patience = &queue->room_patience,
	                                 .hints = &queue->shared->room_hints,
	                                 .object = queue->reference.offset,
	                                 .is_ready = room_is_ready,
	                                 .before_sleep = before_sleep,
	                                 .context = &question,
	                                 .deadline = deadline};
	if (timeout <= 0)
		return fail_full(queue, size, timeout);
	tutti_err err = tutti__wait_at(&waiting, &queue->shared->room);
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while waiting for room in queue \"%s\". Put again.",
		                   queue->shared->object.name);
	return err == TUTTI_ETIMEDOUT ? fail_full(queue, size, timeout) : err;
}

void tutti__room_pass_on(struct tutti__queue *shared)
{
	tutti__promise_kept(&shared->room_hints);
	if (has_room_for_another(shared))
		tutti__wake_one(&shared->room, &shared->room_hints);
}
