/* SPDX-License-Identifier: MIT */
/* The barrier as an object; abort, reset and looking. How a round goes: barrier.h and barrier_round.c. */
#include "sync/barrier.h"
#include "sync/handle.h"
#include "sync/kinds.h"

static tutti_err check_parties(uint32_t parties)
{
	if (parties > 0 && parties <= TUTTI__BARRIER_PARTIES_MAX)
		return TUTTI_OK;
	return tutti__fail(TUTTI_EINVAL, "a barrier of %u parties cannot be: 1 to %d. Name how many wait for each other.",
	                   parties, (int)TUTTI__BARRIER_PARTIES_MAX);
}

static tutti_barrier *begin(struct tutti__reference *reference)
{
	tutti_barrier *barrier = (tutti_barrier *)reference;
	barrier->shared = (struct tutti__barrier *)reference->object;
	barrier->polls.arena = reference->arena;
	barrier->polls.roster = &barrier->shared->roster;
	barrier->polls.is_over = tutti__barrier_was_told;
	return barrier;
}

tutti_err tutti_barrier_open(tutti_barrier **barrier, uint32_t parties, const tutti_barrier_options *options)
{
	static const tutti_barrier_options defaults;
	struct tutti__reference *made = NULL;
	options = options ? options : &defaults;
	tutti_err err = check_parties(parties);
	if (!err)
		err = tutti__handle_make(options->arena, TUTTI__KIND_BARRIER, sizeof **barrier, sizeof(struct tutti__barrier),
		                         options->name, &made);
	if (err)
		return err;
	*barrier = begin(made);
	(*barrier)->shared->parties = parties;
	tutti__handle_publish(made);
	return TUTTI_OK;
}

tutti_err tutti_barrier_at(tutti_barrier **barrier, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found = NULL;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_BARRIER, sizeof **barrier, handle, &found);
	if (err)
		return err;
	*barrier = begin(found);
	return TUTTI_OK;
}

void tutti_barrier_close(tutti_barrier *barrier)
{
	if (!barrier)
		return;
	tutti__poll_list_close(&barrier->polls.list);
	tutti__handle_close(&barrier->reference);
}

tutti_handle tutti_barrier_handle(const tutti_barrier *barrier) { return tutti__reference_handle(&barrier->reference); }

tutti_err tutti_barrier_abort(tutti_barrier *barrier)
{
	tutti_err err;
	struct tutti__barrier *shared = barrier->shared;
	tutti_arena *arena = barrier->reference.arena;
	if (tutti__use(&barrier->reference, &err) == 0)
		return err;
	for (;;) {
		uint64_t word = load_acquire(&shared->word);
		if (tutti__is_broken(word))
			return TUTTI_OK;
		if (tutti__phase_of(word) >= TUTTI__RELEASED)
			tutti__barrier_finish(arena, shared, word); /* that round is complete; the next one is broken */
		else if (tutti__barrier_end(arena, shared, word, TUTTI__BROKEN_BY_ABORT))
			return TUTTI_OK;
	}
}

tutti_err tutti_barrier_reset(tutti_barrier *barrier)
{
	tutti_err err;
	struct tutti__barrier *shared = barrier->shared;
	tutti_arena *arena = barrier->reference.arena;
	if (tutti__use(&barrier->reference, &err) == 0)
		return err;
	for (;;) {
		uint64_t word = load_acquire(&shared->word);
		enum tutti__phase phase = tutti__phase_of(word);
		if (phase == TUTTI__FILLING && tutti__arrived(word) == 0)
			return TUTTI_OK;
		if (phase == TUTTI__RELEASED || phase == TUTTI__RESET)
			tutti__barrier_finish(arena, shared, word);
		else if (tutti__barrier_end(arena, shared, word, TUTTI__RESET))
			return TUTTI_OK;
	}
}

bool tutti_barrier_is_broken(const tutti_barrier *barrier)
{
	return tutti__is_broken(load_acquire(&barrier->shared->word));
}

uint32_t tutti_barrier_waiting(const tutti_barrier *barrier)
{
	uint64_t word = load_acquire(&barrier->shared->word);
	return tutti__phase_of(word) < TUTTI__RELEASED ? tutti__arrived(word) : 0;
}

uint32_t tutti_barrier_parties(const tutti_barrier *barrier) { return barrier->shared->parties; }

static tutti_err watch(void *handle, struct tutti__watch *watch)
{
	tutti_barrier *barrier = handle;
	*watch = (struct tutti__watch){&barrier->shared->object.pollable, tutti__roster_has_news, &barrier->polls,
	                               &barrier->polls.list};
	return TUTTI_OK;
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	tutti__roster_destroy(arena, &((struct tutti__barrier *)tutti__at(arena, offset))->roster);
}

const struct tutti__kind tutti__barrier_kind = {.name = "barrier",
                                                .is_object = true,
                                                .recover = tutti__barrier_recover,
                                                .destroy = destroy,
                                                .watch = watch};
