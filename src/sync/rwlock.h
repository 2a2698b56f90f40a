/* SPDX-License-Identifier: MIT */
/*
 * The read-write lock.
 *
 *     writer    0, or a member's id (31 bits) with CLAIMED (it waits until the readers are
 *               out) or HELD; and TAINTED: a writer was killed, and none has repaired since
 *     readers   shares (shares.h): how many reads each member holds
 *
 * To read: raise the own share, then look at the word; to write: put the id into the word,
 * then look at all shares. Each side first writes, by an atomic read-modify-write, and then
 * looks, with a full barrier between: so of a reader and a writer that meet at least one
 * sees the other. A reader that sees a writer takes its share back and waits; a writer that
 * sees readers waits for them and keeps new ones out. Only the one whose id it is changes
 * the word, and a recovery when that one is dead.
 *
 *     reading, uncontended    one CAS on a word of one's own to acquire, one to release
 *     writing, uncontended    one CAS and a look at the shares; one exchange to release
 *
 * TAINTED stays, and everyone who acquires is told, until a writer has released: a reader
 * cannot repair.
 *
 * What a death leaves:
 *     reader                  its share: cleared (killed), or kept under the id KEPT (clean
 *                             exit), which any member may release
 *     writer, CLAIMED         the word becomes 0 (or TAINTED, as before): it changed nothing
 *     writer, HELD            TAINTED (killed), or HELD under the id KEPT (clean exit)
 *     with the latch held     a share was being looked for: nothing is half done
 * each by one CAS, then those who wait are woken; a waker killed before its wake costs them
 * one tick.
 */
#ifndef TUTTI_SYNC_RWLOCK_H
#define TUTTI_SYNC_RWLOCK_H

#include "arena/wait.h"
#include "sync/shares.h"

#define TUTTI__WRITER_CLAIMED (1ULL << 32)
#define TUTTI__WRITER_HELD (1ULL << 33)
#define TUTTI__WRITER_TAINTED (1ULL << 34)

struct tutti__rwlock {
	struct tutti__object object;
	atomic_u64 writer;
	atomic_u32 gone_pid; /* of the last writer that ended with it */
	struct tutti__shares readers;
	/* Those who wait until no writer is there; and the writer who waits until no reader is. */
	struct tutti__wait_point readers_point, writers_point, drain_point;
	struct tutti__wait_hints readers_hints, writers_hints, drain_hints;
};

static inline uint32_t tutti__writer_id(uint64_t writer) { return (uint32_t)writer & TUTTI__ID_MASK; }

static inline bool tutti__has_writer(uint64_t writer)
{
	return (writer & (TUTTI__WRITER_CLAIMED | TUTTI__WRITER_HELD)) != 0;
}

#endif
