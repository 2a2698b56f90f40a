/* SPDX-License-Identifier: MIT */
#include "arguments.h"

static Py_ssize_t find_name(const char *const *names, size_t count, PyObject *keyword)
{
	for (size_t i = 0; i < count; i++)
		if (PyUnicode_CompareWithASCIIString(keyword, names[i]) == 0)
			return (Py_ssize_t)i;
	return -1;
}

static int take_keyword(const char *function, const char *const *names, size_t count, PyObject *keyword,
                        PyObject *value, PyObject **values)
{
	Py_ssize_t index = find_name(names, count, keyword);
	if (index < 0) {
		PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, keyword);
		return -1;
	}
	if (values[index]) {
		PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, keyword);
		return -1;
	}
	values[index] = value;
	return 0;
}

int py_arguments(const char *function, const char *const *names, size_t count, size_t required, PyObject *const *given,
                 Py_ssize_t positional, PyObject *keywords, PyObject **values)
{
	Py_ssize_t keyword_count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
	if ((size_t)positional > count) {
		PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments (%zd given)", function, count, positional);
		return -1;
	}
	for (size_t i = 0; i < count; i++)
		values[i] = (Py_ssize_t)i < positional ? given[i] : NULL;
	for (Py_ssize_t i = 0; i < keyword_count; i++)
		if (take_keyword(function, names, count, PyTuple_GET_ITEM(keywords, i), given[positional + i], values) < 0)
			return -1;
	for (size_t i = 0; i < required; i++)
		if (!values[i]) {
			PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function, names[i]);
			return -1;
		}
	return 0;
}
