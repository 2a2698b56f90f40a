/* SPDX-License-Identifier: MIT */
/*
 * Members as threads of one process, for ThreadSanitizer, which sees one process only.
 * A thread cannot be killed; it vanishes instead: it stops between two operations with
 * all that it holds (views, a draft, a lock in whose middle it is), and the faked
 * is_alive says from then on that it is dead. The others recover it, beside each other.
 */
#include <pthread.h>
#include <string.h>

#include "arena/context.h"
#include "chaos.h"
#include "os/os.h"

enum { MAX_THREADS = 16 };

/* What is left of the vanished, closed in the end. */
static struct world remains[LIVES];
static _Atomic uint32_t remains_count;

/* The id of the member that vanished from each slot. */
static _Atomic uint32_t vanished[TUTTI__SLOT_COUNT];
static bool (*really_alive)(const struct tutti__identity *identity);

static uint32_t slot_number(uint32_t id) { return id & ((1U << TUTTI__SLOT_BITS) - 1); }

static bool is_alive(const struct tutti__identity *identity)
{
	uint32_t id = identity->member;
	return really_alive(identity) && (id == 0 || atomic_load(&vanished[slot_number(id)]) != id);
}

struct place {
	pthread_t thread;
	const struct options *options;
	const struct world *world;
};

static _Atomic uint32_t next_life;

static bool is_to_vanish(struct member *member) { return member_random(member, 400) == 0; }

/* Takes a lock and stops in the middle of changing what it guards, with a draft open. */
static void vanish(struct member *member)
{
	tutti_draft draft;
	uint32_t number = member_random(member, LOCKS);
	struct guarded *guarded = &ledger->guarded[number];
	tutti_err err = world_acquire(&member->world, number, TUTTI_NOW);
	if (err == TUTTI_OK || err == TUTTI_EOWNERDEAD) {
		atomic_store(&guarded->inside, member->number + 1);
		guarded->first++;
	}
	if (member_random(member, 2))
		tutti_queue_put_begin(member->world.queues[0], &draft, member_random(member, 100000));
	atomic_store(&member->life->state, LIFE_KILLED);
	remains[atomic_fetch_add(&remains_count, 1)] = member->world;
	ledger_count(COUNT_KILLS, 1);
	/* Last: from here on the others take what was this member's. */
	uint32_t id = load_relaxed(&member->world.arena->local->id);
	atomic_store(&vanished[slot_number(id)], id);
}

static void live_once(const struct place *place, uint32_t number)
{
	struct member member;
	memset(&member, 0, sizeof member);
	member_begin(&member, number, place->options->seed);
	atomic_store(&member.life->state, LIFE_RUNS);
	if (!world_join(&member.world, place->world)) {
		member_end(&member);
		return;
	}
	if (member_live(&member, is_to_vanish)) {
		member_end(&member);
		world_close(&member.world, true);
		atomic_store(&member.life->state, LIFE_ENDED);
		ledger_count(COUNT_EXITS, 1);
	} else {
		vanish(&member);
		memset(member.held, 0, sizeof member.held); /* swept by now, or soon; its mailed queues leak, as after a kill */
		memset(member.mailed, 0, sizeof member.mailed);
		member_end(&member);
	}
}

static void *live_again_and_again(void *context)
{
	const struct place *place = context;
	uint32_t number;
	while (!atomic_load(&ledger->stop) && (number = atomic_fetch_add(&next_life, 1)) < LIVES)
		live_once(place, number);
	return NULL;
}

void run_threads(const struct options *options, const struct world *world)
{
	struct place places[MAX_THREADS];
	unsigned count = options->members < MAX_THREADS ? options->members : MAX_THREADS;
	really_alive = tutti__os.is_alive;
	tutti__os.is_alive = is_alive;
	for (unsigned i = 0; i < count; i++) {
		places[i] = (struct place){.options = options, .world = world};
		pthread_create(&places[i].thread, NULL, live_again_and_again, &places[i]);
	}
	chaos_pause((int64_t)(options->seconds * 1e9));
	atomic_store(&ledger->stop, 1);
	for (unsigned i = 0; i < count; i++)
		pthread_join(places[i].thread, NULL);
	tutti_arena_sweep(world->arena);
	/* Their slots belong to nobody by now: closing gives back what is private to this process. */
	for (uint32_t i = 0; i < atomic_load(&remains_count); i++)
		world_close(&remains[i], true);
}
