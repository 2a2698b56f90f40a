/* SPDX-License-Identifier: MIT */
/*
 * The chaos ring: members do random operations, some are killed at random moments and
 * replaced, and in the end the ledger must balance, message by message.
 *
 *     chaos [--seconds N] [--seed N] [--members N] [--threads]
 *
 * The choices of each life follow from the seed; the moments of the kills do not.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena/heap.h"
#include "channel/queue.h"
#include "chaos.h"
#include "os/os.h"

#if defined(__SANITIZE_THREAD__)
#define ONLY_THREADS true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONLY_THREADS true
#endif
#endif
#ifndef ONLY_THREADS
#define ONLY_THREADS false
#endif

static pid_t coordinator;

/* LeakSanitizer asks at exit: a member ends with handles that it inherited. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return getpid() != coordinator; }

int64_t chaos_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void chaos_pause(int64_t nanoseconds)
{
	struct timespec pause = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
	while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
		;
}

static bool parse(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--threads") == 0) {
			options->threads = true;
			continue;
		}
		if (strcmp(argv[i], "--seconds") == 0)
			options->seconds = strtod(value, NULL);
		else if (strcmp(argv[i], "--seed") == 0)
			options->seed = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "--members") == 0)
			options->members = (unsigned)strtoul(value, NULL, 0);
		else
			return false;
		i++;
	}
	return options->seconds > 0 && options->members >= 1 && options->members <= 64;
}

static unsigned count_descriptors(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	while (folder && readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* Everybody else has ended: gets what is left, noting it down. */
static void drain(struct world *world)
{
	static struct member member;
	member_begin(&member, LIVES - 1, 0);
	member.world = *world;
	for (uint32_t i = 0; i < QUEUES; i++) {
		if (!tutti__queue_is_valid(world->arena, world->queues[i]->shared, NULL, NULL))
			ledger_fail(CHECK_VALID, "queue %u", i);
		while (member_get_from(&member, i))
			;
		if (tutti_queue_size(world->queues[i]) != 0)
			ledger_fail(CHECK_VALID, "queue %u is empty, but counts %llu", i,
			            (unsigned long long)tutti_queue_size(world->queues[i]));
	}
	member_drain_channels(&member);
	member_end(&member);
}

/* Each lock can be had, and what it guards is whole or its holder's death is told. */
static void look_at_locks(struct world *world)
{
	for (unsigned i = 0; i < LOCKS; i++) {
		struct guarded *guarded = &ledger->guarded[i];
		tutti_err err = world_acquire(world, i, tutti_seconds(2));
		if (err && err != TUTTI_EOWNERDEAD)
			ledger_fail(CHECK_HUNG, "lock %u in the end: %s", i, tutti_last_error());
		else if (err == TUTTI_OK && guarded->first != guarded->second)
			ledger_fail(CHECK_GUARDED, "lock %u in the end: %llu and %llu", i, (unsigned long long)guarded->first,
			            (unsigned long long)guarded->second);
		if (err == TUTTI_OK || err == TUTTI_EOWNERDEAD)
			world_release(world, i);
	}
}

static void look_at_arena(struct world *world)
{
	tutti_arena_usage usage = {0};
	tutti_arena_sweep(world->arena);
	if (!tutti__heap_is_valid(world->arena))
		ledger_fail(CHECK_VALID, "the heap");
	world_close(world, false);
	if (tutti_arena_usage_read(world->arena, &usage) || usage.live_blocks != 0)
		ledger_fail(CHECK_LEAKED, "%llu blocks of %llu bytes", (unsigned long long)usage.live_blocks,
		            (unsigned long long)usage.live_bytes);
	if (usage.members != 1)
		ledger_fail(CHECK_LEFT, "%llu members", (unsigned long long)usage.members);
	tutti_arena_close(world->arena);
}

int main(int argc, char **argv)
{
	struct options options = {.seconds = 10, .seed = (uint64_t)chaos_now(), .members = 6, .threads = ONLY_THREADS};
	struct world world;
	coordinator = getpid();
	if (!parse(argc, argv, &options)) {
		fprintf(stderr, "usage: chaos [--seconds N] [--seed N] [--members 1...64] [--threads]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("chaos: %u members as %s, %.0f seconds, --seed %llu\n", options.members,
	       options.threads ? "threads" : "processes", options.seconds, (unsigned long long)options.seed);
	alarm((unsigned)options.seconds + 60);
	tutti__identity_keep_reserve();
	unsigned descriptors = count_descriptors();
	ledger_make();
	world_make(&world);
	(options.threads ? run_threads : run_processes)(&options, &world);
	tutti_arena_sweep(world.arena);
	drain(&world);
	look_at_locks(&world);
	look_at_arena(&world);
	ledger_audit();
	if (count_descriptors() != descriptors)
		ledger_fail(CHECK_LEFT, "%u descriptors before, %u after", descriptors, count_descriptors());
	if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
		ledger_fail(CHECK_LEFT, "a process");
	unsigned failed = ledger_report();
	ledger_free();
	return failed > 0;
}
