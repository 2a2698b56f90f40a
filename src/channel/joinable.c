/* SPDX-License-Identifier: MIT */
/* Open items of joinable queues: got, done, given back. The steps and what a death leaves: joinable.h. */
#include "channel/joinable.h"

#include <stdlib.h>
#include <string.h>

#include "os/seeded_bug.h"

static uint64_t make_state(unsigned status, uint64_t redelivered, uint32_t holder)
{
	return status | redelivered | (uint64_t)holder << 32;
}

static uint64_t redelivered_of(uint64_t state) { return state & TUTTI__ITEM_REDELIVERED; }

/* The word that names the item behind `previous`. */
static atomic_u64 *link_behind(tutti_arena *arena, struct tutti__queue *shared, uint64_t previous)
{
	return previous ? &tutti__parcel_at(arena, previous)->next : &shared->open_first;
}

void tutti__item_begin(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, uint64_t parcel, uint64_t position)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	store_relaxed(&item->queue, tutti__offset(arena, shared));
	store_relaxed(&item->next, 0);
	store_relaxed(&item->previous, load_relaxed(&shared->open_last));
	store_relaxed(&item->value, position);
	if (!TUTTI__BUG(34))
		store_release(&shared->moving, parcel);
	store_release(&item->state, make_state(TUTTI__ITEM_LINKING, 0, id));
}

/* After the commit; by the getter, or by the recovery of a getter. Idempotent. */
static void link_item(tutti_arena *arena, struct tutti__queue *shared, uint64_t parcel)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	store_release(link_behind(arena, shared, load_relaxed(&item->previous)), parcel);
	store_release(&shared->open_last, parcel);
	store_release(&item->state, make_state(TUTTI__ITEM_TAKING, 0, tutti__item_holder(load_relaxed(&item->state))));
}

void tutti__item_finish(tutti_arena *arena, struct tutti__queue *shared, uint64_t parcel)
{
	link_item(arena, shared, parcel);
	store_release(&shared->moving, 0);
}

/* After the commit of an end; by the one who ends it, or by the recovery of that one. Idempotent. */
static void unlink_item(tutti_arena *arena, struct tutti__queue *shared, uint64_t parcel)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	uint64_t previous = load_relaxed(&item->previous), next = load_relaxed(&item->next);
	store_release(link_behind(arena, shared, previous), next);
	if (next == 0)
		store_release(&shared->open_last, previous);
	if (TUTTI__BUG(36))
		store_release(&shared->moving, 0);
	store_release(&shared->done_count, load_relaxed(&item->value));
}

/* Under get_latch: the item, whose state was seen, becomes the caller's. False if it was given back meanwhile. */
static bool end_item(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, uint64_t previous, uint64_t parcel,
                     uint64_t state)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	store_relaxed(&item->previous, previous);
	store_relaxed(&item->value, load_relaxed(&shared->done_count) + 1);
	store_release(&shared->moving, parcel);
	bool ended = cas_u64(&item->state, state, make_state(TUTTI__ITEM_DONE, 0, 0)); /* COMMIT */
	if (ended) {
		unlink_item(arena, shared, parcel);
		tutti__block_set_owner(arena, parcel, id);
	}
	store_release(&shared->moving, 0);
	return ended;
}

/* Which item to end. */
struct choice {
	uint32_t holder; /* 0: anybody's */
	unsigned status;
	uint64_t parcel; /* this one, 0: the oldest that fits */
};

static bool fits(const struct choice *choice, uint64_t parcel, uint64_t state)
{
	return tutti__item_status(state) == choice->status &&
	       (choice->holder == 0 || tutti__item_holder(state) == choice->holder) &&
	       (choice->parcel == 0 || choice->parcel == parcel);
}

/* Under get_latch: ends the first item that fits, which becomes the caller's; 0: there is none. */
static uint64_t end_first(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, const struct choice *choice)
{
	uint64_t previous = 0;
	for (uint64_t parcel = load_relaxed(&shared->open_first); parcel;) {
		uint64_t state = load_acquire(&tutti__parcel_at(arena, parcel)->state);
		if (fits(choice, parcel, state) && end_item(arena, shared, id, previous, parcel, state))
			return parcel;
		previous = parcel;
		parcel = load_relaxed(&tutti__parcel_at(arena, parcel)->next);
	}
	return 0;
}

/* A put counts a moment after its message can be got and ended: then more are done than put, and that is all. */
static bool seems_done(void *context)
{
	struct tutti__queue *shared = context;
	uint64_t done = load_acquire(&shared->done_count);
	return done >= load_acquire(&shared->put.count);
}

static void wake_joiners(tutti_arena *arena, struct tutti__queue *shared)
{
	tutti__wake_all(&shared->done);
	tutti__ring(arena, &shared->done_pollable);
}

/* What joiners wait for may be there. The latch's release was a full barrier. */
static void announce_done(tutti_arena *arena, struct tutti__queue *shared)
{
	tutti__wait_stamp(&shared->done);
	if (seems_done(shared))
		wake_joiners(arena, shared);
}

/* Takes the latch, ends the first that fits any of the choices, frees it. TUTTI_EEMPTY: there is none. */
static tutti_err end_one(tutti_queue *queue, uint32_t id, const struct choice *choices, unsigned count)
{
	tutti_arena *arena = queue->reference.arena;
	uint64_t parcel = 0;
	tutti_err err = tutti__latch_acquire(arena, &queue->shared->get_latch, id, INT64_MAX);
	if (err)
		return err;
	for (unsigned i = 0; i < count && !parcel; i++)
		parcel = end_first(arena, queue->shared, id, &choices[i]);
	tutti__latch_release(&queue->shared->get_latch);
	if (!parcel)
		return TUTTI_EEMPTY;
	announce_done(arena, queue->shared);
	tutti__parcel_free(arena, parcel);
	return TUTTI_OK;
}

tutti_err tutti__fail_not_joinable(const struct tutti__queue *shared)
{
	return tutti__fail(TUTTI_EINVAL, "queue \"%s\" does not count what is done. Open it with .joinable.",
	                   shared->object.name);
}

static tutti_err use_joinable(tutti_queue *queue, uint32_t *id)
{
	tutti_err err = TUTTI_OK;
	*id = tutti__use(&queue->reference, &err);
	if (*id == 0 || queue->shared->is_joinable)
		return err;
	return tutti__fail_not_joinable(queue->shared);
}

tutti_err tutti_queue_task_done(tutti_queue *queue)
{
	uint32_t id;
	tutti_err err = use_joinable(queue, &id);
	if (err)
		return err;
	struct choice choices[] = {{.holder = id, .status = TUTTI__ITEM_OPEN}, {.status = TUTTI__ITEM_OPEN}};
	err = end_one(queue, id, choices, 2);
	tutti__count_operation(queue->reference.arena);
	if (err != TUTTI_EEMPTY)
		return err;
	return tutti__fail(
		TUTTI_EBOUND,
		"nothing that was got from queue \"%s\" is unfinished: tutti_queue_task_done was called more often "
		"than messages were got.",
		queue->shared->object.name);
}

uint64_t tutti__given_back_first(tutti_arena *arena, struct tutti__queue *shared)
{
	/* The mark first, then the look: who gives back later sets it again. */
	if (load_relaxed(&shared->given_back) == 0 || load_relaxed(&shared->is_shut) == TUTTI__IS_DROPPED)
		return 0;
	exchange_acq_rel(&shared->given_back, 0);
	for (uint64_t parcel = load_relaxed(&shared->open_first); parcel;) {
		struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
		if (tutti__item_status(load_acquire(&item->state)) == TUTTI__ITEM_GIVEN_BACK) {
			store_release(&shared->given_back, 1); /* there may be more */
			return parcel;
		}
		parcel = load_relaxed(&item->next);
	}
	return 0;
}

void tutti__given_back_take(tutti_arena *arena, uint32_t id, uint64_t parcel)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	uint64_t state = load_relaxed(&item->state); /* relaxed: only who has the latch changes it from GIVEN_BACK */
	store_release(&item->state, make_state(TUTTI__ITEM_TAKING, redelivered_of(state), id));
}

uint64_t tutti__given_back_count(tutti_queue *queue)
{
	tutti_err err;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	uint64_t count = 0;
	uint32_t id = tutti__use(&queue->reference, &err);
	if (load_acquire(&shared->given_back) == 0 || id == 0 ||
	    tutti__latch_acquire(arena, &shared->get_latch, id, 0) != TUTTI_OK)
		return 0;
	for (uint64_t parcel = load_relaxed(&shared->open_first); parcel;) {
		struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
		count += tutti__item_status(load_acquire(&item->state)) == TUTTI__ITEM_GIVEN_BACK;
		parcel = load_relaxed(&item->next);
	}
	tutti__latch_release(&shared->get_latch);
	return count;
}

/* Getters may find something that was given back. */
static void announce_given_back(tutti_arena *arena, struct tutti__queue *shared)
{
	store_release(&shared->given_back, 1);
	fence_seq_cst(); /* then the look for sleepers: they mark, then look at given_back */
	tutti__wake_all(&shared->items);
	if (load_relaxed(&shared->is_shut) == TUTTI__IS_DROPPED)
		wake_joiners(arena, shared);
	tutti__ring(arena, &shared->pollable);
}

/* The copy was made, or it failed: then anybody may have the item. */
static void settle(tutti_queue *queue, uint64_t parcel, tutti_err err)
{
	tutti_arena *arena = queue->reference.arena;
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	uint64_t state = load_relaxed(&item->state); /* relaxed: TAKING is the taker's alone */
	unsigned status = err ? TUTTI__ITEM_GIVEN_BACK : TUTTI__ITEM_OPEN;
	store_release(&item->state, make_state(status, redelivered_of(state), err ? 0 : tutti__item_holder(state)));
	if (err)
		announce_given_back(arena, queue->shared);
}

/* A message of the getter's own, with the same bytes and handles. */
static tutti_err copy_item(tutti_arena *arena, uint64_t parcel, tutti_message *message)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	size_t size = item->size, count = load_relaxed(&item->count);
	const void *payload = tutti__parcel_payload(arena, parcel);
	void *to;
	tutti_err err = count ? tutti__parcel_create(arena, item->carried, count, size, 0, INT64_MAX, &message->block)
	                      : tutti__block_alloc(arena, TUTTI__KIND_RAW, size ? size : 1, INT64_MAX, &message->block);
	if (err == TUTTI_ENOMEM && count == 0 && (to = malloc(size ? size : 1)) != NULL) {
		message->block = 0; /* a full arena must not keep its getters from making room in it */
		err = TUTTI_OK;
	} else if (!err) {
		to = count ? tutti__parcel_payload(arena, message->block) : tutti__at(arena, message->block);
	}
	if (err)
		return err;
	if (size)
		memcpy(to, payload, size);
	message->view = (tutti_view){to, size};
	message->carried = count ? tutti__parcel_at(arena, message->block)->carried : NULL;
	message->carried_count = count;
	return TUTTI_OK;
}

tutti_err tutti__parcel_deliver(tutti_queue *queue, uint64_t parcel, tutti_message *message)
{
	tutti_arena *arena = queue->reference.arena;
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	*message = (tutti_message){.arena = arena, .encoding = item->encoding};
	if (queue->shared->is_joinable) {
		message->redelivered = redelivered_of(load_relaxed(&item->state)) != 0;
		tutti_err err = copy_item(arena, parcel, message);
		settle(queue, parcel, err);
		if (err)
			*message = (tutti_message){0};
		return err;
	}
	message->block = parcel;
	message->view = (tutti_view){tutti__parcel_payload(arena, parcel), item->size};
	message->carried = item->carried;
	message->carried_count = load_relaxed(&item->count);
	return TUTTI_OK;
}

void tutti__parcel_deliver_into(tutti_queue *queue, uint64_t parcel, void *buffer)
{
	tutti_arena *arena = queue->reference.arena;
	size_t size = tutti__parcel_at(arena, parcel)->size;
	if (size)
		memcpy(buffer, tutti__parcel_payload(arena, parcel), size);
	if (queue->shared->is_joinable)
		settle(queue, parcel, TUTTI_OK);
	else
		tutti__parcel_free(arena, parcel);
}

static tutti_err drop_given_back(tutti_queue *queue, uint32_t id)
{
	struct choice given_back = {.status = TUTTI__ITEM_GIVEN_BACK};
	tutti_err err = TUTTI_OK;
	while (!err)
		err = end_one(queue, id, &given_back, 1);
	return err == TUTTI_EEMPTY ? TUTTI_OK : err;
}

tutti_err tutti__queue_drop_all(tutti_queue *queue)
{
	uint32_t id;
	uint64_t parcel;
	tutti_err err = use_joinable(queue, &id);
	while (!err && (err = tutti__queue_take(queue, &parcel)) == TUTTI_OK) {
		struct choice choice = {.holder = id, .status = TUTTI__ITEM_TAKING, .parcel = parcel};
		err = end_one(queue, id, &choice, 1);
	}
	return err == TUTTI_EEMPTY || err == TUTTI_EOF ? drop_given_back(queue, id) : err;
}

/* Exactly: under put_latch every message that can be got is counted. */
static tutti_err count_unfinished(tutti_queue *queue, uint32_t id, int64_t deadline, uint64_t *count)
{
	struct tutti__queue *shared = queue->shared;
	tutti_err err = tutti__latch_acquire(queue->reference.arena, &shared->put_latch, id, deadline);
	if (err)
		return err;
	*count = load_relaxed(&shared->put.count) - load_acquire(&shared->done_count);
	tutti__latch_release(&shared->put_latch);
	return TUTTI_OK;
}

bool tutti__queue_may_be_done(void *context)
{
	struct tutti__queue *shared = context;
	return seems_done(context) ||
	       (load_acquire(&shared->is_shut) == TUTTI__IS_DROPPED && load_acquire(&shared->given_back));
}

static tutti_err wait_until_done(tutti_queue *queue, int64_t deadline, uint64_t unfinished)
{
	struct tutti__waiting waiting = {.arena = queue->reference.arena,
	                                 .patience = &queue->done_patience,
	                                 .hints = &queue->shared->done_hints,
	                                 .object = queue->reference.offset,
	                                 .is_ready = tutti__queue_may_be_done,
	                                 .context = queue->shared,
	                                 .deadline = deadline};
	const char *name = queue->shared->object.name;
	tutti_err err = deadline <= 0 ? TUTTI_ETIMEDOUT : tutti__wait_at(&waiting, &queue->shared->done);
	if (err == TUTTI_ETIMEDOUT) {
		tutti__poll_refresh(&queue->done_polls);
		tutti__look_after_the_dead(queue->reference.arena);
	}
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while joining queue \"%s\". Join again.", name);
	if (err == TUTTI_ETIMEDOUT)
		return tutti__fail(err, "%llu of the messages of queue \"%s\" are not done. Wait longer, or start a getter.",
		                   (unsigned long long)unfinished, name);
	return err;
}

tutti_err tutti_queue_join(tutti_queue *queue, tutti_time timeout)
{
	uint32_t id;
	uint64_t unfinished = 0;
	tutti_err err = use_joinable(queue, &id);
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : timeout <= 0 ? 0 : tutti__deadline(timeout);
	while (!err) {
		struct tutti__queue *shared = queue->shared;
		if (load_acquire(&shared->is_shut) == TUTTI__IS_DROPPED) {
			store_release(&shared->given_back, 0); /* a hint here: each look drops what there is */
			err = drop_given_back(queue, id);
		}
		if (!err)
			err = count_unfinished(queue, id, deadline, &unfinished);
		if (err || unfinished == 0)
			return err;
		err = wait_until_done(queue, deadline, unfinished);
	}
	return err;
}

void tutti__joinable_recover(tutti_arena *arena, struct tutti__queue *shared, uint32_t dead)
{
	uint64_t parcel = load_acquire(&shared->moving);
	if (parcel) {
		struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
		unsigned status = tutti__item_status(load_acquire(&item->state));
		bool committed = load_relaxed(&item->value) == load_acquire(&shared->got.position);
		if (status == TUTTI__ITEM_LINKING && committed) {
			link_item(arena, shared, parcel);
		} else if (status == TUTTI__ITEM_LINKING) {
			store_release(&item->state, TUTTI__ITEM_QUEUED);
		} else if (status == TUTTI__ITEM_DONE) {
			unlink_item(arena, shared, parcel);
			cas_u32(tutti__block_owner(arena, parcel), TUTTI__SHARED, dead);
		}
		store_release(&shared->moving, 0);
	}
	/* It may have cleared the mark, and not looked. */
	store_release(&shared->given_back, 1);
	tutti__wake_all(&shared->done); /* who polls is rung by the caller */
}

void tutti__item_recover(tutti_arena *arena, uint64_t parcel, uint32_t dead, bool clean)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, parcel);
	uint64_t state = load_acquire(&item->state);
	unsigned status = tutti__item_status(state);
	struct tutti__queue *shared = tutti__at(arena, load_relaxed(&item->queue));
	/* Who gave it back may have been killed before the mark: then nobody would look. */
	if (status == TUTTI__ITEM_GIVEN_BACK && load_acquire(&shared->given_back) == 0)
		announce_given_back(arena, shared);
	if (tutti__item_holder(state) != dead || (status != TUTTI__ITEM_TAKING && status != TUTTI__ITEM_OPEN))
		return;
	uint64_t next = clean ? make_state(TUTTI__ITEM_OPEN, redelivered_of(state), TUTTI__KEPT)
	                      : make_state(TUTTI__ITEM_GIVEN_BACK, TUTTI__ITEM_REDELIVERED, 0);
	if (cas_u64(&item->state, state, next) && !clean)
		announce_given_back(arena, shared);
}

void tutti__joinable_destroy(tutti_arena *arena, struct tutti__queue *shared)
{
	uint32_t id = load_relaxed(&arena->local->id);
	for (uint64_t parcel; (parcel = load_acquire(&shared->open_first)) != 0;) {
		/* As drop_entry does it: first the caller's, then forgotten. */
		tutti__block_set_owner(arena, parcel, id);
		store_release(&shared->open_first, load_relaxed(&tutti__parcel_at(arena, parcel)->next));
		tutti__parcel_free(arena, parcel);
	}
}
