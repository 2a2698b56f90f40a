/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ledger *ledger;

void ledger_open(void)
{
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ledger == MAP_FAILED) {
		perror("crash_ring: no memory for the ledger");
		_exit(4);
	}
}

/* Mostly small, some of some KB, some blocks, a few large runs. */
static uint32_t size_of(uint32_t life, uint32_t sequence)
{
	uint32_t mix = (life * 2654435761U) ^ (sequence * 2246822519U);
	mix ^= mix >> 15;
	uint32_t head = sizeof(struct letter_head), more = mix >> 8;
	switch (mix % 16) {
	case 0:
		return head + 4096 + more % (BUFFER - head - 4096);
	case 1:
	case 2:
		return head + more % 4500;
	default:
		return head + more % 100;
	}
}

static unsigned char byte_of(const struct letter_head *head, size_t i)
{
	return (unsigned char)(head->life * 7 + head->sequence * 13 + i);
}

size_t ledger_write(unsigned char *bytes, uint32_t life, uint32_t sequence, uint32_t queue)
{
	struct letter_head head = {life, sequence, size_of(life, sequence), queue};
	memcpy(bytes, &head, sizeof head);
	for (size_t i = sizeof head; i < head.size; i++)
		bytes[i] = byte_of(&head, i);
	return head.size;
}

struct letter_head ledger_receive(const unsigned char *bytes, size_t size)
{
	struct letter_head head;
	if (size < sizeof head)
		fail(TORN, "K2: a message of %zu bytes comes out, which nobody put", size);
	memcpy(&head, bytes, sizeof head);
	if (head.life >= LIVES || head.sequence >= SEQUENCES || head.size != size ||
	    size != size_of(head.life, head.sequence))
		fail(TORN, "K2: a message comes out as number %u of putter %u with %zu bytes, which is none that was put",
		     head.sequence, head.life, size);
	for (size_t i = sizeof head; i < size; i++)
		if (bytes[i] != byte_of(&head, i))
			fail(TORN, "K2: byte %zu of %zu of message %u of putter %u is not what was put", i, size, head.sequence,
			     head.life);
	if (atomic_fetch_add(&ledger->received[head.life][head.sequence], 1) != 0)
		fail(TORN, "K2: message %u of putter %u comes out a second time", head.sequence, head.life);
	return head;
}

static bool is_in_dead_hands(unsigned lives, uint32_t life, uint32_t sequence)
{
	struct letter_head head;
	for (unsigned i = 0; i < lives; i++) {
		if (ledger->lives[i].role != GETTER || !ledger->lives[i].was_killed)
			continue;
		memcpy(&head, ledger->hands[i], sizeof head);
		if (head.life == life && head.sequence == sequence && head.size != 0)
			return true;
	}
	return false;
}

void ledger_balance(unsigned lives)
{
	unsigned killed_getters = 0, in_hands = 0, blocks = 0;
	for (unsigned i = 0; i < lives; i++)
		killed_getters += ledger->lives[i].role == GETTER && ledger->lives[i].was_killed;
	for (uint32_t life = 0; life < lives; life++) {
		struct life *putter = &ledger->lives[life];
		for (uint32_t sequence = 1; putter->role == PUTTER && sequence <= load_acquire(&putter->returned); sequence++) {
			if (load_acquire(&ledger->received[life][sequence]))
				continue;
			if (is_in_dead_hands(lives, life, sequence))
				in_hands++;
			else if (size_of(life, sequence) > 4096)
				blocks++;
			else
				fail(
					LOST,
					"K2: message %u of putter %u (%u bytes), whose put had returned, is nowhere, and no killed getter had it",
					sequence, life, size_of(life, sequence));
		}
	}
	if (in_hands + blocks > killed_getters)
		fail(LOST, "K2: %u messages are missing, but only %u getters were killed", in_hands + blocks, killed_getters);
}
