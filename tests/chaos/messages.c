/* SPDX-License-Identifier: MIT */
/* Putting and getting numbered messages, each step noted in the ledger. */
#include <stdlib.h>
#include <string.h>

#include "member.h"

/* What a message begins with; the rest is filled with bytes that depend on its number. */
struct content {
	uint64_t message;
	uint32_t life;
	uint32_t in_queue; /* numbers this life's messages in this queue */
	uint32_t queue;
	uint32_t size; /* of the whole */
};

enum { MAX_SIZE = 400000, MAX_BATCH_SIZE = 6000 };

static unsigned char byte_at(uint64_t message, size_t index)
{
	return (unsigned char)((message * 0x9e3779b97f4a7c15ULL >> 32) + index * 31);
}

static void write_content(struct member *member, void *data, uint64_t message, uint32_t queue, uint32_t size)
{
	struct content content = {message, member->number, atomic_fetch_add(&member->life->next_in_queue[queue], 1), queue,
	                          size};
	unsigned char *bytes = data;
	memcpy(data, &content, sizeof content);
	for (size_t i = sizeof content; i < size; i++)
		bytes[i] = byte_at(message, i);
}

/* Whole, and of this queue. */
static bool is_whole(const void *data, size_t size, uint32_t queue)
{
	struct content content;
	const unsigned char *bytes = data;
	if (size < sizeof content)
		return false;
	memcpy(&content, data, sizeof content);
	if (content.size != size || content.queue != queue || content.life >= LIVES || content.message >= MESSAGES)
		return false;
	for (size_t i = sizeof content; i < size; i++)
		if (bytes[i] != byte_at(content.message, i))
			return false;
	return true;
}

static void take_note(struct member *member, const void *data, size_t size, uint32_t queue)
{
	struct content content;
	if (!is_whole(data, size, queue)) {
		ledger_fail(CHECK_TORN, "a message of %zu bytes in queue %u", size, queue);
		return;
	}
	memcpy(&content, data, sizeof content);
	ledger_got(content.message);
	uint32_t *last = &member->last[content.life][queue];
	if (content.in_queue + 1 <= *last)
		ledger_fail(CHECK_ORDER, "queue %u, life %u: number %u came after %u", queue, content.life, content.in_queue,
		            *last - 1);
	*last = content.in_queue + 1;
}

/* Mostly small, some around the bound between small and large, a few really large. */
static uint32_t random_size(struct member *member, uint32_t limit)
{
	uint32_t least = sizeof(struct content), kind = member_random(member, 100);
	uint32_t size = kind < 70   ? least + member_random(member, 200)
	                : kind < 85 ? 3900 + member_random(member, 400)
	                : kind < 97 ? least + member_random(member, 20000)
	                            : least + member_random(member, MAX_SIZE - least);
	return size < limit ? size : least + size % (limit - least);
}

static tutti_time random_time(struct member *member)
{
	return member_random(member, 4) ? TUTTI_NOW : tutti_us(member_random(member, 4000));
}

void member_put(struct member *member)
{
	static _Thread_local unsigned char data[MAX_SIZE];
	uint32_t queue = member_random(member, QUEUES), size = random_size(member, MAX_SIZE);
	uint64_t message;
	if (!ledger_intend(member->life, queue, 1, &message))
		return;
	write_content(member, data, message, queue, size);
	tutti_err err = tutti_queue_put(member->world.queues[queue], data, size, random_time(member));
	ledger_put_done(member->life, message, 1, err == TUTTI_OK);
	if (err && err != TUTTI_EFULL)
		member_tolerates(err, "put");
}

void member_put_batch(struct member *member)
{
	static _Thread_local unsigned char data[BATCH][MAX_BATCH_SIZE];
	tutti_view views[BATCH];
	uint32_t queue = member_random(member, QUEUES), count = 1 + member_random(member, BATCH);
	uint64_t first;
	size_t accepted = 0;
	if (!ledger_intend(member->life, queue, count, &first))
		return;
	for (uint32_t i = 0; i < count; i++) {
		views[i] = (tutti_view){data[i], random_size(member, MAX_BATCH_SIZE)};
		write_content(member, data[i], first + i, queue, (uint32_t)views[i].size);
	}
	tutti_err err = tutti_queue_put_many(member->world.queues[queue], views, count, &accepted, random_time(member));
	ledger_put_done(member->life, first, count, (unsigned)accepted);
	if (err && err != TUTTI_EFULL)
		member_tolerates(err, "put_many");
	if (err == TUTTI_OK && accepted != count)
		ledger_fail(CHECK_ERROR, "put_many took %zu of %u without an error", accepted, count);
}

void member_put_draft(struct member *member)
{
	tutti_draft draft;
	uint32_t queue = member_random(member, QUEUES), size = random_size(member, MAX_SIZE);
	uint64_t message;
	tutti_err err = tutti_queue_put_begin(member->world.queues[queue], &draft, size);
	if (err) {
		member_tolerates(err, "put_begin");
		return;
	}
	if (member_random(member, 8) == 0 || !ledger_intend(member->life, queue, 1, &message)) {
		tutti_queue_put_abort(&draft);
		return;
	}
	if (member_random(member, 2))
		draft.size = size = random_size(member, size + 1);
	write_content(member, draft.data, message, queue, size);
	err = tutti_queue_put_commit(&draft, random_time(member));
	ledger_put_done(member->life, message, 1, err == TUTTI_OK);
	if (err && err != TUTTI_EFULL)
		member_tolerates(err, "put_commit");
	tutti_queue_put_abort(&draft);
}

/* Keeps some views for a while, to see that nobody writes into them. */
static void keep_or_release(struct member *member, tutti_message *message)
{
	uint32_t place = member_random(member, 4 * HELD);
	if (place < HELD && member->held[place].view.data == NULL)
		member->held[place] = *message;
	else
		tutti_message_release(message);
}

void member_release_held(struct member *member)
{
	tutti_message *message = &member->held[member_random(member, HELD)];
	if (message->view.data == NULL)
		return;
	struct content content;
	memcpy(&content, message->view.data, sizeof content);
	if (!is_whole(message->view.data, message->view.size, content.queue))
		ledger_fail(CHECK_TORN, "a view of %zu bytes changed while it was held", message->view.size);
	tutti_message_release(message);
}

void member_get_of(struct member *member, uint32_t queue)
{
	tutti_message message;
	ledger_get_begin(member->life, queue, 1);
	tutti_err err = tutti_queue_get(member->world.queues[queue], &message, random_time(member));
	if (err == TUTTI_OK)
		take_note(member, message.view.data, message.view.size, queue);
	ledger_get_done(member->life);
	if (err == TUTTI_OK)
		keep_or_release(member, &message);
	else if (err != TUTTI_EEMPTY)
		member_tolerates(err, "get");
}

void member_get(struct member *member) { member_get_of(member, member_random(member, QUEUES)); }

bool member_get_from(struct member *member, uint32_t queue)
{
	tutti_message message;
	tutti_err err = tutti_queue_get(member->world.queues[queue], &message, TUTTI_NOW);
	if (err == TUTTI_OK) {
		take_note(member, message.view.data, message.view.size, queue);
		tutti_message_release(&message);
	} else if (err != TUTTI_EEMPTY) {
		member_tolerates(TUTTI_EINVAL, "draining"); /* nobody is in the way any more: no excuse */
	}
	return err == TUTTI_OK;
}

void member_get_copy(struct member *member)
{
	static _Thread_local unsigned char data[MAX_SIZE];
	uint32_t queue = member_random(member, QUEUES);
	size_t size, capacity = member_random(member, 2) ? MAX_SIZE : member_random(member, 5000);
	ledger_get_begin(member->life, queue, 1);
	tutti_err err = tutti_queue_get_into(member->world.queues[queue], data, capacity, &size, random_time(member));
	if (err == TUTTI_OK)
		take_note(member, data, size, queue);
	ledger_get_done(member->life);
	if (err == TUTTI_ETOOBIG && size <= capacity)
		ledger_fail(CHECK_ERROR, "get_into: %zu bytes are too many for %zu", size, capacity);
	if (err && err != TUTTI_EEMPTY && err != TUTTI_ETOOBIG)
		member_tolerates(err, "get_into");
}

void member_get_batch(struct member *member)
{
	tutti_message messages[BATCH];
	size_t count = 0;
	uint32_t queue = member_random(member, QUEUES);
	ledger_get_begin(member->life, queue, BATCH);
	tutti_err err = tutti_queue_get_many(member->world.queues[queue], messages, BATCH, &count, random_time(member));
	for (size_t i = 0; i < count; i++)
		take_note(member, messages[i].view.data, messages[i].view.size, queue);
	ledger_get_done(member->life);
	for (size_t i = 0; i < count; i++)
		keep_or_release(member, &messages[i]);
	if (err && err != TUTTI_EEMPTY)
		member_tolerates(err, "get_many");
}
