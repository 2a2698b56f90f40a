/* SPDX-License-Identifier: MIT */
/*
 * Putting in two steps. The draft's block is the caller's own until it is committed: a death in
 * between leaves it to the sweep. The commit is that of put.c.
 */
#include "channel/letter.h"
#include "channel/parcel.h"

tutti_err tutti_queue_put_begin(tutti_queue *queue, tutti_draft *draft, size_t size)
{
	tutti_err err;
	uint64_t block;
	*draft = (tutti_draft){0};
	if (tutti__use(&queue->reference, &err) == 0 || (err = tutti__check_message_size(queue->shared, size)) != TUTTI_OK)
		return err;
	err = tutti__block_alloc(queue->reference.arena, TUTTI__KIND_RAW, size ? size : 1, INT64_MAX, &block);
	if (err)
		return err;
	*draft = (tutti_draft){.data = tutti__at(queue->reference.arena, block),
	                       .size = size,
	                       .queue = queue,
	                       .block = block,
	                       .capacity = size};
	return TUTTI_OK;
}

/* A draft of a joinable queue becomes a parcel: a small one by copy, a larger one as its body. */
static tutti_err commit_parcel(tutti_draft *draft, struct tutti__letter *letter, tutti_time timeout)
{
	size_t done = 0;
	tutti_arena *arena = draft->queue->reference.arena;
	uint64_t body = draft->size < TUTTI__PARCEL_INLINE ? 0 : draft->block;
	tutti_err err = tutti__parcel_create(arena, NULL, 0, draft->size, body, INT64_MAX, &letter->block);
	if (err)
		return err;
	letter->is_parcel = true;
	tutti__parcel_at(arena, letter->block)->encoding = letter->encoding;
	if (!body)
		tutti__parts_copy(tutti__parcel_payload(arena, letter->block), letter->parts, letter->count);
	err = tutti__put_letters(draft->queue, letter, 1, &done, timeout);
	if (done == 0) {
		if (body)
			tutti__parcel_take_body(arena, letter->block); /* the draft's again */
		tutti__parcel_free(arena, letter->block);
		return err;
	}
	if (!body)
		tutti__block_free(arena, draft->block);
	draft->queue = NULL;
	return err;
}

tutti_err tutti_queue_put_commit(tutti_draft *draft, tutti_time timeout)
{
	size_t done = 0;
	if (!draft->queue)
		return tutti__fail(TUTTI_EINVAL, "this draft was committed or aborted before. Begin another.");
	if (draft->size > draft->capacity)
		return tutti__fail(TUTTI_EINVAL, "the draft was begun with %zu bytes and cannot have %zu now.", draft->capacity,
		                   draft->size);
	tutti_view part = {draft->data, draft->size};
	bool small = draft->size <= TUTTI__INLINE_MAX;
	struct tutti__letter letter = {.parts = &part,
	                               .count = 1,
	                               .size = draft->size,
	                               .encoding = draft->encoding,
	                               .block = small ? 0 : draft->block};
	if (draft->queue->shared->is_joinable)
		return commit_parcel(draft, &letter, timeout);
	tutti_err err = tutti__put_letters(draft->queue, &letter, 1, &done, timeout);
	if (done == 0)
		return err;
	if (small)
		tutti__block_free(draft->queue->reference.arena, draft->block);
	draft->queue = NULL;
	return err;
}

void tutti_queue_put_abort(tutti_draft *draft)
{
	if (draft->queue)
		tutti__block_free(draft->queue->reference.arena, draft->block);
	draft->queue = NULL;
}
