/* SPDX-License-Identifier: MIT */
/*
 * What a job brings or gives: up to 64 bytes in the job itself, or a parcel, which may be large and carry handles.
 *
 * The parcel is handed over by writing the field first, then SHARED into its owner word; taken away or freed by the
 * owner word first, then clearing the field. So a death leaves one of: nobody has begun; the field names a parcel of
 * the dead (abandon and forget clear it, and the sweep frees what it named); it is done. A job that is free has none.
 */
#ifndef TUTTI_POOL_CARGO_H
#define TUTTI_POOL_CARGO_H

#include "channel/parcel.h"

enum { TUTTI__CARGO_INLINE = 64 };

struct tutti__cargo {
	atomic_u64 parcel; /* 0: `bytes` has it */
	uint64_t size;
	uint32_t encoding; /* tutti_encoding */
	uint32_t reserved;
	unsigned char bytes[TUTTI__CARGO_INLINE];
};

/* What is to become one: the parts of a message. */
struct tutti__lading {
	const tutti_view *parts;
	size_t count;
	uint32_t encoding;
	const tutti_handle *carried;
	size_t carried_count;
};

/* Copies it in; there is none yet. TUTTI_ENOMEM, TUTTI_EINVAL, TUTTI_ESTALE, TUTTI_EFOREIGN: there is none still. */
tutti_err tutti__cargo_load(tutti_arena *arena, struct tutti__cargo *cargo, const struct tutti__lading *lading);

/* The same without a copy: a block of the caller's with `size` bytes becomes its. On an error it stays the caller's. */
tutti_err tutti__cargo_load_block(tutti_arena *arena, struct tutti__cargo *cargo, uint64_t block, uint64_t size);

/* Where its bytes are. */
tutti_view tutti__cargo_view(const tutti_arena *arena, const struct tutti__cargo *cargo);

/* Moves it into a message. Bytes that lie in the job are valid as long as that is the caller's. */
void tutti__cargo_take(tutti_arena *arena, struct tutti__cargo *cargo, tutti_message *message);

/* Shows it as a message that owns nothing. */
void tutti__cargo_show(tutti_arena *arena, const struct tutti__cargo *cargo, tutti_message *message);

void tutti__cargo_drop(tutti_arena *arena, struct tutti__cargo *cargo);

/* Its job was the dead's: the parcel becomes the dead's too. Idempotent. */
void tutti__cargo_abandon(tutti_arena *arena, struct tutti__cargo *cargo, uint32_t dead);
/* The dead may have been about to take it away: then it goes with the dead. Idempotent. */
void tutti__cargo_forget_taken(tutti_arena *arena, struct tutti__cargo *cargo, uint32_t dead);

#endif
