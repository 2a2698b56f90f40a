/* SPDX-License-Identifier: MIT */
/* The board's only functions: how a finding gets onto it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ring.h"

struct board *board;

void fail(enum harm harm, const char *format, ...)
{
	va_list arguments;
	/* The first word counts: what others find after it may be its consequence. */
	if (cas_u32(&board->is_failing, 0, 1)) {
		board->harm = harm;
		va_start(arguments, format);
		vsnprintf(board->failure, sizeof board->failure, format, arguments);
		va_end(arguments);
	}
	_exit(3);
}

void must(tutti_err err, const char *what)
{
	if (err == TUTTI_OK)
		return;
	fprintf(stderr, "crash_ring: cannot prepare the test: %s: %s: %s\n", what, tutti_error_name(err),
	        tutti_last_error());
	_exit(4);
}
