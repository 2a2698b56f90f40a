/* SPDX-License-Identifier: MIT */
/* The progress line on standard error: how many of how many, how fast, how long yet. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "halt.h"
#include "options.h"

struct progress {
	bool enabled;
	bool visible; /* stands on the terminal now */
	bool unicode;
	bool output_is_terminal;
	double started, drawn; /* seconds */
};

void progress_open(struct progress *progress, enum progress_mode mode);

/* Draws it, if it is time to. */
void progress_draw(struct progress *progress, const struct counts *counts, uint64_t retried, bool now);

/* Takes it away before something is written to `fd`. */
void progress_hide(struct progress *progress, int fd);

/* Leaves the last state behind. */
void progress_close(struct progress *progress, const struct counts *counts, uint64_t retried);

#endif
