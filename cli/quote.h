/* SPDX-License-Identifier: MIT */
/* What means something to a shell, and how to hide it. */
#ifndef CLI_QUOTE_H
#define CLI_QUOTE_H

#include "buffer.h"
#include <stdbool.h>

/* Adds `value` such that a shell reads it as one word. */
void quote_add(struct buffer *line, const char *value, size_t size);

/* Whether a word that starts a command is known to shells only. */
bool quote_is_shell_word(const char *word, size_t size);

/* Whether a shell would read this part of a line as more than plain words. */
bool quote_needs_shell(const char *text, size_t size);

/* The shell that runs lines. */
const char *quote_shell(void);

#endif
