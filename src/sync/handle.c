/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "arena/arena.h"
#include "arena/poller.h"
#include "sync/handle.h"

static tutti_err prepare(tutti_arena *given, enum tutti__kind_number kind, size_t handle_size, tutti_arena **arena,
                         struct tutti__reference **handle)
{
	tutti_err err = tutti__arena_or_default(given, arena);
	if (err)
		return err;
	*handle = calloc(1, handle_size);
	return *handle ? TUTTI_OK : tutti__fail(TUTTI_ENOMEM, "no memory for a handle on a %s", tutti__kinds[kind]->name);
}

tutti_err tutti__handle_make(tutti_arena *given, enum tutti__kind_number kind, size_t handle_size, size_t object_size,
                             const char *name, struct tutti__reference **handle)
{
	tutti_arena *arena;
	struct tutti__reference *made;
	tutti_err err = prepare(given, kind, handle_size, &arena, &made);
	if (err)
		return err;
	made->arena = arena;
	made->kind = (uint8_t)kind;
	err = tutti__object_create(arena, kind, object_size, name, &made->object);
	if (err)
		free(made);
	else
		*handle = made;
	return err;
}

void tutti__handle_publish(struct tutti__reference *handle)
{
	tutti__object_publish(handle->arena, (enum tutti__kind_number)handle->kind, handle->object, handle);
}

tutti_err tutti__handle_find(tutti_arena *given, enum tutti__kind_number kind, size_t handle_size, tutti_handle value,
                             struct tutti__reference **handle)
{
	tutti_arena *arena;
	struct tutti__reference *made;
	tutti_err err = prepare(given, kind, handle_size, &arena, &made);
	if (!err && (err = tutti__reference_open(made, arena, kind, value)) != TUTTI_OK)
		free(made);
	else if (!err)
		*handle = made;
	return err;
}

tutti_err tutti__handle_fd(struct tutti__reference *handle, int *fd)
{
	tutti_err err = TUTTI_OK;
	struct tutti__watch watch;
	*fd = -1;
	if (tutti__use(handle, &err) == 0)
		return err;
	err = tutti__kinds[handle->kind]->watch(handle, &watch);
	return err ? err : tutti__poll_fd(handle->arena, &watch, false, fd);
}

void tutti__handle_close(struct tutti__reference *handle)
{
	if (!handle)
		return;
	tutti__reference_close(handle);
	free(handle);
}
