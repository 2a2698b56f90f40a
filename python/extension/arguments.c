/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "wait.h"

static Py_ssize_t index_of(const char *const *names, Py_ssize_t count, PyObject *name)
{
	Py_ssize_t i = 0;
	while (i < count && PyUnicode_CompareWithASCIIString(name, names[i]) != 0)
		i++;
	return i;
}

static int take_keyword(const char *function, const char *const *names, Py_ssize_t count, PyObject *name,
                        PyObject *value, PyObject **values)
{
	Py_ssize_t i = index_of(names, count, name);
	if (i == count) {
		PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
		return -1;
	}
	if (values[i]) {
		PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", function, names[i]);
		return -1;
	}
	values[i] = value;
	return 0;
}

int py_arguments(const char *function, const char *const *names, Py_ssize_t count, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *keywords, PyObject **values)
{
	if (nargs > count) {
		PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", function, count, nargs);
		return -1;
	}
	for (Py_ssize_t i = 0; i < count; i++)
		values[i] = i < nargs ? args[i] : NULL;
	Py_ssize_t keyword_count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
	for (Py_ssize_t i = 0; i < keyword_count; i++)
		if (take_keyword(function, names, count, PyTuple_GET_ITEM(keywords, i), args[nargs + i], values) < 0)
			return -1;
	return 0;
}

int py_given_block_timeout(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                           tutti_time *timeout)
{
	static const char *const names[] = {"block", "timeout"};
	PyObject *values[2];
	if (py_arguments(function, names, 2, args, nargs, keywords, values) < 0)
		return -1;
	int block = values[0] ? PyObject_IsTrue(values[0]) : 1;
	return block < 0 ? -1 : py_block_timeout(block, values[1], timeout);
}

int py_timeout_argument(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords,
                        tutti_time *timeout)
{
	static const char *const names[] = {"timeout"};
	PyObject *value;
	*timeout = TUTTI_FOREVER;
	if (nargs == 0 && !keywords)
		return 0;
	if (py_arguments(function, names, 1, args, nargs, keywords, &value) < 0)
		return -1;
	return py_timeout(value, timeout);
}

int py_required(const char *function, const char *name, PyObject *value)
{
	if (value)
		return 0;
	PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function, name);
	return -1;
}
