/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_TESTS_CHAOS_CHAOS_H
#define TUTTI_TESTS_CHAOS_CHAOS_H

#include "member.h"

struct options {
	double seconds;
	uint64_t seed;
	unsigned members; /* at a time */
	bool threads; /* members are threads of one process, which vanish instead of being killed */
};

int64_t chaos_now(void);
void chaos_pause(int64_t nanoseconds);

/* Members come and go for as long as the options say; then all have ended. */
void run_processes(const struct options *options, const struct world *world);
void run_threads(const struct options *options, const struct world *world);

#endif
