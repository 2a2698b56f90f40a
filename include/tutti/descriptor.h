/* SPDX-License-Identifier: MIT */
/*
 * Handing an open descriptor (file, socket, pipe, anything) to another member of the arena.
 *
 * The giver gets a value of 16 bytes, which travels by any message; who takes it first has a
 * descriptor of its own for the same open file. Giver and taker may be any two members: forked, spawned,
 * siblings, started long before.
 *
 * Threads: any. Fork: a child does not have what its parent is giving. Signals: not in handlers. Kill: when
 * the giver is killed what nobody took is closed, and a take says so. What a killed taker had taken is
 * closed with it. Nothing is left in any file system.
 */
#ifndef TUTTI_DESCRIPTOR_H
#define TUTTI_DESCRIPTOR_H

#include <tutti/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A descriptor on its way; a plain value. */
typedef struct tutti_descriptor {
	uint32_t arena;
	uint32_t member; /* who gives it */
	uint32_t address; /* where */
	uint32_t ticket;
} tutti_descriptor;

/*
 * Offers `fd` to the member that takes it first. The library keeps a duplicate until then: the caller may close its own.
 * While a process has something to give it has one socket and one thread for all.
 * TUTTI_EINVAL: `fd` is not open. TUTTI_EDESCRIPTORS, TUTTI_ENOMEM, TUTTI_ESYSTEM. `arena` NULL: the default one.
 */
TUTTI_API tutti_err tutti_descriptor_give(tutti_arena *arena, int fd, tutti_descriptor *descriptor);

/*
 * Takes it: `*fd` is the caller's from now on, close-on-exec. Waits for the giver's answer, about 100 us; TUTTI_NOW stands
 * for 10 ms. TUTTI_ESTALE: it was taken or dropped before, or the giver has ended. TUTTI_EBUSY (TUTTI_NOW) or
 * TUTTI_ETIMEDOUT: the giver does not answer, perhaps it is stopped; it still has it. TUTTI_EFOREIGN.
 * TUTTI_EPERM: giver and taker are of different users. TUTTI_EDESCRIPTORS: it stays with the giver.
 */
TUTTI_API tutti_err tutti_descriptor_take(tutti_arena *arena, tutti_descriptor descriptor, int *fd, tutti_time timeout);

/* The giver takes it back and closes its duplicate. TUTTI_ESTALE: it was taken. TUTTI_EPERM: another process gives it. */
TUTTI_API tutti_err tutti_descriptor_drop(tutti_arena *arena, tutti_descriptor descriptor);

#ifdef __cplusplus
}
#endif

#endif
