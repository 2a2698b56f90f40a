/* SPDX-License-Identifier: MIT */
#include "poison.h"

#include <string.h>

#include "arena/block.h"

enum { NONSENSE = 0xd7 };

static void poison_span(tutti_arena *arena, uint64_t unit)
{
	uint32_t size, count = tutti__span_blocks(&arena->units[unit], &size);
	unsigned char *bytes = tutti__at(arena, unit << TUTTI__UNIT_SHIFT);
	for (uint32_t i = 0; i < count; i++)
		if (load_acquire(tutti__owner_at(arena, unit, i)) == 0)
			memset(bytes + (size_t)i * size, NONSENSE, size);
}

/* A run in the middle of being split or merged has no valid length; then the rest is left alone. */
void poison_free_memory(tutti_arena *arena)
{
	for (uint64_t unit = arena->header->first_unit; unit < arena->header->unit_count;) {
		uint32_t run = load_acquire(&arena->units[unit].run);
		bool is_free_run =
			TUTTI__RUN_KIND(run) == TUTTI__RUN_TOUCHED ||
			(TUTTI__RUN_KIND(run) == TUTTI__RUN_LARGE && load_acquire(tutti__owner_at(arena, unit, 0)) == 0);
		if (TUTTI__RUN_KIND(run) == TUTTI__RUN_SPAN && arena->units[unit].kind == TUTTI__KIND_RAW)
			poison_span(arena, unit);
		else if (is_free_run)
			memset(tutti__at(arena, unit << TUTTI__UNIT_SHIFT), NONSENSE,
			       TUTTI__UNIT_SIZE); /* its first unit will do */
		if (TUTTI__RUN_LENGTH(run) == 0)
			return;
		unit += TUTTI__RUN_LENGTH(run);
	}
}
