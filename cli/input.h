/* SPDX-License-Identifier: MIT */
/*
 * Where inputs come from: arguments, or lines (or zero-terminated records) of a file or pipe.
 *
 * It never waits unless asked to and holds a bounded piece of the input, so that the reader can
 * hand out results while a slow producer thinks, and ten million lines need no memory.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input;

enum input_state {
	INPUT_READY, /* that many are there, or the last ones */
	INPUT_PAUSED, /* nothing more for now */
	INPUT_END, /* nothing more at all */
	INPUT_FAILED /* see input_failure() */
};

struct input *input_of_arguments(char *const *values, size_t count);

/* `path` NULL or "-": standard input. NULL: it cannot be opened, errno says why. */
struct input *input_of_file(const char *path, char separator);
void input_close(struct input *input);

/* Reads what can be read at once, until `wanted` inputs are there. */
enum input_state input_state(struct input *input, size_t wanted);

/* Gives up to `wanted` inputs, valid until the next call of any of these. 0: see input_failure(). */
size_t input_take(struct input *input, char **values, size_t wanted);

/* Waits until there may be more. False: not in this time, or a signal came. */
bool input_wait(struct input *input, int milliseconds);

/* Reads further ahead, so that the end may come into sight. */
void input_look_ahead(struct input *input);

/* How many inputs were seen so far; true: that is all of them. */
bool input_total(const struct input *input, uint64_t *total);

/* What went wrong, or NULL. */
const char *input_failure(const struct input *input);

#endif
