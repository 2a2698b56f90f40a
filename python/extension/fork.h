/* SPDX-License-Identifier: MIT */
/*
 * Forks. A child takes hold of the shared objects that it inherits in its after-fork hook, but its parent may
 * drop them before that. So each fork has a pipe: the child closes its end when it has taken hold (or the
 * kernel does, if it is killed). Without descriptors for a pipe it has a word of shared memory, which the child
 * sets: then what is dropped before a child that is killed is kept until this process ends.
 *
 * Who drops a shared object waits for the forks that came before, a millisecond or so: others may wait for the
 * effect of it, such as the end of file at the other end of a pipe, and nobody else would see to it later. Only
 * where the wait is in vain (a child that was stopped in its first instant) or would be for the caller itself (in
 * the hooks of its own fork) it is a leftover, which is closed when every fork that came before has settled.
 *
 * All of it runs with the GIL, which waiting releases. Several threads may be at a fork at once. A fork without
 * any shared object costs nothing.
 */
#ifndef TUTTI_PYTHON_FORK_H
#define TUTTI_PYTHON_FORK_H

#include <stdbool.h>
#include <stdint.h>

#include <tutti/tutti.h>

struct py_state;

/* A fork whose child may not have taken hold yet. */
struct py_fork {
	struct py_fork *next;
	uint64_t number;
	unsigned long thread; /* that forks */
	int settled, unsettled; /* ends of the pipe: end of file on the first when the child has; -1, -1: without a pipe */
	_Atomic(uint32_t) *word; /* in place of the pipe; 1: settled */
	unsigned waiters; /* threads without the GIL that poll `settled` */
	bool going_on; /* between its first hook and its last in the parent */
	bool late; /* was waited for in vain */
};

/* A shared object that was dropped after fork `number` and before it settled. */
struct py_leftover {
	struct py_leftover *next;
	uint64_t number;
	void (*close)(void *object);
	void *object;
};

/* Both lists are in the order of their numbers. */
struct py_forks {
	uint64_t number; /* forks so far */
	struct py_fork *unsettled;
	struct py_leftover *leftovers;
	bool deaf; /* there was no memory to follow a fork: what is dropped from then on is kept */
};

/* Closes the leftovers of forks that have settled; true if some are left. */
bool py_settle_forks(struct py_state *state);

/* Closes a shared object: now, or as a leftover. May release the GIL. */
void py_close_after_forks(struct py_state *state, void (*close)(void *object), void *object);

#endif
