/* SPDX-License-Identifier: MIT */
/* A Tutti call in a benchmark either works or ends it with Tutti's own text. */
#ifndef BENCH_TUTTI_CHECK_H
#define BENCH_TUTTI_CHECK_H

#include "support.h"

#include <tutti/tutti.h>

static inline void check(tutti_err err, const char *what)
{
	if (err != TUTTI_OK)
		fail("%s: %s: %s", what, tutti_error_name(err), tutti_last_error());
}

#endif
