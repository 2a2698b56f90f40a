/* SPDX-License-Identifier: MIT */
/*
 * The arena's bytes. Everything shared is named by its offset from the mapping's
 * start; no address is ever stored.
 *
 *   offset 0        header, one unit (64 KiB)
 *   slots           one record of 256 bytes per possible member
 *   stations        one record of 4,160 bytes for each member or wait set that polls; see station.h
 *   units           one record of 16 bytes per unit of 64 KiB: what the unit is
 *   owners          1,024 words of 4 bytes per unit: who owns each block in it
 *   first unit ...  the heap, in units
 *
 * All tables span the whole virtual size and cost memory only where touched.
 *
 * Member id (31 bits, never 0): generation of the slot << 12 | slot. The same 32-bit
 * word with TUTTI__WAITERS on top is a latch's or lock's word; alone it is a block's
 * owner. Three ids are no members: SHARED, ABANDONED, KEPT.
 *
 * Validity of the whole (1 and 4: tutti__heap_is_valid; 2 and 3: the crash ring, by walking all blocks):
 *  1. from first_unit to unit_count the runs follow each other without gap or overlap;
 *  2. an owner word is 0 (free), SHARED, or a member that is in;
 *  3. a block whose owner word is SHARED is reachable from exactly one object;
 *  4. touched_units = units of all runs that are not FREE_CLEAN, while nobody holds heap.latch.
 */
#ifndef TUTTI_ARENA_LAYOUT_H
#define TUTTI_ARENA_LAYOUT_H

#include <stdalign.h>

#include "os/os.h"

#define TUTTI__MAGIC 0x5455545449415231ULL /* "TUTTIAR1" */
#define TUTTI__LAYOUT_VERSION 3U

enum {
	TUTTI__UNIT_SHIFT = 16,
	TUTTI__UNIT_SIZE = 1 << TUTTI__UNIT_SHIFT,
	TUTTI__BLOCK_ALIGN = 64,
	TUTTI__BLOCKS_PER_UNIT = TUTTI__UNIT_SIZE / TUTTI__BLOCK_ALIGN,
	TUTTI__SLOT_BITS = 12,
	TUTTI__GENERATION_BITS = 19,
	TUTTI__SLOT_COUNT = 4080, /* slot 0 is never used, so that no id is 0; the last numbers are the special ids */
	TUTTI__HINTS = 24,
	TUTTI__NAME_SIZE = 40,
};

#define TUTTI__WAITERS 0x80000000U
#define TUTTI__ID_MASK 0x7fffffffU
#define TUTTI__BLOCK_HOLDER 0x80000000U /* in a holder word of an object: a block holds it, not a member */
#define TUTTI__IN_USE 0x80000000U /* in unit.cache_owner: its owner has taken this span's free blocks into its cache */
#define TUTTI__SHARED 0xffdU /* owner word: the block belongs to an object */
#define TUTTI__ABANDONED 0xffeU /* lock word: its holder was killed */
#define TUTTI__KEPT 0xfffU /* lock word: its holder exited cleanly without releasing */

/* A recoverable lock for a few dozen instructions; see latch.h. */
struct tutti__latch {
	atomic_u32 word; /* 0, or the holder's id, with TUTTI__WAITERS */
};

enum tutti__arena_state { TUTTI__ARENA_MAKING, TUTTI__ARENA_READY };

struct tutti__heap {
	struct tutti__latch latch;
	atomic_u32 rescan; /* a recovery freed runs: forget the hints */
	uint64_t hints[TUTTI__HINTS]; /* no free run of 2^i units or more starts below hints[i]; each is a run's head */
	atomic_u64 touched_units;
	atomic_u64 kept_units; /* free, but touched */
	atomic_u64 frontier; /* no unit from here on was ever used */
};

struct tutti__header {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t arena_id;
	uint64_t size;
	uint64_t unit_count;
	uint64_t first_unit;
	uint64_t slots, stations, units, owners; /* offsets of the tables */
	uint64_t max_units;
	uint64_t keep_units; /* free touched units that may be kept for reuse */
	char name[TUTTI__NAME_SIZE];
	char version[16]; /* of the library that made it */
	atomic_u32 state; /* READY is published last */
	atomic_u32 next_generation; /* of objects */
	atomic_u32 slot_cursor; /* where the next joiner looks first, so that slots are reused first-in first-out */
	atomic_u32 stations_used; /* no station from here on was ever taken */
	atomic_u64 last_sweep; /* clock time */
	alignas(64) struct tutti__heap heap;
};

/* Status of a slot, in its state word. */
enum { TUTTI__SLOT_FREE, TUTTI__SLOT_JOINING, TUTTI__SLOT_ALIVE, TUTTI__SLOT_CLEAN };

/*
 * A member. state: pid (32 bits) | generation (19) << 32 | status (4) << 51 | hash of the pid
 * namespace (9) << 55: one word, so that a joiner that dies has left its pid.
 */
struct tutti__slot {
	alignas(64) atomic_u64 state;
	atomic_u32 recoverer; /* id of the member that recovers this dead one */
	uint32_t unused;
	struct tutti__identity identity;
	char name[TUTTI__NAME_SIZE];
	atomic_u64 waiting_for; /* offset of what it sleeps on, 0 if awake */
	atomic_u64 waiting_since;
	uint64_t joined_at;
	uint8_t reserved[256 - 16 - sizeof(struct tutti__identity) - TUTTI__NAME_SIZE - 24];
};
_Static_assert(sizeof(struct tutti__slot) == 256, "a slot is 256 bytes");

/* What a unit is. A run's kind and length are one word: its one store commits. */
enum { TUTTI__RUN_NONE, TUTTI__RUN_CLEAN, TUTTI__RUN_TOUCHED, TUTTI__RUN_LARGE, TUTTI__RUN_SPAN };

struct tutti__unit {
	atomic_u32 run; /* kind << 28 | length in units; only at a run's first unit */
	atomic_u8 size_class; /* of a span */
	atomic_u8 kind; /* of the blocks in a span: enum tutti__kind_number */
	uint16_t reserved;
	atomic_u32 cache_owner; /* id of the member that allocates from this span, with TUTTI__IN_USE; 0: nobody */
	atomic_u32 freed; /* a hint: blocks here were freed by others than the cache's owner */
};
_Static_assert(sizeof(struct tutti__unit) == 16, "a unit record is 16 bytes");

#define TUTTI__RUN(kind, length) ((uint32_t)(kind) << 28 | (uint32_t)(length))
#define TUTTI__RUN_KIND(run) ((run) >> 28)
#define TUTTI__RUN_LENGTH(run) ((run)&0x0fffffffU)

#endif
