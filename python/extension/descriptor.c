/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "descriptor.h"
#include "wait.h"

enum { MOST_PARTS = 1024, NANOSECONDS = 1000000000 };

/* After a failed call: 0 to try again, -1 with an exception. */
static int look_at_error(int error)
{
	if (error == EINTR)
		return PyErr_CheckSignals();
	errno = error;
	PyErr_SetFromErrno(PyExc_OSError);
	return -1;
}

/* Drops the first `done` bytes. */
static void advance(struct iovec **parts, size_t *count, size_t done)
{
	while (*count && done >= (*parts)->iov_len) {
		done -= (*parts)->iov_len;
		++*parts;
		--*count;
	}
	if (*count) {
		(*parts)->iov_base = (char *)(*parts)->iov_base + done;
		(*parts)->iov_len -= done;
	}
}

int descriptor_write(int descriptor, struct iovec *parts, size_t count)
{
	advance(&parts, &count, 0); /* empty ones */
	while (count) {
		ssize_t written;
		int error;
		Py_BEGIN_ALLOW_THREADS;
		written = writev(descriptor, parts, count < MOST_PARTS ? (int)count : MOST_PARTS);
		error = errno;
		Py_END_ALLOW_THREADS;
		if (written < 0 && look_at_error(error) < 0)
			return -1;
		advance(&parts, &count, written < 0 ? 0 : (size_t)written);
	}
	return 0;
}

static int fail_at_end(bool nothing_came)
{
	if (nothing_came)
		PyErr_SetNone(PyExc_EOFError);
	else
		PyErr_SetString(PyExc_OSError, "got end of file during message");
	return -1;
}

int descriptor_read(int descriptor, void *buffer, size_t size, bool may_end)
{
	for (size_t got = 0; got < size;) {
		ssize_t count;
		int error;
		Py_BEGIN_ALLOW_THREADS;
		count = read(descriptor, (char *)buffer + got, size - got);
		error = errno;
		Py_END_ALLOW_THREADS;
		if (count < 0 && look_at_error(error) < 0)
			return -1;
		if (count == 0)
			return fail_at_end(may_end && got == 0);
		got += count < 0 ? 0 : (size_t)count;
	}
	return 0;
}

static bool is_readable(void *context)
{
	struct pollfd polled = {.fd = *(int *)context, .events = POLLIN};
	return poll(&polled, 1, 0) > 0;
}

int descriptor_await(int descriptor, void *buffer, size_t size, tutti_patience *patience)
{
	Py_BEGIN_ALLOW_THREADS;
	tutti_spin_until(patience, is_readable, &descriptor);
	Py_END_ALLOW_THREADS;
	return descriptor_read(descriptor, buffer, size, true);
}

int descriptor_poll(struct pollfd *polled, size_t count, tutti_time timeout)
{
	int64_t deadline = py_deadline(timeout);
	for (;;) {
		int ready, error;
		tutti_time left = py_time_left(deadline);
		struct timespec time = {left / NANOSECONDS, left % NANOSECONDS};
		Py_BEGIN_ALLOW_THREADS;
		ready = ppoll(polled, (nfds_t)count, left == TUTTI_FOREVER ? NULL : &time, NULL);
		error = errno;
		Py_END_ALLOW_THREADS;
		if (ready >= 0)
			return ready;
		if (look_at_error(error) < 0)
			return -1;
	}
}
