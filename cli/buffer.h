/* SPDX-License-Identifier: MIT */
/* Bytes that grow. Running out of memory ends the program with a text. */
#ifndef CLI_BUFFER_H
#define CLI_BUFFER_H

#include <stddef.h>

struct buffer {
	char *data;
	size_t size, capacity;
};

/* Makes room for `more` bytes and gives the place where they go; `size` stays. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_add(struct buffer *buffer, const void *data, size_t size);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_add_byte(struct buffer *buffer, char byte);
void buffer_free(struct buffer *buffer);

/* malloc() and realloc() that do not return NULL. */
void *allocate(size_t size);
void *reallocate(void *memory, size_t size);

#endif
