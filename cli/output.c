/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* A terminal or pipe that somebody made non-blocking is waited for. */
static bool may_go_on(int fd, const volatile int *stop)
{
	if (errno == EINTR && !(stop && *stop))
		return true;
	if (errno != EAGAIN)
		return false;
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	return poll(&ready, 1, -1) > 0 || !(stop && *stop);
}

static bool write_all(int fd, const char *data, size_t size, const volatile int *stop)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);
		if (done < 0 && !may_go_on(fd, stop))
			return false;
		if (done > 0) {
			data += done;
			size -= (size_t)done;
		}
	}
	return true;
}

void output_add(struct buffer *out, const char *tag, const char *data, size_t size)
{
	const char *end = data + size;
	while (data < end) {
		const char *newline = memchr(data, '\n', (size_t)(end - data));
		const char *next = newline ? newline + 1 : end;
		if (tag) {
			buffer_add_text(out, tag);
			buffer_add_byte(out, '\t');
		}
		buffer_add(out, data, (size_t)(next - data));
		data = next;
	}
}

bool output_write(int fd, const char *tag, const void *data, size_t size, const volatile int *stop)
{
	if (size == 0 || !tag)
		return write_all(fd, data, size, stop);
	struct buffer tagged = {0};
	output_add(&tagged, tag, data, size);
	bool written = write_all(fd, tagged.data, tagged.size, stop);
	int error = errno;
	buffer_free(&tagged);
	errno = error;
	return written;
}
