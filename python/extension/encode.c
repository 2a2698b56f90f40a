/* SPDX-License-Identifier: MIT */
/*
 * Writes the direct form (direct_form.h).
 *
 * It runs no foreign code: exact built-in types and instances of plain classes only, no hash, no
 * comparison, no allocation that could start the garbage collector. So nothing changes under it while the
 * GIL is held. What has to be asked about classes is asked before and after.
 *
 * An object with one reference is the container's alone and cannot turn up a second time: it needs
 * no number. That is a skip test only; it is sound under the GIL, and with immortal objects, whose
 * count is large.
 */
#include <string.h>

#include "direct_form.h"
#include "messages.h"

enum { FAILED = -1, UNKNOWN = 0, DONE = 1 };

/* A string that is referred to, not copied: it belongs behind byte `at`. */
struct far_string {
	size_t at;
	tutti_view view;
};

struct encoder {
	unsigned char *bytes; /* out->near_bytes, or allocated */
	size_t size, capacity;
	unsigned memo_count, depth, far_count;
	uint32_t incomplete; /* a bit for each number of a container that is not finished */
	PyObject *memo[DIRECT_MEMO];
	struct messages *messages;
	struct outgoing *out;
	PyTypeObject *stranger; /* a class of which nothing is known yet; borrowed */
	unsigned class_count;
	struct known_class classes[DIRECT_CLASSES];
	struct far_string far[FAR_STRINGS];
};

static int encode_object(struct encoder *encoder, PyObject *object);

static int grow(struct encoder *encoder, size_t more)
{
	size_t capacity = encoder->capacity * 2;
	if (capacity < encoder->size + more)
		capacity = encoder->size + more;
	unsigned char *bytes = PyMem_Realloc(encoder->out->own_bytes, capacity);
	if (!bytes) {
		PyErr_NoMemory();
		return FAILED;
	}
	if (!encoder->out->own_bytes)
		memcpy(bytes, encoder->bytes, encoder->size);
	encoder->out->own_bytes = encoder->bytes = bytes;
	encoder->capacity = capacity;
	return DONE;
}

static inline int reserve(struct encoder *encoder, size_t more)
{
	return encoder->capacity - encoder->size >= more ? DONE : grow(encoder, more);
}

/* A tag and `size` bytes behind it. */
static inline int write_tagged(struct encoder *encoder, unsigned tag, const void *data, size_t size)
{
	if (reserve(encoder, 1 + size) < 0)
		return FAILED;
	encoder->bytes[encoder->size] = (unsigned char)tag;
	memcpy(encoder->bytes + encoder->size + 1, data, size);
	encoder->size += 1 + size;
	return DONE;
}

static inline int write_count(struct encoder *encoder, unsigned tag, size_t count)
{
	uint64_t wide = count;
	unsigned char narrow = (unsigned char)count;
	return count < 256 ? write_tagged(encoder, tag, &narrow, 1)
	                   : write_tagged(encoder, tag | DIRECT_WIDE, &wide, sizeof wide);
}

static int encode_int(struct encoder *encoder, PyObject *object)
{
	int overflow;
	long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
	if (overflow)
		return UNKNOWN;
	if (value >= INT8_MIN && value <= INT8_MAX) {
		int8_t small = (int8_t)value;
		return write_tagged(encoder, DIRECT_INT1, &small, sizeof small);
	}
	if (value >= INT32_MIN && value <= INT32_MAX) {
		int32_t medium = (int32_t)value;
		return write_tagged(encoder, DIRECT_INT4, &medium, sizeof medium);
	}
	return write_tagged(encoder, DIRECT_INT8, &value, sizeof value);
}

static int encode_float(struct encoder *encoder, PyObject *object)
{
	double value = PyFloat_AS_DOUBLE(object);
	return write_tagged(encoder, DIRECT_FLOAT, &value, sizeof value);
}

/* The characters or bytes of `owner`, after their count. */
static int write_string(struct encoder *encoder, PyObject *owner, const void *data, size_t size)
{
	if (size >= FAR_STRING && encoder->far_count < FAR_STRINGS) {
		if (objects_append(&encoder->out->objects, owner) < 0)
			return FAILED;
		encoder->far[encoder->far_count++] = (struct far_string){encoder->size, {data, size}};
		return DONE;
	}
	if (reserve(encoder, size) < 0)
		return FAILED;
	memcpy(encoder->bytes + encoder->size, data, size);
	encoder->size += size;
	return DONE;
}

static int encode_str(struct encoder *encoder, PyObject *object, unsigned shared)
{
	size_t length = (size_t)PyUnicode_GET_LENGTH(object);
	unsigned width = (unsigned)PyUnicode_KIND(object);
	unsigned kind = width == 1 ? DIRECT_STR1 : width == 2 ? DIRECT_STR2 : DIRECT_STR4;
	if (write_count(encoder, kind | shared, length) < 0)
		return FAILED;
	return write_string(encoder, object, PyUnicode_DATA(object), length * width);
}

static int encode_bytes(struct encoder *encoder, PyObject *object, unsigned shared)
{
	size_t size = (size_t)PyBytes_GET_SIZE(object);
	if (write_count(encoder, DIRECT_BYTES | shared, size) < 0)
		return FAILED;
	return write_string(encoder, object, PyBytes_AS_STRING(object), size);
}

static int encode_tuple(struct encoder *encoder, PyObject *object, unsigned shared)
{
	Py_ssize_t count = PyTuple_GET_SIZE(object);
	int result = write_count(encoder, DIRECT_TUPLE | shared, (size_t)count);
	for (Py_ssize_t i = 0; i < count && result == DONE; i++)
		result = encode_object(encoder, PyTuple_GET_ITEM(object, i));
	return result;
}

static int encode_list(struct encoder *encoder, PyObject *object, unsigned shared)
{
	Py_ssize_t count = PyList_GET_SIZE(object);
	int result = write_count(encoder, DIRECT_LIST | shared, (size_t)count);
	for (Py_ssize_t i = 0; i < count && result == DONE; i++)
		result = encode_object(encoder, PyList_GET_ITEM(object, i));
	return result;
}

static int encode_dict(struct encoder *encoder, PyObject *object, unsigned shared)
{
	PyObject *key, *value;
	Py_ssize_t position = 0;
	int result = write_count(encoder, DIRECT_DICT | shared, (size_t)PyDict_GET_SIZE(object));
	while (result == DONE && PyDict_Next(object, &position, &key, &value)) {
		result = encode_object(encoder, key);
		if (result == DONE)
			result = encode_object(encoder, value);
	}
	return result;
}

typedef int (*encode_function)(struct encoder *encoder, PyObject *object, unsigned shared);

/* The object's number, or a new one; DIRECT_MEMO if there is none left. */
static inline unsigned find_number(struct encoder *encoder, PyObject *object)
{
	unsigned number = 0;
	while (number < encoder->memo_count && encoder->memo[number] != object)
		number++;
	return number;
}

static int encode_shareable(struct encoder *encoder, PyObject *object, encode_function encode)
{
	if (Py_REFCNT(object) == 1)
		return encode(encoder, object, 0);
	unsigned number = find_number(encoder, object);
	if (number < encoder->memo_count) {
		unsigned char byte = (unsigned char)number;
		if (encoder->incomplete & (1U << number))
			return UNKNOWN; /* it contains itself */
		return write_tagged(encoder, DIRECT_REFERENCE, &byte, 1);
	}
	if (number == DIRECT_MEMO)
		return UNKNOWN;
	encoder->memo[encoder->memo_count++] = object;
	encoder->incomplete |= 1U << number;
	int result = encode(encoder, object, DIRECT_SHARED);
	encoder->incomplete &= ~(1U << number);
	return result;
}

static int encode_container(struct encoder *encoder, PyObject *object, encode_function encode)
{
	if (encoder->depth == DIRECT_DEPTH)
		return UNKNOWN;
	encoder->depth++;
	int result = encode_shareable(encoder, object, encode);
	encoder->depth--;
	return result;
}

/* --- instances --- */

/*
 * The object's attributes: a new reference; NULL: it has none, or an exception. Newer interpreters make the
 * dict only now; that must not collect garbage, whose finalisers could change what is being written.
 */
static PyObject *attributes_of(PyObject *object)
{
#if PY_VERSION_HEX < 0x030b0000
	PyObject **dict = _PyObject_GetDictPtr(object);
	Py_XINCREF(dict ? *dict : NULL);
	return dict ? *dict : NULL;
#else
	int was_enabled = PyGC_Disable();
	PyObject *dict = PyObject_GenericGetDict(object, NULL);
	if (was_enabled)
		PyGC_Enable();
	return dict;
#endif
}

/* Its class's number, and its path if it is the first of it. */
static int write_class(struct encoder *encoder, PyTypeObject *type)
{
	unsigned number = 0;
	while (number < encoder->class_count && encoder->classes[number].type != type)
		number++;
	if (number < encoder->class_count)
		return write_tagged(encoder, number, "", 0);
	if (number == DIRECT_CLASSES)
		return UNKNOWN;
	const struct known_class *class = class_known(&encoder->messages->classes, type);
	known_class_copy(&encoder->classes[encoder->class_count++], class);
	return write_tagged(encoder, number, PyBytes_AS_STRING(class->path), (size_t)PyBytes_GET_SIZE(class->path));
}

/* Names like __reduce_ex__ mean something to pickle even in an instance. */
static bool is_plain_name(PyObject *name)
{
	if (!PyUnicode_CheckExact(name) || PyUnicode_READY(name) < 0)
		return false;
	return PyUnicode_GET_LENGTH(name) < 2 || PyUnicode_READ_CHAR(name, 0) != '_' || PyUnicode_READ_CHAR(name, 1) != '_';
}

static int encode_attributes(struct encoder *encoder, PyObject *attributes)
{
	PyObject *name, *value;
	Py_ssize_t position = 0;
	int result = DONE;
	while (result == DONE && PyDict_Next(attributes, &position, &name, &value)) {
		result = is_plain_name(name) ? encode_object(encoder, name) : UNKNOWN;
		if (result == DONE)
			result = encode_object(encoder, value);
	}
	return result;
}

static int encode_instance(struct encoder *encoder, PyObject *object, unsigned shared)
{
	PyObject *attributes = attributes_of(object);
	if (!attributes && PyErr_Occurred())
		return FAILED;
	if (attributes && !PyDict_CheckExact(attributes)) {
		Py_DECREF(attributes); /* not the last: the object has it */
		return UNKNOWN;
	}
	int result = write_count(encoder, DIRECT_INSTANCE | shared, attributes ? (size_t)PyDict_GET_SIZE(attributes) : 0);
	if (result == DONE)
		result = write_class(encoder, Py_TYPE(object));
	if (result == DONE && attributes)
		result = encode_attributes(encoder, attributes);
	Py_XDECREF(attributes);
	return result;
}

/* An object of no built-in type. */
static int encode_other(struct encoder *encoder, PyObject *object)
{
	const struct known_class *class = class_known(&encoder->messages->classes, Py_TYPE(object));
	if (class)
		return class->path ? encode_container(encoder, object, encode_instance) : UNKNOWN;
	if (PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HEAPTYPE))
		encoder->stranger = Py_TYPE(object);
	return UNKNOWN;
}

/* --- */

/* There is only one empty string, and one for each character of one byte: they need no number. */
static int encode_any_str(struct encoder *encoder, PyObject *object)
{
	if (PyUnicode_READY(object) < 0)
		return FAILED;
	if (PyUnicode_GET_LENGTH(object) <= 1 && PyUnicode_KIND(object) == PyUnicode_1BYTE_KIND)
		return encode_str(encoder, object, 0);
	return encode_shareable(encoder, object, encode_str);
}

static int encode_singleton(struct encoder *encoder, PyObject *object)
{
	if (object == Py_None)
		return write_tagged(encoder, DIRECT_NONE, "", 0);
	if (object == Py_True)
		return write_tagged(encoder, DIRECT_TRUE, "", 0);
	return object == Py_False ? write_tagged(encoder, DIRECT_FALSE, "", 0) : encode_other(encoder, object);
}

static int encode_object(struct encoder *encoder, PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);
	if (type == &PyLong_Type)
		return encode_int(encoder, object);
	if (type == &PyUnicode_Type)
		return encode_any_str(encoder, object);
	if (type == &PyFloat_Type)
		return encode_float(encoder, object);
	if (type == &PyTuple_Type)
		return PyTuple_GET_SIZE(object) == 0 ? encode_tuple(encoder, object, 0)
		                                     : encode_container(encoder, object, encode_tuple);
	if (type == &PyDict_Type)
		return encode_container(encoder, object, encode_dict);
	if (type == &PyList_Type)
		return encode_container(encoder, object, encode_list);
	if (type == &PyBytes_Type)
		return PyBytes_GET_SIZE(object) <= 1 ? encode_bytes(encoder, object, 0)
		                                     : encode_shareable(encoder, object, encode_bytes);
	return encode_singleton(encoder, object);
}

/* The bytes and the far strings by turns. */
static int finish(struct encoder *encoder)
{
	struct outgoing *out = encoder->out;
	size_t from = 0;
	out->encoding = TUTTI_PYTHON;
	out->parts = &out->near_part;
	if (encoder->far_count) {
		out->parts = out->own_parts = PyMem_New(tutti_view, 2 * encoder->far_count + 1);
		if (!out->parts) {
			PyErr_NoMemory();
			return FAILED;
		}
	}
	for (unsigned i = 0; i < encoder->far_count; i++) {
		const struct far_string *far = &encoder->far[i];
		out->parts[out->count++] = (tutti_view){encoder->bytes + from, far->at - from};
		out->parts[out->count++] = far->view;
		out->size += far->view.size;
		from = far->at;
	}
	out->parts[out->count++] = (tutti_view){encoder->bytes + from, encoder->size - from};
	out->size += encoder->size;
	return DONE;
}

/* The tree is written, and nobody's list is open any more: the classes may be asked for. */
static int check_classes(struct encoder *encoder)
{
	int result = DONE;
	for (unsigned i = 0; i < encoder->class_count && result == DONE; i++)
		result = class_is_current(encoder->messages, &encoder->classes[i]);
	return result;
}

static void release_classes(struct encoder *encoder)
{
	for (unsigned i = 0; i < encoder->class_count; i++)
		known_class_release(&encoder->classes[i]);
}

/* One attempt; `stranger` (a new reference): it gave up at an instance of that class. */
static int attempt(struct messages *messages, PyObject *object, struct outgoing *out, PyTypeObject **stranger)
{
	struct encoder encoder;
	encoder.bytes = out->near_bytes;
	encoder.capacity = sizeof out->near_bytes;
	encoder.size = 0;
	encoder.memo_count = encoder.depth = encoder.far_count = encoder.class_count = 0;
	encoder.incomplete = 0;
	encoder.messages = messages;
	encoder.out = out;
	encoder.stranger = NULL;
	int result = encode_object(&encoder, object);
	if (encoder.stranger)
		*stranger = (PyTypeObject *)Py_NewRef((PyObject *)encoder.stranger);
	if (encoder.class_count) {
		result = result == DONE ? check_classes(&encoder) : result;
		release_classes(&encoder);
	}
	return result == DONE ? finish(&encoder) : result;
}

int direct_encode(struct messages *messages, PyObject *object, struct outgoing *out)
{
	for (unsigned attempts = 0;; attempts++) {
		PyTypeObject *stranger = NULL;
		int result = attempt(messages, object, out, &stranger);
		if (result == UNKNOWN)
			outgoing_clear(out); /* what comes next begins anew */
		if (!stranger)
			return result;
		class_learn(&messages->classes, stranger);
		const struct known_class *class = class_known(&messages->classes, stranger);
		bool is_plain = class && class->path;
		Py_DECREF(stranger);
		if (!is_plain || attempts == DIRECT_CLASSES)
			return result;
	}
}
