/* SPDX-License-Identifier: MIT */
/* Waiting for everything in the world at once: whatever is reported is used. */
#include "member.h"

static tutti_err fill(struct world *world)
{
	tutti_err err = TUTTI_OK;
	for (int i = 0; !err && i < QUEUES; i++)
		err = tutti_waitset_add(world->set, tutti_wait_queue(world->queues[i], &world->queues[i]));
	for (int i = 0; !err && i < PLAIN_LOCKS; i++)
		err = tutti_waitset_add(world->set, tutti_wait_lock(world->locks[i], NULL));
	if (!err)
		err = tutti_waitset_add(world->set, tutti_wait_rlock(world->rlock, NULL));
	if (!err)
		err = tutti_waitset_add(world->set, tutti_wait_semaphore(world->semaphore, NULL));
	if (!err)
		err = tutti_waitset_add(world->set, tutti_wait_queue(world->jobs, &world->jobs));
	for (int i = 0; !err && i < EVENTS; i++)
		err = tutti_waitset_add(world->set, tutti_wait_event(world->events[i], NULL));
	return err;
}

static void use(struct member *member, const tutti_wait_item *ready)
{
	struct world *world = &member->world;
	tutti_err err = TUTTI_OK;
	if (ready->key == &world->jobs)
		member_do_job(member);
	else if (ready->kind == TUTTI_WAIT_QUEUE)
		member_get_of(member, (uint32_t)((tutti_queue **)ready->key - world->queues));
	else if (ready->kind == TUTTI_WAIT_EVENT)
		err = tutti_event_clear(ready->object);
	if (err)
		member_tolerates(err, "clear");
}

void member_poll(struct member *member)
{
	struct world *world = &member->world;
	tutti_wait_item ready;
	tutti_err err = TUTTI_OK;
	if (!world->set) {
		err = tutti_waitset_open(&world->set, &(tutti_waitset_options){.arena = world->arena});
		if (!err)
			err = fill(world);
	}
	if (!err)
		err = tutti_waitset_next(world->set, &ready, tutti_us(member_random(member, 4000)));
	if (!err) {
		ledger_count(COUNT_POLLED, 1);
		use(member, &ready);
	} else if (err != TUTTI_ETIMEDOUT)
		member_tolerates(err, "wait set");
	if (world->set && member_random(member, 50) == 0) {
		tutti_waitset_close(world->set);
		world->set = NULL;
	}
}
