/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ledger.h"

enum { SHOWN = 5 }; /* failures of one check that are printed */

struct ledger *ledger;

static const char *const check_texts[] = {
#define CHECK_TEXT(name, text) text,
	CHECKS(CHECK_TEXT)
#undef CHECK_TEXT
};

static const char *const counter_texts[] = {
#define COUNTER_TEXT(name, text) text,
	COUNTERS(COUNTER_TEXT)
#undef COUNTER_TEXT
};

void ledger_make(void)
{
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ledger == MAP_FAILED) {
		perror("chaos: no memory for the ledger");
		exit(2);
	}
}

void ledger_free(void) { munmap(ledger, sizeof *ledger); }

void ledger_fail(enum check check, const char *format, ...)
{
	char text[600];
	va_list arguments;
	if (atomic_fetch_add(&ledger->failures[check], 1) >= SHOWN)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fprintf(stderr, "chaos: pid %d: broken: %s: %s\n", (int)getpid(), check_texts[check], text);
}

bool ledger_intend(struct life *life, unsigned queue, unsigned count, uint64_t *first)
{
	/* Before they are numbered: of one that is killed in between, the doubts must be known. */
	atomic_store(&life->putting, count);
	*first = atomic_fetch_add(&ledger->next_message, count);
	if (*first + count > MESSAGES) {
		atomic_store(&life->putting, 0);
		return false;
	}
	for (unsigned i = 0; i < count; i++)
		atomic_store(&ledger->messages[*first + i], (uint8_t)(ENTRY_INTENT | queue << ENTRY_QUEUE_SHIFT));
	return true;
}

void ledger_put_done(struct life *life, uint64_t first, unsigned count, unsigned accepted)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t flag = i < accepted ? ENTRY_PUT : ENTRY_REFUSED;
		uint8_t before = atomic_fetch_or(&ledger->messages[first + i], flag);
		if (flag == ENTRY_REFUSED && (before & ENTRY_GOT))
			ledger_fail(CHECK_TWICE, "message %llu was got, but its put was refused", (unsigned long long)first + i);
	}
	atomic_store(&life->putting, 0);
	ledger_count(COUNT_PUTS, accepted);
	ledger_count(COUNT_REFUSED, count - accepted);
}

void ledger_get_begin(struct life *life, unsigned queue, unsigned count)
{
	atomic_store(&life->getting_from, queue);
	atomic_store(&life->getting, count);
}

void ledger_got(uint64_t message)
{
	uint8_t before = atomic_fetch_or(&ledger->messages[message], ENTRY_GOT);
	ledger_count(COUNT_GETS, 1);
	if (!(before & ENTRY_INTENT) || (before & (ENTRY_GOT | ENTRY_REFUSED)))
		ledger_fail(CHECK_TWICE, "message %llu was got, entry %#x", (unsigned long long)message, before);
}

void ledger_get_done(struct life *life) { atomic_store(&life->getting, 0); }

/* How many messages may be missing, and how many may be doubtful, because of kills. */
static void count_doubts(uint64_t lost_allowed[QUEUES], uint64_t *cut_allowed)
{
	for (unsigned i = 0; i < LIVES; i++) {
		struct life *life = &ledger->lives[i];
		if (atomic_load(&life->state) != LIFE_KILLED)
			continue;
		lost_allowed[atomic_load(&life->getting_from)] += atomic_load(&life->getting);
		*cut_allowed += atomic_load(&life->putting);
	}
}

void ledger_audit(void)
{
	uint64_t lost[QUEUES] = {0}, lost_allowed[QUEUES] = {0}, cut = 0, cut_allowed = 0;
	uint64_t count = atomic_load(&ledger->next_message);
	for (uint64_t i = 0; i < count && i < MESSAGES; i++) {
		uint8_t entry = atomic_load(&ledger->messages[i]);
		lost[entry >> ENTRY_QUEUE_SHIFT & 3] += (entry & ENTRY_PUT) && !(entry & ENTRY_GOT);
		cut += !(entry & (ENTRY_PUT | ENTRY_REFUSED));
	}
	count_doubts(lost_allowed, &cut_allowed);
	if (count >= MESSAGES || atomic_load(&ledger->lives[LIVES - 2].state)) /* the last one is for the drain */
		printf("all %u messages or all %u lives were used up before the time was over\n", (unsigned)MESSAGES,
		       (unsigned)LIVES);
	for (unsigned i = 0; i < QUEUES; i++) {
		printf("queue %u: %llu messages died with their getters, at most %llu may\n", i, (unsigned long long)lost[i],
		       (unsigned long long)lost_allowed[i]);
		if (lost[i] > lost_allowed[i])
			ledger_fail(CHECK_LOST, "queue %u: %llu are missing, getters were killed at %llu", i,
			            (unsigned long long)lost[i], (unsigned long long)lost_allowed[i]);
	}
	/* Messages that were numbered, but neither put nor refused: only the killed leave such. */
	if (count < MESSAGES && cut > cut_allowed)
		ledger_fail(CHECK_LOST, "%llu puts have no end, putters were killed at %llu", (unsigned long long)cut,
		            (unsigned long long)cut_allowed);
}

unsigned ledger_report(void)
{
	unsigned failed = 0;
	for (int i = 0; i < COUNTER_COUNT; i++)
		printf("%10llu %s\n", (unsigned long long)atomic_load(&ledger->counters[i]), counter_texts[i]);
	for (int i = 0; i < CHECK_COUNT; i++) {
		uint32_t failures = atomic_load(&ledger->failures[i]);
		printf("%s: %s", failures ? "FAILED" : "ok", check_texts[i]);
		if (failures)
			printf(" (%u times)", failures);
		printf("\n");
		failed += failures > 0;
	}
	printf("%u passed, %u failed\n", (unsigned)CHECK_COUNT - failed, failed);
	return failed;
}
