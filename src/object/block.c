/* SPDX-License-Identifier: MIT */
/* The shared block. Its bytes, and what a death leaves: object/block.h. */
#include <stdlib.h>

#include "arena/arena.h"
#include "channel/parcel.h"
#include "object/block.h"

struct tutti_block {
	struct tutti__reference reference;
	struct tutti__shared_block *shared;
};

static tutti_err new_handle(tutti_block **result)
{
	*result = calloc(1, sizeof **result);
	return *result ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for a block handle");
}

/* The block with the message's bytes, the caller's own now, and out of the message. */
static uint64_t take_bytes(tutti_message *message)
{
	uint64_t place = message->block;
	if (message->carried_count)
		place = tutti__parcel_take_body(message->arena, message->block);
	else
		message->block = 0, message->arena = NULL;
	return place;
}

/* With the object, which is still the caller's alone. */
static void publish(tutti_block *block, tutti_arena *arena, struct tutti__object *object, tutti_message *message)
{
	block->shared = (struct tutti__shared_block *)object;
	block->shared->size = message->view.size;
	uint64_t place = take_bytes(message);
	store_release(&block->shared->place, place);
	tutti__object_publish(arena, TUTTI__KIND_BLOCK, object, &block->reference);
	tutti__block_set_owner(arena, place, TUTTI__SHARED);
}

/* Bytes that begin a block of their own: no small message, and no other part of a parcel. */
static bool has_own_block(const tutti_message *message)
{
	if (!message->arena || !message->block)
		return false;
	uint64_t place = tutti__offset(message->arena, message->view.data);
	return message->view.size > TUTTI__PARCEL_INLINE && tutti__block_start(message->arena, place) == place;
}

tutti_err tutti_block_adopt(tutti_block **result, tutti_message *message)
{
	tutti_arena *arena = message->arena;
	struct tutti__object *object;
	tutti_block *block;
	if (!has_own_block(message))
		return tutti__fail(TUTTI_EINVAL, "only a received message of more than 4 KiB becomes a block. Copy it.");
	if (tutti__enter(arena) == 0)
		return TUTTI_EMEMBERS;
	tutti_err err = new_handle(&block);
	if (err)
		return err;
	err = tutti__object_create(arena, TUTTI__KIND_BLOCK, sizeof(struct tutti__shared_block), NULL, &object);
	if (err) {
		free(block);
		return err;
	}
	publish(block, arena, object, message);
	*result = block;
	return TUTTI_OK;
}

tutti_err tutti_block_at(tutti_block **result, tutti_arena *given, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_block *block;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (!err)
		err = new_handle(&block);
	if (err)
		return err;
	err = tutti__reference_open(&block->reference, arena, TUTTI__KIND_BLOCK, handle);
	if (err) {
		free(block);
		return err;
	}
	block->shared = (struct tutti__shared_block *)block->reference.object;
	*result = block;
	return TUTTI_OK;
}

void tutti_block_close(tutti_block *block)
{
	if (!block)
		return;
	tutti__reference_close(&block->reference);
	free(block);
}

tutti_handle tutti_block_handle(const tutti_block *block) { return tutti__reference_handle(&block->reference); }

tutti_view tutti_block_view(const tutti_block *block)
{
	uint64_t place = load_acquire(&block->shared->place);
	return (tutti_view){tutti__at(block->reference.arena, place), block->shared->size};
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	struct tutti__shared_block *shared = tutti__at(arena, offset);
	uint64_t place = load_acquire(&shared->place);
	bool is_ours = place && cas_u32(tutti__block_owner(arena, place), TUTTI__SHARED, load_relaxed(&arena->local->id));
	store_release(&shared->place, 0);
	if (is_ours)
		tutti__block_free(arena, place);
}

/* Nothing here changes while it is alive. */
static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)arena, (void)offset, (void)owner, (void)dead, (void)clean;
}

const struct tutti__kind tutti__block_kind = {.name = "block",
                                              .is_object = true,
                                              .recover = recover,
                                              .destroy = destroy};
