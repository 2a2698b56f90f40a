/* SPDX-License-Identifier: MIT */
/*
 * Taking and releasing a lock that nobody else wants: Tutti's, and a robust
 * process-shared pthread mutex.
 */
#include "tutti_check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1000

static void take_tutti(void *lock)
{
	check(tutti_lock_acquire(lock, TUTTI_FOREVER), "tutti_lock_acquire");
	check(tutti_lock_release(lock), "tutti_lock_release");
}

static void take_mutex(void *mutex)
{
	if (pthread_mutex_lock(mutex) || pthread_mutex_unlock(mutex))
		fail("a robust mutex that nobody holds cannot be taken");
}

static void *open_tutti(void)
{
	tutti_lock *lock;
	check(tutti_lock_open(&lock, NULL), "tutti_lock_open");
	return lock;
}

static void *open_mutex(void)
{
	pthread_mutex_t *mutex = share(sizeof *mutex);
	pthread_mutexattr_t kind;
	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	if (pthread_mutex_init(mutex, &kind))
		fail("a robust process-shared mutex cannot be made here");
	return mutex;
}

/* Called in both measurements through the same pointer, so that the call costs both the same. */
static double pair_ns(void (*take)(void *), void *lock, size_t batches)
{
	double *times = malloc(batches * sizeof *times);
	for (size_t i = 0; i < batches; i++) {
		int64_t begin = now_ns();
		for (unsigned k = 0; k < BATCH; k++)
			take(lock);
		times[i] = (double)(now_ns() - begin) / BATCH;
	}
	double median = quantile(times, batches, 0.5);
	free(times);
	return median;
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	bool tutti = argc > 1 && !strcmp(argv[1], "tutti");
	if (!tutti && (argc < 2 || strcmp(argv[1], "mutex")))
		fail("usage: %s tutti|mutex [BATCHES]", argv[0]);
	side *self = share(sizeof *self);
	pin(0, bench_cpu(0));
	void *lock = tutti ? open_tutti() : open_mutex();
	void (*take)(void *) = tutti ? take_tutti : take_mutex;
	pair_ns(take, lock, 10);
	report("pair_ns", pair_ns(take, lock, argument(argc, argv, 2, 2000)));
	note_cpu(self);
	report_cpus("from", self->cpus);
	return 0;
}
