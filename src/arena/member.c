/* SPDX-License-Identifier: MIT */
/*
 * The member table.
 *
 * A slot's life: FREE -> JOINING (one CAS that leaves generation and pid, so that a
 * joiner killed here is known) -> ALIVE (published last) -> [CLEAN, announced by a
 * clean exit] -> recovered by whoever notices -> FREE with the next generation, which
 * makes every id that named the dead member a stale one.
 *
 * Slots are reused first-in first-out (a cursor), so that an id repeats only after
 * some two thousand million joins.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena/member.h"
#include "arena/recover.h"
#include "arena/wait.h"

enum { SWEEP_INTERVAL = 500 * 1000000 }; /* ns: within a second of a death, as promised */

static uint64_t make_state(uint32_t pid, uint32_t generation, unsigned status, uint64_t namespace_inode)
{
	return (uint64_t)pid | (uint64_t)generation << 32 | (uint64_t)status << 51 | (namespace_inode % 512) << 55;
}

static uint64_t with_status(uint64_t state, unsigned status)
{
	return (state & ~((uint64_t)15 << 51)) | (uint64_t)status << 51;
}

/* A joiner that was killed has left only its pid; a pid of another namespace says nothing. */
static bool is_abandoned_joiner(uint64_t state)
{
	struct tutti__identity joiner = {.pid = (int32_t)tutti__state_pid(state), .pid_namespace = tutti__pid_namespace()};
	return tutti__state_status(state) == TUTTI__SLOT_JOINING && state >> 55 == joiner.pid_namespace % 512 &&
	       !tutti__os.is_alive(&joiner);
}

/*
 * Word by word, because who looks at a member that was recovered a moment ago meets the next owner's writes.
 * Release and acquire: a reader that got one of them finds the state gone on.
 */
static void copy_words(struct tutti__identity *to, const struct tutti__identity *from, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		store_release((atomic_u64 *)to + i, load_acquire((atomic_u64 *)(uintptr_t)from + i));
}

enum { IDENTITY_WORDS = sizeof(struct tutti__identity) / sizeof(uint64_t) };
_Static_assert(sizeof(struct tutti__identity) % sizeof(uint64_t) == 0 && alignof(struct tutti__identity) == 8,
               "it is words");

static void copy_identity(struct tutti__identity *to, const struct tutti__identity *from)
{
	copy_words(to, from, 0, IDENTITY_WORDS);
}

static void fill_slot(tutti_arena *arena, uint32_t id, const struct tutti__identity *identity)
{
	struct tutti__slot *slot = tutti__slot_of(arena, id);
	struct tutti__identity whole = *identity;
	whole.member = id;
	whole.map_start = (uint64_t)(uintptr_t)arena->base;
	whole.map_end = whole.map_start + arena->size;
	copy_identity(&slot->identity, &whole);
	memcpy(slot->name, arena->member_name, sizeof slot->name);
	store_relaxed(&slot->recoverer, 0);
	store_relaxed(&slot->waiting_for, 0);
	slot->joined_at = (uint64_t)tutti__os.clock_now();
}

uint32_t tutti__member_join(tutti_arena *arena)
{
	struct tutti__identity identity;
	tutti__identity_self(&identity);
	store_relaxed(&tutti__process_stamp, (uint32_t)identity.pid); /* relaxed: the caller's own threads come later */
	uint32_t start = fetch_add_relaxed(&arena->header->slot_cursor, 1);
	for (uint32_t i = 0; i < TUTTI__SLOT_COUNT - 1; i++) {
		uint32_t number = 1 + (start + i) % (TUTTI__SLOT_COUNT - 1);
		struct tutti__slot *slot = &arena->slots[number];
		uint64_t state = load_acquire(&slot->state);
		if (tutti__state_status(state) != TUTTI__SLOT_FREE && !is_abandoned_joiner(state))
			continue;
		uint32_t generation = tutti__state_generation(state);
		uint64_t joining = make_state((uint32_t)identity.pid, generation, TUTTI__SLOT_JOINING, identity.pid_namespace);
		if (!cas_u64(&slot->state, state, joining))
			continue;
		uint32_t id = generation << TUTTI__SLOT_BITS | number;
		fill_slot(arena, id, &identity);
		/* Release: whoever sees ALIVE sees the identity. Pairs with the acquire in tutti__member_is_dead. */
		store_release(&slot->state, with_status(joining, TUTTI__SLOT_ALIVE));
		return id;
	}
	tutti__fail(TUTTI_EMEMBERS, "arena \"%s\" has %d members, and no room for more. End some.", arena->header->name,
	            TUTTI__SLOT_COUNT - 1);
	return 0;
}

void tutti__member_announce_exit(tutti_arena *arena)
{
	uint32_t id = load_relaxed(&arena->local->id);
	if (id == 0)
		return;
	struct tutti__slot *slot = tutti__slot_of(arena, id);
	uint64_t state = load_acquire(&slot->state);
	if (tutti__state_status(state) == TUTTI__SLOT_ALIVE && tutti__state_pid(state) == (uint32_t)getpid())
		cas_u64(&slot->state, state, with_status(state, TUTTI__SLOT_CLEAN));
}

/* The state if `id` is still in; 0 if its slot went on to another generation. */
static uint64_t state_if_in(const tutti_arena *arena, uint32_t id)
{
	if ((id & ((1U << TUTTI__SLOT_BITS) - 1)) >= TUTTI__SLOT_COUNT)
		return 0;
	uint64_t state = load_acquire(&tutti__slot_of(arena, id)->state);
	unsigned status = tutti__state_status(state);
	bool in = status == TUTTI__SLOT_ALIVE || status == TUTTI__SLOT_CLEAN;
	return in && tutti__state_generation(state) == id >> TUTTI__SLOT_BITS ? state : 0;
}

/*
 * Of a member that was in. False also if the slot went on meanwhile: then it is gone, recovered by another one.
 *
 * The identity of an escort is replaced once (tutti__member_replace): first the state with its pid, then the words,
 * then the pid's. So between two equal states the words are all old or all new if the pid is the state's; else,
 * for a moment or because the writer was killed, all that is known is the pid.
 */
static bool is_alive(const tutti_arena *arena, uint32_t id)
{
	struct tutti__identity identity;
	if (id == load_relaxed(&arena->local->id))
		return true; /* who asks: no system call for a lock that this process holds */
	uint64_t before = state_if_in(arena, id);
	copy_identity(&identity, &tutti__slot_of(arena, id)->identity);
	uint64_t state = state_if_in(arena, id);
	if (state == 0 || state != before)
		return state != 0;
	if ((uint32_t)identity.pid != tutti__state_pid(state))
		identity =
			(struct tutti__identity){.pid = (int32_t)tutti__state_pid(state), .pid_namespace = identity.pid_namespace};
	return tutti__os.is_alive(&identity);
}

bool tutti__member_is_in(const tutti_arena *arena, uint32_t id) { return state_if_in(arena, id) != 0; }

void tutti__member_replace(tutti_arena *arena, uint32_t id, const struct tutti__identity *identity)
{
	struct tutti__slot *slot = tutti__slot_of(arena, id);
	struct tutti__identity whole = *identity;
	uint64_t state = state_if_in(arena, id);
	whole.member = id;
	if (state == 0 || !cas_u64(&slot->state, state, (state & ~(uint64_t)UINT32_MAX) | (uint32_t)whole.pid))
		return;
	copy_words(&slot->identity, &whole, 1, IDENTITY_WORDS);
	copy_words(&slot->identity, &whole, 0, 1); /* the word with the pid */
}

bool tutti__member_is_dead(tutti_arena *arena, uint32_t id)
{
	return state_if_in(arena, id) == 0 || !is_alive(arena, id);
}

int tutti__member_pid(const tutti_arena *arena, uint32_t id) { return (int)tutti__state_pid(state_if_in(arena, id)); }

bool tutti__recover_if_dead(tutti_arena *arena, uint32_t id)
{
	uint64_t state = state_if_in(arena, id);
	if (state == 0)
		return true;
	if (is_alive(arena, id))
		return false;
	return tutti__recover(arena, id, tutti__state_status(state) == TUTTI__SLOT_CLEAN);
}

unsigned tutti__sweep(tutti_arena *arena)
{
	unsigned count = 0;
	uint32_t own = tutti__enter(arena);
	store_relaxed(&arena->header->last_sweep, (uint64_t)tutti__os.clock_now());
	for (uint32_t number = 1; own && number < TUTTI__SLOT_COUNT; number++) {
		uint64_t state = load_acquire(&arena->slots[number].state);
		uint32_t id = tutti__state_generation(state) << TUTTI__SLOT_BITS | number;
		if (id != own && state_if_in(arena, id) && tutti__recover_if_dead(arena, id))
			count++;
		/* A table that was never full ends early. */
		if (state == 0 && number > load_relaxed(&arena->header->slot_cursor))
			break;
	}
	return count;
}

void tutti__look_after_the_dead(tutti_arena *arena)
{
	uint64_t last = load_relaxed(&arena->header->last_sweep);
	uint64_t now = (uint64_t)tutti__os.clock_now();
	/* The CAS elects one; one that is killed here delays the next look by the interval. */
	if (now - last > SWEEP_INTERVAL && cas_u64(&arena->header->last_sweep, last, now))
		tutti__sweep(arena);
}
