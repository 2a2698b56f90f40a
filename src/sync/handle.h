/* SPDX-License-Identifier: MIT */
/*
 * What all handles on objects of this floor have in common. A handle is private memory
 * that begins with its struct tutti__reference.
 */
#ifndef TUTTI_SYNC_HANDLE_H
#define TUTTI_SYNC_HANDLE_H

#include "arena/object.h"

/*
 * A new object and a zeroed handle of `handle_size` bytes on it. Both are the caller's alone until
 * tutti__handle_publish().
 */
tutti_err tutti__handle_make(tutti_arena *given, enum tutti__kind_number kind, size_t handle_size, size_t object_size,
                             const char *name, struct tutti__reference **handle);
void tutti__handle_publish(struct tutti__reference *handle);

/* A zeroed handle on an existing object. */
tutti_err tutti__handle_find(tutti_arena *given, enum tutti__kind_number kind, size_t handle_size, tutti_handle value,
                             struct tutti__reference **handle);

/* Gives the reference back and frees the handle. NULL is fine. */
void tutti__handle_close(struct tutti__reference *handle);

/* For event loops: the descriptor of a handle whose kind can be polled. */
tutti_err tutti__handle_fd(struct tutti__reference *handle, int *fd);

#endif
