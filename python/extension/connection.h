/* SPDX-License-Identifier: MIT */
/* What pipes and connections share. */
#ifndef TUTTI_PYTHON_CONNECTION_H
#define TUTTI_PYTHON_CONNECTION_H

#include "compatible.h"

/* The part of `length` bytes that send_bytes(buf, offset, size) sends. 0, or -1 with ValueError. */
int py_slice_of(Py_ssize_t length, PyObject *offset_value, PyObject *size_value, Py_ssize_t *offset, Py_ssize_t *size);

/* A received message into the caller's buffer: how many bytes; BufferTooShort with the message if it does not fit. */
PyObject *py_fill(PyObject *bytes, const Py_buffer *buffer, Py_ssize_t offset);

/* wait(object_list, timeout=None) */
PyObject *py_wait_for_ready(PyObject *module, PyObject *const *given, Py_ssize_t count, PyObject *keywords);

#endif
