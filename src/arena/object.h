/* SPDX-License-Identifier: MIT */
/*
 * Objects: blocks with a name, a generation, and holders.
 *
 * A reference is a record with its holder: one word in the object (or in a block chained
 * to it) with the member's id. A count could not be repaired after a death; these words
 * can: the recovery clears the dead member's. An object without holders is destroyed
 * by whoever finds that.
 *
 * Besides members, blocks hold objects: a message on its way that carries a handle, an end
 * of a pipe. Their word (TUTTI__BLOCK_HOLDER) names the block by its place. It is unique
 * while the block lives, so that clearing it again after a death does no harm; and whoever
 * finds it knows that the object lives.
 *
 * state: 0 none | LIVE + version << 8 | DYING + destroyer's id << 32.
 *   A holder is added by writing its word, then raising the version (fails on DYING).
 *   A destroyer reads the state, finds no holder, then sets DYING by CAS (fails if the
 *   version was raised meanwhile). So an object never dies under a holder.
 *   A destroyer that is killed is succeeded by whoever recovers it.
 *
 * Object memory is type-stable: a span of an object kind stays one for ever, so that a
 * stale handle and a recovery may look at any time.
 */
#ifndef TUTTI_ARENA_OBJECT_H
#define TUTTI_ARENA_OBJECT_H

#include "arena/block.h"
#include "arena/member.h"
#include "arena/station.h"

enum { TUTTI__OBJECT_HOLDERS = 12, TUTTI__MORE_HOLDERS = 510 };
enum { TUTTI__OBJECT_NONE, TUTTI__OBJECT_LIVE, TUTTI__OBJECT_DYING };

struct tutti__object {
	atomic_u64 state;
	atomic_u32 generation;
	int32_t creator; /* pid */
	atomic_u64 more; /* a block with more holders, 0: none */
	atomic_u32 holders[TUTTI__OBJECT_HOLDERS];
	char name[TUTTI__NAME_SIZE];
	uint64_t next_condemned; /* a list of the destroyer's; nobody else looks */
	struct tutti__pollable pollable; /* who polls it, for kinds that have no better place for this word */
};
_Static_assert(sizeof(struct tutti__object) == 128, "an object's head is two cache lines");

struct tutti__more_holders {
	atomic_u64 next;
	uint64_t reserved;
	atomic_u32 holders[TUTTI__MORE_HOLDERS];
};

struct tutti__watch;

/* What floor 1 must know of a kind of blocks. One for each enum tutti__kind_number but RAW; see kinds.c. */
struct tutti__kind {
	const char *name;
	bool is_object; /* false: its blocks have no struct tutti__object at the start */
	/*
	 * Repairs what the dead member left in this block, whose owner word is `owner` (SHARED, or the dead
	 * member's own id if the block was being made or destroyed). Runs beside living users. Must be
	 * idempotent, take no latch, and free nothing: it gives blocks to the dead id.
	 */
	void (*recover)(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean);
	/*
	 * Frees what a dying object reaches, except for its own block. May be continued by another after a death.
	 * Takes no latch: it may run in a recovery, before what the dead left under that latch is repaired.
	 */
	void (*destroy)(tutti_arena *arena, uint64_t offset);
	/*
	 * How to wait for an object (poller.h), given its public handle; refuses one through which it cannot be waited
	 * for. NULL: nobody can poll this kind. Takes no lock.
	 */
	tutti_err (*watch)(void *handle, struct tutti__watch *watch);
};

/*
 * The holder word of the block at `offset`, which has 128 bytes or more. (In arenas over 256 GiB places repeat; two
 * messages in such places that carry the same object would share a word.)
 */
static inline uint32_t tutti__block_holder(uint64_t offset) { return TUTTI__BLOCK_HOLDER | (uint32_t)(offset >> 7); }

extern const struct tutti__kind *const tutti__kinds[TUTTI__KIND_COUNT];

/*
 * A handle on an object in this process: first member of each public handle struct.
 *
 * `member` is the id whose holder word it stands for. In a forked child that has become a
 * member of its own it differs: the first use there takes a holder word for the child.
 */
struct tutti__reference {
	tutti_arena *arena;
	struct tutti__object *object;
	uint64_t offset;
	uint32_t generation;
	uint8_t kind;
	atomic_u32 member; /* 0: a forked child found the object gone */
};

/* Allocates an object with a name (default: its kind's); still the caller's alone. Zero beyond the head. */
tutti_err tutti__object_create(tutti_arena *arena, enum tutti__kind_number kind, uint64_t size, const char *name,
                               struct tutti__object **object);

/* Makes it live, held once by the caller through `reference`. */
void tutti__object_publish(tutti_arena *arena, enum tutti__kind_number kind, struct tutti__object *object,
                           struct tutti__reference *reference);

/* Opens a handle value. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. */
tutti_err tutti__reference_open(struct tutti__reference *reference, tutti_arena *arena, enum tutti__kind_number kind,
                                tutti_handle handle);

/* Gives the reference up; destroys the object if it was the last. */
void tutti__reference_close(struct tutti__reference *reference);

tutti_handle tutti__reference_handle(const struct tutti__reference *reference);

/* For a handle of an object of any kind: its place is one of objects, for ever. TUTTI_ESTALE, TUTTI_EFOREIGN. */
tutti_err tutti__object_check(tutti_arena *arena, tutti_handle handle);

/* Adds a holder word to an object whose handle has been checked. TUTTI_ESTALE, TUTTI_ENOMEM. */
tutti_err tutti__object_hold(tutti_arena *arena, tutti_handle handle, uint32_t holder);

/* True if the object of this handle lives and has this holder word. */
bool tutti__object_is_held(tutti_arena *arena, tutti_handle handle, uint32_t holder);

/* Clears such words, all of them; destroys the object if nobody else holds it. Harmless if there is none. */
void tutti__object_unhold(tutti_arena *arena, tutti_handle handle, uint32_t holder);

/* For a recovery: the generic part, then the kind's. */
void tutti__object_recover(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner,
                           uint32_t dead, bool clean);

/* The first use of an inherited handle in a forked child. TUTTI_ESTALE: the object is gone. */
tutti_err tutti__reference_renew(struct tutti__reference *reference, uint32_t id);

/* First line of each operation on an object: the member's id, or 0 and `*err`. */
static inline uint32_t tutti__use(struct tutti__reference *reference, tutti_err *err)
{
	uint32_t id = tutti__enter(reference->arena);
	if (unlikely(id == 0)) {
		*err = TUTTI_EMEMBERS;
		return 0;
	}
	if (unlikely(load_relaxed(&reference->member) != id)) {
		*err = tutti__reference_renew(reference, id);
		return *err ? 0 : id;
	}
	return id;
}

#endif
