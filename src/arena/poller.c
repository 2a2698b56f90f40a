/* SPDX-License-Identifier: MIT */
/* A process's side of a station: its sources by their bells. */
#include <stdlib.h>

#include "arena/poller.h"
#include "os/seeded_bug.h"

enum { FIRST_BUCKETS = 16 };

pthread_mutex_t tutti__poll_mutex = PTHREAD_MUTEX_INITIALIZER;

/* A child is copied with the mutex free, whatever the other threads do. */
static void before_fork(void) { pthread_mutex_lock(&tutti__poll_mutex); }
static void after_fork(void) { pthread_mutex_unlock(&tutti__poll_mutex); }
static void prepare_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }

/* Prepared by the first who locks it, which may be one who closes a handle that nobody polls. */
void tutti__poll_lock(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, prepare_fork);
	pthread_mutex_lock(&tutti__poll_mutex);
}

tutti_err tutti__poller_init(struct tutti__poller *poller, tutti_arena *arena, uint32_t member)
{
	*poller = (struct tutti__poller){.arena = arena, .member = member, .bucket_count = FIRST_BUCKETS};
	poller->buckets = calloc(FIRST_BUCKETS, sizeof(struct tutti__poll_source *));
	if (!poller->buckets)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a poller");
	poller->number = tutti__station_take(arena, member);
	if (poller->number == 0) {
		free(poller->buckets);
		return TUTTI_EMEMBERS;
	}
	poller->station = tutti__station_at(arena, poller->number);
	poller->last_scan = tutti__os.clock_now();
	pthread_mutex_init(&poller->mutex, NULL);
	return TUTTI_OK;
}

void tutti__poller_fini(struct tutti__poller *poller)
{
	if (tutti__poller_is_own(poller))
		tutti__station_give_back(poller->arena, poller->number, poller->member);
	pthread_mutex_destroy(&poller->mutex);
	free(poller->buckets);
}

bool tutti__poller_is_own(const struct tutti__poller *poller)
{
	return load_relaxed(&poller->arena->local->id) == poller->member;
}

static struct tutti__poll_source **bucket_of(const struct tutti__poller *poller, uint32_t bell)
{
	return &poller->buckets[bell & (poller->bucket_count - 1)];
}

/* Without memory for more buckets the old ones go on, with longer chains. */
static void grow(struct tutti__poller *poller)
{
	struct tutti__poller larger = {.bucket_count = poller->bucket_count * 2};
	larger.buckets = calloc(larger.bucket_count, sizeof(struct tutti__poll_source *));
	if (!larger.buckets)
		return;
	for (size_t i = 0; i < poller->bucket_count; i++)
		for (struct tutti__poll_source *next, *source = poller->buckets[i]; source; source = next) {
			next = source->next_in_bucket;
			source->next_in_bucket = *bucket_of(&larger, source->bell);
			*bucket_of(&larger, source->bell) = source;
		}
	free(poller->buckets);
	poller->buckets = larger.buckets;
	poller->bucket_count = larger.bucket_count;
}

void tutti__poller_add(struct tutti__poller *poller, struct tutti__poll_source *source)
{
	if (poller->source_count >= poller->bucket_count && poller->bucket_count < 1 << TUTTI__BELL_BITS)
		grow(poller);
	source->poller = poller;
	source->bell = tutti__bell_of(poller->arena, source->watch.pollable);
	source->next_in_bucket = *bucket_of(poller, source->bell);
	*bucket_of(poller, source->bell) = source;
	poller->source_count++;
	tutti__poll_source_check(source);
}

void tutti__poller_remove(struct tutti__poller *poller, struct tutti__poll_source *source)
{
	for (struct tutti__poll_source **link = bucket_of(poller, source->bell); *link; link = &(*link)->next_in_bucket)
		if (*link == source) {
			*link = source->next_in_bucket;
			poller->source_count--;
			return;
		}
}

struct tutti__poll_source *tutti__poller_pop(struct tutti__poller *poller, size_t bucket)
{
	struct tutti__poll_source *source = poller->buckets[bucket];
	if (source) {
		poller->buckets[bucket] = source->next_in_bucket;
		poller->source_count--;
	}
	return source;
}

/*
 * A full barrier: the caller looks again; who makes it ready looks at the word after it (station.h). What is
 * armed already needs none: whoever takes that word away rings us, now or soon.
 */
static void arm(struct tutti__poll_source *source)
{
	atomic_u64 *armed = &source->watch.pollable->armed;
	uint64_t number = source->poller->number, class_bit = 1ULL << number % TUTTI__STATION_CLASSES;
	uint64_t seen = load_relaxed(armed);
	if (source->is_station ? seen == number : (seen & class_bit) != 0)
		return;
	if (source->is_station)
		exchange_acq_rel(armed, number);
	else
		fetch_or_acq_rel(armed, class_bit);
	fence_after_rmw();
}

void tutti__poll_source_check(struct tutti__poll_source *source)
{
	if (source->is_lit)
		return;
	if (!source->watch.is_ready(source->watch.context)) {
		arm(source);
		if (!source->watch.is_ready(source->watch.context))
			return;
	}
	source->is_lit = true;
	source->on_ready(source);
}

static void check_bell(struct tutti__poller *poller, uint32_t bell)
{
	for (struct tutti__poll_source *source = *bucket_of(poller, bell); source; source = source->next_in_bucket)
		if (source->bell == bell)
			tutti__poll_source_check(source);
}

void tutti__poller_collect(struct tutti__poller *poller)
{
	struct tutti__station *station = poller->station;
	if (load_relaxed(&station->lines) == 0)
		return;
	/* Acquire: pairs with set_bell. */
	for (uint64_t lines = exchange_acq_rel(&station->lines, 0); lines; lines &= lines - 1) {
		unsigned line = (unsigned)__builtin_ctzll(lines);
		for (unsigned word = 0; word < TUTTI__BELL_WORDS; word++) {
			if (load_relaxed(&station->bells[line][word]) == 0)
				continue;
			for (uint64_t bits = exchange_acq_rel(&station->bells[line][word], 0); bits; bits &= bits - 1)
				check_bell(poller, (line * TUTTI__BELL_WORDS + word) * 64 + (unsigned)__builtin_ctzll(bits));
		}
	}
}

void tutti__poller_scan(struct tutti__poller *poller)
{
	poller->last_scan = tutti__os.clock_now();
	for (size_t i = 0; i < poller->bucket_count && !TUTTI__BUG(38); i++)
		for (struct tutti__poll_source *source = poller->buckets[i]; source; source = source->next_in_bucket)
			tutti__poll_source_check(source);
}

void tutti__poller_scan_if_due(struct tutti__poller *poller)
{
	if (tutti__os.clock_now() - poller->last_scan >= TUTTI__IDLE_TICK)
		tutti__poller_scan(poller);
}

void tutti__poll_list_add(struct tutti__poll_source *source)
{
	source->next_of_handle = source->watch.list->sources;
	source->watch.list->sources = source;
}

void tutti__poll_list_remove(struct tutti__poll_source *source)
{
	for (struct tutti__poll_source **link = &source->watch.list->sources; *link; link = &(*link)->next_of_handle)
		if (*link == source) {
			*link = source->next_of_handle;
			return;
		}
}

void tutti__poll_list_close(struct tutti__poll_list *list)
{
	tutti__poll_lock();
	while (list->sources) {
		struct tutti__poll_source *source = list->sources;
		list->sources = source->next_of_handle;
		if (tutti__poller_is_own(source->poller)) /* else the parent's: left alone */
			source->on_close(source);
	}
	pthread_mutex_unlock(&tutti__poll_mutex);
	struct tutti__poll_descriptor *descriptor = exchange_acq_rel(&list->descriptor, NULL);
	if (descriptor)
		tutti__poll_descriptor_close(descriptor);
}
