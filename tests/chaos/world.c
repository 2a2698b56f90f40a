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
	memset(world, 0, sizeof *world); /* its wait set is opened when it is first needed */
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
	must(tutti_queue_open(&world->courier,
	                      &(tutti_queue_options){.arena = world->arena, .name = "courier", .max_items = 50}));
	must(tutti_queue_open(&world->jobs, &(tutti_queue_options){.arena = world->arena,
	                                                           .name = "jobs",
	                                                           .max_items = 50,
	                                                           .joinable = true}));
	for (int i = 0; i < PLAIN_LOCKS; i++)
		must(tutti_lock_open(&world->locks[i], &(tutti_lock_options){.arena = world->arena, .handover = i == 0}));
	must(tutti_rlock_open(&world->rlock, &(tutti_rlock_options){.arena = world->arena}));
	must(tutti_semaphore_open(&world->semaphore, 1, &(tutti_semaphore_options){.arena = world->arena, .max_value = 1}));
	must(tutti_rwlock_open(&world->rwlock, &(tutti_rwlock_options){.arena = world->arena}));
	for (int i = 0; i < EVENTS; i++)
		must(tutti_event_open(&world->events[i], &(tutti_event_options){.arena = world->arena}));
	must(tutti_condition_open(&world->condition, &(tutti_condition_options){.arena = world->arena}));
	must(tutti_barrier_open(&world->barrier, 3, &(tutti_barrier_options){.arena = world->arena}));
}

static tutti_err open_all(struct world *world, const struct world *original)
{
	tutti_err err = tutti_queue_at(&world->mail, world->arena, tutti_queue_handle(original->mail));
	if (!err)
		err = tutti_queue_at(&world->courier, world->arena, tutti_queue_handle(original->courier));
	if (!err)
		err = tutti_queue_at(&world->jobs, world->arena, tutti_queue_handle(original->jobs));
	for (int i = 0; !err && i < QUEUES; i++)
		err = tutti_queue_at(&world->queues[i], world->arena, tutti_queue_handle(original->queues[i]));
	for (int i = 0; !err && i < PLAIN_LOCKS; i++)
		err = tutti_lock_at(&world->locks[i], world->arena, tutti_lock_handle(original->locks[i]));
	if (!err)
		err = tutti_rlock_at(&world->rlock, world->arena, tutti_rlock_handle(original->rlock));
	if (!err)
		err = tutti_semaphore_at(&world->semaphore, world->arena, tutti_semaphore_handle(original->semaphore));
	if (!err)
		err = tutti_rwlock_at(&world->rwlock, world->arena, tutti_rwlock_handle(original->rwlock));
	for (int i = 0; !err && i < EVENTS; i++)
		err = tutti_event_at(&world->events[i], world->arena, tutti_event_handle(original->events[i]));
	if (!err)
		err = tutti_condition_at(&world->condition, world->arena, tutti_condition_handle(original->condition));
	if (!err)
		err = tutti_barrier_at(&world->barrier, world->arena, tutti_barrier_handle(original->barrier));
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
	tutti_queue_close(world->courier);
	tutti_queue_close(world->jobs);
	for (int i = 0; i < PLAIN_LOCKS; i++)
		tutti_lock_close(world->locks[i]);
	tutti_rlock_close(world->rlock);
	tutti_semaphore_close(world->semaphore);
	tutti_rwlock_close(world->rwlock);
	for (int i = 0; i < EVENTS; i++)
		tutti_event_close(world->events[i]);
	tutti_condition_close(world->condition);
	tutti_barrier_close(world->barrier);
	if (leave)
		tutti_arena_close(world->arena);
}

tutti_err world_acquire(struct world *world, unsigned number, tutti_time timeout)
{
	switch (number) {
	case NUMBER_OF_RLOCK:
		return tutti_rlock_acquire(world->rlock, timeout);
	case NUMBER_OF_SEMAPHORE:
		return tutti_semaphore_acquire(world->semaphore, timeout);
	case NUMBER_OF_RWLOCK:
		return tutti_rwlock_acquire_write(world->rwlock, timeout);
	default:
		return tutti_lock_acquire(world->locks[number], timeout);
	}
}

tutti_err world_release(struct world *world, unsigned number)
{
	switch (number) {
	case NUMBER_OF_RLOCK:
		return tutti_rlock_release(world->rlock);
	case NUMBER_OF_SEMAPHORE:
		return tutti_semaphore_release(world->semaphore, 1);
	case NUMBER_OF_RWLOCK:
		return tutti_rwlock_release_write(world->rwlock);
	default:
		return tutti_lock_release(world->locks[number]);
	}
}
