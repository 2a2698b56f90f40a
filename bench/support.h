/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark program needs: a clock, pinning, children that cannot
 * outlive their parent, and one way to report a number.
 *
 * A program runs one side of a comparison once and prints `key value` lines;
 * bench/table.py runs the sides in turn and compares them.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CACHE_LINE 64

/* What one process of a benchmark tells the others: on a cache line of its own, written by its process only. */
typedef struct side {
	alignas(CACHE_LINE) _Atomic uint64_t count; /* messages or rounds so far */
	_Atomic uint64_t cpus; /* bit n: it was seen on CPU n */
} side;

/* The first line of main(): notes the CPUs that this process may use, before anything is pinned. */
void bench_start(const char *program);

int64_t now_ns(void);
void sleep_ns(int64_t nanoseconds);

/* The index-th CPU that the program was started with, counted around. */
int bench_cpu(unsigned index);
void pin(pid_t process, int cpu); /* 0: the caller */
void note_cpu(side *self);
void note_count(side *self, uint64_t count); /* and now and then the CPU */

/* Zeroed memory that children share. */
void *share(size_t bytes);

/* Forks a child on `cpu` (-1: any) that calls `run` and exits; it dies with this process, at the latest after a minute. */
pid_t child_start(void (*run)(void *context), void *context, int cpu);
void child_kill(pid_t child); /* and reaps it */
void child_wait(pid_t child); /* fails if it ended with anything but 0 */

/* Waits for a condition, and fails after 20 seconds naming `what`. */
void wait_for_count(const _Atomic uint64_t *count, uint64_t least, const char *what);
void wait_for_sleep(pid_t process, const char *what);

/* Sorts `values`. `part` 0.5 is the median. */
double quantile(double *values, size_t count, double part);

void report(const char *key, double value);
void report_cpus(const char *key, uint64_t cpus);

/* The number that stands at argv[index], else `otherwise`. */
uint64_t argument(int argc, char **argv, int index, uint64_t otherwise);

/* Says what went wrong, ends the children, and exits with 1. */
_Noreturn void fail(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
_Noreturn void fail_system(const char *what);

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

#endif
