/* SPDX-License-Identifier: MIT */
/*
 * Waiting from Python: one helper, used by everything that waits.
 *
 * The core is called with the GIL, in slices, so that a signal that another thread took is noticed too. After a
 * signal (TUTTI_EINTR) and after each slice Python's handlers run; if none raises, the wait goes on to the same
 * absolute deadline (PEP 475).
 *
 * The core's hooks give the GIL up for each sleep and for each yield, not while it spins: that it does for the other
 * process alone, for 100 us at most, and to have the GIL afterwards it would wait for 5 ms beside a busy thread. So
 * any call of the core (a release, task_done, too) lets other threads run should it have to sleep, and what the GIL
 * guards must be in order before it.
 */
#ifndef TUTTI_PYTHON_WAIT_H
#define TUTTI_PYTHON_WAIT_H

#include <stdatomic.h>

#include "state.h"

/*
 * One attempt of the core, up to `timeout`: a function such as tutti_lock_acquire. It must not touch Python objects,
 * for in a large copy (py_wait_without_gil), or in another interpreter before 3.12, it is called without the GIL.
 */
typedef tutti_err (*py_attempt)(void *context, tutti_time timeout);

/* The answers that mean: not yet. */
static inline bool py_is_not_yet(int answer)
{
	return answer == TUTTI_EBUSY || answer == TUTTI_ETIMEDOUT || answer == TUTTI_EEMPTY || answer == TUTTI_EFULL ||
	       answer == TUTTI_EINTR;
}

static const tutti_time PY_SLICE = 50 * 1000000; /* ns: how late a signal may be noticed */

/* Some interpreter of this process has threads of which the core's hooks do not know that they have the GIL. */
extern atomic_bool py_sleeps_with_gil;

int py_wait_with_limit(py_attempt attempt, void *context, tutti_time timeout);
int py_wait_on(py_attempt attempt, void *context, int answer);

/*
 * Attempts until the answer is another than "not yet", or `timeout` is over. The last answer (a tutti_err;
 * tutti_last_error() has its text), or -1 if a signal handler raised an exception. Inline, for the calls whose
 * attempt succeeds at once: without a look at the clock.
 */
static inline int py_wait(py_attempt attempt, void *context, tutti_time timeout)
{
	if (timeout != TUTTI_FOREVER || py_sleeps_with_gil)
		return py_wait_with_limit(attempt, context, timeout);
	int answer = (int)attempt(context, PY_SLICE);
	return answer == TUTTI_OK ? answer : py_wait_on(attempt, context, answer);
}

/* The same for attempts that take long when they succeed, as a large copy does: the first is without the GIL too. */
int py_wait_without_gil(py_attempt attempt, void *context, tutti_time timeout);

/*
 * A wait that cannot be cut into slices: one that gives up its place at the end of each. Between begin and end the
 * thread has no GIL. The core asks four times a second whether to go on: then Python's handlers run, and if one of
 * them raises the core is told that the wait is over (TUTTI_EINTR), and `raised` says that an exception is set. Pause
 * and go_on: around Python code that the core calls meanwhile.
 */
struct py_long_wait {
	struct py_long_wait *outer;
	PyThreadState *thread;
	bool raised;
};
void py_long_wait_begin(struct py_long_wait *wait);
void py_long_wait_end(struct py_long_wait *wait);
void py_long_wait_pause(struct py_long_wait *wait);
void py_long_wait_go_on(struct py_long_wait *wait);

/* The moment, on the monotonic clock, when a timeout that begins now ends; and how long that still is. */
int64_t py_deadline(tutti_time timeout);
tutti_time py_time_left(int64_t deadline);

/*
 * A timeout as multiprocessing takes it: None: for ever; a number of seconds, negative ones as 0, ones
 * that no clock reaches as for ever. 0, or -1 with TypeError (not a number) or ValueError (NaN).
 */
int py_timeout(PyObject *seconds, tutti_time *timeout);

/* The same for the usual pair (block, timeout): without `block` the timeout is not looked at. */
int py_block_timeout(int block, PyObject *seconds, tutti_time *timeout);

#endif
