/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "chaos.h"

uint32_t member_random(struct member *member, uint32_t limit)
{
	uint64_t x = member->random;
	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	member->random = x;
	return limit ? (uint32_t)((x >> 32) % limit) : 0;
}

bool member_tolerates(tutti_err err, const char *operation)
{
	if (err == TUTTI_ENOMEM)
		ledger_count(COUNT_FULL, 1);
	else if (err == TUTTI_EBUSY)
		ledger_count(COUNT_BUSY, 1);
	else
		ledger_fail(CHECK_ERROR, "%s gave %s: %s", operation, tutti_error_name(err), tutti_last_error());
	return err == TUTTI_ENOMEM || err == TUTTI_EBUSY;
}

/* Changes what the lock guards, in two steps that a kill may part. */
static void change_guarded(struct member *member, struct guarded *guarded, bool told)
{
	uint32_t other = atomic_exchange(&guarded->inside, member->number + 1);
	if (other && !told)
		ledger_fail(CHECK_EXCLUSION, "life %u is inside beside life %u", member->number, other - 1);
	if (guarded->first != guarded->second && !told)
		ledger_fail(CHECK_GUARDED, "%llu and %llu, and nobody's death was told", (unsigned long long)guarded->first,
		            (unsigned long long)guarded->second);
	if (told)
		guarded->second = guarded->first;
	guarded->first++;
	/* Mostly for a moment, sometimes long enough for others to fall asleep and for a kill to hit it. */
	uint32_t moment = member_random(member, 8) ? member_random(member, 5000) : member_random(member, 2000000);
	for (int64_t end = chaos_now() + moment; chaos_now() < end;)
		atomic_signal_fence(memory_order_seq_cst);
	guarded->second++;
	uint32_t self = member->number + 1;
	if (!atomic_compare_exchange_strong(&guarded->inside, &self, 0))
		ledger_fail(CHECK_EXCLUSION, "somebody came in beside life %u", member->number);
}

static void use_lock(struct member *member)
{
	uint32_t number = member_random(member, LOCKS);
	tutti_time timeout = member_random(member, 2) ? TUTTI_NOW : tutti_us(member_random(member, 30000));
	tutti_err err = world_acquire(&member->world, number, timeout);
	if (err == TUTTI_ETIMEDOUT || err == TUTTI_EBUSY || err == TUTTI_EINTR)
		return;
	if (err && err != TUTTI_EOWNERDEAD) {
		member_tolerates(err, "acquire");
		return;
	}
	ledger_count(COUNT_LOCKED, 1);
	ledger_count(COUNT_TOLD, err == TUTTI_EOWNERDEAD);
	change_guarded(member, &ledger->guarded[number], err == TUTTI_EOWNERDEAD);
	err = world_release(&member->world, number);
	if (err)
		member_tolerates(err, "release");
}

/* A reader sees what the lock guards whole, or was told. */
static void read_guarded(struct member *member)
{
	struct guarded *guarded = &ledger->guarded[NUMBER_OF_RWLOCK];
	tutti_err err = tutti_rwlock_acquire_read(member->world.rwlock, tutti_us(member_random(member, 3000)));
	if (err == TUTTI_ETIMEDOUT || err == TUTTI_EBUSY)
		return;
	if (err && err != TUTTI_EOWNERDEAD) {
		member_tolerates(err, "acquire_read");
		return;
	}
	if (err == TUTTI_OK && guarded->first != guarded->second)
		ledger_fail(CHECK_GUARDED, "%llu and %llu, read, and nobody's death was told",
		            (unsigned long long)guarded->first, (unsigned long long)guarded->second);
	err = tutti_rwlock_release_read(member->world.rwlock);
	if (err)
		member_tolerates(err, "release_read");
}

static void use_event(struct member *member)
{
	tutti_event *event = member->world.events[member_random(member, EVENTS)];
	tutti_err err = TUTTI_OK;
	switch (member_random(member, 4)) {
	case 0:
		err = tutti_event_clear(event);
		break;
	case 1:
		err = tutti_event_wait(event, tutti_us(member_random(member, 5000)));
		break;
	default:
		err = tutti_event_set(event);
	}
	if (err && err != TUTTI_ETIMEDOUT)
		member_tolerates(err, "event");
}

/* Notifies, or waits in two steps; a ticket that is given up after a notification passes it on. */
static void use_condition(struct member *member)
{
	tutti_condition *condition = member->world.condition;
	uint32_t choice = member_random(member, 4);
	uint64_t ticket;
	tutti_err err;
	if (choice < 2) {
		err = tutti_condition_notify(condition, choice ? 1 : UINT32_MAX, NULL);
	} else if ((err = tutti_condition_enlist(condition, &ticket)) == TUTTI_OK) {
		if (choice == 2)
			err = tutti_condition_sleep(condition, ticket, tutti_us(member_random(member, 5000)));
		else if (tutti_condition_leave(condition, ticket))
			err = tutti_condition_notify(condition, 1, NULL);
	}
	if (err && err != TUTTI_ETIMEDOUT)
		member_tolerates(err, "condition");
}

/* Mostly it breaks, by time or by death; then it is reset. */
static void use_barrier(struct member *member)
{
	tutti_barrier *barrier = member->world.barrier;
	uint32_t index = 0;
	tutti_err err = member_random(member, 16)
	                    ? tutti_barrier_wait(barrier, NULL, NULL, &index, tutti_us(member_random(member, 5000)))
	                    : tutti_barrier_abort(barrier);
	if (err == TUTTI_EBROKEN)
		err = tutti_barrier_reset(barrier);
	if (err)
		member_tolerates(err, "barrier");
	if (index >= 3)
		ledger_fail(CHECK_ERROR, "barrier_wait gave the index %u of 3", index);
}

/* Makes a queue with a message, mails its handle, and keeps it open until its place is needed for another. */
static void mail_handle(struct member *member)
{
	tutti_queue **place = &member->mailed[member_random(member, HELD)];
	tutti_queue_close(*place);
	*place = NULL;
	tutti_err err = tutti_queue_open(place, &(tutti_queue_options){.arena = member->world.arena, .name = "mailed"});
	if (err) {
		member_tolerates(err, "queue_open");
		return;
	}
	tutti_handle handle = tutti_queue_handle(*place);
	err = tutti_queue_put(*place, &handle, sizeof handle, TUTTI_NOW);
	if (!err)
		err = tutti_queue_put(member->world.mail, &handle, sizeof handle, TUTTI_NOW);
	if (!err)
		ledger_count(COUNT_MAILED, 1);
	else if (err != TUTTI_EFULL)
		member_tolerates(err, "mailing");
}

/* Opens a mailed queue, if it is still there, and looks into it. */
static void open_mailed(struct member *member)
{
	tutti_handle handle, inside;
	tutti_queue *queue;
	size_t size;
	tutti_err err = tutti_queue_get_into(member->world.mail, &handle, sizeof handle, &size, TUTTI_NOW);
	if (err == TUTTI_OK)
		err = tutti_queue_at(&queue, member->world.arena, handle);
	if (err) {
		if (err != TUTTI_EEMPTY && err != TUTTI_ESTALE)
			member_tolerates(err, "opening mail");
		return;
	}
	ledger_count(COUNT_OPENED, 1);
	err = tutti_queue_get_into(queue, &inside, sizeof inside, &size, TUTTI_NOW);
	if (err == TUTTI_OK && (size != sizeof inside || memcmp(&inside, &handle, sizeof inside) != 0))
		ledger_fail(CHECK_TORN, "a mailed queue holds another's message");
	if (err && err != TUTTI_EEMPTY)
		member_tolerates(err, "reading a mailed queue");
	tutti_queue_close(queue);
}

static void open_carried(struct member *member) { member_open_carried(member); }

enum liking { ALWAYS, PUTTING, GETTING };

static const struct operation {
	void (*run)(struct member *member);
	unsigned weight;
	enum liking liking;
} operations[] = {
	{member_put, 20, PUTTING},         {member_put_batch, 8, PUTTING}, {member_put_draft, 8, PUTTING},
	{member_get, 18, GETTING},         {member_get_copy, 18, GETTING}, {member_get_batch, 8, GETTING},
	{member_release_held, 40, ALWAYS}, {use_lock, 30, ALWAYS},         {use_event, 10, ALWAYS},
	{mail_handle, 10, ALWAYS},         {open_mailed, 10, ALWAYS},      {member_carry, 8, ALWAYS},
	{open_carried, 10, ALWAYS},        {member_put_job, 8, PUTTING},   {member_do_job, 10, GETTING},
	{read_guarded, 20, ALWAYS},        {use_condition, 10, ALWAYS},    {use_barrier, 5, ALWAYS},
	{member_poll, 10, GETTING},
};

static unsigned weight_for(const struct member *member, const struct operation *operation)
{
	unsigned liking = operation->liking == PUTTING ? member->puts : operation->liking == GETTING ? member->gets : 1;
	return operation->weight * liking;
}

static void run_one(struct member *member)
{
	unsigned total = 0;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		total += weight_for(member, &operations[i]);
	uint32_t choice = member_random(member, total), i = 0;
	while (choice >= weight_for(member, &operations[i]))
		choice -= weight_for(member, &operations[i++]);
	atomic_store(&member->life->operation, i);
	operations[i].run(member);
	atomic_fetch_add(&member->life->heartbeat, 1);
}

void member_begin(struct member *member, uint32_t number, uint64_t seed)
{
	member->life = &ledger->lives[number];
	member->number = number;
	member->random = (seed + 1) * 0x9e3779b97f4a7c15ULL ^ (number + 1) * 0xbf58476d1ce4e5b9ULL;
	for (int i = 0; i < 8; i++)
		member_random(member, 0);
	memset(member->held, 0, sizeof member->held);
	memset(member->mailed, 0, sizeof member->mailed);
	/* Some only put, some only get, so that queues and the arena run full and empty again. */
	member->puts = member_random(member, 4);
	member->gets = member->puts == 0 ? 4 : member_random(member, 4);
	member->last = calloc(LIVES, sizeof *member->last);
	member->lifetime = 500 + member_random(member, 200000);
}

bool member_live(struct member *member, bool (*is_to_vanish)(struct member *member))
{
	for (unsigned i = 0; i < member->lifetime && !atomic_load(&ledger->stop); i++) {
		if (is_to_vanish && is_to_vanish(member))
			return false;
		run_one(member);
	}
	return true;
}

void member_end(struct member *member)
{
	for (int i = 0; i < HELD; i++)
		tutti_message_release(&member->held[i]);
	for (int i = 0; i < HELD; i++)
		tutti_queue_close(member->mailed[i]);
	free(member->last);
}
