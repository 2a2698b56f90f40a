/* SPDX-License-Identifier: MIT */
/*
 * The arena: one sparse memory file that all members map, in which every shared
 * object lives. It is anonymous: the kernel frees it with the last process that
 * maps it, however that one ended.
 *
 * Most programs need none of this: each options struct with `.arena = NULL` means
 * the default arena, which is made on first use and inherited by fork and spawn.
 *
 * Threads: every function may be called by any thread. Fork: a child made by
 * plain fork() becomes a member of its own on first use. Signals: none of these
 * may be called in a signal handler. Kill: at any instruction; what the dead
 * member held is recovered by whoever notices first.
 */
#ifndef TUTTI_ARENA_H
#define TUTTI_ARENA_H

#include <tutti/base.h>
#include <tutti/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One member's view of an arena. A process may be several members of one arena. */
typedef struct tutti_arena tutti_arena;

typedef struct tutti_arena_options {
	const char *name; /* at most 39 bytes; default: the program's name. TUTTI_ARENA_NAME */
	uint64_t size; /* virtual bytes; default: the machine's RAM, at least 64 GiB, halved while it cannot be mapped */
	uint64_t max_bytes; /* bytes that may be touched; default: 80 % of the smaller of RAM and cgroup. TUTTI_ARENA_MAX */
	const char *member_name; /* this member's name in errors; default: the program's name */
} tutti_arena_options;

typedef struct tutti_arena_usage {
	uint64_t max_bytes; /* bytes that may be touched */
	uint64_t touched_bytes; /* bytes that are touched: live ones and those kept for reuse */
	uint64_t live_blocks; /* allocated blocks */
	uint64_t live_bytes; /* their bytes, rounded up to their size classes */
	uint64_t members; /* members that are in */
} tutti_arena_usage;

/*
 * Makes a new arena and joins it. `options` may be NULL.
 * TUTTI_EINVAL: a name that is too long, a size below 1 MiB. TUTTI_ESYSTEM: the
 * kernel refused the memory file or its mapping. TUTTI_EDESCRIPTORS.
 */
TUTTI_API tutti_err tutti_arena_open(tutti_arena **arena, const tutti_arena_options *options);

/*
 * The default arena of this process: made on first use, or the one that this
 * process was started with. Never closed.
 */
TUTTI_API tutti_err tutti_arena_default(tutti_arena **arena);

/*
 * Joins an arena by a descriptor of its memory file; the descriptor is duplicated
 * and stays the caller's.
 * TUTTI_ENOTARENA: some other file. TUTTI_EVERSION: made by an incompatible
 * library. TUTTI_EMEMBERS: no slot is free. TUTTI_ESYSTEM: it cannot be mapped.
 */
TUTTI_API tutti_err tutti_arena_join_fd(tutti_arena **arena, int fd, const char *member_name);

/*
 * Joins an arena by name: finds it among the open files of this user's processes
 * (the kernel checks the user). TUTTI_ENOENT: no member of such an arena runs.
 */
TUTTI_API tutti_err tutti_arena_join_name(tutti_arena **arena, const char *name, const char *member_name);

/*
 * Joins the arena that a handle belongs to, in the same way; or gives the one that this
 * process is a member of already. TUTTI_ENOENT: no member of it runs, or none of this user.
 */
TUTTI_API tutti_err tutti_arena_join_handle(tutti_arena **arena, tutti_handle handle, const char *member_name);

/* The arena of a handle if this process is a member of it, else NULL. */
TUTTI_API tutti_arena *tutti_arena_of(tutti_handle handle);

/*
 * Makes an arena that was joined the default one, which nothing closes. False, and nothing is
 * changed, if this process already uses another default arena.
 */
TUTTI_API bool tutti_arena_adopt(tutti_arena *arena);

/*
 * Takes hold, in a forked child, of an object that it inherited: now instead of at its first use, until
 * which the parent must keep it open. `object`: what an _open or _at function gave, of any kind.
 * TUTTI_OK also where there is nothing to do. TUTTI_ESTALE: it is gone. TUTTI_EMEMBERS, TUTTI_ENOMEM.
 */
TUTTI_API tutti_err tutti_renew(void *object);

/*
 * Announces that this process is about to end cleanly: for one that ends by _exit(), which
 * otherwise counts as killed. What it holds stays held. exit() and return from main announce it themselves.
 */
TUTTI_API void tutti_leave(void);

/*
 * An escort holds what is on its way to a process that is being started, as one more member would:
 * until it is closed, by either side, or its process has ended. A plain value, which may travel along.
 */
typedef struct tutti_escort {
	uint32_t arena, member;
} tutti_escort;

/* Makes one, which stands for the caller until tutti_escort_follow(). TUTTI_EMEMBERS. */
TUTTI_API tutti_err tutti_escort_open(tutti_escort *escort, tutti_arena *arena);

/* Lets it hold an object of any kind. TUTTI_ESTALE: the object or the escort is gone. TUTTI_EFOREIGN, TUTTI_ENOMEM. */
TUTTI_API tutti_err tutti_escort_take(tutti_escort escort, tutti_handle handle);

/*
 * From here on it stands for the process `pid`, which the caller has started: it is closed when that has ended.
 * Harmless if it is closed already.
 */
TUTTI_API void tutti_escort_follow(tutti_escort escort, int pid);

/* Gives back what it holds. Any member; idempotent. */
TUTTI_API void tutti_escort_close(tutti_escort escort);

/* Leaves the arena cleanly. Close what was opened in it before. Idempotent for NULL. */
TUTTI_API void tutti_arena_close(tutti_arena *arena);

/* The descriptor of the memory file, to be passed to another process. Stays the arena's. */
TUTTI_API int tutti_arena_fd(tutti_arena *arena);

/* Counts what is in use by walking the arena: a few ms for a million blocks. */
TUTTI_API tutti_err tutti_arena_usage_read(tutti_arena *arena, tutti_arena_usage *usage);

/*
 * Looks for dead members now and recovers what they held, instead of within a
 * second. Returns how many were recovered.
 */
TUTTI_API unsigned tutti_arena_sweep(tutti_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
