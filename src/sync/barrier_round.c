/* SPDX-License-Identifier: MIT */
/* A round of the barrier: arriving, waiting, telling, and what a killed party leaves. The protocol: barrier.h. */
#include <string.h>

#include "arena/member.h"
#include "sync/barrier.h"
#include "os/seeded_bug.h"

/* Codes of an entry. Who was told has TOLD and the phase with which the round ended. */
enum { WAITING = 1, QUEUED = 2, TOLD = 8, CODE_MASK = 15, ASLEEP = 16, GENERATION_SHIFT = 5 };
static const uint64_t ONE_ARRIVAL = 16;

/* One party's wait. */
struct party {
	struct tutti__barrier *shared;
	struct tutti__entry *entry;
	uint32_t generation; /* of the round that it takes part in, or whose end it waits for */
	uint32_t state; /* WAITING or QUEUED, for that generation */
};

static uint64_t with_phase(uint64_t word, enum tutti__phase phase) { return (word & ~(uint64_t)15) | phase; }

static uint32_t state_of(uint32_t code, uint32_t generation) { return generation << GENERATION_SHIFT | code; }

/* Tells one entry, if it waits for this generation, how that ended. */
static void tell(struct tutti__entry *entry, uint32_t generation, enum tutti__phase phase)
{
	uint32_t state = load_acquire(&entry->state);
	for (;;) {
		uint32_t code = state & ~(uint32_t)ASLEEP;
		if (code != state_of(WAITING, generation) && code != state_of(QUEUED, generation))
			return;
		/* Release: pairs with is_over, and makes visible what the parties wrote before they arrived. */
		if (cas_u32(&entry->state, state, state_of(TOLD | phase, generation)))
			break;
		state = load_acquire(&entry->state);
	}
	if (state & ASLEEP)
		tutti__os.futex_wake(&entry->state, 1);
}

void tutti__barrier_finish(tutti_arena *arena, struct tutti__barrier *shared, uint64_t word)
{
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	enum tutti__phase phase = tutti__phase_of(word);
	uint32_t generation = tutti__generation_of(word);
	if (phase < TUTTI__RELEASED)
		return;
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;)
		tell(entry, generation, phase);
	fence_after_rmw(); /* told, then look who polls: station.h */
	tutti__ring(arena, &shared->object.pollable);
	/* After the telling. If the CAS fails, somebody else has finished it. */
	if (!tutti__is_broken(word))
		cas_u64(&shared->word, word, (uint64_t)(generation + 1) << 32);
}

bool tutti__barrier_end(tutti_arena *arena, struct tutti__barrier *shared, uint64_t word, enum tutti__phase phase)
{
	if (!cas_u64(&shared->word, word, with_phase(word, phase)))
		return false;
	tutti__barrier_finish(arena, shared, with_phase(word, phase));
	return true;
}

/* Breaks the round of that generation; nothing if it has ended. */
static void break_round(tutti_arena *arena, struct tutti__barrier *shared, uint32_t generation, enum tutti__phase phase)
{
	uint64_t word;
	do {
		word = load_acquire(&shared->word);
		if (tutti__generation_of(word) != generation || tutti__phase_of(word) >= TUTTI__RELEASED)
			return;
	} while (!tutti__barrier_end(arena, shared, word, phase));
}

/* Undoes an arrival. False: too late, all have arrived, or the round has ended. */
static bool withdraw(struct tutti__barrier *shared, uint32_t generation)
{
	uint64_t word;
	do {
		word = load_acquire(&shared->word);
		if (tutti__generation_of(word) != generation || tutti__phase_of(word) != TUTTI__FILLING)
			return false;
	} while (!cas_u64(&shared->word, word, word - ONE_ARRIVAL));
	return true;
}

/* The party was told, or whoever was to tell it has got no further than the word. */
static bool is_over(void *context)
{
	const struct party *party = context;
	if ((load_acquire(&party->entry->state) & CODE_MASK) >= TOLD)
		return true;
	uint64_t word = load_acquire(&party->shared->word);
	return tutti__generation_of(word) != party->generation || tutti__phase_of(word) >= TUTTI__RELEASED;
}

/* Waits until the round is over. TUTTI_ETIMEDOUT, TUTTI_EINTR: it may be over all the same. */
static tutti_err await(tutti_barrier *barrier, struct party *party, int64_t deadline)
{
	struct tutti__barrier *shared = barrier->shared;
	/* With a CPU for each party all may spin; else one at a time. */
	struct tutti__wait_hints own = {0};
	bool has_cpu = shared->parties <= tutti__os.cpus_online();
	struct tutti__waiting waiting = {.arena = barrier->reference.arena,
	                                 .patience = &barrier->patience,
	                                 .hints = has_cpu ? &own : &shared->hints,
	                                 .object = barrier->reference.offset,
	                                 .is_ready = is_over,
	                                 .context = party,
	                                 .deadline = deadline};
	uint32_t asleep = party->state | ASLEEP;
	tutti_err err = TUTTI_OK;
	while (!err && !is_over(party)) {
		if (tutti__wait_spin(&waiting, &barrier->partner))
			return TUTTI_OK; /* the partner is where it was */
		if (cas_u32(&party->entry->state, party->state, asleep) || load_acquire(&party->entry->state) == asleep)
			err = tutti__wait_sleep(&waiting, &party->entry->state, asleep);
	}
	tutti__note_partner(&barrier->partner, &shared->partner);
	return err;
}

/* More come than there are parties, and the last one of this round runs its action: wait for its end. */
static tutti_err queue_up(tutti_barrier *barrier, struct party *party, uint64_t word, int64_t deadline)
{
	party->generation = tutti__generation_of(word);
	party->state = state_of(QUEUED, party->generation);
	/* Our store, then our look at the word; who ends the round: its CAS, then its look at our entry. */
	exchange_acq_rel(&party->entry->state, party->state);
	fence_after_rmw();
	tutti_err err = await(barrier, party, deadline);
	if (err == TUTTI_ETIMEDOUT) /* for its caller as any other time-out of its own, though nobody else missed it */
		return tutti__fail(TUTTI_EBROKEN,
		                   "barrier \"%s\" is not broken, but time is up: all parties of the round before are there, "
		                   "and its action runs on. Wait longer.",
		                   barrier->shared->object.name);
	return err;
}

static tutti_err fail_broken(const struct tutti__barrier *shared, enum tutti__phase phase)
{
	const char *name = shared->object.name;
	switch (phase) {
	case TUTTI__BROKEN_BY_TIME:
		return tutti__fail(TUTTI_EBROKEN, "barrier \"%s\" is broken: not all %u parties came in time. Reset it.", name,
		                   shared->parties);
	case TUTTI__BROKEN_BY_ACTION:
		return tutti__fail(TUTTI_EBROKEN, "barrier \"%s\" is broken: its action failed. Reset it.", name);
	case TUTTI__BROKEN_BY_DEATH:
		return tutti__fail(
			TUTTI_EBROKEN,
			"barrier \"%s\" is broken: pid %d \"%s\" ended while it waited. Start another, and reset it.", name,
			shared->gone_pid, shared->gone_name);
	case TUTTI__RESET:
		return tutti__fail(TUTTI_EBROKEN, "barrier \"%s\" was reset while this party waited.", name);
	default:
		return tutti__fail(TUTTI_EBROKEN, "barrier \"%s\" is broken: it was aborted. Reset it.", name);
	}
}

/* Joins the round that fills. `is_last`: the caller completed it, and runs the action if there is one. */
static tutti_err arrive(tutti_barrier *barrier, struct party *party, bool has_action, int64_t deadline, bool *is_last)
{
	struct tutti__barrier *shared = barrier->shared;
	tutti_arena *arena = barrier->reference.arena;
	for (;;) {
		uint64_t word = load_acquire(&shared->word);
		enum tutti__phase phase = tutti__phase_of(word);
		tutti_err err = TUTTI_OK;
		if (phase == TUTTI__ACTION)
			err = queue_up(barrier, party, word, deadline);
		else if (phase == TUTTI__RELEASED || phase == TUTTI__RESET)
			tutti__barrier_finish(arena, shared, word);
		else if (phase != TUTTI__FILLING)
			err = fail_broken(shared, phase);
		if (err)
			return err;
		if (phase != TUTTI__FILLING)
			continue;
		*is_last = tutti__arrived(word) + 1 == shared->parties;
		party->generation = tutti__generation_of(word);
		party->state = state_of(WAITING, party->generation);
		if (!TUTTI__BUG(31))
			store_release(&party->entry->state, party->state); /* before the arrival: who is counted is recorded */
		uint64_t next = with_phase(word + ONE_ARRIVAL, !*is_last    ? TUTTI__FILLING
		                                               : has_action ? TUTTI__ACTION
		                                                            : TUTTI__RELEASED);
		/* Release: what the party wrote before is visible to all that are released. */
		if (!cas_u64(&shared->word, word, next))
			continue;
		if (TUTTI__BUG(31))
			store_release(&party->entry->state, party->state);
		tutti__note_partner(&barrier->partner, &shared->partner);
		tutti__stamp_partner(&shared->partner);
		tutti__barrier_finish(arena, shared, next);
		return TUTTI_OK;
	}
}

/* Each generation gives out 0, 1, ...; one that was overtaken by four rounds gets the last. */
static uint32_t take_index(struct tutti__barrier *shared, uint32_t generation)
{
	atomic_u64 *slot = &shared->indexes[generation % TUTTI__BARRIER_INDEXES];
	for (;;) {
		uint64_t taken = load_acquire(slot);
		uint32_t owner = (uint32_t)(taken >> 32), count = owner == generation ? (uint32_t)taken : 0;
		if ((int32_t)(owner - generation) > 0)
			return shared->parties - 1;
		if (cas_u64(slot, taken, (uint64_t)generation << 32 | (count + 1)))
			return count;
	}
}

/* How the party's round ended. It is over; if nobody has told the party yet, it sees to that itself. */
static enum tutti__phase outcome(tutti_arena *arena, struct party *party)
{
	uint32_t code;
	while ((code = load_acquire(&party->entry->state) & CODE_MASK) < TOLD)
		tutti__barrier_finish(arena, party->shared, load_acquire(&party->shared->word));
	return (enum tutti__phase)(code & ~(uint32_t)TOLD);
}

/* Waits for the others. TUTTI_EINTR: the party no longer takes part. */
static tutti_err wait_for_others(tutti_barrier *barrier, struct party *party, int64_t deadline)
{
	for (;;) {
		tutti_err err = await(barrier, party, deadline);
		if (err == TUTTI_ETIMEDOUT)
			break_round(barrier->reference.arena, barrier->shared, party->generation, TUTTI__BROKEN_BY_TIME);
		if (err == TUTTI_EINTR && withdraw(barrier->shared, party->generation))
			return tutti__fail(err, "a signal handler ran while waiting at barrier \"%s\". Wait again.",
			                   barrier->shared->object.name);
		if (is_over(party))
			return TUTTI_OK;
	}
}

static tutti_err explain_outcome(tutti_barrier *barrier, struct party *party)
{
	enum tutti__phase phase = outcome(barrier->reference.arena, party);
	return phase == TUTTI__RELEASED ? TUTTI_OK : fail_broken(barrier->shared, phase);
}

/* The caller has completed the round. */
static void run_action(tutti_barrier *barrier, const struct party *party, bool (*action)(void *context), void *context)
{
	bool good = action(context);
	uint64_t running = (uint64_t)party->generation << 32 | barrier->shared->parties * ONE_ARRIVAL | TUTTI__ACTION;
	/* If it fails, somebody broke or reset it meanwhile, and the outcome says so. */
	tutti__barrier_end(barrier->reference.arena, barrier->shared, running,
	                   good ? TUTTI__RELEASED : TUTTI__BROKEN_BY_ACTION);
}

static tutti_err take_part(tutti_barrier *barrier, struct party *party, bool (*action)(void *context), void *context,
                           int64_t deadline)
{
	bool is_last = false;
	tutti_err err = arrive(barrier, party, action != NULL, deadline, &is_last);
	if (!err && is_last && action)
		run_action(barrier, party, action, context);
	else if (!err && !is_last)
		err = wait_for_others(barrier, party, deadline);
	return err ? err : explain_outcome(barrier, party);
}

tutti_err tutti_barrier_wait(tutti_barrier *barrier, bool (*action)(void *context), void *context, uint32_t *index,
                             tutti_time timeout)
{
	struct party party = {.shared = barrier->shared};
	tutti_err err;
	int64_t deadline = tutti__deadline(timeout);
	uint32_t id = tutti__use(&barrier->reference, &err);
	if (id == 0)
		return err;
	err = tutti__roster_claim(barrier->reference.arena, &barrier->shared->roster, id, NULL, &party.entry);
	if (err)
		return err;
	err = take_part(barrier, &party, action, context, deadline);
	if (!err && index)
		*index = take_index(barrier->shared, party.generation);
	tutti__roster_release(party.entry);
	return err;
}

/* --- in steps that do not wait, for event loops ------------------------------------------------------------- */

bool tutti__barrier_was_told(uint32_t state) { return (state & CODE_MASK) >= TOLD; }

tutti_err tutti_barrier_enlist(tutti_barrier *barrier, uint64_t *ticket)
{
	static atomic_u32 last;
	struct tutti__entry *entry;
	tutti_err err;
	uint32_t number, id = tutti__use(&barrier->reference, &err);
	if (id == 0)
		return err;
	err = tutti__roster_claim(barrier->reference.arena, &barrier->shared->roster, id, &number, &entry);
	if (err)
		return err;
	uint32_t serial = fetch_add_relaxed(&last, 1) + 1; /* relaxed: that they differ is all that counts */
	entry->has_arrived = false;
	store_relaxed(&entry->serial, serial);
	*ticket = ((uint64_t)number + 1) << 32 | serial;
	return TUTTI_OK;
}

/* The party of a ticket. Any number may come. */
static tutti_err find_party(tutti_barrier *barrier, uint64_t ticket, struct party *party)
{
	struct tutti__barrier *shared = barrier->shared;
	tutti_err err;
	uint32_t id = tutti__use(&barrier->reference, &err);
	if (id == 0)
		return err;
	*party = (struct party){.shared = shared};
	if (ticket >> 32 && (uint32_t)ticket)
		party->entry = tutti__roster_at(barrier->reference.arena, &shared->roster, (uint32_t)(ticket >> 32) - 1);
	if (!party->entry || load_acquire(&party->entry->member) != id ||
	    load_relaxed(&party->entry->serial) != (uint32_t)ticket)
		return tutti__fail(
			TUTTI_EINVAL, "barrier \"%s\": this ticket is not, or no longer, one of this member. Enlist for each wait.",
			shared->object.name);
	party->generation = party->entry->generation;
	return TUTTI_OK;
}

/* TUTTI_EBUSY: a round that is complete runs its action, and the next has not begun. */
static tutti_err arrive_in_step(tutti_barrier *barrier, struct party *party, bool (*action)(void *context),
                                void *context)
{
	bool is_last = false;
	tutti_err err = arrive(barrier, party, action != NULL, 0, &is_last);
	if (err)
		return err == TUTTI_ETIMEDOUT ? TUTTI_EBUSY : err;
	party->entry->generation = party->generation;
	party->entry->has_arrived = true;
	if (is_last && action)
		run_action(barrier, party, action, context);
	return TUTTI_OK;
}

tutti_err tutti_barrier_try(tutti_barrier *barrier, uint64_t ticket, bool (*action)(void *context), void *context,
                            uint32_t *index)
{
	struct party party;
	tutti_err err = find_party(barrier, ticket, &party);
	if (err)
		return err;
	if (!party.entry->has_arrived)
		err = arrive_in_step(barrier, &party, action, context);
	bool is_waiting = err == TUTTI_EBUSY || (!err && !is_over(&party));
	tutti__roster_looked(&barrier->polls, party.entry, !is_waiting);
	if (is_waiting)
		return tutti__fail(TUTTI_EBUSY, "barrier \"%s\": not all %u parties are there.", barrier->shared->object.name,
		                   barrier->shared->parties);
	if (!err)
		err = explain_outcome(barrier, &party);
	if (!err && index)
		*index = take_index(barrier->shared, party.generation);
	tutti__roster_release(party.entry);
	return err;
}

tutti_err tutti_barrier_fd(tutti_barrier *barrier, uint64_t ticket, int *fd)
{
	struct party party;
	*fd = -1;
	tutti_err err = find_party(barrier, ticket, &party);
	return err ? err : tutti__roster_fd(&barrier->reference, &barrier->polls, party.entry, fd);
}

void tutti_barrier_leave(tutti_barrier *barrier, uint64_t ticket, bool breaks_it)
{
	struct party party;
	if (find_party(barrier, ticket, &party) != TUTTI_OK)
		return;
	if (party.entry->has_arrived && breaks_it)
		break_round(barrier->reference.arena, barrier->shared, party.generation, TUTTI__BROKEN_BY_TIME);
	else if (party.entry->has_arrived)
		withdraw(barrier->shared, party.generation);
	tutti__roster_release(party.entry);
}

/* A killed party breaks the round that it had arrived in, unless that is complete. */
static void break_for(tutti_arena *arena, struct tutti__barrier *shared, uint32_t state, uint32_t dead)
{
	struct tutti__slot *slot = tutti__slot_of(arena, dead);
	for (;;) {
		uint64_t word = load_acquire(&shared->word);
		uint32_t waiting = state_of(WAITING, tutti__generation_of(word));
		bool is_open =
			tutti__phase_of(word) == TUTTI__FILLING || (tutti__phase_of(word) == TUTTI__ACTION && !TUTTI__BUG(30));
		if (!is_open || (state & ~(uint32_t)ASLEEP) != waiting || tutti__arrived(word) == 0)
			return;
		shared->gone_pid = slot->identity.pid;
		memcpy(shared->gone_name, slot->name, sizeof shared->gone_name);
		if (tutti__barrier_end(arena, shared, word, TUTTI__BROKEN_BY_DEATH))
			return;
	}
}

void tutti__barrier_recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner, (void)clean; /* one that ended cleanly will not come back either */
	struct tutti__barrier *shared = tutti__at(arena, offset);
	tutti__roster_recover(arena, &shared->roster, dead);
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;) {
		if (load_acquire(&entry->member) != dead)
			continue;
		break_for(arena, shared, load_acquire(&entry->state), dead);
		tutti__roster_release(entry);
	}
	/* The dead may have ended a round and told nobody. */
	tutti__barrier_finish(arena, shared, load_acquire(&shared->word));
}

bool tutti__barrier_is_valid(tutti_arena *arena, struct tutti__barrier *shared,
                             void (*visit)(void *context, uint64_t block), void *context)
{
	uint32_t parties = shared->parties;
	struct tutti__roster_walk walk = tutti__roster_walk(arena, &shared->roster);
	uint64_t word = load_acquire(&shared->word);
	uint32_t generation = tutti__generation_of(word), count = 0;
	enum tutti__phase phase = tutti__phase_of(word);
	for (struct tutti__entry *entry; (entry = tutti__roster_next(&walk)) != NULL;) {
		uint32_t state = load_acquire(&entry->state), code = state & CODE_MASK;
		if ((code == WAITING || code == QUEUED) && (state & ~(uint32_t)ASLEEP) != state_of(code, generation))
			return false;
		count += code == WAITING;
	}
	if (phase == TUTTI__FILLING && (tutti__arrived(word) >= parties || count < tutti__arrived(word)))
		return false;
	if (phase == TUTTI__ACTION && tutti__arrived(word) != parties)
		return false;
	return tutti__roster_is_valid(arena, &shared->roster, visit, context);
}
