/* SPDX-License-Identifier: MIT */
/*
 * Reads the direct form (direct_form.h). Any bytes are safe: each length is held against what is
 * left, numbers of objects against what is complete, and characters against Unicode.
 *
 * A reference to a container that is not complete is refused, so that nobody ever sees a tuple
 * with holes.
 */
#include <string.h>

#include "direct_form.h"
#include "messages.h"

struct decoder {
	const unsigned char *next, *end;
	unsigned shared_count, depth;
	struct messages *messages;
	PyObject *shared[DIRECT_MEMO]; /* owned; NULL while incomplete */
	unsigned class_count;
	PyObject *classes[DIRECT_CLASSES]; /* owned */
};

static PyObject *decode_object(struct decoder *decoder);

static PyObject *refuse(const char *what)
{
	PyErr_Format(PyExc_ValueError, "a received message is damaged: %s. It was dropped.", what);
	return NULL;
}

static inline size_t left(const struct decoder *decoder) { return (size_t)(decoder->end - decoder->next); }

/* The next `size` bytes, or NULL with an exception. */
static inline const unsigned char *take(struct decoder *decoder, size_t size)
{
	const unsigned char *start = decoder->next;
	if (left(decoder) < size) {
		refuse("it ends too early");
		return NULL;
	}
	decoder->next += size;
	return start;
}

/* The count behind a tag, of things that take at least `least` bytes each. */
static inline int take_count(struct decoder *decoder, unsigned tag, size_t least, size_t *count)
{
	uint64_t wide = 0;
	size_t size = tag & DIRECT_WIDE ? sizeof wide : 1;
	const unsigned char *bytes = take(decoder, size);
	if (!bytes)
		return -1;
	memcpy(&wide, bytes, size); /* little-endian: the low byte comes first */
	if (wide > left(decoder) / least) {
		refuse("it ends too early");
		return -1;
	}
	*count = (size_t)wide;
	return 0;
}

static PyObject *decode_int(struct decoder *decoder, unsigned kind)
{
	int8_t small;
	int32_t medium;
	long long large;
	const unsigned char *bytes = take(decoder, kind == DIRECT_INT1 ? 1 : kind == DIRECT_INT4 ? 4 : 8);
	if (!bytes)
		return NULL;
	switch (kind) {
	case DIRECT_INT1:
		memcpy(&small, bytes, sizeof small);
		return PyLong_FromLong(small);
	case DIRECT_INT4:
		memcpy(&medium, bytes, sizeof medium);
		return PyLong_FromLong(medium);
	default:
		memcpy(&large, bytes, sizeof large);
		return PyLong_FromLongLong(large);
	}
}

static PyObject *decode_float(struct decoder *decoder)
{
	double value;
	const unsigned char *bytes = take(decoder, sizeof value);
	if (!bytes)
		return NULL;
	memcpy(&value, bytes, sizeof value);
	return PyFloat_FromDouble(value);
}

static bool are_characters(const unsigned char *bytes, size_t count)
{
	Py_UCS4 character;
	for (size_t i = 0; i < count; i++) {
		memcpy(&character, bytes + i * sizeof character, sizeof character);
		if (character > 0x10ffff)
			return false;
	}
	return true;
}

/* Strings of 2 and 4 bytes a character may lie at odd addresses: they are copied to where they are aligned. */
static PyObject *decode_wide_str(const unsigned char *bytes, size_t count, unsigned width)
{
	if (width == 4 && !are_characters(bytes, count))
		return refuse("it has a character that is none");
	if ((uintptr_t)bytes % width == 0)
		return PyUnicode_FromKindAndData((int)width, bytes, (Py_ssize_t)count);
	void *aligned = PyMem_Malloc(count * width + 1);
	if (!aligned)
		return PyErr_NoMemory();
	memcpy(aligned, bytes, count * width);
	PyObject *result = PyUnicode_FromKindAndData((int)width, aligned, (Py_ssize_t)count);
	PyMem_Free(aligned);
	return result;
}

static PyObject *decode_str(struct decoder *decoder, unsigned tag, unsigned width)
{
	size_t count;
	if (take_count(decoder, tag, width, &count) < 0)
		return NULL;
	const unsigned char *bytes = take(decoder, count * width);
	if (!bytes)
		return NULL;
	return width == 1 ? PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, bytes, (Py_ssize_t)count)
	                  : decode_wide_str(bytes, count, width);
}

static PyObject *decode_bytes(struct decoder *decoder, unsigned tag)
{
	size_t count;
	if (take_count(decoder, tag, 1, &count) < 0)
		return NULL;
	const unsigned char *bytes = take(decoder, count);
	if (!bytes)
		return NULL;
	if (count < COPY_WITHOUT_GIL)
		return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)count);
	PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count);
	if (result)
		copy_bytes(PyBytes_AS_STRING(result), bytes, count);
	return result;
}

static PyObject *decode_tuple(struct decoder *decoder, unsigned tag)
{
	size_t count;
	if (take_count(decoder, tag, 1, &count) < 0)
		return NULL;
	PyObject *tuple = PyTuple_New((Py_ssize_t)count);
	for (size_t i = 0; tuple && i < count; i++) {
		PyObject *item = decode_object(decoder);
		if (item)
			PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
		else
			Py_CLEAR(tuple);
	}
	return tuple;
}

static PyObject *decode_list(struct decoder *decoder, unsigned tag)
{
	size_t count;
	if (take_count(decoder, tag, 1, &count) < 0)
		return NULL;
	PyObject *list = PyList_New((Py_ssize_t)count);
	for (size_t i = 0; list && i < count; i++) {
		PyObject *item = decode_object(decoder);
		if (item)
			PyList_SET_ITEM(list, (Py_ssize_t)i, item);
		else
			Py_CLEAR(list);
	}
	return list;
}

static int decode_item(struct decoder *decoder, PyObject *dict)
{
	PyObject *key = decode_object(decoder);
	PyObject *value = key ? decode_object(decoder) : NULL;
	int result = value ? PyDict_SetItem(dict, key, value) : -1;
	Py_XDECREF(key);
	Py_XDECREF(value);
	return result;
}

static PyObject *decode_dict(struct decoder *decoder, unsigned tag)
{
	size_t count;
	if (take_count(decoder, tag, 2, &count) < 0)
		return NULL;
	PyObject *dict = PyDict_New();
	for (size_t i = 0; dict && i < count; i++)
		if (decode_item(decoder, dict) < 0)
			Py_CLEAR(dict);
	return dict;
}

/* The path of a class; NULL with an exception. */
static const unsigned char *take_path(struct decoder *decoder, size_t *size)
{
	const unsigned char *start = decoder->next;
	for (int i = 0; i < 2; i++) {
		const unsigned char *length = take(decoder, 1);
		if (!length || !take(decoder, *length))
			return NULL;
	}
	*size = (size_t)(decoder->next - start);
	return start;
}

/* Borrowed. */
static PyObject *decode_class(struct decoder *decoder)
{
	size_t size;
	const unsigned char *number = take(decoder, 1);
	if (!number)
		return NULL;
	if (*number < decoder->class_count)
		return decoder->classes[*number];
	if (*number != decoder->class_count || *number == DIRECT_CLASSES)
		return refuse("it refers to a class that is not there");
	const unsigned char *path = take_path(decoder, &size);
	PyObject *class = path ? class_load(decoder->messages, path, size) : NULL;
	if (class)
		decoder->classes[decoder->class_count++] = class;
	return class;
}

/* Names of attributes are interned, as pickle does. */
static int decode_attribute(struct decoder *decoder, PyObject *attributes)
{
	PyObject *name = decode_object(decoder);
	if (name && !PyUnicode_CheckExact(name)) {
		Py_CLEAR(name);
		refuse("an attribute's name is no string");
	}
	PyObject *value = name ? decode_object(decoder) : NULL;
	if (value)
		PyUnicode_InternInPlace(&name);
	int result = value ? PyDict_SetItem(attributes, name, value) : -1;
	Py_XDECREF(name);
	Py_XDECREF(value);
	return result;
}

static PyObject *decode_instance(struct decoder *decoder, unsigned tag)
{
	size_t count;
	if (take_count(decoder, tag, 2, &count) < 0)
		return NULL;
	PyObject *class = decode_class(decoder);
	PyObject *attributes = class ? PyDict_New() : NULL;
	for (size_t i = 0; attributes && i < count; i++)
		if (decode_attribute(decoder, attributes) < 0)
			Py_CLEAR(attributes);
	PyObject *object = attributes ? class_make(&decoder->messages->classes, class, attributes) : NULL;
	Py_XDECREF(attributes);
	return object;
}

static PyObject *decode_reference(struct decoder *decoder)
{
	const unsigned char *number = take(decoder, 1);
	if (!number)
		return NULL;
	PyObject *object = *number < decoder->shared_count ? decoder->shared[*number] : NULL;
	if (!object)
		return refuse("it refers to an object that is not there");
	Py_INCREF(object);
	return object;
}

static PyObject *decode_container(struct decoder *decoder, unsigned tag)
{
	if (decoder->depth == DIRECT_DEPTH)
		return refuse("it is nested too deeply");
	decoder->depth++;
	unsigned kind = tag & DIRECT_KIND;
	PyObject *result = kind == DIRECT_TUPLE  ? decode_tuple(decoder, tag)
	                   : kind == DIRECT_LIST ? decode_list(decoder, tag)
	                   : kind == DIRECT_DICT ? decode_dict(decoder, tag)
	                                         : decode_instance(decoder, tag);
	decoder->depth--;
	return result;
}

static PyObject *decode_kind(struct decoder *decoder, unsigned tag)
{
	switch (tag & DIRECT_KIND) {
	case DIRECT_INT1:
	case DIRECT_INT4:
	case DIRECT_INT8:
		return decode_int(decoder, tag & DIRECT_KIND);
	case DIRECT_FLOAT:
		return decode_float(decoder);
	case DIRECT_STR1:
		return decode_str(decoder, tag, 1);
	case DIRECT_STR2:
		return decode_str(decoder, tag, 2);
	case DIRECT_STR4:
		return decode_str(decoder, tag, 4);
	case DIRECT_BYTES:
		return decode_bytes(decoder, tag);
	case DIRECT_TUPLE:
	case DIRECT_LIST:
	case DIRECT_DICT:
	case DIRECT_INSTANCE:
		return decode_container(decoder, tag);
	case DIRECT_REFERENCE:
		return decode_reference(decoder);
	case DIRECT_NONE:
		Py_RETURN_NONE;
	case DIRECT_TRUE:
		Py_RETURN_TRUE;
	case DIRECT_FALSE:
		Py_RETURN_FALSE;
	default:
		return refuse("it has an object of no known kind");
	}
}

static PyObject *decode_object(struct decoder *decoder)
{
	const unsigned char *tag = take(decoder, 1);
	if (!tag)
		return NULL;
	if (!(*tag & DIRECT_SHARED))
		return decode_kind(decoder, *tag);
	unsigned number = decoder->shared_count;
	if (number == DIRECT_MEMO)
		return refuse("it shares too many objects");
	decoder->shared[decoder->shared_count++] = NULL;
	PyObject *object = decode_kind(decoder, *tag);
	/* A reference of its own: of two equal keys in a damaged dict, the first one's value is gone. */
	Py_XINCREF(object);
	return decoder->shared[number] = object;
}

PyObject *direct_decode(struct messages *messages, const void *data, size_t size)
{
	struct decoder decoder;
	decoder.messages = messages;
	decoder.class_count = 0;
	decoder.next = data;
	decoder.end = decoder.next + size;
	decoder.shared_count = decoder.depth = 0;
	PyObject *result = decode_object(&decoder);
	for (unsigned i = 0; i < decoder.shared_count; i++)
		Py_XDECREF(decoder.shared[i]);
	for (unsigned i = 0; i < decoder.class_count; i++)
		Py_DECREF(decoder.classes[i]);
	if (result && decoder.next != decoder.end) {
		Py_DECREF(result);
		return refuse("it goes on behind its end");
	}
	return result;
}
