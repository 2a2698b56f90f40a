/* SPDX-License-Identifier: MIT */
#include "buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *reallocate(void *memory, size_t size)
{
	void *result = realloc(memory, size ? size : 1);
	if (!result) {
		fprintf(stderr, "tutti: no memory for %zu more bytes\n", size);
		exit(255);
	}
	return result;
}

void *allocate(size_t size) { return reallocate(NULL, size); }

char *buffer_reserve(struct buffer *buffer, size_t more)
{
	if (buffer->capacity - buffer->size < more) {
		size_t capacity = buffer->capacity ? buffer->capacity * 2 : 256;
		while (capacity - buffer->size < more)
			capacity *= 2;
		buffer->data = reallocate(buffer->data, capacity);
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->size;
}

void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
	char *place = buffer_reserve(buffer, size);
	if (size)
		memcpy(place, data, size);
	buffer->size += size;
}

void buffer_add_text(struct buffer *buffer, const char *text) { buffer_add(buffer, text, strlen(text)); }

void buffer_add_byte(struct buffer *buffer, char byte)
{
	*buffer_reserve(buffer, 1) = byte;
	buffer->size++;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
