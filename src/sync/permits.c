/* SPDX-License-Identifier: MIT */
/* See permits.h for the protocol. All functions here but change and look_for_dead act under the latch of the shares. */
#include "arena/member.h"
#include "sync/permits.h"
#include "os/seeded_bug.h"

static uint32_t named_share(uint64_t word)
{
	return (uint32_t)((word & TUTTI__PERMIT_SHARE) >> TUTTI__PERMIT_SHARE_SHIFT);
}

/* Counts are 32 bits: whoever takes or gives two thousand million times without the opposite stays there. */
static int64_t saturate(int64_t count) { return count > INT32_MAX ? INT32_MAX : count < INT32_MIN ? INT32_MIN : count; }

/* What a share becomes when its count is settled: those of the dead are dropped if they are worth nothing. */
static uint64_t settled_share(uint32_t id, int64_t count)
{
	bool is_dropped = id == TUTTI__KEPT || (id == TUTTI__ABANDONED && count <= 0);
	return is_dropped ? 0 : tutti__share(id, saturate(count));
}

static void set_word(struct tutti__permits *permits, uint64_t word)
{
	/* Release: what was settled before is there when the word no longer says that it is pending. */
	store_release(&permits->word, word);
}

/* The word is FROZEN: pending goes into the share, and the word names nobody. */
static void finish_settling(tutti_arena *arena, struct tutti__permits *permits)
{
	uint64_t word = load_acquire(&permits->word);
	atomic_u64 *share = tutti__share_at(arena, &permits->shares, named_share(word));
	int64_t count = (int64_t)(int32_t)load_relaxed(&permits->base) + tutti__permits_pending(word);
	uint64_t old;
	if (TUTTI__BUG(24))
		set_word(permits, word & TUTTI__PERMIT_VALUE);
	do {
		old = load_acquire(share); /* its id may be a dead one's and become ABANDONED or KEPT meanwhile */
	} while (old && !cas_u64(share, old, settled_share(tutti__share_id(old), count)));
	if (!TUTTI__BUG(24))
		set_word(permits, word & TUTTI__PERMIT_VALUE);
}

static void settle(tutti_arena *arena, struct tutti__permits *permits)
{
	uint32_t number = named_share(load_acquire(&permits->word));
	if (number == 0)
		return;
	uint64_t share = load_acquire(tutti__share_at(arena, &permits->shares, number));
	store_release(&permits->base, (uint32_t)tutti__share_count(share));
	fetch_or_acq_rel(&permits->word, TUTTI__PERMIT_FROZEN);
	finish_settling(arena, permits);
}

/* The word is GIVING: the shares become what the note says. */
static void finish_giving(tutti_arena *arena, struct tutti__permits *permits)
{
	struct tutti__permit_note *note = &permits->note;
	for (int i = 0; i < 2; i++)
		if (load_relaxed(&note->number[i]))
			store_release(tutti__share_at(arena, &permits->shares, load_relaxed(&note->number[i])),
			              load_relaxed(&note->share[i]));
	set_word(permits, load_acquire(&permits->word) & ~TUTTI__PERMIT_GIVING);
}

static void write_note(struct tutti__permits *permits, int index, uint32_t number, uint64_t share)
{
	store_release(&permits->note.number[index], number);
	store_release(&permits->note.share[index], share);
}

/* `word` commits the note. Nobody is named in the word now. */
static void give(tutti_arena *arena, struct tutti__permits *permits, uint64_t word)
{
	set_word(permits, word | TUTTI__PERMIT_GIVING);
	finish_giving(arena, permits);
}

static uint64_t word_of(int64_t value, uint32_t number, int64_t pending)
{
	return (uint64_t)value | (uint64_t)number << TUTTI__PERMIT_SHARE_SHIFT |
	       (uint64_t)pending << TUTTI__PERMIT_PENDING_SHIFT;
}

/* The change and whose it is become visible by one store. */
static bool change_settled(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                           int64_t change)
{
	settle(arena, permits);
	uint64_t word = load_acquire(&permits->word);
	int64_t value = (int64_t)(word & TUTTI__PERMIT_VALUE) + change;
	if (!tutti__permits_fit(permits, word, change))
		return false;
	if (change <= TUTTI__PERMIT_PENDING_MAX) {
		set_word(permits, word_of(value, number, -change));
		return true;
	}
	int64_t count = tutti__share_count(load_acquire(tutti__share_at(arena, &permits->shares, number)));
	write_note(permits, 0, number, tutti__share(id, saturate(count - change)));
	write_note(permits, 1, 0, 0);
	give(arena, permits, word_of(value, number, 0));
	return true;
}

tutti_err tutti__permits_change_slow(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                                     int64_t change, int64_t deadline, bool *done)
{
	*done = false;
	/* Value alone decides, whomever the word names: no latch for a refusal. */
	if (!tutti__permits_fit(permits, load_acquire(&permits->word), change))
		return TUTTI_OK;
	tutti_err err = tutti__latch_acquire(arena, &permits->shares.latch, id, deadline);
	if (err)
		return err;
	*done = tutti__permits_change(permits, number, change) || change_settled(arena, permits, number, id, change);
	tutti__latch_release(&permits->shares.latch);
	return TUTTI_OK;
}

/* The next ABANDONED share after `number` with a permit, 0: none. */
static uint32_t next_abandoned(const tutti_arena *arena, const struct tutti__permits *permits, uint32_t number)
{
	while (++number <= load_relaxed(&permits->shares.used)) {
		uint64_t share = load_acquire(tutti__share_at(arena, &permits->shares, number));
		if (tutti__share_id(share) == TUTTI__ABANDONED && tutti__share_count(share) > 0)
			return number;
	}
	return 0;
}

static void adopt(tutti_arena *arena, struct tutti__permits *permits, uint32_t from, uint32_t number)
{
	uint64_t share = load_acquire(tutti__share_at(arena, &permits->shares, from));
	uint64_t value = load_acquire(&permits->word) & TUTTI__PERMIT_VALUE;
	write_note(permits, 0, from, settled_share(TUTTI__ABANDONED, (int64_t)tutti__share_count(share) - 1));
	write_note(permits, 1, 0, 0);
	/* It is the adopter's by the store that takes it from the dead: no death between loses or doubles it. */
	if (TUTTI__BUG(25))
		finish_giving(arena, permits);
	give(arena, permits, word_of((int64_t)value, number, 1));
}

tutti_err tutti__permits_adopt(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                               int64_t deadline, bool *done)
{
	*done = false;
	if (!load_acquire(&permits->has_abandoned))
		return TUTTI_OK;
	tutti_err err = tutti__latch_acquire(arena, &permits->shares.latch, id, deadline);
	if (err)
		return err;
	settle(arena, permits); /* also drops an ABANDONED share that is worth nothing */
	store_relaxed(&permits->has_abandoned, 0); /* before the look: who abandons later sets it again */
	fence_seq_cst();
	uint32_t from = next_abandoned(arena, permits, 0);
	if (from) {
		store_relaxed(&permits->has_abandoned, 1); /* there may be more */
		adopt(arena, permits, from, number);
		*done = true;
	}
	tutti__latch_release(&permits->shares.latch);
	return TUTTI_OK;
}

/* Drops what is worth nothing. True if that made room. */
static bool drop_worthless(tutti_arena *arena, struct tutti__permits *permits)
{
	bool dropped = false;
	for (uint32_t number = 1; number <= load_relaxed(&permits->shares.used); number++) {
		atomic_u64 *share = tutti__share_at(arena, &permits->shares, number);
		uint64_t old = load_acquire(share);
		if (old && settled_share(tutti__share_id(old), tutti__share_count(old)) == 0)
			dropped |= cas_u64(share, old, 0);
	}
	return dropped;
}

/* Makes one ABANDONED share of all. True if that made room. */
static bool merge_abandoned(tutti_arena *arena, struct tutti__permits *permits)
{
	bool merged = false;
	uint32_t first = next_abandoned(arena, permits, 0);
	for (uint32_t other = first; first && (other = next_abandoned(arena, permits, other)) != 0; merged = true) {
		int64_t sum = (int64_t)tutti__share_count(load_acquire(tutti__share_at(arena, &permits->shares, first))) +
		              tutti__share_count(load_acquire(tutti__share_at(arena, &permits->shares, other)));
		write_note(permits, 0, first, settled_share(TUTTI__ABANDONED, sum));
		write_note(permits, 1, other, 0);
		give(arena, permits, load_acquire(&permits->word));
	}
	return merged;
}

static bool make_room(tutti_arena *arena, struct tutti__permits *permits)
{
	settle(arena, permits);
	bool dropped = drop_worthless(arena, permits);
	return merge_abandoned(arena, permits) || dropped;
}

tutti_err tutti__permits_join(tutti_arena *arena, struct tutti__permits *permits, uint32_t id, int64_t deadline,
                              uint32_t *number)
{
	tutti_err err = tutti__latch_acquire(arena, &permits->shares.latch, id, deadline);
	if (err)
		return err;
	*number = tutti__share_claim(arena, &permits->shares, id);
	if (*number == 0 && make_room(arena, permits))
		*number = tutti__share_claim(arena, &permits->shares, id);
	tutti__latch_release(&permits->shares.latch);
	return *number ? TUTTI_OK : tutti__share_open(arena, &permits->shares, id, deadline, number);
}

/* Under the latch. *has_room false: there is no share for it. */
static tutti_err abandon(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id,
                         bool *has_room)
{
	settle(arena, permits);
	int64_t left = (int64_t)tutti__share_count(load_acquire(tutti__share_at(arena, &permits->shares, number))) - 1;
	if (left < 0)
		return TUTTI_EPERM;
	uint32_t heir = tutti__share_claim(arena, &permits->shares, TUTTI__ABANDONED);
	*has_room = heir != 0;
	if (heir == 0)
		return TUTTI_OK;
	int64_t more = (int64_t)tutti__share_count(load_acquire(tutti__share_at(arena, &permits->shares, heir))) + 1;
	write_note(permits, 0, number, tutti__share(id, left));
	write_note(permits, 1, heir, tutti__share(TUTTI__ABANDONED, saturate(more > 0 ? more : 1)));
	give(arena, permits, load_acquire(&permits->word));
	store_release(&permits->has_abandoned, 1);
	return TUTTI_OK;
}

tutti_err tutti__permits_abandon(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t id)
{
	bool has_room = true;
	for (;;) {
		tutti_err err = tutti__latch_acquire(arena, &permits->shares.latch, id, INT64_MAX);
		if (err)
			return err;
		err = abandon(arena, permits, number, id, &has_room);
		tutti__latch_release(&permits->shares.latch);
		if (err || has_room)
			return err;
		err = tutti__share_make_room(arena, &permits->shares);
		if (err)
			return err;
	}
}

void tutti__permits_look_for_dead(tutti_arena *arena, struct tutti__permits *permits, uint32_t own)
{
	for (uint32_t number = 1; number <= load_relaxed(&permits->shares.used); number++) {
		uint64_t word = load_acquire(&permits->word);
		uint64_t share = load_acquire(tutti__share_at(arena, &permits->shares, number));
		int64_t count = tutti__share_count(share);
		uint32_t id = tutti__share_id(share);
		if (named_share(word) == number)
			count += tutti__permits_pending(word);
		if (share == 0 || count <= 0 || id == own || id == TUTTI__KEPT)
			continue;
		if (id == TUTTI__ABANDONED)
			store_release(&permits->has_abandoned, 1); /* who made it so may have died before saying it */
		else
			tutti__recover_if_dead(arena, id);
	}
}

/* The share of a dead member, of which there is one; nobody else changes its id. */
static void bequeath(tutti_arena *arena, struct tutti__permits *permits, uint32_t number, uint32_t dead, bool clean)
{
	atomic_u64 *share = tutti__share_at(arena, &permits->shares, number);
	uint64_t old, next;
	do {
		old = load_acquire(share);
		if (tutti__share_id(old) != dead)
			return;
		if (!clean)
			store_relaxed(&permits->gone_pid, (uint32_t)tutti__member_pid(arena, dead));
		uint32_t heir = clean ? TUTTI__KEPT : TUTTI__ABANDONED;
		/*
		 * Named in the word: its count is not final, and who settles drops it if need be. Not named: it never
		 * will be again, as its member is dead.
		 */
		bool is_named = named_share(load_acquire(&permits->word)) == number;
		next = is_named ? tutti__share(heir, tutti__share_count(old)) : settled_share(heir, tutti__share_count(old));
	} while (!cas_u64(share, old, next));
}

void tutti__permits_recover(tutti_arena *arena, struct tutti__permits *permits, uint32_t dead, bool clean)
{
	tutti__shares_recover(arena, &permits->shares, dead);
	if (tutti__latch_is_held_by(&permits->shares.latch, dead)) {
		uint64_t word = load_acquire(&permits->word);
		if (word & TUTTI__PERMIT_FROZEN && !TUTTI__BUG(26))
			finish_settling(arena, permits);
		else if (word & TUTTI__PERMIT_GIVING)
			finish_giving(arena, permits);
		tutti__latch_release_dead(&permits->shares.latch, dead);
	}
	for (uint32_t number = 1; number <= load_relaxed(&permits->shares.used); number++)
		bequeath(arena, permits, number, dead, clean);
	/* Whether or not there was a share: a recoverer before us may have died after making it ABANDONED. */
	if (!clean)
		store_release(&permits->has_abandoned, 1);
}

bool tutti__permits_are_valid(const tutti_arena *arena, const struct tutti__permits *permits)
{
	uint64_t word = load_acquire(&permits->word);
	uint32_t named = named_share(word);
	if (word & (TUTTI__PERMIT_FROZEN | TUTTI__PERMIT_GIVING) || load_acquire(&permits->shares.latch.word))
		return false;
	if ((word & TUTTI__PERMIT_VALUE) > permits->max || (named == 0 && tutti__permits_pending(word) != 0))
		return false;
	for (uint32_t number = 1; number <= load_relaxed(&permits->shares.used); number++) {
		uint64_t share = load_acquire(tutti__share_at(arena, &permits->shares, number));
		if (number == named && share == 0)
			return false;
	}
	return named <= load_relaxed(&permits->shares.used);
}
