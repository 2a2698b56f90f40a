/* SPDX-License-Identifier: MIT */
/*
 * Floor 0: the operating system. The only floor with system-call trivia.
 *
 * What tests must be able to fake (time, sleeping, who is alive) goes through the
 * table tutti__os; the rest are plain functions.
 */
#ifndef TUTTI_OS_OS_H
#define TUTTI_OS_OS_H

#include <pthread.h>
#include <sched.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <sys/types.h>

#include <tutti/error.h>
#include <tutti/wait.h>

#include "os/atomics.h"

/*
 * Who a process is, for ever: its pid alone is reused. On kernels whose pidfds have an
 * inode of their own (6.9) that inode tells, else the start time (10 ms grain).
 * exec keeps all three, so the place of the arena's mapping is noted too: a process
 * that called exec has it no longer.
 */
struct tutti__identity {
	int32_t pid;
	uint32_t member; /* member id: tells several members of one process apart */
	uint64_t pid_namespace; /* inode; a pid means something only within it */
	uint64_t pidfd_inode; /* 0: not known */
	uint64_t start_time; /* clock ticks since boot */
	uint64_t map_start, map_end; /* addresses of the arena there; 0: not noted */
};

struct tutti__os_calls {
	/* Sleeps while *word == expected. 0: woken (or not asleep); ETIMEDOUT; EINTR. `deadline` absolute, monotonic. */
	int (*futex_wait)(atomic_u32 *word, uint32_t expected, int64_t deadline);
	/* Wakes up to `count` sleepers; returns how many. Async-signal-safe. */
	int (*futex_wake)(atomic_u32 *word, int count);
	/* Nanoseconds on the monotonic clock. */
	int64_t (*clock_now)(void);
	/* False only if the process is dead for sure: ended, another one by now, or gone by exec. */
	bool (*is_alive)(const struct tutti__identity *identity);
	/* Lets others run on this CPU. */
	void (*yield)(void);
	/* How many CPUs are online. */
	unsigned (*cpus_online)(void);
	/* NULL, or told of each sleep that its tick ended and not a wake, though what it was for had been done. */
	void (*tick_found)(uint64_t object);
};

extern struct tutti__os_calls tutti__os;

/*
 * Around each sleep of a thread: calls the hooks of <tutti/wait.h>. At the end of a sleep a thread may wait for the
 * lock of its language, whose holder may wait for a mutex of ours. So:
 * - who may sleep under a mutex takes it by tutti__mutex_lock(), which lets go of that lock before it waits;
 * - under a mutex that a fork takes, and under those taken by pthread_mutex_lock(), nothing sleeps.
 */
struct tutti__sleep {
	const tutti_wait_hooks *hooks; /* those of its begin: they may change meanwhile */
	void *given;
};
struct tutti__sleep tutti__sleep_begin(void);
void tutti__sleep_end_with(struct tutti__sleep sleep);
/* Leaves errno alone. Inline: a thread that wakes finds nothing in its caches, and each page that it needs costs. */
static inline void tutti__sleep_end(struct tutti__sleep sleep)
{
	if (sleep.hooks)
		tutti__sleep_end_with(sleep);
}
void tutti__mutex_lock(pthread_mutex_t *mutex);
void tutti__thread_join(pthread_t thread);
/* Asks the hook: true if the wait that the caller is in is to end with TUTTI_EINTR. */
bool tutti__wait_is_interrupted(void);

/* Fills in who the calling process is, except for the map addresses. */
void tutti__identity_self(struct tutti__identity *identity);
/* The same of another process of this pid namespace, which runs or has not been waited for; false if there is none. */
bool tutti__identity_of(struct tutti__identity *identity, pid_t pid);
/* Keeps a descriptor back, so that deaths are noticed also when none is left. Idempotent. */
void tutti__identity_keep_reserve(void);
/* The inode of this process's pid namespace. */
uint64_t tutti__pid_namespace(void);

int tutti__pidfd_open(pid_t pid);
int tutti__pidfd_send_signal(int pidfd, int signal);

/* An anonymous memory file of `size` bytes, sealed against growing and shrinking; -1 and errno. */
int tutti__memory_file(const char *name, uint64_t size);
/* Gives the pages of a range of a mapped memory file back to the kernel. */
bool tutti__memory_punch(void *address, uint64_t size);
/* Bytes of RAM, and the smaller of RAM and the cgroup's limit. */
uint64_t tutti__memory_total(void);
uint64_t tutti__memory_allowed(void);

/* The CPU that the caller runs on now. */
static inline uint32_t tutti__cpu(void);
/* How many CPUs are online; how many this process may use. */
unsigned tutti__cpus_online(void);
unsigned tutti__cpus_usable(void);
/* How many threads this process has. */
unsigned tutti__thread_count(void);
/* The program's short name, never empty. */
const char *tutti__program_name(void);

/* Sets this thread's error text and returns `err`. */
tutti_err tutti__fail(tutti_err err, const char *format, ...) TUTTI_PRINTF(2, 3);
/* The same with a constant text: costs nothing, for answers that are no surprise (nothing there, full). */
tutti_err tutti__fail_plain(tutti_err err, const char *text);
/* The same for a failed system call: adds the text of `error_number`; names lack of descriptors as such. */
tutti_err tutti__fail_system(int error_number, const char *what);
#ifdef __clang_analyzer__ /* a failure is never TUTTI_OK; the analyser looks into one file at a time and cannot know */
#define tutti__fail(err, ...) ((void)(tutti__fail)((err), __VA_ARGS__), (err))
#define tutti__fail_system(error_number, what) ((void)(tutti__fail_system)((error_number), (what)), TUTTI_ESYSTEM)
#endif

/* The absolute time at which a relative timeout ends. */
int64_t tutti__deadline(tutti_time timeout);

/* glibc 2.35 and newer register a word per thread that the kernel keeps up to date: one load instead of a call. */
static inline uint32_t tutti__cpu(void)
{
#if __has_include(<sys/rseq.h>)
	const struct rseq *area = (const void *)((const char *)__builtin_thread_pointer() + __rseq_offset);
	int32_t cpu = (int32_t)__atomic_load_n(&area->cpu_id, __ATOMIC_RELAXED);
	if (likely(cpu >= 0)) /* negative: not registered */
		return (uint32_t)cpu;
#endif
	return (uint32_t)sched_getcpu();
}

#endif
