/* SPDX-License-Identifier: MIT */
/* multiprocessing.connection.wait: one poll over anything that has a descriptor. */
#include <poll.h>

#include "arguments.h"
#include "connection.h"
#include "descriptor.h"
#include "wait.h"

/* As the standard library's selectors read it. -1 with an exception. */
static int descriptor_of(PyObject *object)
{
	PyObject *number = PyLong_Check(object) ? Py_NewRef(object) : PyObject_CallMethod(object, "fileno", NULL);
	long descriptor = number ? PyLong_AsLong(number) : -1;
	Py_XDECREF(number);
	if (PyErr_Occurred()) {
		if (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
		    PyErr_ExceptionMatches(PyExc_ValueError))
			PyErr_Format(PyExc_ValueError, "Invalid file object: %R", object);
		return -1;
	}
	if (descriptor >= 0 && descriptor <= INT_MAX)
		return (int)descriptor;
	PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %ld", descriptor);
	return -1;
}

static PyObject *ready_ones(PyObject *objects, const struct pollfd *polled, size_t count)
{
	PyObject *list = PyList_New(0);
	for (size_t i = 0; list && i < count; i++)
		if (polled[i].revents && PyList_Append(list, PySequence_Fast_GET_ITEM(objects, (Py_ssize_t)i)) < 0)
			Py_CLEAR(list);
	return list;
}

PyObject *py_wait_for_ready(PyObject *module, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"object_list", "timeout"};
	PyObject *values[2], *result = NULL;
	tutti_time timeout;
	(void)module;
	if (py_arguments("wait", names, 2, given, count, keywords, values) < 0 ||
	    py_required("wait", "object_list", values[0]) < 0 || py_timeout(values[1], &timeout) < 0)
		return NULL;
	PyObject *objects = PySequence_Tuple(values[0]); /* a copy: fileno() may change the list */
	if (!objects)
		return NULL;
	size_t length = (size_t)PyTuple_GET_SIZE(objects);
	struct pollfd *polled = PyMem_New(struct pollfd, length);
	if (!polled)
		PyErr_NoMemory();
	for (size_t i = 0; polled && i < length && !PyErr_Occurred(); i++)
		polled[i] = (struct pollfd){.fd = descriptor_of(PyTuple_GET_ITEM(objects, (Py_ssize_t)i)), .events = POLLIN};
	if (!PyErr_Occurred() && descriptor_poll(polled, length, timeout) >= 0)
		result = ready_ones(objects, polled, length);
	PyMem_Free(polled);
	Py_DECREF(objects);
	return result;
}
