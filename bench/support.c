/* SPDX-License-Identifier: MIT */
/*
 * Children are listed here so that whatever ends the program ends them too: by
 * pid, never by name. A child that is orphaned is killed by the kernel, and an
 * alarm bounds whatever hangs.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_CHILDREN 64
#define CHILD_SECONDS 60
#define WAIT_NS INT64_C(20000000000)

static const char *program_name = "bench";
static cpu_set_t started_with;
static pid_t children[MOST_CHILDREN];

static void end_children(void)
{
	for (size_t i = 0; i < MOST_CHILDREN; i++)
		if (children[i] > 0)
			child_kill(children[i]);
}

void bench_start(const char *program)
{
	const char *slash = strrchr(program, '/');
	program_name = slash ? slash + 1 : program;
	if (sched_getaffinity(0, sizeof started_with, &started_with))
		fail_system("sched_getaffinity");
	atexit(end_children);
	alarm(2 * CHILD_SECONDS);
}

int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void sleep_ns(int64_t nanoseconds)
{
	struct timespec span = {nanoseconds / 1000000000, nanoseconds % 1000000000};
	while (nanosleep(&span, &span) && errno == EINTR)
		;
}

int bench_cpu(unsigned index)
{
	unsigned skip = index % (unsigned)CPU_COUNT(&started_with);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &started_with) && skip-- == 0)
			return cpu;
	return 0;
}

void pin(pid_t process, int cpu)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(process, sizeof one, &one))
		fail_system("sched_setaffinity");
}

void note_cpu(side *self)
{
	uint64_t seen = atomic_load_explicit(&self->cpus, memory_order_relaxed);
	int cpu = sched_getcpu();
	if (cpu >= 0 && cpu < 64)
		atomic_store_explicit(&self->cpus, seen | UINT64_C(1) << cpu, memory_order_relaxed);
}

void note_count(side *self, uint64_t count)
{
	if (count % 4096 == 1)
		note_cpu(self);
	/* Relaxed: only the number itself is read. */
	atomic_store_explicit(&self->count, count, memory_order_relaxed);
}

void *share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail_system("mmap");
	return memory;
}

static void list_child(pid_t from, pid_t to)
{
	for (size_t i = 0; i < MOST_CHILDREN; i++)
		if (children[i] == from) {
			children[i] = to;
			return;
		}
}

pid_t child_start(void (*run)(void *context), void *context, int cpu)
{
	pid_t parent = getpid();
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		fail_system("fork");
	if (child > 0) {
		list_child(0, child);
		return child;
	}
	memset(children, 0, sizeof children);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(CHILD_SECONDS);
	if (cpu >= 0)
		pin(0, cpu);
	run(context);
	exit(0);
}

void child_kill(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	list_child(child, 0);
}

void child_wait(pid_t child)
{
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	list_child(child, 0);
	if (status)
		fail("process %d of this benchmark ended with status 0x%x", (int)child, (unsigned)status);
}

void wait_for_count(const _Atomic uint64_t *count, uint64_t least, const char *what)
{
	int64_t deadline = now_ns() + WAIT_NS;
	while (atomic_load_explicit(count, memory_order_acquire) < least) {
		if (now_ns() > deadline)
			fail("%s did not happen within 20 seconds", what);
		sleep_ns(200000);
	}
}

/* The state letter in /proc/PID/stat; it stands behind the last bracket, as the name may hold brackets too. */
static char process_state(pid_t process)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
	FILE *file = fopen(path, "r");
	if (!file)
		fail_system(path);
	size_t size = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[size] = 0;
	const char *bracket = strrchr(text, ')');
	return bracket && bracket[1] ? bracket[2] : '?';
}

void wait_for_sleep(pid_t process, const char *what)
{
	int64_t deadline = now_ns() + WAIT_NS;
	while (process_state(process) != 'S') {
		if (now_ns() > deadline)
			fail("%s (process %d) never went to sleep", what, (int)process);
		sleep_ns(200000);
	}
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

double quantile(double *values, size_t count, double part)
{
	qsort(values, count, sizeof *values, by_value);
	return values[(size_t)(part * (double)(count - 1) + 0.5)];
}

void report(const char *key, double value) { printf("%s %.9g\n", key, value); }

void report_cpus(const char *key, uint64_t cpus)
{
	const char *comma = "";
	printf("%s ", key);
	for (int cpu = 0; cpu < 64; cpu++)
		if (cpus >> cpu & 1) {
			printf("%s%d", comma, cpu);
			comma = ",";
		}
	printf("\n");
}

uint64_t argument(int argc, char **argv, int index, uint64_t otherwise)
{
	return index < argc ? strtoull(argv[index], NULL, 10) : otherwise;
}

void fail(const char *format, ...)
{
	va_list list;
	fprintf(stderr, "%s: ", program_name);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, "\n");
	exit(1);
}

void fail_system(const char *what) { fail("%s: %s", what, strerror(errno)); }
