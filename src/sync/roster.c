/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sync/handle.h"
#include "sync/roster.h"
#include "os/seeded_bug.h"

struct roster_block {
	atomic_u64 next;
	uint8_t reserved[56];
	struct tutti__entry entries[TUTTI__ROSTER_BLOCK];
};

bool tutti__roster_walk_on(struct tutti__roster_walk *walk)
{
	uint64_t more = load_acquire(walk->more); /* pairs with the CAS in chain_block: the block is zeroed */
	if (more == 0)
		return false;
	struct roster_block *block = tutti__at(walk->arena, more);
	walk->entries = block->entries;
	walk->count = TUTTI__ROSTER_BLOCK;
	walk->at = 0;
	walk->more = &block->next;
	return true;
}

/* The word that ends the chain. */
static atomic_u64 *last_link(tutti_arena *arena, struct tutti__roster *roster)
{
	atomic_u64 *link = &roster->more;
	for (uint64_t more; (more = load_acquire(link)) != 0;)
		link = &((struct roster_block *)tutti__at(arena, more))->next;
	return link;
}

static tutti_err chain_block(tutti_arena *arena, struct tutti__roster *roster)
{
	uint64_t offset;
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, sizeof(struct roster_block), INT64_MAX, &offset);
	if (err)
		return err;
	memset(tutti__at(arena, offset), 0, sizeof(struct roster_block));
	if (cas_u64(last_link(arena, roster), 0, offset))
		tutti__block_set_owner(arena, offset, TUTTI__SHARED);
	else
		tutti__block_free(arena, offset); /* somebody else chained one: use that */
	return TUTTI_OK;
}

/*
 * The first look is at one of the inline entries that the member's id chooses: members that wait in turn then write
 * each an entry of its own, whose line stays with them.
 */
static bool claim_own(struct tutti__roster *roster, uint32_t id, uint32_t *number)
{
	*number = id % TUTTI__ROSTER_INLINE;
	struct tutti__entry *entry = &roster->entries[*number];
	return load_relaxed(&entry->member) == 0 && cas_u32(&entry->member, 0, id);
}

static struct tutti__entry *try_claim(tutti_arena *arena, struct tutti__roster *roster, uint32_t id, uint32_t *number)
{
	if (claim_own(roster, id, number))
		return &roster->entries[*number];
	struct tutti__roster_walk walk = tutti__roster_walk(arena, roster);
	struct tutti__entry *entry;
	for (uint32_t i = 0; (entry = tutti__roster_next(&walk)) != NULL; i++) {
		/* Relaxed: only a guess, the CAS looks again. */
		if (load_relaxed(&entry->member) == 0 && cas_u32(&entry->member, 0, id)) {
			*number = i;
			return entry;
		}
	}
	return NULL;
}

tutti_err tutti__roster_claim(tutti_arena *arena, struct tutti__roster *roster, uint32_t id, uint32_t *number,
                              struct tutti__entry **entry)
{
	uint32_t found;
	while ((*entry = try_claim(arena, roster, id, &found)) == NULL) {
		tutti_err err = chain_block(arena, roster);
		if (err)
			return err;
	}
	store_relaxed(&(*entry)->serial, 0);
	if (number)
		*number = found;
	return TUTTI_OK;
}

struct tutti__entry *tutti__roster_at(tutti_arena *arena, struct tutti__roster *roster, uint32_t number)
{
	struct tutti__roster_walk walk = tutti__roster_walk(arena, roster);
	while (number >= walk.count) {
		number -= walk.count;
		if (!tutti__roster_walk_on(&walk))
			return NULL;
	}
	return &walk.entries[number];
}

void tutti__roster_release(struct tutti__entry *entry)
{
	if (TUTTI__BUG(32))
		store_release(&entry->member, 0);
	store_relaxed(&entry->state, 0);
	store_relaxed(&entry->poller, 0);
	/* Release: whoever claims it sees it idle. Pairs with the CAS in try_claim. */
	store_release(&entry->member, 0);
}

bool tutti__roster_has_news(void *context)
{
	struct tutti__roster_polls *polls = context;
	struct tutti__roster_walk walk = tutti__roster_walk(polls->arena, polls->roster);
	uint32_t id = load_relaxed(&polls->arena->local->id), number = load_relaxed(&polls->number);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;)
		if (load_relaxed(&entry->poller) == number && load_relaxed(&entry->member) == id &&
		    polls->is_over(load_acquire(&entry->state)))
			return true;
	return false;
}

static uint32_t number_of(struct tutti__roster_polls *polls)
{
	static atomic_u32 last;
	if (load_relaxed(&polls->number) == 0)
		cas_u32(&polls->number, 0, fetch_add_relaxed(&last, 1) + 1); /* relaxed: that they differ is all that counts */
	return load_relaxed(&polls->number);
}

tutti_err tutti__roster_fd(struct tutti__reference *handle, struct tutti__roster_polls *polls,
                           struct tutti__entry *entry, int *fd)
{
	store_release(&entry->poller, number_of(polls));
	tutti_err err = tutti__handle_fd(handle, fd);
	if (err)
		store_relaxed(&entry->poller, 0);
	else
		tutti__poll_refresh(&polls->list); /* it may be over already, and the ring for that was in vain */
	return err;
}

void tutti__roster_looked(struct tutti__roster_polls *polls, struct tutti__entry *entry, bool is_over)
{
	if (is_over && load_relaxed(&entry->poller))
		store_relaxed(&entry->poller, 0);
	tutti__poll_refresh(&polls->list);
}

void tutti__roster_recover(tutti_arena *arena, struct tutti__roster *roster, uint32_t dead)
{
	for (uint64_t more = load_acquire(&roster->more); more;) {
		cas_u32(tutti__block_owner(arena, more), dead, TUTTI__SHARED);
		more = load_acquire(&((struct roster_block *)tutti__at(arena, more))->next);
	}
}

void tutti__roster_destroy(tutti_arena *arena, struct tutti__roster *roster)
{
	uint32_t id = load_relaxed(&arena->local->id);
	for (uint64_t more; (more = load_acquire(&roster->more)) != 0;) {
		tutti__block_set_owner(arena, more, id); /* unlinked or not: after our death it is the sweep's */
		store_release(&roster->more, load_relaxed(&((struct roster_block *)tutti__at(arena, more))->next));
		tutti__block_free(arena, more);
	}
}

bool tutti__roster_is_valid(tutti_arena *arena, struct tutti__roster *roster,
                            void (*visit)(void *context, uint64_t block), void *context)
{
	struct tutti__roster_walk walk = tutti__roster_walk(arena, roster);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;) {
		uint32_t member = load_acquire(&entry->member);
		if (member ? tutti__member_is_dead(arena, member) : load_acquire(&entry->state) != 0)
			return false;
	}
	for (uint64_t more = load_acquire(&roster->more); more;) {
		if (visit)
			visit(context, more);
		more = load_acquire(&((struct roster_block *)tutti__at(arena, more))->next);
	}
	return true;
}
