/* SPDX-License-Identifier: MIT */
/* multiprocessing.connection.wait: one poll over anything that has a descriptor. */
#include <poll.h>

#include "arguments.h"
#include "connection.h"
#include "descriptor.h"
#include "state.h"
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

/*
 * The descriptor of an object of Tutti, which shows what is there when it is asked for; an end of one of letter mode's
 * queues (_letter_queues.py) has the queue as its `_core`. -1: the object is something else, or closed; or with an exception
 * that is no fault of the object, such as Ctrl-C.
 */
static int descriptor_of_ours(const struct py_state *state, PyObject *object)
{
	PyTypeObject *shared = (PyTypeObject *)state->shared_type, *connection = (PyTypeObject *)state->connection_type;
	if (PyLong_Check(object) || PyObject_TypeCheck(object, connection))
		return -1;
	PyObject *ours = PyObject_TypeCheck(object, shared) ? Py_NewRef(object) : PyObject_GetAttrString(object, "_core");
	int descriptor = ours && PyObject_TypeCheck(ours, shared) ? descriptor_of(ours) : -1;
	if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception))
		PyErr_Clear();
	Py_XDECREF(ours);
	return descriptor;
}

/*
 * What became ready before something that was found ready is to be found with it, such as a message before the end of
 * who sent it. The descriptor of an object of ours is lit by a thread of this process (src/arena/poll_fd.c), which may not
 * have come to it yet: those are asked for again, and only they are looked at, so that nothing else is found that came
 * later. 0, or -1 with an exception.
 */
static int add_the_late(const struct py_state *state, PyObject *objects, struct pollfd *polled, size_t count)
{
	size_t late = 0;
	struct pollfd *again = PyMem_New(struct pollfd, count);
	if (!again) {
		PyErr_NoMemory();
		return -1;
	}
	for (size_t i = 0; i < count && !PyErr_Occurred(); i++) {
		PyObject *object = PyTuple_GET_ITEM(objects, (Py_ssize_t)i);
		again[i] = (struct pollfd){.fd = polled[i].revents ? -1 : descriptor_of_ours(state, object), .events = POLLIN};
		late += again[i].fd >= 0;
	}
	int found = PyErr_Occurred() ? -1
	            : late           ? descriptor_poll(again, count, TUTTI_NOW)
	                             : 0; /* skips those that are -1 */
	for (size_t i = 0; found > 0 && i < count; i++)
		polled[i].revents |= again[i].revents;
	PyMem_Free(again);
	return found < 0 ? -1 : 0;
}

/* 0, or -1 with an exception. */
static int poll_all(const struct py_state *state, PyObject *objects, struct pollfd *polled, size_t count,
                    tutti_time timeout)
{
	int ready = descriptor_poll(polled, count, timeout);
	if (ready <= 0 || (size_t)ready == count)
		return ready < 0 ? -1 : 0;
	return add_the_late(state, objects, polled, count);
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
	if (!PyErr_Occurred() && poll_all(py_state_of_module(module), objects, polled, length, timeout) == 0)
		result = ready_ones(objects, polled, length);
	PyMem_Free(polled);
	Py_DECREF(objects);
	return result;
}
