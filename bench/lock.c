/* SPDX-License-Identifier: MIT */
/*
 * Taking and releasing a lock of each kind that nobody else wants, and its counterpart
 * in libc: process-shared, and robust where there is such a one.
 */
#include "tutti_check.h"

#include <pthread.h>
#include <semaphore.h>
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

static void *open_kind(int recursive)
{
	pthread_mutex_t *mutex = share(sizeof *mutex);
	pthread_mutexattr_t kind;
	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	if (recursive)
		pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
	else
		pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	if (pthread_mutex_init(mutex, &kind))
		fail("a process-shared mutex cannot be made here");
	return mutex;
}

static void *open_mutex(void) { return open_kind(0); }
static void *open_recursive(void) { return open_kind(1); }

static void take_rlock(void *lock)
{
	check(tutti_rlock_acquire(lock, TUTTI_FOREVER), "tutti_rlock_acquire");
	check(tutti_rlock_release(lock), "tutti_rlock_release");
}

static void *open_rlock(void)
{
	tutti_rlock *lock;
	check(tutti_rlock_open(&lock, NULL), "tutti_rlock_open");
	return lock;
}

static void take_semaphore(void *lock)
{
	check(tutti_semaphore_acquire(lock, TUTTI_FOREVER), "tutti_semaphore_acquire");
	check(tutti_semaphore_release(lock, 1), "tutti_semaphore_release");
}

static void *open_semaphore(void)
{
	tutti_semaphore *lock;
	check(tutti_semaphore_open(&lock, 1, NULL), "tutti_semaphore_open");
	return lock;
}

static void take_sem(void *sem)
{
	if (sem_wait(sem) || sem_post(sem))
		fail("a sem_t with a permit cannot be taken");
}

static void *open_sem(void)
{
	sem_t *sem = share(sizeof *sem);
	if (sem_init(sem, 1, 1))
		fail("a process-shared sem_t cannot be made here");
	return sem;
}

static void take_read(void *lock)
{
	check(tutti_rwlock_acquire_read(lock, TUTTI_FOREVER), "tutti_rwlock_acquire_read");
	check(tutti_rwlock_release_read(lock), "tutti_rwlock_release_read");
}

static void take_write(void *lock)
{
	check(tutti_rwlock_acquire_write(lock, TUTTI_FOREVER), "tutti_rwlock_acquire_write");
	check(tutti_rwlock_release_write(lock), "tutti_rwlock_release_write");
}

/* Once read: then the writer has a share to look at. */
static void *open_rwlock(void)
{
	tutti_rwlock *lock;
	check(tutti_rwlock_open(&lock, NULL), "tutti_rwlock_open");
	take_read(lock);
	return lock;
}

static void take_pthread_read(void *lock)
{
	if (pthread_rwlock_rdlock(lock) || pthread_rwlock_unlock(lock))
		fail("a rwlock that nobody holds cannot be read");
}

static void take_pthread_write(void *lock)
{
	if (pthread_rwlock_wrlock(lock) || pthread_rwlock_unlock(lock))
		fail("a rwlock that nobody holds cannot be written");
}

static void *open_pthread_rwlock(void)
{
	pthread_rwlock_t *lock = share(sizeof *lock);
	pthread_rwlockattr_t kind;
	pthread_rwlockattr_init(&kind);
	pthread_rwlockattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	if (pthread_rwlock_init(lock, &kind))
		fail("a process-shared rwlock cannot be made here");
	return lock;
}

static const struct {
	const char *name;
	void *(*open)(void);
	void (*take)(void *lock);
} sides[] = {
	{"tutti", open_tutti, take_tutti},
	{"mutex", open_mutex, take_mutex},
	{"rlock", open_rlock, take_rlock},
	{"recursive", open_recursive, take_mutex},
	{"semaphore", open_semaphore, take_semaphore},
	{"sem_t", open_sem, take_sem},
	{"rwlock-read", open_rwlock, take_read},
	{"rwlock-write", open_rwlock, take_write},
	{"pthread-read", open_pthread_rwlock, take_pthread_read},
	{"pthread-write", open_pthread_rwlock, take_pthread_write},
};

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
	unsigned i = 0, count = sizeof sides / sizeof sides[0];
	while (argc > 1 && i < count && strcmp(argv[1], sides[i].name))
		i++;
	if (argc < 2 || i == count)
		fail(
			"usage: %s tutti|mutex|rlock|recursive|semaphore|sem_t|rwlock-read|rwlock-write|pthread-read|pthread-write "
			"[BATCHES]",
			argv[0]);
	side *self = share(sizeof *self);
	pin(0, bench_cpu(0));
	void *lock = sides[i].open();
	pair_ns(sides[i].take, lock, 10);
	report("pair_ns", pair_ns(sides[i].take, lock, argument(argc, argv, 2, 2000)));
	note_cpu(self);
	report_cpus("from", self->cpus);
	return 0;
}
