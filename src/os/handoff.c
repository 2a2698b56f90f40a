/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/handoff.h"

enum { BACKLOG = 128, NAME_DIGITS = 5 /* of a name that the kernel chooses, hexadecimal */ };

static void set_patience(int fd, int64_t patience)
{
	struct timeval time = {.tv_sec = patience / 1000000000, .tv_usec = patience % 1000000000 / 1000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time); /* connect waits for room in the backlog */
}

static int fail_with(int fd)
{
	int error_number = errno;
	close(fd);
	errno = error_number;
	return -1;
}

/* An address of the family alone makes the kernel choose: a zero byte and five hexadecimal digits. */
int tutti__handoff_listen(uint32_t *address)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t size = sizeof name;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&name, sizeof name.sun_family) != 0 || listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&name, &size) != 0)
		return fail_with(fd);
	char digits[NAME_DIGITS + 1] = "";
	memcpy(digits, name.sun_path + 1, NAME_DIGITS);
	*address = (uint32_t)strtoul(digits, NULL, 16);
	return fd;
}

int tutti__handoff_connect(uint32_t address, int64_t patience)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	set_patience(fd, patience);
	snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%05x", address & 0xfffffU);
	if (connect(fd, (struct sockaddr *)&name, sizeof name.sun_family + 1 + NAME_DIGITS) != 0)
		return fail_with(fd);
	return fd;
}

int tutti__handoff_accept(int listener, int64_t patience)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		set_patience(fd, patience);
	return fd;
}

bool tutti__handoff_peer(int connection, struct ucred *peer)
{
	socklen_t size = sizeof *peer;
	return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, peer, &size) == 0;
}

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

bool tutti__handoff_send(int connection, const void *data, size_t size, int passed)
{
	union control control;
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	memset(&control, 0, sizeof control);
	if (passed >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		control.header =
			(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
	}
	return sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

ssize_t tutti__handoff_receive(int connection, void *data, size_t size, int *passed, int flags)
{
	union control control;
	struct iovec part = {.iov_base = data, .iov_len = size};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = passed ? control.bytes : NULL,
	                         .msg_controllen = passed ? sizeof control.bytes : 0};
	ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | flags);
	if (!passed)
		return count;
	*passed = -1;
	struct cmsghdr *header = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(passed, CMSG_DATA(header), sizeof *passed);
	return count;
}
