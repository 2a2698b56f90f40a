/* SPDX-License-Identifier: MIT */
/* What a death leaves in a read-write lock, and its end. The cases: rwlock.h. */
#include "sync/kinds.h"
#include "sync/rwlock.h"

static void recover_writer(tutti_arena *arena, struct tutti__rwlock *shared, uint32_t dead, bool clean)
{
	uint64_t writer = load_acquire(&shared->writer);
	if (!tutti__has_writer(writer) || tutti__writer_id(writer) != dead)
		return;
	uint64_t next = writer & TUTTI__WRITER_TAINTED;
	if (writer & TUTTI__WRITER_HELD) {
		store_relaxed(&shared->gone_pid, (uint32_t)tutti__member_pid(arena, dead));
		next = clean ? next | TUTTI__WRITER_HELD | TUTTI__KEPT : TUTTI__WRITER_TAINTED;
	}
	cas_u64(&shared->writer, writer, next);
}

static void recover_reads(tutti_arena *arena, struct tutti__rwlock *shared, uint32_t dead, bool clean)
{
	for (uint32_t number = 1; number <= load_relaxed(&shared->readers.used); number++) {
		atomic_u64 *share = tutti__share_at(arena, &shared->readers, number);
		uint64_t old = load_acquire(share);
		int32_t count = tutti__share_count(old);
		if (old && tutti__share_id(old) == dead)
			cas_u64(share, old, clean && count > 0 ? tutti__share(TUTTI__KEPT, count) : 0);
	}
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner;
	struct tutti__rwlock *shared = tutti__at(arena, offset);
	tutti__shares_recover(arena, &shared->readers, dead);
	tutti__latch_release_dead(&shared->readers.latch, dead);
	recover_reads(arena, shared, dead, clean);
	recover_writer(arena, shared, dead, clean);
	tutti__wake_all(&shared->drain_point);
	tutti__wake_all(&shared->readers_point);
	tutti__wake_all(&shared->writers_point);
}

static void destroy(tutti_arena *arena, uint64_t offset)
{
	tutti__shares_destroy(arena, &((struct tutti__rwlock *)tutti__at(arena, offset))->readers);
}

/* CLAIMED and HELD exclude each other, and a writer's id stands there exactly with one of them. */
bool tutti__rwlock_is_valid(tutti_arena *arena, uint64_t offset, void (*reach)(void *context, uint64_t offset),
                            void *context)
{
	struct tutti__rwlock *shared = tutti__at(arena, offset);
	uint64_t writer = load_acquire(&shared->writer);
	uint32_t id = tutti__writer_id(writer);
	if (tutti__has_writer(writer) != (id != 0) || (writer & TUTTI__WRITER_CLAIMED && writer & TUTTI__WRITER_HELD))
		return false;
	if (id != 0 && id != TUTTI__KEPT && tutti__member_is_dead(arena, id))
		return false;
	return tutti__shares_are_valid(arena, &shared->readers, reach, context);
}

const struct tutti__kind tutti__rwlock_kind = {.name = "read-write lock",
                                               .is_object = true,
                                               .recover = recover,
                                               .destroy = destroy};
