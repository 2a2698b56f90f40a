/* SPDX-License-Identifier: MIT */
/*
 * How the process of a worker begins: with Ctrl-C held back, and tied to its owner. In C, because a forked process
 * copies a page for nearly each Python object that it touches, and waits for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "state.h"

static void interrupts(int how, sigset_t *before)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(how, &set, before);
}

/* Of the calling thread, which its forks inherit. */
static PyObject *hold_interrupts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	sigset_t before;
	interrupts(SIG_BLOCK, &before);
	return PyBool_FromLong(sigismember(&before, SIGINT) == 1);
}

static PyObject *release_interrupts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	interrupts(SIG_UNBLOCK, NULL);
	if (PyErr_CheckSignals() < 0) /* what was held back has just come */
		return NULL;
	Py_RETURN_NONE;
}

#ifdef F_SETSIG
static int tie(int descriptor)
{
	int flags = fcntl(descriptor, F_GETFL);
	return flags < 0 || fcntl(descriptor, F_SETOWN, (int)getpid()) != 0 || fcntl(descriptor, F_SETSIG, SIGKILL) != 0 ||
	               fcntl(descriptor, F_SETFL, flags | O_ASYNC) != 0
	           ? -1
	           : 0;
}
#else
static int tie(int descriptor)
{
	(void)descriptor;
	return 0;
}
#endif

/* _end_with(descriptor) */
static PyObject *end_with(PyObject *Py_UNUSED(module), PyObject *number)
{
	int descriptor = PyObject_AsFileDescriptor(number);
	if (descriptor < 0)
		return NULL;
	if (tie(descriptor) < 0)
		return PyErr_SetFromErrno(PyExc_OSError);
	struct pollfd poller = {.fd = descriptor, .events = POLLIN};
	if (poll(&poller, 1, 0) > 0) /* it was closed just before */
		_exit(1);
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"_hold_interrupts", hold_interrupts, METH_NOARGS,
     "Keeps SIGINT from this thread, and from what it forks. Whether it was kept already."},
	{"_release_interrupts", release_interrupts, METH_NOARGS, "Lets SIGINT through again, and what came meanwhile."},
	{"_end_with", end_with, METH_O,
     "Has the system kill this process when the other end of a pipe is closed; ends it if it is."},
	{NULL},
};

int py_add_beginning(PyObject *module) { return PyModule_AddFunctions(module, functions); }
