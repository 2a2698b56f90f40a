/* SPDX-License-Identifier: MIT */
/* What jobs printed, on its way out: whole jobs, one after the other, each line tagged if asked. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "buffer.h"
#include <stdbool.h>

/*
 * Writes it all. `tag` NULL: untagged. False: errno says why; EINTR: a signal came and
 * `*stop` (may be NULL) was set by its handler.
 */
bool output_write(int fd, const char *tag, const void *data, size_t size, const volatile int *stop);

/* Adds it to a buffer instead, each line with its tag; `tag` NULL: untagged. */
void output_add(struct buffer *out, const char *tag, const char *data, size_t size);

#endif
