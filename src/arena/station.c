/* SPDX-License-Identifier: MIT */
/* Taking stations and ringing them. What it is about: station.h. */
#include "arena/station.h"
#include "os/seeded_bug.h"

static void count_as_used(tutti_arena *arena, uint32_t number)
{
	atomic_u32 *used = &arena->header->stations_used;
	for (uint32_t count = load_acquire(used); count <= number; count = load_acquire(used))
		cas_u32(used, count, number + 1);
}

uint32_t tutti__station_take(tutti_arena *arena, uint32_t id)
{
	/* The lowest free number: then each class has one station as long as there are no more than 64. */
	for (uint32_t number = 1; number < TUTTI__STATIONS; number++) {
		struct tutti__station *station = tutti__station_at(arena, number);
		if (load_relaxed(&station->owner) != 0)
			continue;
		if (!TUTTI__BUG(40))
			count_as_used(arena, number); /* first: a recovery looks only there */
		if (!cas_u32(&station->owner, 0, id))
			continue;
		if (TUTTI__BUG(40))
			count_as_used(arena, number);
		return number;
	}
	tutti__fail(TUTTI_EMEMBERS, "arena \"%s\" has %d wait sets and polling members, and no room for more. Close some.",
	            arena->header->name, TUTTI__STATIONS - 1);
	return 0;
}

void tutti__station_give_back(tutti_arena *arena, uint32_t number, uint32_t id)
{
	struct tutti__station *station = tutti__station_at(arena, number);
	if (load_relaxed(&station->owner) == id)
		store_relaxed(&station->pollable.armed, 0);
	/* Bells that are still set cost the next owner a look. CAS: a member taken for dead has lost it already. */
	cas_u32(&station->owner, id, 0);
}

void tutti__stations_recover(tutti_arena *arena, uint32_t dead)
{
	uint32_t used = load_acquire(&arena->header->stations_used);
	for (uint32_t number = 1; number < used; number++) {
		struct tutti__station *station = tutti__station_at(arena, number);
		uint32_t owner = load_relaxed(&station->owner);
		if ((owner == dead || TUTTI__BUG(41)) && !TUTTI__BUG(39))
			cas_u32(&station->owner, owner, 0);
	}
}

static void wake(struct tutti__station *station)
{
	tutti__wait_stamp(&station->point);
	tutti__wake_all(&station->point);
}

static void set_bell(struct tutti__station *station, uint32_t bell)
{
	uint32_t word = bell / 64, line = word / TUTTI__BELL_WORDS;
	fetch_or_acq_rel(&station->bells[line][word % TUTTI__BELL_WORDS], 1ULL << bell % 64);
	/* Release: who takes the line's bit sees the bell, and what was made ready before. Pairs with tutti__poller_collect. */
	fetch_or_acq_rel(&station->lines, 1ULL << line);
	fence_after_rmw();
}

/* A set whose process's helper watches it: that one is rung too. It lights descriptors and is watched by nobody. */
static void pass_on(tutti_arena *arena, struct tutti__station *station)
{
	if (load_relaxed(&station->pollable.armed) == 0)
		return;
	uint64_t number = exchange_acq_rel(&station->pollable.armed, 0);
	if (number == 0 || number >= TUTTI__STATIONS)
		return;
	struct tutti__station *helper = tutti__station_at(arena, (uint32_t)number);
	set_bell(helper, tutti__bell_of(arena, &station->pollable));
	wake(helper);
}

void tutti__station_poke(tutti_arena *arena, struct tutti__station *station)
{
	fetch_or_acq_rel(&station->lines, 1);
	fence_after_rmw();
	wake(station);
	pass_on(arena, station);
}

void tutti__ring_slow(tutti_arena *arena, struct tutti__pollable *pollable)
{
	uint32_t bell = tutti__bell_of(arena, pollable);
	uint32_t used = load_acquire(&arena->header->stations_used);
	for (uint64_t armed = exchange_acq_rel(&pollable->armed, 0); armed; armed &= armed - 1)
		for (uint32_t number = (uint32_t)__builtin_ctzll(armed); number < used; number += TUTTI__STATION_CLASSES) {
			struct tutti__station *station = tutti__station_at(arena, number);
			if (load_relaxed(&station->owner) == 0)
				continue;
			set_bell(station, bell);
			wake(station);
			pass_on(arena, station);
		}
}
