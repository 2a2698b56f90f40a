/* SPDX-License-Identifier: MIT */
/* Open items of joinable queues: got, done, given back, done ahead. The steps and what a death leaves: joinable.h. */
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

/* Which item to end, and why. */
struct choice {
	uint32_t holder; /* 0: anybody's */
	unsigned status;
	uint64_t parcel; /* this one, 0: the oldest that fits */
	bool is_said; /* to be done; else what was said ahead is said of it, if there is something */
};

/* An item that fits, where it was seen. */
struct found {
	uint64_t previous, parcel, state;
};

/* Under get_latch: the item becomes the caller's. False if it was given back meanwhile. */
static bool end_item(tutti_arena *arena, struct tutti__queue *shared, uint32_t id, struct found found, bool is_said)
{
	struct tutti__parcel *item = tutti__parcel_at(arena, found.parcel);
	uint64_t ahead = load_relaxed(&shared->ahead);
	bool is_counted = !is_said && ahead > 0;
	store_relaxed(&item->previous, found.previous);
	store_relaxed(&item->value, load_relaxed(&shared->done_count) + !is_counted);
	store_release(&shared->moving, found.parcel);
	bool ended = cas_u64(&item->state, found.state, make_state(TUTTI__ITEM_DONE, 0, 0)); /* COMMIT */
	if (ended) {
		unlink_item(arena, shared, found.parcel);
		if (is_counted)
			store_release(&shared->ahead, ahead - 1);
		tutti__block_set_owner(arena, found.parcel, id);
	}
	store_release(&shared->moving, 0);
	return ended;
}

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
		struct found found = {previous, parcel, state};
		if (fits(choice, parcel, state) && end_item(arena, shared, id, found, choice->is_said))
			return parcel;
		previous = parcel;
		parcel = load_relaxed(&tutti__parcel_at(arena, parcel)->next);
	}
	return 0;
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
	if (tutti__queue_seems_done(shared))
		wake_joiners(arena, shared);
}

/* Takes the latch, ends the first that fits, frees it. TUTTI_EEMPTY: there is none. */
static tutti_err end_one(tutti_queue *queue, uint32_t id, const struct choice *choice)
{
	tutti_arena *arena = queue->reference.arena;
	tutti_err err = tutti__latch_acquire(arena, &queue->shared->get_latch, id, INT64_MAX);
	if (err)
		return err;
	uint64_t parcel = end_first(arena, queue->shared, id, choice);
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

tutti_err tutti__use_joinable(tutti_queue *queue, uint32_t *id)
{
	tutti_err err = TUTTI_OK;
	*id = tutti__use(&queue->reference, &err);
	if (*id == 0 || queue->shared->is_joinable)
		return err;
	return tutti__fail_not_joinable(queue->shared);
}

/* Under get_latch: whether as many are done as were put, as far as anybody can know of it. */
static bool all_is_done(const struct tutti__queue *shared)
{
	uint64_t done = load_relaxed(&shared->done_count);
	return done >= load_relaxed(&shared->got.count) && done >= load_acquire(&shared->put.count);
}

/* Under get_latch: an item that the caller says is done, which becomes the caller's. 0: nobody has got one. */
static uint64_t end_for_caller(tutti_arena *arena, struct tutti__queue *shared, uint32_t id)
{
	struct choice choices[] = {{.holder = id, .status = TUTTI__ITEM_OPEN, .is_said = true},
	                           {.status = TUTTI__ITEM_OPEN, .is_said = true},
	                           {.status = TUTTI__ITEM_GIVEN_BACK, .is_said = true}};
	uint64_t parcel = 0;
	for (unsigned i = 0; i < sizeof choices / sizeof choices[0] && !parcel; i++)
		parcel = end_first(arena, shared, id, &choices[i]);
	return parcel;
}

/* Under get_latch. */
static void count_ahead(struct tutti__queue *shared)
{
	store_release(&shared->done_count, load_relaxed(&shared->done_count) + 1); /* COMMIT */
	store_release(&shared->ahead, load_relaxed(&shared->ahead) + 1);
}

tutti_err tutti_queue_task_done(tutti_queue *queue)
{
	uint32_t id;
	uint64_t parcel = 0;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	tutti_err err = tutti__use_joinable(queue, &id);
	if (!err)
		err = tutti__latch_acquire(arena, &shared->get_latch, id, INT64_MAX);
	if (err)
		return err;
	bool is_too_often = all_is_done(shared);
	if (!is_too_often && (parcel = end_for_caller(arena, shared, id)) == 0)
		count_ahead(shared);
	tutti__latch_release(&shared->get_latch);
	tutti__count_operation(arena);
	if (is_too_often)
		return tutti__fail(TUTTI_EBOUND,
		                   "nothing that was put into queue \"%s\" is unfinished: tutti_queue_task_done was called "
		                   "more often than messages were put.",
		                   shared->object.name);
	announce_done(arena, shared);
	if (parcel)
		tutti__parcel_free(arena, parcel);
	return TUTTI_OK;
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

/*
 * Ends what is open as long as more was said to be done than has been got. Who is kept from it by a stopped member,
 * or got an item at the very moment in which something was counted ahead, leaves it to the next.
 */
static void end_said_ahead(tutti_queue *queue)
{
	tutti_err err;
	tutti_arena *arena = queue->reference.arena;
	struct tutti__queue *shared = queue->shared;
	struct choice open = {.status = TUTTI__ITEM_OPEN};
	uint32_t id = tutti__use(&queue->reference, &err);
	uint64_t parcel = 1;
	while (id && parcel && load_relaxed(&shared->ahead) > 0 &&
	       tutti__latch_acquire(arena, &shared->get_latch, id, 0) == TUTTI_OK) {
		parcel = load_relaxed(&shared->ahead) > 0 ? end_first(arena, shared, id, &open) : 0;
		tutti__latch_release(&shared->get_latch);
		if (parcel)
			tutti__parcel_free(arena, parcel);
	}
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
	else if (unlikely(load_relaxed(&queue->shared->ahead) > 0))
		end_said_ahead(queue);
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

tutti_err tutti__drop_given_back(tutti_queue *queue, uint32_t id)
{
	struct choice given_back = {.status = TUTTI__ITEM_GIVEN_BACK};
	tutti_err err = TUTTI_OK;
	while (!err)
		err = end_one(queue, id, &given_back);
	return err == TUTTI_EEMPTY ? TUTTI_OK : err;
}

tutti_err tutti__queue_drop_all(tutti_queue *queue)
{
	uint32_t id;
	uint64_t parcel;
	tutti_err err = tutti__use_joinable(queue, &id);
	while (!err && (err = tutti__queue_take(queue, &parcel)) == TUTTI_OK) {
		struct choice choice = {.holder = id, .status = TUTTI__ITEM_TAKING, .parcel = parcel};
		err = end_one(queue, id, &choice);
	}
	return err == TUTTI_EEMPTY || err == TUTTI_EOF ? tutti__drop_given_back(queue, id) : err;
}

/* The list is whole, and nobody else changes it. */
static void count_anew(tutti_arena *arena, struct tutti__queue *shared)
{
	uint64_t open = 0;
	for (uint64_t parcel = load_relaxed(&shared->open_first); parcel; open++)
		parcel = load_relaxed(&tutti__parcel_at(arena, parcel)->next);
	if (!TUTTI__BUG(51))
		store_release(&shared->ahead, load_relaxed(&shared->done_count) + open - load_relaxed(&shared->got.count));
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
	count_anew(arena, shared);
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
