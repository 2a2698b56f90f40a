/* SPDX-License-Identifier: MIT */
/* Making and freeing parcels, and what the death of their owner leaves. The order of the stores: parcel.h. */
#include "channel/parcel.h"

#include <stdlib.h>

#include "channel/joinable.h"
#include "os/seeded_bug.h"

enum { LEAST = 128 }; /* bytes of a block, so that its place is its own: tutti__block_holder */

static uint64_t block_size(size_t carried, uint64_t payload)
{
	uint64_t size = sizeof(struct tutti__parcel) + carried * sizeof(tutti_handle) + payload;
	return size < LEAST ? LEAST : size;
}

/* Lets the carried objects go. Idempotent. */
static void release_carried(tutti_arena *arena, uint64_t offset)
{
	struct tutti__parcel *parcel = tutti__parcel_at(arena, offset);
	uint32_t count = load_acquire(&parcel->count);
	for (uint32_t i = 0; i < count && !TUTTI__BUG(35); i++)
		tutti__object_unhold(arena, parcel->carried[i], tutti__block_holder(offset));
	store_release(&parcel->count, 0);
}

static tutti_err hold_carried(tutti_arena *arena, uint64_t offset, const tutti_handle *carried, size_t count)
{
	struct tutti__parcel *parcel = tutti__parcel_at(arena, offset);
	tutti_err err = TUTTI_OK;
	/* All of them first: what is listed is looked at by whoever frees the parcel, and must be a place of objects. */
	for (size_t i = 0; i < count && !err; i++)
		err = tutti__object_check(arena, carried[i]);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++)
		parcel->carried[i] = carried[i];
	store_release(&parcel->count, (uint32_t)count);
	for (size_t i = 0; i < count && !err; i++)
		err = tutti__object_hold(arena, carried[i], tutti__block_holder(offset));
	return err;
}

static void give_body(tutti_arena *arena, uint64_t offset, uint64_t body)
{
	store_release(&tutti__parcel_at(arena, offset)->body, body);
	tutti__block_set_owner(arena, body, TUTTI__SHARED);
}

static tutti_err make_body(tutti_arena *arena, uint64_t offset, uint64_t size, int64_t deadline)
{
	uint64_t body;
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, size, deadline, &body);
	if (!err)
		give_body(arena, offset, body);
	return err;
}

tutti_err tutti__parcel_create(tutti_arena *arena, const tutti_handle *carried, size_t count, uint64_t size,
                               uint64_t body, int64_t deadline, uint64_t *offset)
{
	/* A larger one might be a run of its own, which a recovery does not visit. */
	if (count > TUTTI__CARRIED_MAX)
		return tutti__fail(TUTTI_EINVAL, "a message carries at most %d handles, not %zu. Send several.",
		                   TUTTI__CARRIED_MAX, count);
	bool is_inside = size < TUTTI__PARCEL_INLINE && !body;
	tutti_err err =
		tutti__block_alloc(arena, TUTTI__KIND_PARCEL, block_size(count, is_inside ? size : 0), deadline, offset);
	if (err)
		return err;
	struct tutti__parcel *parcel = tutti__parcel_at(arena, *offset);
	store_relaxed(&parcel->state, 0);
	parcel->size = size;
	err = hold_carried(arena, *offset, carried, count);
	if (!err && !is_inside && !body)
		err = make_body(arena, *offset, size, deadline);
	if (err)
		tutti__parcel_free(arena, *offset);
	else if (body)
		give_body(arena, *offset, body);
	return err;
}

void *tutti__parcel_payload(const tutti_arena *arena, uint64_t offset)
{
	struct tutti__parcel *parcel = tutti__parcel_at(arena, offset);
	uint64_t body = load_acquire(&parcel->body);
	return body ? tutti__at(arena, body) : &parcel->carried[load_acquire(&parcel->count)];
}

uint64_t tutti__parcel_take_body(tutti_arena *arena, uint64_t offset)
{
	struct tutti__parcel *parcel = tutti__parcel_at(arena, offset);
	uint64_t body = load_relaxed(&parcel->body);
	if (body) {
		tutti__block_set_owner(arena, body, load_relaxed(&arena->local->id));
		store_release(&parcel->body, 0);
	}
	return body;
}

void tutti__parcel_free(tutti_arena *arena, uint64_t offset)
{
	release_carried(arena, offset);
	uint64_t body = tutti__parcel_take_body(arena, offset);
	if (body)
		tutti__block_free(arena, body);
	tutti__block_free(arena, offset);
}

void tutti_message_release(tutti_message *message)
{
	if (message->block && tutti__enter(message->arena))
		(message->carried_count ? tutti__parcel_free : tutti__block_free)(message->arena, message->block);
	else if (message->arena && message->block == 0)
		free((void *)(uintptr_t)message->view.data);
	*message = (tutti_message){0};
}

/* The dead member made it, or had got it: the sweep that follows frees the parcel, and the body with it. */
static void abandon(tutti_arena *arena, uint64_t offset, uint32_t dead)
{
	struct tutti__parcel *parcel = tutti__parcel_at(arena, offset);
	uint64_t body = load_acquire(&parcel->body);
	release_carried(arena, offset);
	if (body)
		cas_u32(tutti__block_owner(arena, body), TUTTI__SHARED, dead);
	store_release(&parcel->body, 0);
}

/* Comes after the objects: a parcel that names the dead as its owner is no queue's any more. */
static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	if (owner == dead)
		abandon(arena, offset, dead);
	else if (owner == TUTTI__SHARED)
		tutti__item_recover(arena, offset, dead, clean);
}

const struct tutti__kind tutti__parcel_kind = {.name = "message", .is_object = false, .recover = recover};
