/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_PYTHON_SINK_H
#define TUTTI_PYTHON_SINK_H

#include "messages.h"

struct sink {
	PyObject_HEAD struct objects pieces; /* bytes objects and memoryviews */
	struct objects buffers; /* PickleBuffers that stay out of the pickle */
	bool kept_some; /* a buffer was offered and went into the pickle */
};

extern PyType_Spec sink_spec;

/* The bytes of a piece. */
tutti_view sink_piece(PyObject *piece);
void sink_clear(struct sink *sink);

#endif
