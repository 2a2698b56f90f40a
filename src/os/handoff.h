/* SPDX-License-Identifier: MIT */
/*
 * Sockets over which descriptors pass: connections of whole messages (SOCK_SEQPACKET) to a name that
 * the kernel chooses in the abstract namespace. It is unique while it is used, stands in no
 * file system, and is gone with its last descriptor.
 */
#ifndef TUTTI_OS_HANDOFF_H
#define TUTTI_OS_HANDOFF_H

#include <sys/socket.h>

#include "os/os.h"

/* All: -1 and errno on failure; close-on-exec. */
int tutti__handoff_listen(uint32_t *address);
/* Waits until `patience` ns at most (EAGAIN), also in later calls on the connection. */
int tutti__handoff_connect(uint32_t address, int64_t patience);
int tutti__handoff_accept(int listener, int64_t patience);

/* Who is at the other end, as the kernel knows it. */
bool tutti__handoff_peer(int connection, struct ucred *peer);

/* One message, with descriptor `passed` unless that is -1. Never blocks. */
bool tutti__handoff_send(int connection, const void *data, size_t size, int passed);
/* One message; `*passed` is -1 if none came with it. Returns its size, 0 at the end. `passed` may be NULL. */
ssize_t tutti__handoff_receive(int connection, void *data, size_t size, int *passed, int flags);

#endif
