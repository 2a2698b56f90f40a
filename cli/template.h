/* SPDX-License-Identifier: MIT */
/*
 * A command with places for inputs: `convert {} {.}.png`.
 *
 * One argument is a line for the shell: what replaces a place is quoted, inputs are appended
 * where there is no place, and if nothing in it means something to a shell the line is split
 * here and executed without one. Several arguments are executed as they are. No argument,
 * or {} alone: the inputs themselves are lines for the shell.
 */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "buffer.h"
#include <stdbool.h>
#include <stdint.h>

struct template;

/* The inputs of one job and its number, counted from 1. */
struct inputs {
	char *const *values;
	size_t count;
	uint64_t number;
};

/* Never NULL. The arguments must outlive it. */
struct template *template_parse(char *const *arguments, size_t count);
void template_free(struct template *template);

/* The name of the command where it is the same for all jobs and no shell is asked; else NULL. */
const char *template_program(const struct template *template);

/* Adds the command's arguments, each with its final zero byte. Returns how many. */
uint32_t template_arguments(const struct template *template, const struct inputs *inputs, struct buffer *arguments);

/* Adds the command as one would type it, with a final zero byte. */
void template_text(const struct template *template, const struct inputs *inputs, struct buffer *text);

#endif
