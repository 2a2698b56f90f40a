/* SPDX-License-Identifier: MIT */
/*
 * Blocking input and output on a descriptor, as Python code would do it: without the GIL, going on
 * after signals unless a handler raised.
 */
#ifndef TUTTI_PYTHON_DESCRIPTOR_H
#define TUTTI_PYTHON_DESCRIPTOR_H

#include <tutti/wait.h>

#include "compatible.h"

struct iovec;
struct pollfd;

/* Writes all of it, in as few calls as possible. Changes `parts`. 0, or -1 with an exception. */
int descriptor_write(int descriptor, struct iovec *parts, size_t count);

/* Reads exactly `size` bytes. 0, or -1 with EOFError (nothing came, if `may_end`) or OSError. */
int descriptor_read(int descriptor, void *buffer, size_t size, bool may_end);

/* The same, for a message that may come soon: looks for it for a while before it sleeps, if that has paid before. */
int descriptor_await(int descriptor, void *buffer, size_t size, tutti_patience *patience);

/* poll(2) until one is ready or `timeout` is over. How many are, or -1 with an exception. */
int descriptor_poll(struct pollfd *polled, size_t count, tutti_time timeout);

#endif
