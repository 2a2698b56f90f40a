/* SPDX-License-Identifier: MIT */
/*
 * Forks. A child takes hold of the shared objects that it inherits in its after-fork hook, but its parent may
 * drop them before that. So each fork has a pipe: the child closes its end when it has taken hold (or the
 * kernel does, if it is killed). What the parent drops meanwhile is a leftover, which is closed when every fork
 * that came before has settled.
 *
 * All of it runs with the GIL. A fork without any shared object costs nothing.
 */
#ifndef TUTTI_PYTHON_FORK_H
#define TUTTI_PYTHON_FORK_H

#include <stddef.h>
#include <stdint.h>

struct py_state;

/* A fork whose child may not have taken hold yet. */
struct py_fork {
	uint64_t number;
	int settled; /* read end of the pipe: end of file when the child has */
};

/* A shared object that was dropped after fork `number` and before it settled. */
struct py_leftover {
	uint64_t number;
	void (*close)(void *object);
	void *object;
};

/* Both lists are in the order of their numbers. */
struct py_forks {
	uint64_t number; /* forks so far */
	int pipe[2]; /* of the fork that is going on; valid if `forking` */
	int forking;
	struct py_fork *unsettled;
	size_t unsettled_count;
	struct py_leftover *leftovers;
	size_t leftover_count;
};

/*
 * Closes the leftovers of forks that have settled; true if some are left. For who waits for the effect of a close:
 * the other end of a pipe may be a leftover.
 */
int py_settle_forks(struct py_state *state);

/* Closes a shared object: now, or as a leftover. */
void py_close_after_forks(struct py_state *state, void (*close)(void *object), void *object);

#endif
