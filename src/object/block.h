/* SPDX-License-Identifier: MIT */
/*
 * The block object's bytes: an object's head, and where the block with the bytes begins (`place`).
 *
 * Valid while it is alive: `place` is a raw block, SHARED, and reached by this object alone.
 *
 * Made, of bytes that are the caller's: place; publication; the bytes' owner = SHARED. A death before the last
 * leaves the bytes to the sweep, which finds the dead member's id there.
 * Destroyed: owner SHARED -> destroyer's id, by CAS; place = 0; free. Whoever continues after a death finds an
 * owner that is not SHARED, and leaves the bytes to the sweep; or place 0, and nothing to do.
 */
#ifndef TUTTI_OBJECT_BLOCK_H
#define TUTTI_OBJECT_BLOCK_H

#include <tutti/block.h>

#include "arena/object.h"

struct tutti__shared_block {
	struct tutti__object object;
	atomic_u64 place; /* offset of the block with the bytes */
	uint64_t size; /* bytes */
};

extern const struct tutti__kind tutti__block_kind;

#endif
