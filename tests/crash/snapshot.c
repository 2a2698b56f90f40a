/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_PAGES = 4096 };

struct snapshot {
	tutti_arena *arena;
	unsigned char *copy; /* at the same offsets as the arena, touched only where that is */
	blkcnt_t blocks; /* of the memory file: changes when a page comes or goes */
	uint64_t change; /* offset of a byte that differed last time */
	unsigned page_count;
	uint64_t pages[MAX_PAGES]; /* offsets */
};

static blkcnt_t blocks_of(const tutti_arena *arena)
{
	struct stat status;
	return fstat(arena->fd, &status) == 0 ? status.st_blocks : 0;
}

static void list_pages(struct snapshot *snapshot)
{
	const tutti_arena *arena = snapshot->arena;
	off_t end, begin = 0;
	snapshot->blocks = blocks_of(arena);
	snapshot->page_count = 0;
	while ((begin = lseek(arena->fd, begin, SEEK_DATA)) >= 0) {
		end = lseek(arena->fd, begin, SEEK_HOLE);
		for (; begin < end; begin += PAGE) {
			if (snapshot->page_count == MAX_PAGES)
				_exit(4);
			snapshot->pages[snapshot->page_count++] = (uint64_t)begin;
		}
	}
}

static bool copy_changes(struct snapshot *snapshot)
{
	bool changed = false;
	for (unsigned i = 0; i < snapshot->page_count; i++) {
		uint64_t offset = snapshot->pages[i];
		if (memcmp(snapshot->copy + offset, snapshot->arena->base + offset, PAGE) == 0)
			continue;
		while (snapshot->copy[offset] == snapshot->arena->base[offset])
			offset++;
		snapshot->change = offset;
		offset = snapshot->pages[i];
		memcpy(snapshot->copy + offset, snapshot->arena->base + offset, PAGE);
		changed = true;
	}
	return changed;
}

struct snapshot *snapshot_take(tutti_arena *arena)
{
	struct snapshot *snapshot = calloc(1, sizeof *snapshot);
	snapshot->arena = arena;
	snapshot->copy =
		mmap(NULL, arena->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (snapshot->copy == MAP_FAILED)
		_exit(4);
	list_pages(snapshot);
	copy_changes(snapshot);
	return snapshot;
}

uint64_t snapshot_change(const struct snapshot *snapshot) { return snapshot->change; }

bool snapshot_has_changed(struct snapshot *snapshot)
{
	if (blocks_of(snapshot->arena) != snapshot->blocks)
		list_pages(snapshot);
	return copy_changes(snapshot);
}

void snapshot_make_private(tutti_arena *arena)
{
	if (mmap(arena->base, arena->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, arena->fd, 0) ==
	    MAP_FAILED) {
		perror("crash_ring: cannot map a private copy of the arena");
		_exit(4);
	}
}
