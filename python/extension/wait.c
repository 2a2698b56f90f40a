/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <time.h>

#include "wait.h"

static const double LONGEST = 9e9; /* seconds that a tutti_time holds */

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t py_deadline(tutti_time timeout)
{
	int64_t begin = now();
	return timeout > INT64_MAX - begin ? INT64_MAX : begin + timeout;
}

tutti_time py_time_left(int64_t deadline)
{
	if (deadline == INT64_MAX)
		return TUTTI_FOREVER;
	int64_t left = deadline - now();
	return left > 0 ? left : TUTTI_NOW;
}

/* How long the next slice may be; 0: the time is over. */
static tutti_time next_slice(int64_t deadline)
{
	tutti_time left = py_time_left(deadline);
	return left < PY_SLICE ? left : PY_SLICE;
}

/* Also false in threads that Python does not know. */
static bool has_gil(void)
{
#if PY_VERSION_HEX >= 0x030d0000
	return PyThreadState_GetUnchecked() != NULL;
#elif PY_VERSION_HEX >= 0x030c0000
	return _PyThreadState_UncheckedGet() != NULL;
#else
	PyThreadState *own = PyGILState_GetThisThreadState();
	return own && own == _PyThreadState_UncheckedGet(); /* the state of whoever has it */
#endif
}

static int attempt_without_gil(py_attempt attempt, void *context, tutti_time timeout)
{
	int answer;
	Py_BEGIN_ALLOW_THREADS;
	answer = (int)attempt(context, timeout);
	Py_END_ALLOW_THREADS;
	return answer;
}

/* With the GIL, unless the core's hooks would not give it up (before 3.12). */
static int attempt_with_gil(py_attempt attempt, void *context, tutti_time timeout)
{
	return has_gil() ? (int)attempt(context, timeout) : attempt_without_gil(attempt, context, timeout);
}

typedef int slice_attempt(py_attempt attempt, void *context, tutti_time timeout);

static int wait_in_slices(slice_attempt *attempt_slice, py_attempt attempt, void *context, int64_t deadline, int answer)
{
	for (tutti_time slice; (slice = next_slice(deadline)) > 0;) {
		answer = attempt_slice(attempt, context, slice);
		if (!py_is_not_yet(answer))
			return answer;
		if (PyErr_CheckSignals() < 0)
			return -1;
	}
	return answer;
}

atomic_bool py_sleeps_with_gil;

static int go_on(py_attempt attempt, void *context, int64_t deadline, int answer)
{
	if (!py_is_not_yet(answer))
		return answer;
	return PyErr_CheckSignals() < 0 ? -1 : wait_in_slices(attempt_with_gil, attempt, context, deadline, answer);
}

int py_wait_with_limit(py_attempt attempt, void *context, tutti_time timeout)
{
	if (timeout <= 0)
		return (int)attempt(context, TUTTI_NOW);
	int64_t deadline = py_deadline(timeout);
	/* At least once, however short the time. */
	int answer = attempt_with_gil(attempt, context, timeout < PY_SLICE ? timeout : PY_SLICE);
	return go_on(attempt, context, deadline, answer);
}

int py_wait_on(py_attempt attempt, void *context, int answer) { return go_on(attempt, context, INT64_MAX, answer); }

int py_wait_without_gil(py_attempt attempt, void *context, tutti_time timeout)
{
	int answer = attempt_without_gil(attempt, context, TUTTI_NOW);
	if (timeout <= 0 || !py_is_not_yet(answer))
		return answer;
	return wait_in_slices(attempt_without_gil, attempt, context, py_deadline(timeout), answer);
}

/* --- sleeping with the GIL ---------------------------------------------------------------------------------- */

static void *give_gil_up(void) { return has_gil() ? PyEval_SaveThread() : NULL; }

static void take_gil_again(void *thread)
{
	if (thread)
		PyEval_RestoreThread(thread);
}

/* The one that this thread is in, the innermost if they are nested; NULL while Python code runs. */
static _Thread_local struct py_long_wait *current_wait;

void py_long_wait_begin(struct py_long_wait *wait)
{
	*wait = (struct py_long_wait){.outer = current_wait, .thread = PyEval_SaveThread()};
	current_wait = wait;
}

void py_long_wait_end(struct py_long_wait *wait)
{
	current_wait = wait->outer;
	PyEval_RestoreThread(wait->thread);
}

void py_long_wait_pause(struct py_long_wait *wait)
{
	current_wait = NULL;
	PyEval_RestoreThread(wait->thread);
}

void py_long_wait_go_on(struct py_long_wait *wait)
{
	wait->thread = PyEval_SaveThread();
	current_wait = wait;
}

/* Called by the core now and then in each wait of this thread. */
static bool is_interrupted(void)
{
	struct py_long_wait *wait = current_wait;
	if (!wait || wait->raised)
		return wait != NULL;
	py_long_wait_pause(wait);
	wait->raised = PyErr_CheckSignals() < 0;
	py_long_wait_go_on(wait);
	return wait->raised;
}

int py_add_waits(PyObject *Py_UNUSED(module))
{
#if PY_VERSION_HEX < 0x030c0000
	if (PyInterpreterState_Get() != PyInterpreterState_Main())
		py_sleeps_with_gil = true;
#endif
	static const tutti_wait_hooks hooks = {give_gil_up, take_gil_again, is_interrupted};
	tutti_wait_hooks_set(&hooks);
#ifndef Py_GIL_DISABLED
	/* A partner in this process needs the GIL, which the spinner has. */
	tutti_wait_policy_set(&(tutti_wait_policy){.same_process_spin = TUTTI_SPIN_OFF});
#endif
	return 0;
}

int py_timeout(PyObject *seconds, tutti_time *timeout)
{
	*timeout = TUTTI_FOREVER;
	if (!seconds || seconds == Py_None)
		return 0;
	double value = PyFloat_AsDouble(seconds);
	if (value == -1.0 && PyErr_Occurred())
		return -1;
	if (isnan(value)) {
		PyErr_SetString(PyExc_ValueError, "a timeout cannot be NaN (not a number)");
		return -1;
	}
	if (value <= 0)
		*timeout = TUTTI_NOW;
	else if (value < LONGEST)
		*timeout = (tutti_time)ceil(value * 1e9);
	return 0;
}

int py_block_timeout(int block, PyObject *seconds, tutti_time *timeout)
{
	*timeout = TUTTI_NOW;
	return block ? py_timeout(seconds, timeout) : 0;
}
