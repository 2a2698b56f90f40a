/* SPDX-License-Identifier: MIT */
/*
 * How long one message takes to its receiver.
 *
 * awake, onecpu: two processes answer each other; one way is half a round trip. The
 * median is of batches, so that the clock is not in it; the 99th percentile is of
 * single round trips, the clock's time taken off.
 * asleep: the receiver sleeps on the other CPU; one way is from the stamp in the
 * message to the return of the receive. A message of the carrier and one of the bare futex
 * take turns between the same two processes, each after a sleep: what a wake costs differs by
 * a tenth and more from one pair of processes to the next, and from one second to the next.
 *
 * Carriers: `line` (one word, both sides spin), `lines` (a word for each direction on a
 * line of its own, both sides spin), `slots` (a bare queue for each direction, see below),
 * `futex` (one word, both sides sleep), `tutti` and `tutti-word` (two queues, messages of
 * 64 and of 8 bytes).
 *
 * `lines` is the least that a queue can do: with `line` the answer is written to the line
 * that the message has just brought along, while a queue's reader does not write where its
 * writer writes, so that each message must first take its line away from the reader.
 * `slots` does that with messages of 64 bytes, one behind the other, each with a word that
 * says that it is there, and takes and gives back a word around each put and each get, as
 * it must where several may put and get. It has no ends, wakes nobody, counts nothing and
 * survives no kill. `sleepy-slots` is the same whose reader sleeps: the least that a queue adds to a futex. `arena-slots`
 * are the same in memory of an arena: its mapping is a large one of its own, of whose page tables a processor and the
 * kernel's futex find nothing in the caches after a sleep.
 */
#include "tutti_check.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 100
#define SINGLES 10 /* single round trips for each batch */
#define MESSAGE_BYTES 64
#define WORD_BYTES 8
#define SLOTS 64
#define ASLEEP_GAP_NS INT64_C(2000000)

typedef struct carrier {
	const char *name;
	void (*open)(void);
	void (*send)(unsigned direction, int64_t stamp);
	int64_t (*receive)(unsigned direction); /* the stamp */
} carrier;

typedef struct meeting {
	alignas(CACHE_LINE) _Atomic uint32_t word; /* line, futex: the number of the last message of either side */
	_Atomic int64_t stamp;
	alignas(CACHE_LINE) _Atomic uint32_t
		words[2][CACHE_LINE / sizeof(uint32_t)]; /* lines: the same, one for each direction */
	struct slots {
		alignas(CACHE_LINE) _Atomic uint32_t put_latch;
		alignas(CACHE_LINE) _Atomic uint32_t get_latch;
		alignas(CACHE_LINE) struct slot {
			_Atomic uint64_t number; /* of the message in it */
			char bytes[MESSAGE_BYTES];
		} slots[SLOTS];
	} slots[2];
	side ponger, pinger;
	alignas(CACHE_LINE) _Atomic uint64_t arrived; /* asleep: receives that returned */
	_Atomic int64_t took; /* of the last one; published by `arrived` */
} meeting;

static meeting *met;
static meeting *place; /* of the slots and their word: met, or memory of an arena */
static uint32_t last; /* the number of the last message that this process sent or received */
static tutti_queue *queues[2];

static void word_open(void) {}

static void line_send(unsigned direction, int64_t stamp)
{
	(void)direction;
	(void)stamp;
	/* Release: pairs with line_receive. */
	atomic_store_explicit(&met->word, ++last, memory_order_release);
}

static int64_t line_receive(unsigned direction)
{
	(void)direction;
	while (atomic_load_explicit(&met->word, memory_order_acquire) == last)
		cpu_relax(); /* measured: faster than without */
	last++;
	return 0;
}

static void lines_send(unsigned direction, int64_t stamp)
{
	(void)stamp;
	/* Release: pairs with lines_receive. */
	atomic_store_explicit(&met->words[direction][0], ++last, memory_order_release);
}

static int64_t lines_receive(unsigned direction)
{
	while (atomic_load_explicit(&met->words[direction][0], memory_order_acquire) != last + 1)
		cpu_relax();
	last++;
	return 0;
}

static void latch(_Atomic uint32_t *word)
{
	uint32_t free = 0;
	while (!atomic_compare_exchange_strong_explicit(word, &free, 1, memory_order_acq_rel, memory_order_relaxed))
		free = 0;
}

/* A full barrier too: whoever has to look for sleepers afterwards needs one. */
static void unlatch(_Atomic uint32_t *word) { atomic_exchange_explicit(word, 0, memory_order_acq_rel); }

static void slots_send(unsigned direction, int64_t stamp)
{
	char message[MESSAGE_BYTES] = {0};
	struct slots *slots = &place->slots[direction];
	memcpy(message, &stamp, sizeof stamp);
	latch(&slots->put_latch);
	struct slot *slot = &slots->slots[++last % SLOTS];
	memcpy(slot->bytes, message, sizeof message);
	/* Release: pairs with slots_receive. */
	atomic_store_explicit(&slot->number, last, memory_order_release);
	unlatch(&slots->put_latch);
}

static int64_t slots_receive(unsigned direction)
{
	char message[MESSAGE_BYTES];
	int64_t stamp;
	struct slots *slots = &place->slots[direction];
	struct slot *slot = &slots->slots[++last % SLOTS];
	while (atomic_load_explicit(&slot->number, memory_order_acquire) != last)
		;
	latch(&slots->get_latch);
	memcpy(message, slot->bytes, sizeof message);
	unlatch(&slots->get_latch);
	memcpy(&stamp, message, sizeof stamp);
	return stamp;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void futex_send(unsigned direction, int64_t stamp)
{
	(void)direction;
	atomic_store_explicit(&met->stamp, stamp, memory_order_relaxed);
	/* Release: publishes the stamp to futex_receive. */
	atomic_store_explicit(&met->word, ++last, memory_order_release);
	futex(&met->word, FUTEX_WAKE, 1);
}

static int64_t futex_receive(unsigned direction)
{
	(void)direction;
	uint32_t seen;
	while ((seen = atomic_load_explicit(&met->word, memory_order_acquire)) != last + 1)
		futex(&met->word, FUTEX_WAIT, seen);
	last++;
	return atomic_load_explicit(&met->stamp, memory_order_relaxed);
}

/* `slots` whose reader sleeps at the word while its slot is empty. */
static void sleepy_slots_send(unsigned direction, int64_t stamp)
{
	slots_send(direction, stamp);
	atomic_store_explicit(&place->word, last, memory_order_release);
	futex(&place->word, FUTEX_WAKE, 1);
}

static int64_t sleepy_slots_receive(unsigned direction)
{
	uint32_t seen;
	while ((seen = atomic_load_explicit(&place->word, memory_order_acquire)) != last + 1)
		futex(&place->word, FUTEX_WAIT, seen);
	return slots_receive(direction);
}

/* The arena's mapping, like all of this, is inherited by the receiver. */
static void arena_open(void)
{
	static tutti_queue *queue;
	tutti_draft draft;
	check(tutti_queue_open(&queue, NULL), "tutti_queue_open");
	check(tutti_queue_put_begin(queue, &draft, sizeof *place), "tutti_queue_put_begin");
	memset(draft.data, 0, sizeof *place);
	place = draft.data;
}

static void tutti_open(void)
{
	for (unsigned i = 0; i < 2; i++)
		check(tutti_queue_open(&queues[i], NULL), "tutti_queue_open");
}

static void put_stamp(unsigned direction, int64_t stamp, size_t size)
{
	char message[MESSAGE_BYTES] = {0};
	memcpy(message, &stamp, sizeof stamp);
	check(tutti_queue_put(queues[direction], message, size, TUTTI_FOREVER), "tutti_queue_put");
}

static void tutti_send(unsigned direction, int64_t stamp) { put_stamp(direction, stamp, MESSAGE_BYTES); }
static void tutti_send_word(unsigned direction, int64_t stamp) { put_stamp(direction, stamp, WORD_BYTES); }

static int64_t tutti_receive(unsigned direction)
{
	char message[MESSAGE_BYTES];
	size_t size;
	int64_t stamp;
	check(tutti_queue_get_into(queues[direction], message, sizeof message, &size, TUTTI_FOREVER),
	      "tutti_queue_get_into");
	memcpy(&stamp, message, sizeof stamp);
	return stamp;
}

static void run_ponger(void *context)
{
	const carrier *with = context;
	for (uint64_t count = 1;; count++) {
		int64_t stamp = with->receive(0);
		with->send(1, stamp);
		note_count(&met->ponger, count);
	}
}

/* Whose turn it is: the carrier's, twice the bare futex's, the carrier's, and so on. So none is always the second. */
static bool is_bare_turn(uint64_t number) { return number / 2 % 2; }

static void run_sleeper(void *context)
{
	const carrier *with = context;
	note_cpu(&met->ponger);
	for (uint64_t count = 1;; count++) {
		int64_t stamp = (is_bare_turn(count) ? futex_receive : with->receive)(0);
		int64_t took = now_ns() - stamp;
		last = (uint32_t)count; /* not every carrier counts */
		atomic_store_explicit(&met->took, took, memory_order_relaxed);
		/* Release: publishes `took` to measure_asleep. */
		atomic_store_explicit(&met->arrived, count, memory_order_release);
		note_cpu(&met->ponger);
	}
}

static double trips(const carrier *with, unsigned count)
{
	int64_t begin = now_ns();
	for (unsigned i = 0; i < count; i++) {
		with->send(0, 0);
		with->receive(1);
	}
	return (double)(now_ns() - begin) / count;
}

static double clock_ns(void)
{
	int64_t begin = now_ns();
	for (unsigned i = 0; i < 10000; i++)
		now_ns();
	return (double)(now_ns() - begin) / 10000;
}

static void measure_trips(const carrier *with, size_t samples)
{
	size_t singles = samples * SINGLES;
	double *times = malloc(singles * sizeof *times);
	trips(with, 10 * BATCH);
	for (size_t i = 0; i < samples; i++)
		times[i] = trips(with, BATCH);
	report("one_way_ns", quantile(times, samples, 0.5) / 2);
	double clock = clock_ns();
	for (size_t i = 0; i < singles; i++)
		times[i] = (trips(with, 1) - clock) / 2;
	report("single_ns", quantile(times, singles, 0.5));
	report("p99_ns", quantile(times, singles, 0.99));
	free(times);
}

static void measure_asleep(const carrier *with, size_t samples, pid_t sleeper)
{
	double *times[2] = {malloc(2 * samples * sizeof **times), malloc(2 * samples * sizeof **times)};
	size_t counts[2] = {0, 0};
	while (last < 2 * samples) {
		uint32_t number = last + 1;
		bool bare = is_bare_turn(number);
		sleep_ns(ASLEEP_GAP_NS + (int64_t)number * 373000 % 1000000); /* not in step with the kernel's clock */
		wait_for_sleep(sleeper, "the receiver");
		(bare ? futex_send : with->send)(0, now_ns());
		wait_for_count(&met->arrived, number, "the receive");
		last = number;
		times[bare][counts[bare]++] = (double)atomic_load_explicit(&met->took, memory_order_relaxed);
	}
	report("one_way_ns", quantile(times[0], counts[0], 0.5));
	report("p99_ns", quantile(times[0], counts[0], 0.99));
	report("futex_ns", quantile(times[1], counts[1], 0.5));
	free(times[0]);
	free(times[1]);
}

int main(int argc, char **argv)
{
	static const carrier carriers[] = {
		{"line", word_open, line_send, line_receive},
		{"lines", word_open, lines_send, lines_receive},
		{"slots", word_open, slots_send, slots_receive},
		{"futex", word_open, futex_send, futex_receive},
		{"sleepy-slots", word_open, sleepy_slots_send, sleepy_slots_receive},
		{"arena-slots", arena_open, sleepy_slots_send, sleepy_slots_receive},
		{"tutti", tutti_open, tutti_send, tutti_receive},
		{"tutti-word", tutti_open, tutti_send_word, tutti_receive},
	};
	const carrier *with = NULL;
	bench_start(argv[0]);
	for (size_t i = 0; argc > 2 && i < sizeof carriers / sizeof *carriers; i++)
		if (!strcmp(argv[1], carriers[i].name))
			with = &carriers[i];
	if (!with)
		fail("usage: %s line|lines|slots|futex|sleepy-slots|arena-slots|tutti|tutti-word awake|onecpu|asleep [SAMPLES]",
		     argv[0]);
	bool asleep = !strcmp(argv[2], "asleep"), one_cpu = !strcmp(argv[2], "onecpu");
	place = met = share(sizeof *met);
	with->open();
	pid_t child = child_start(asleep ? run_sleeper : run_ponger, (void *)with, bench_cpu(!one_cpu));
	pin(0, bench_cpu(0));
	note_cpu(&met->pinger);
	if (asleep)
		measure_asleep(with, argument(argc, argv, 3, 100), child);
	else
		measure_trips(with, argument(argc, argv, 3, 1000));
	note_cpu(&met->pinger);
	report_cpus("from", met->pinger.cpus);
	report_cpus("to", met->ponger.cpus);
	child_kill(child);
	return 0;
}
