/* SPDX-License-Identifier: MIT */
/*
 * A shared block: the bytes of a received message as an object, which several members may hold.
 *
 * A message belongs to the member that received it, and is gone with it. As a block it lives until its last
 * holder has closed it or died: a forked child, or whoever was sent its handle.
 *
 * Threads: any. Fork: inherited, see tutti_renew(). Signals: not in handlers. Kill: the dead member's hold ends.
 */
#ifndef TUTTI_BLOCK_H
#define TUTTI_BLOCK_H

#include <tutti/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tutti_block tutti_block;

/*
 * Makes the bytes of a received message a block. They stay where they are: `message->view` is valid as long as
 * the block is. On success the message has only what it carries left; release it when that was opened.
 * TUTTI_EINVAL: it has 4 KiB or less, or is released: copy it. TUTTI_ENOMEM. On an error the message is unchanged.
 */
TUTTI_API tutti_err tutti_block_adopt(tutti_block **block, tutti_message *message);

/* Opens an existing block. TUTTI_ESTALE, TUTTI_EFOREIGN, TUTTI_EKIND. `arena` NULL: the default one. */
TUTTI_API tutti_err tutti_block_at(tutti_block **block, tutti_arena *arena, tutti_handle handle);

/* Gives this handle back. NULL is fine. */
TUTTI_API void tutti_block_close(tutti_block *block);

TUTTI_API tutti_handle tutti_block_handle(const tutti_block *block);

/* The bytes, which all holders share: 64-byte aligned, and may be written. */
TUTTI_API tutti_view tutti_block_view(const tutti_block *block);

#ifdef __cplusplus
}
#endif

#endif
