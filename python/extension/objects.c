/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "messages.h"

int objects_append(struct objects *objects, PyObject *object)
{
	if (objects->count == objects->capacity) {
		size_t capacity = objects->capacity ? objects->capacity * 2 : 8;
		PyObject **items = PyMem_Resize(objects->items, PyObject *, capacity);
		if (!items) {
			PyErr_NoMemory();
			return -1;
		}
		objects->items = items;
		objects->capacity = capacity;
	}
	Py_INCREF(object);
	objects->items[objects->count++] = object;
	return 0;
}

void objects_clear(struct objects *objects)
{
	/* One at a time from the end: dropping a reference may run code that uses us again. */
	while (objects->count) {
		PyObject *object = objects->items[--objects->count];
		Py_DECREF(object);
	}
}

void objects_free(struct objects *objects)
{
	objects_clear(objects);
	PyMem_Free(objects->items);
	*objects = (struct objects){0};
}

void copy_bytes(void *to, const void *from, size_t size)
{
	if (size < COPY_WITHOUT_GIL) {
		memcpy(to, from, size);
		return;
	}
	Py_BEGIN_ALLOW_THREADS memcpy(to, from, size);
	Py_END_ALLOW_THREADS
}
