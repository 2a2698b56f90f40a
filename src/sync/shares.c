/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "arena/block.h"
#include "arena/member.h"
#include "sync/shares.h"
#include "os/seeded_bug.h"

static struct tutti__more_shares *block_at(const tutti_arena *arena, uint64_t offset)
{
	return tutti__at(arena, offset);
}

atomic_u64 *tutti__share_at(const tutti_arena *arena, const struct tutti__shares *shares, uint32_t number)
{
	uint32_t index = number - 1;
	if (index < TUTTI__FIRST_SHARES)
		return (atomic_u64 *)&shares->first[index];
	index -= TUTTI__FIRST_SHARES;
	for (uint64_t more = load_acquire(&shares->more); more; more = load_acquire(&block_at(arena, more)->next)) {
		if (index < TUTTI__MORE_SHARES)
			return &block_at(arena, more)->shares[index];
		index -= TUTTI__MORE_SHARES;
	}
	return NULL;
}

uint32_t tutti__share_claim(const tutti_arena *arena, struct tutti__shares *shares, uint32_t id)
{
	uint32_t free = 0, number = 1, used = load_relaxed(&shares->used);
	for (; number <= used; number++) {
		uint64_t share = load_acquire(tutti__share_at(arena, shares, number));
		if (tutti__share_id(share) == id)
			return number;
		if (share == 0 && free == 0)
			free = number;
	}
	if (free == 0 && (number > TUTTI__MAX_SHARES || !tutti__share_at(arena, shares, number)))
		return 0;
	free = free ? free : number;
	/* Used first: no share lies beyond it, whenever we die. */
	if (free > used)
		store_release(&shares->used, free);
	store_release(tutti__share_at(arena, shares, free), tutti__share(id, 0));
	return free;
}

/*
 * Chains a block at the end. Between the link and SHARED it is reachable, but its maker's:
 * the object's recovery sets SHARED before the sweep looks.
 */
static tutti_err grow(tutti_arena *arena, struct tutti__shares *shares)
{
	uint64_t offset, more;
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, sizeof(struct tutti__more_shares), INT64_MAX, &offset);
	if (err)
		return err;
	memset(tutti__at(arena, offset), 0, sizeof(struct tutti__more_shares));
	atomic_u64 *link = &shares->more;
	while ((more = load_acquire(link)) != 0)
		link = &block_at(arena, more)->next;
	/* Release: who follows the link sees zeros. */
	if (cas_u64(link, 0, offset))
		tutti__block_set_owner(arena, offset, TUTTI__SHARED);
	else
		tutti__block_free(arena, offset); /* somebody else chained one: use that */
	return TUTTI_OK;
}

tutti_err tutti__share_make_room(tutti_arena *arena, struct tutti__shares *shares)
{
	if (load_relaxed(&shares->used) >= TUTTI__MAX_SHARES)
		return tutti__fail(TUTTI_EMEMBERS, "more than %d members, counting dead ones, have a share in it.",
		                   TUTTI__MAX_SHARES);
	return grow(arena, shares);
}

tutti_err tutti__share_open(tutti_arena *arena, struct tutti__shares *shares, uint32_t id, int64_t deadline,
                            uint32_t *number)
{
	for (;;) {
		tutti_err err = tutti__latch_acquire(arena, &shares->latch, id, deadline);
		if (err)
			return err;
		*number = tutti__share_claim(arena, shares, id);
		tutti__latch_release(&shares->latch);
		if (*number)
			return TUTTI_OK;
		err = tutti__share_make_room(arena, shares);
		if (err)
			return err;
	}
}

void tutti__shares_recover(tutti_arena *arena, struct tutti__shares *shares, uint32_t dead)
{
	for (uint64_t more = load_acquire(&shares->more); more; more = load_acquire(&block_at(arena, more)->next))
		if (!TUTTI__BUG(23))
			cas_u32(tutti__block_owner(arena, more), dead, TUTTI__SHARED);
}

/* A successor goes on where we died: a block is unlinked by one store, and from before that on it is ours. */
void tutti__shares_destroy(tutti_arena *arena, struct tutti__shares *shares)
{
	uint32_t id = load_relaxed(&arena->local->id);
	for (uint64_t more; (more = load_acquire(&shares->more)) != 0;) {
		tutti__block_set_owner(arena, more, id);
		store_release(&shares->more, load_relaxed(&block_at(arena, more)->next));
		tutti__block_free(arena, more);
	}
}

static bool is_unique(const tutti_arena *arena, const struct tutti__shares *shares, uint32_t number, uint32_t id)
{
	while (--number > 0)
		if (tutti__share_id(load_acquire(tutti__share_at(arena, shares, number))) == id)
			return false;
	return true;
}

bool tutti__shares_are_valid(tutti_arena *arena, const struct tutti__shares *shares,
                             void (*reach)(void *context, uint64_t offset), void *context)
{
	uint32_t used = load_acquire(&shares->used);
	atomic_u64 *share;
	for (uint64_t more = load_acquire(&shares->more); more; more = load_acquire(&block_at(arena, more)->next))
		reach(context, more);
	if (load_acquire(&shares->latch.word))
		return false;
	for (uint32_t number = 1; (share = tutti__share_at(arena, shares, number)) != NULL; number++) {
		uint64_t value = load_acquire(share);
		uint32_t id = tutti__share_id(value);
		if (value == 0 || id == TUTTI__ABANDONED || id == TUTTI__KEPT)
			continue;
		if (number > used || tutti__member_is_dead(arena, id) || !is_unique(arena, shares, number, id))
			return false;
	}
	return true;
}
