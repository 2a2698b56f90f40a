/* SPDX-License-Identifier: MIT */
/* The end of a child: the moment, and the memory that it had while it is not reaped yet. */
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

/* _peak_of_ended(pid): bytes; 0 while it runs; None if it is no child of ours. glibc's waitid() gives no usage. */
static PyObject *peak_of_ended(PyObject *Py_UNUSED(module), PyObject *number)
{
	siginfo_t info = {0};
	struct rusage usage = {0};
	long pid = PyLong_AsLong(number);
	if (pid == -1 && PyErr_Occurred())
		return NULL;
	if (syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG, &usage) != 0)
		Py_RETURN_NONE;
	return PyLong_FromLong(info.si_pid ? usage.ru_maxrss * 1024 : 0);
}

static struct timespec timespec_of(double seconds)
{
	return (struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
}

/*
 * Up to so long. By a descriptor of the process itself, which shows its end alone: a pipe's end that it has may be open in
 * a child of its, or closed too early. Where there are none the time passes.
 */
static void await_process(long pid, struct timespec time)
{
	int descriptor = -1;
#ifdef SYS_pidfd_open
	descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
	struct pollfd poller = {.fd = descriptor, .events = POLLIN}; /* -1: nothing is looked at */
	ppoll(&poller, 1, &time, NULL);
	if (descriptor >= 0)
		close(descriptor);
}

/* _await_end(pid, seconds) */
static PyObject *await_end(PyObject *Py_UNUSED(module), PyObject *arguments)
{
	long pid;
	double seconds;
	if (!PyArg_ParseTuple(arguments, "ld:_await_end", &pid, &seconds))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	await_process(pid, timespec_of(seconds));
	Py_END_ALLOW_THREADS;
	if (PyErr_CheckSignals() < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"_peak_of_ended", peak_of_ended, METH_O,
     "The most that an unreaped child had in memory, in bytes; 0: it runs; None: no child."},
	{"_await_end", await_end, METH_VARARGS,
     "_await_end($self, *args)\n--\n\nLets so many seconds pass (pid, seconds), or less if that child ends or a signal comes."},
	{NULL},
};

int py_add_ends(PyObject *module) { return PyModule_AddFunctions(module, functions); }
