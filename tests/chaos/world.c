/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "world.h"

static void must(tutti_err err)
{
	if (err)
		exit(tutti_fatal(err) + 1);
}

void world_make(struct world *world)
{
	/* Small enough to be full now and then. */
	must(tutti_arena_open(&world->arena, &(tutti_arena_options){.name = "chaos", .max_bytes = 8ULL << 20}));
	tutti_queue_options options[QUEUES] = {{.name = "first"},
	                                       {.name = "second"},
	                                       {.name = "items", .max_items = 20},
	                                       {.name = "bytes", .max_bytes = 20000}};
	for (int i = 0; i < QUEUES; i++) {
		options[i].arena = world->arena;
		must(tutti_queue_open(&world->queues[i], &options[i]));
	}
	must(
		tutti_queue_open(&world->mail, &(tutti_queue_options){.arena = world->arena, .name = "mail", .max_items = 50}));
	for (int i = 0; i < LOCKS; i++)
		must(tutti_lock_open(&world->locks[i], &(tutti_lock_options){.arena = world->arena}));
	for (int i = 0; i < EVENTS; i++)
		must(tutti_event_open(&world->events[i], &(tutti_event_options){.arena = world->arena}));
}

static tutti_err open_all(struct world *world, const struct world *original)
{
	tutti_err err = tutti_queue_at(&world->mail, world->arena, tutti_queue_handle(original->mail));
	for (int i = 0; !err && i < QUEUES; i++)
		err = tutti_queue_at(&world->queues[i], world->arena, tutti_queue_handle(original->queues[i]));
	for (int i = 0; !err && i < LOCKS; i++)
		err = tutti_lock_at(&world->locks[i], world->arena, tutti_lock_handle(original->locks[i]));
	for (int i = 0; !err && i < EVENTS; i++)
		err = tutti_event_at(&world->events[i], world->arena, tutti_event_handle(original->events[i]));
	return err;
}

bool world_join(struct world *world, const struct world *original)
{
	memset(world, 0, sizeof *world);
	tutti_err err = tutti_arena_join_fd(&world->arena, tutti_arena_fd(original->arena), "joined");
	if (err) {
		ledger_fail(CHECK_ERROR, "joining: %s", tutti_last_error());
		return false;
	}
	err = open_all(world, original);
	if (err == TUTTI_OK)
		return true;
	if (err == TUTTI_ENOMEM)
		ledger_count(COUNT_FULL, 1); /* a holder beyond the twelfth takes a block */
	else
		ledger_fail(CHECK_ERROR, "opening a handle: %s", tutti_last_error());
	world_close(world, true);
	return false;
}

void world_close(struct world *world, bool leave)
{
	tutti_waitset_close(world->set);
	for (int i = 0; i < QUEUES; i++)
		tutti_queue_close(world->queues[i]);
	tutti_queue_close(world->mail);
	for (int i = 0; i < LOCKS; i++)
		tutti_lock_close(world->locks[i]);
	for (int i = 0; i < EVENTS; i++)
		tutti_event_close(world->events[i]);
	if (leave)
		tutti_arena_close(world->arena);
}
