/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena/object.h"
#include "os/seeded_bug.h"

static unsigned status_of(uint64_t state) { return (unsigned)(state & 0xff); }
static uint64_t dying_by(uint32_t id) { return TUTTI__OBJECT_DYING | (uint64_t)id << 32; }

/*
 * By atomic stores: a recovery that saw the block's last object may look at it this very
 * moment. It changes only words that name the dead member.
 */
static void clear_body(struct tutti__object *object, uint64_t size)
{
	atomic_u64 *words = (atomic_u64 *)(object + 1);
	for (uint64_t i = 0; i < (size - sizeof *object) / sizeof *words; i++)
		store_relaxed(&words[i], 0);
}

tutti_err tutti__object_create(tutti_arena *arena, enum tutti__kind_number kind, uint64_t size, const char *name,
                               struct tutti__object **object)
{
	uint64_t offset;
	if (name && strlen(name) >= TUTTI__NAME_SIZE)
		return tutti__fail(TUTTI_EINVAL, "the name \"%s\" is too long: %d bytes at most.", name, TUTTI__NAME_SIZE - 1);
	if (tutti__enter(arena) == 0)
		return TUTTI_EMEMBERS;
	tutti_err err = tutti__block_alloc(arena, kind, size, INT64_MAX, &offset);
	if (err)
		return err;
	*object = tutti__at(arena, offset);
	store_relaxed(&(*object)->state, TUTTI__OBJECT_NONE);
	clear_body(*object, size);
	store_relaxed(&(*object)->generation, fetch_add_relaxed(&arena->header->next_generation, 1) + 1);
	store_relaxed(&(*object)->more, 0);
	store_relaxed(&(*object)->pollable.armed, 0);
	for (int i = 0; i < TUTTI__OBJECT_HOLDERS; i++)
		store_relaxed(&(*object)->holders[i], 0);
	(*object)->creator = (int32_t)getpid();
	snprintf((*object)->name, sizeof(*object)->name, "%s", name ? name : tutti__kinds[kind]->name);
	return TUTTI_OK;
}

static struct tutti__reference make_reference(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset)
{
	struct tutti__object *object = tutti__at(arena, offset);
	return (struct tutti__reference){.arena = arena,
	                                 .object = object,
	                                 .offset = offset,
	                                 .generation = load_relaxed(&object->generation),
	                                 .kind = (uint8_t)kind,
	                                 .member = load_relaxed(&arena->local->id)};
}

void tutti__object_publish(tutti_arena *arena, enum tutti__kind_number kind, struct tutti__object *object,
                           struct tutti__reference *reference)
{
	uint64_t offset = tutti__offset(arena, object);
	*reference = make_reference(arena, kind, offset);
	store_relaxed(&object->holders[0], load_relaxed(&arena->local->id));
	store_release(&object->state, TUTTI__OBJECT_LIVE);
	/* The commit. A creator killed before it leaves a block of its own, which the sweep frees with all it owns. */
	tutti__block_set_owner(arena, offset, TUTTI__SHARED);
}

/*
 * A chained block of holder words. Who looks beside a destroyer, or repeats what a dead member had done, may find an
 * object that is just going: then the chain may lead anywhere. What is read there is of no consequence, as the object's
 * state has changed; but it must be within the arena.
 */
static bool is_block(const tutti_arena *arena, uint64_t more)
{
	return more != 0 && tutti__block_is(arena, more, TUTTI__KIND_RAW);
}

/* Visits every holder word; stops at and returns the first for which it changed `from` to `to` (or saw it, if equal). */
static bool replace_holder(const tutti_arena *arena, struct tutti__object *object, uint32_t from, uint32_t to)
{
	for (int i = 0; i < TUTTI__OBJECT_HOLDERS; i++)
		if (load_acquire(&object->holders[i]) == from && cas_u32(&object->holders[i], from, to))
			return true;
	for (uint64_t more = load_acquire(&object->more); is_block(arena, more);) {
		struct tutti__more_holders *block = tutti__at(arena, more);
		for (int i = 0; i < TUTTI__MORE_HOLDERS; i++)
			if (load_acquire(&block->holders[i]) == from && cas_u32(&block->holders[i], from, to))
				return true;
		more = load_acquire(&block->next);
	}
	return false;
}

static bool has_holders(const tutti_arena *arena, struct tutti__object *object)
{
	for (int i = 0; i < TUTTI__OBJECT_HOLDERS; i++)
		if (load_acquire(&object->holders[i]))
			return true;
	for (uint64_t more = load_acquire(&object->more); is_block(arena, more);) {
		struct tutti__more_holders *block = tutti__at(arena, more);
		for (int i = 0; i < TUTTI__MORE_HOLDERS; i++)
			if (load_acquire(&block->holders[i]))
				return true;
		more = load_acquire(&block->next);
	}
	return false;
}

/*
 * Chains one more block of holder words in front. Between the link and SHARED the block is
 * reachable, but its maker's: the object's recovery sets SHARED before the sweep looks.
 */
static tutti_err add_holder_block(tutti_arena *arena, struct tutti__object *object)
{
	uint64_t offset, old = load_acquire(&object->more);
	tutti_err err = tutti__block_alloc(arena, TUTTI__KIND_RAW, sizeof(struct tutti__more_holders), INT64_MAX, &offset);
	if (err)
		return err;
	struct tutti__more_holders *block = tutti__at(arena, offset);
	memset(block, 0, sizeof *block);
	store_relaxed(&block->next, old);
	if (cas_u64(&object->more, old, offset))
		tutti__block_set_owner(arena, offset, TUTTI__SHARED);
	else
		tutti__block_free(arena, offset); /* somebody else chained one: use that */
	return TUTTI_OK;
}

/* Raises the version; false if the object is dying. */
static bool raise_version(struct tutti__object *object, uint32_t generation)
{
	for (;;) {
		uint64_t state = load_acquire(&object->state);
		if (status_of(state) != TUTTI__OBJECT_LIVE || load_acquire(&object->generation) != generation)
			return false;
		if (cas_u64(&object->state, state, state + 256))
			return true;
	}
}

static tutti_err add_holder(tutti_arena *arena, struct tutti__object *object, uint32_t generation, uint32_t id)
{
	while (!replace_holder(arena, object, 0, id)) {
		tutti_err err = add_holder_block(arena, object);
		if (err)
			return err;
	}
	if (raise_version(object, generation))
		return TUTTI_OK;
	replace_holder(arena, object, id, 0);
	return TUTTI_ESTALE;
}

static tutti_err fail_stale(enum tutti__kind_number kind)
{
	return tutti__fail(TUTTI_ESTALE,
	                   "the %s of this handle is gone: its last handle was closed, or its last holder ended. Keep one "
	                   "open while the handle travels.",
	                   tutti__kinds[kind]->name);
}

static tutti_err check_arena(const tutti_arena *arena, tutti_handle handle)
{
	if (handle.arena == arena->header->arena_id)
		return TUTTI_OK;
	return tutti__fail(TUTTI_EFOREIGN,
	                   "this handle belongs to arena %08x, not to \"%s\" (%08x). Join that arena, or open the "
	                   "handle in it.",
	                   handle.arena, arena->header->name, arena->header->arena_id);
}

static tutti_err check_handle(tutti_arena *arena, enum tutti__kind_number kind, tutti_handle handle)
{
	tutti_err err = check_arena(arena, handle);
	if (err)
		return err;
	if (tutti__block_is(arena, handle.offset, kind))
		return TUTTI_OK;
	for (int other = 1; other < TUTTI__KIND_COUNT; other++)
		/* Of its own kind by now: destroyed and reborn between the two looks, so stale. */
		if (other != (int)kind && tutti__block_is(arena, handle.offset, (enum tutti__kind_number)other))
			return tutti__fail(TUTTI_EKIND, "this handle is of a %s, not of a %s.", tutti__kinds[other]->name,
			                   tutti__kinds[kind]->name);
	return fail_stale(kind);
}

tutti_err tutti__reference_open(struct tutti__reference *reference, tutti_arena *arena, enum tutti__kind_number kind,
                                tutti_handle handle)
{
	uint32_t id = tutti__enter(arena);
	if (id == 0)
		return TUTTI_EMEMBERS;
	tutti_err err = check_handle(arena, kind, handle);
	if (err)
		return err;
	struct tutti__object *object = tutti__at(arena, handle.offset);
	if (load_acquire(tutti__block_owner(arena, handle.offset)) != TUTTI__SHARED ||
	    load_acquire(&object->generation) != handle.generation)
		return fail_stale(kind);
	err = add_holder(arena, object, handle.generation, id);
	if (err)
		return err == TUTTI_ESTALE ? fail_stale(kind) : err;
	*reference = make_reference(arena, kind, handle.offset);
	return TUTTI_OK;
}

/* The caller has set DYING. Each step leaves a state from which a successor goes on. */
static void destroy(tutti_arena *arena, enum tutti__kind_number kind, struct tutti__object *object)
{
	uint32_t id = load_relaxed(&arena->local->id);
	uint64_t offset = tutti__offset(arena, object);
	if (tutti__kinds[kind]->destroy)
		tutti__kinds[kind]->destroy(arena, offset);
	for (uint64_t more; (more = load_acquire(&object->more)) != 0;) {
		tutti__block_set_owner(arena, more, id); /* unlinked or not: after our death it is the sweep's */
		store_release(&object->more, load_relaxed(&((struct tutti__more_holders *)tutti__at(arena, more))->next));
		tutti__block_free(arena, more);
	}
	tutti__block_set_owner(arena, offset, id);
	store_release(&object->state, TUTTI__OBJECT_NONE);
	tutti__block_free(arena, offset);
}

static enum tutti__kind_number kind_at(const tutti_arena *arena, uint64_t offset)
{
	return (enum tutti__kind_number)load_relaxed(&arena->units[offset >> TUTTI__UNIT_SHIFT].kind);
}

/*
 * Destroys an object that the caller has set DYING. A queue's messages may hold the last
 * handles of others, whose messages hold more: one after the other, so that the stack does
 * not grow with the chain. A destroyer that is killed leaves them all DYING by its id.
 */
static void condemn(tutti_arena *arena, struct tutti__object *object)
{
	static _Thread_local struct tutti__object *condemned;
	static _Thread_local bool is_destroying;
	object->next_condemned = condemned ? tutti__offset(arena, condemned) : 0;
	condemned = object;
	if (is_destroying)
		return;
	is_destroying = true;
	while (condemned) {
		struct tutti__object *next = condemned;
		condemned = next->next_condemned ? tutti__at(arena, next->next_condemned) : NULL;
		destroy(arena, kind_at(arena, tutti__offset(arena, next)), next);
	}
	is_destroying = false;
}

static void destroy_if_unheld(tutti_arena *arena, struct tutti__object *object)
{
	uint64_t state = load_acquire(&object->state);
	if (status_of(state) != TUTTI__OBJECT_LIVE || has_holders(arena, object))
		return;
	if (cas_u64(&object->state, state, dying_by(load_relaxed(&arena->local->id))))
		condemn(arena, object);
}

static bool is_object(const tutti_arena *arena, uint64_t offset)
{
	for (int kind = 1; kind < TUTTI__KIND_COUNT; kind++)
		if (tutti__kinds[kind]->is_object && tutti__block_is(arena, offset, (enum tutti__kind_number)kind))
			return true;
	return false;
}

tutti_err tutti__object_check(tutti_arena *arena, tutti_handle handle)
{
	tutti_err err = check_arena(arena, handle);
	if (err || is_object(arena, handle.offset))
		return err;
	return tutti__fail(TUTTI_ESTALE, "the object of this handle is gone: its last handle was closed, or its last "
	                                 "holder ended. Keep one open until it is sent.");
}

tutti_err tutti__object_hold(tutti_arena *arena, tutti_handle handle, uint32_t holder)
{
	enum tutti__kind_number kind = kind_at(arena, handle.offset);
	struct tutti__object *object = tutti__at(arena, handle.offset);
	if (load_acquire(tutti__block_owner(arena, handle.offset)) != TUTTI__SHARED ||
	    load_acquire(&object->generation) != handle.generation)
		return fail_stale(kind);
	tutti_err err = add_holder(arena, object, handle.generation, holder);
	return err == TUTTI_ESTALE ? fail_stale(kind) : err;
}

bool tutti__object_is_held(tutti_arena *arena, tutti_handle handle, uint32_t holder)
{
	struct tutti__object *object = tutti__at(arena, handle.offset);
	return load_acquire(&object->generation) == handle.generation &&
	       status_of(load_acquire(&object->state)) == TUTTI__OBJECT_LIVE &&
	       replace_holder(arena, object, holder, holder);
}

void tutti__object_unhold(tutti_arena *arena, tutti_handle handle, uint32_t holder)
{
	struct tutti__object *object = tutti__at(arena, handle.offset);
	if (load_acquire(&object->generation) != handle.generation)
		return; /* reborn: a successor repeats what had been done */
	while (replace_holder(arena, object, holder, 0))
		;
	destroy_if_unheld(arena, object);
}

void tutti__reference_close(struct tutti__reference *reference)
{
	tutti_arena *arena = reference->arena;
	uint32_t id = load_relaxed(&arena->local->id);
	/* A forked child that never used it has nothing to give back. */
	if (id == 0 || load_relaxed(&reference->member) != id)
		return;
	if (replace_holder(arena, reference->object, id, 0))
		destroy_if_unheld(arena, reference->object);
}

tutti_handle tutti__reference_handle(const struct tutti__reference *reference)
{
	return (tutti_handle){.arena = reference->arena->header->arena_id,
	                      .generation = reference->generation,
	                      .offset = reference->offset};
}

tutti_err tutti__reference_renew(struct tutti__reference *reference, uint32_t id)
{
	tutti_arena *arena = reference->arena;
	tutti_err err = TUTTI_OK;
	/* Wiped by a fork, so never locked by a thread that was not copied. */
	tutti__mutex_lock(&arena->local->renewing);
	if (load_relaxed(&reference->member) != id) {
		bool lives = load_relaxed(&reference->member) != 0 &&
		             load_acquire(tutti__block_owner(arena, reference->offset)) == TUTTI__SHARED;
		err = lives ? add_holder(arena, reference->object, reference->generation, id) : TUTTI_ESTALE;
		/* Without memory for the holder's word (TUTTI_ENOMEM) it stays as it was: the next use tries again. */
		if (err == TUTTI_OK || err == TUTTI_ESTALE)
			store_relaxed(&reference->member, err == TUTTI_OK ? id : 0);
	}
	pthread_mutex_unlock(&arena->local->renewing);
	return err == TUTTI_ESTALE ? fail_stale((enum tutti__kind_number)reference->kind) : err;
}

/* A reference is the first member of every public handle. */
tutti_err tutti_renew(void *object)
{
	tutti_err err = TUTTI_OK;
	tutti__use(object, &err);
	return err;
}

static void reassert_holder_blocks(tutti_arena *arena, struct tutti__object *object, uint32_t dead)
{
	for (uint64_t more = load_acquire(&object->more); is_block(arena, more);) {
		cas_u32(tutti__block_owner(arena, more), dead, TUTTI__SHARED);
		more = load_acquire(&((struct tutti__more_holders *)tutti__at(arena, more))->next);
	}
}

void tutti__object_recover(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner,
                           uint32_t dead, bool clean)
{
	struct tutti__object *object = tutti__at(arena, offset);
	if (owner != TUTTI__SHARED)
		return; /* being made or unmade by the dead: the sweep frees it with all that it owned */
	if (!TUTTI__BUG(12))
		reassert_holder_blocks(arena, object, dead);
	if (cas_u64(&object->state, dying_by(dead), dying_by(load_relaxed(&arena->local->id)))) {
		condemn(arena, object);
		return;
	}
	if (status_of(load_acquire(&object->state)) != TUTTI__OBJECT_LIVE)
		return;
	if (tutti__kinds[kind]->recover)
		tutti__kinds[kind]->recover(arena, offset, owner, dead, clean);
	while (!TUTTI__BUG(11) && replace_holder(arena, object, dead, 0))
		;
	destroy_if_unheld(arena, object);
}
