/* SPDX-License-Identifier: MIT */
/* Futex, clock, and the table through which a test fakes them. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/identity.h"
#include "os/os.h"

HOT static int64_t clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

HOT static int futex_wait(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
	/* WAIT_BITSET takes an absolute time, so that an interrupted wait does not grow. Not PRIVATE: the word is shared. */
	struct tutti__sleep sleep = tutti__sleep_begin();
	long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline == INT64_MAX ? NULL : &until, NULL,
	                  FUTEX_BITSET_MATCH_ANY);
	tutti__sleep_end(sleep);
	if (rc == 0 || errno == EAGAIN)
		return 0;
	return errno;
}

HOT static int futex_wake(atomic_u32 *word, int count)
{
	return (int)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

/* To a thread of this process, too, which may need what the hooks give up. */
static void yield(void)
{
	struct tutti__sleep sleep = tutti__sleep_begin();
	sched_yield();
	tutti__sleep_end(sleep);
}

struct tutti__os_calls tutti__os = {
	.futex_wait = futex_wait,
	.futex_wake = futex_wake,
	.clock_now = clock_now,
	.is_alive = tutti__identity_is_alive,
	.yield = yield,
	.cpus_online = tutti__cpus_online,
};

int64_t tutti__deadline(tutti_time timeout)
{
	if (timeout == TUTTI_FOREVER)
		return INT64_MAX;
	int64_t now = tutti__os.clock_now();
	if (timeout <= 0)
		return now;
	return timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
}
