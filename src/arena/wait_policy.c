/* SPDX-License-Identifier: MIT */
/*
 * The policy of waiting: one word, read by each wait that does not succeed at once.
 *
 *     0 not known yet | KNOWN + same process << 1 + the longest spin in ns << 2
 *
 * Racing threads that find it unknown read the same environment and store the same.
 */
#include <stdlib.h>
#include <string.h>

#include <tutti/wait.h>

#include "arena/wait.h"

enum { KNOWN = 1, SAME_PROCESS = 2, SPIN_SHIFT = 2, DEFAULT_SPIN = 100000 }; /* twice what a wake across CPUs costs */
static const int64_t LONGEST_SPIN = 1000000; /* as long as a spinner's claim counts */

static atomic_u64 policy_word;

/* The longest spin in ns that TUTTI_SPIN asks for. Anything but off, auto or a number is ignored. */
static int64_t spin_of_environment(void)
{
	const char *text = getenv("TUTTI_SPIN");
	char *end;
	if (!text || *text < '0' || *text > '9')
		return text && strcmp(text, "off") == 0 ? 0 : DEFAULT_SPIN;
	unsigned long long microseconds = strtoull(text, &end, 10);
	if (*end)
		return DEFAULT_SPIN;
	return microseconds > (unsigned long long)LONGEST_SPIN / 1000 ? LONGEST_SPIN : (int64_t)microseconds * 1000;
}

static uint64_t word_of(const tutti_wait_policy *policy)
{
	int64_t longest = policy->spin_max;
	if (policy->spin == TUTTI_SPIN_OFF)
		longest = 0;
	else if (longest <= 0)
		longest = spin_of_environment();
	if (longest > LONGEST_SPIN)
		longest = LONGEST_SPIN;
	return (uint64_t)longest << SPIN_SHIFT | (policy->same_process_spin == TUTTI_SPIN_OFF ? 0 : SAME_PROCESS) | KNOWN;
}

static uint64_t current(void)
{
	static const tutti_wait_policy defaults;
	uint64_t word = load_relaxed(&policy_word); /* relaxed: one word, and nothing else goes with it */
	if (unlikely(word == 0)) {
		word = word_of(&defaults);
		store_relaxed(&policy_word, word);
	}
	return word;
}

void tutti_wait_policy_set(const tutti_wait_policy *policy)
{
	static const tutti_wait_policy defaults;
	store_relaxed(&policy_word, word_of(policy ? policy : &defaults));
}

tutti_wait_policy tutti_wait_policy_get(void)
{
	uint64_t word = current();
	return (tutti_wait_policy){.spin = word >> SPIN_SHIFT ? TUTTI_SPIN_AUTO : TUTTI_SPIN_OFF,
	                           .spin_max = (tutti_time)(word >> SPIN_SHIFT),
	                           .same_process_spin = word & SAME_PROCESS ? TUTTI_SPIN_AUTO : TUTTI_SPIN_OFF};
}

uint32_t tutti__spin_max(void) { return (uint32_t)(current() >> SPIN_SHIFT); }

bool tutti__spins_in_process(void) { return current() & SAME_PROCESS; }
