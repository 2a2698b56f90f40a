/* SPDX-License-Identifier: MIT */
#include "pool/cargo.h"

#include "channel/letter.h"

/* A parcel of the caller's becomes the job's: the field first, so that a recovery of either finds it. */
static void give(tutti_arena *arena, struct tutti__cargo *cargo, uint64_t parcel)
{
	store_release(&cargo->parcel, parcel);
	tutti__block_set_owner(arena, parcel, TUTTI__SHARED);
}

static void describe(tutti_arena *arena, struct tutti__cargo *cargo, uint64_t parcel, uint64_t size, uint32_t encoding)
{
	if (parcel)
		tutti__parcel_at(arena, parcel)->encoding = encoding;
	cargo->size = size;
	cargo->encoding = encoding;
}

tutti_err tutti__cargo_load(tutti_arena *arena, struct tutti__cargo *cargo, const struct tutti__lading *lading)
{
	uint64_t parcel, size = tutti__parts_size(lading->parts, lading->count);
	if (size <= TUTTI__CARGO_INLINE && lading->carried_count == 0) {
		tutti__parts_copy(cargo->bytes, lading->parts, lading->count);
		describe(arena, cargo, 0, size, lading->encoding);
		return TUTTI_OK;
	}
	tutti_err err = tutti__parcel_create(arena, lading->carried, lading->carried_count, size, 0, INT64_MAX, &parcel);
	if (err)
		return err;
	tutti__parts_copy(tutti__parcel_payload(arena, parcel), lading->parts, lading->count);
	describe(arena, cargo, parcel, size, lading->encoding);
	give(arena, cargo, parcel);
	return TUTTI_OK;
}

tutti_err tutti__cargo_load_block(tutti_arena *arena, struct tutti__cargo *cargo, uint64_t block, uint64_t size)
{
	uint64_t parcel;
	tutti_err err = tutti__parcel_create(arena, NULL, 0, size, block, INT64_MAX, &parcel);
	if (err)
		return err;
	describe(arena, cargo, parcel, size, TUTTI_RAW);
	give(arena, cargo, parcel);
	return TUTTI_OK;
}

tutti_view tutti__cargo_view(const tutti_arena *arena, const struct tutti__cargo *cargo)
{
	uint64_t parcel = load_relaxed(&cargo->parcel);
	return (tutti_view){parcel ? tutti__parcel_payload(arena, parcel) : cargo->bytes, cargo->size};
}

void tutti__cargo_show(tutti_arena *arena, const struct tutti__cargo *cargo, tutti_message *message)
{
	uint64_t parcel = load_relaxed(&cargo->parcel);
	*message = (tutti_message){.view = tutti__cargo_view(arena, cargo), .encoding = cargo->encoding};
	if (parcel == 0)
		return;
	message->carried = tutti__parcel_at(arena, parcel)->carried;
	message->carried_count = load_relaxed(&tutti__parcel_at(arena, parcel)->count);
}

/* Returns the parcel, which is the caller's from then on; 0: there is none. */
static uint64_t take_parcel(tutti_arena *arena, struct tutti__cargo *cargo)
{
	uint64_t parcel = load_relaxed(&cargo->parcel);
	if (parcel) {
		tutti__block_set_owner(arena, parcel, load_relaxed(&arena->local->id));
		store_release(&cargo->parcel, 0);
	}
	return parcel;
}

void tutti__cargo_take(tutti_arena *arena, struct tutti__cargo *cargo, tutti_message *message)
{
	tutti__cargo_show(arena, cargo, message);
	uint64_t parcel = take_parcel(arena, cargo);
	if (parcel == 0)
		return;
	cargo->size = 0; /* it cannot be had again */
	message->arena = arena;
	message->block = parcel;
	/* What carries nothing is a plain message, whose bytes may become a block of their own. */
	uint64_t body = message->carried_count ? 0 : tutti__parcel_take_body(arena, parcel);
	if (body) {
		tutti__parcel_free(arena, parcel);
		message->block = body;
	}
}

void tutti__cargo_drop(tutti_arena *arena, struct tutti__cargo *cargo)
{
	uint64_t parcel = take_parcel(arena, cargo);
	if (parcel)
		tutti__parcel_free(arena, parcel);
}

void tutti__cargo_forget_taken(tutti_arena *arena, struct tutti__cargo *cargo, uint32_t dead)
{
	uint64_t parcel = load_relaxed(&cargo->parcel);
	if (parcel == 0 || load_acquire(tutti__block_owner(arena, parcel)) != dead)
		return;
	tutti__parcel_kind.recover(arena, parcel, dead, dead, false);
	store_release(&cargo->parcel, 0);
}

void tutti__cargo_abandon(tutti_arena *arena, struct tutti__cargo *cargo, uint32_t dead)
{
	uint64_t parcel = load_relaxed(&cargo->parcel);
	if (parcel == 0)
		return;
	cas_u32(tutti__block_owner(arena, parcel), TUTTI__SHARED, dead);
	tutti__cargo_forget_taken(arena, cargo, dead);
}
