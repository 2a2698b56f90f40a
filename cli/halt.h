/* SPDX-License-Identifier: MIT */
/* --halt: when enough jobs have failed, succeeded or ended, start no more or stop all. */
#ifndef CLI_HALT_H
#define CLI_HALT_H

#include <stdbool.h>
#include <stdint.h>

/* What workers shall do with the jobs that they are handed. It only ever rises. */
enum stop_level { STOP_NOT, STOP_SOON /* start no more */, STOP_NOW /* nor run a failed one again */ };

struct halt {
	enum stop_level level; /* STOP_NOT: never */
	enum halt_what { HALT_FAIL, HALT_SUCCESS, HALT_DONE } what;
	uint64_t number;
	bool percent;
};

struct counts {
	uint64_t done, failed;
	uint64_t total; /* jobs known so far */
	bool total_is_known; /* that is all of them */
};

/* Reads "now,fail=1" and its like. False: it is none. */
bool halt_parse(struct halt *halt, const char *text);

/* Whether these counts fulfil it. */
bool halt_reached(const struct halt *halt, const struct counts *counts);

#endif
