/* SPDX-License-Identifier: MIT */
/* The memory that a child had which has ended and is not reaped yet. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static PyMethodDef functions[] = {
	{"_peak_of_ended", peak_of_ended, METH_O,
     "The most that an unreaped child had in memory, in bytes; 0: it runs; None: no child."},
	{NULL},
};

int py_add_peak(PyObject *module) { return PyModule_AddFunctions(module, functions); }
