/* SPDX-License-Identifier: MIT */
/* Which classes are plain (classes.h), by the rules of object.__reduce_ex__ and of pickle's BUILD. */
#include "messages.h"

enum { WAYS = 4 };

/* Any of these in a class or a base makes it a matter for pickle. */
static const char *const meddling[] = {
	"__reduce__", "__reduce_ex__", "__getstate__", "__setstate__",     "__getnewargs__", "__getnewargs_ex__",
	"__new__",    "__slots__",     "__getattr__",  "__getattribute__", "__class__",
};

/* 0: it has none, since it was changed and nobody has looked anything up in it. */
static unsigned current_version(PyTypeObject *type)
{
#if PY_VERSION_HEX < 0x030d0000
	if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))
		return 0;
#endif
	return type->tp_version_tag;
}

/* The first of the WAYS places where it may stand. Fibonacci hashing: the high bits of the product (Knuth, 6.4). */
static unsigned ways_of(const PyTypeObject *type)
{
	uint64_t product = (uint64_t)(uintptr_t)type * 0x9e3779b97f4a7c15U;
	return (unsigned)(product >> 32) % (KNOWN_CLASSES / WAYS) * WAYS;
}

const struct known_class *class_known(const struct classes *classes, PyTypeObject *type)
{
	const struct known_class *known = &classes->known[ways_of(type)];
	for (unsigned way = 0; way < WAYS; way++, known++)
		if (known->type == type && known->version == current_version(type))
			return known;
	return NULL;
}

/* Where to note the class: where it stood in another version, or where nothing stands, or in some other's place. */
static struct known_class *place_for(struct classes *classes, const PyTypeObject *type)
{
	struct known_class *first = &classes->known[ways_of(type)], *free = NULL;
	for (unsigned way = 0; way < WAYS; way++) {
		if (first[way].type == type)
			return &first[way];
		if (!first[way].type)
			free = &first[way];
	}
	return free ? free : &first[classes->next_way++ % WAYS];
}

/* Its version, with one assigned if it has none; 0: it gets none. */
static unsigned version_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030c0000
	PyUnstable_Type_AssignVersionTag(type);
#else
	/* Any look into the class itself assigns one. (`type` would answer for __module__.) */
	PyObject *looked_up = PyObject_GetAttrString((PyObject *)type, "__init__");
	Py_XDECREF(looked_up);
	PyErr_Clear();
#endif
	return current_version(type);
}

/* A class of the bases' chain, other than `object`. */
static bool is_plain_base(PyTypeObject *type)
{
	if (Py_TYPE(type) != &PyType_Type || !PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) || !type->tp_dict)
		return false;
	for (size_t i = 0; i < sizeof meddling / sizeof *meddling; i++)
		if (PyDict_GetItemString(type->tp_dict, meddling[i]))
			return false;
	PyObject *dict = PyDict_GetItemString(type->tp_dict, "__dict__");
	return !dict || Py_IS_TYPE(dict, &PyGetSetDescr_Type); /* the interpreter's own, not a property */
}

/* No storage but the __dict__ and the list of weak references. */
static bool has_plain_layout(PyTypeObject *type)
{
	Py_ssize_t size = PyBaseObject_Type.tp_basicsize;
	if (type->tp_dictoffset > 0)
		size += (Py_ssize_t)sizeof(PyObject *);
	if (type->tp_weaklistoffset > 0)
		size += (Py_ssize_t)sizeof(PyObject *);
	return type->tp_dictoffset != 0 && type->tp_basicsize == size && type->tp_itemsize == 0 &&
	       type->tp_new == PyBaseObject_Type.tp_new && !PyType_HasFeature(type, Py_TPFLAGS_IS_ABSTRACT);
}

static bool is_plain(PyTypeObject *type)
{
	PyObject *order = type->tp_mro;
	if (!order || !PyTuple_CheckExact(order) || !has_plain_layout(type))
		return false;
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(order); i++) {
		PyObject *base = PyTuple_GET_ITEM(order, i);
		if (base != (PyObject *)&PyBaseObject_Type && (!PyType_Check(base) || !is_plain_base((PyTypeObject *)base)))
			return false;
	}
	return true;
}

/* length, module, length, name; NULL without an exception: it has no such path. */
static PyObject *path_of(PyObject *module, PyObject *name)
{
	Py_ssize_t module_size, name_size;
	const char *module_text = PyUnicode_AsUTF8AndSize(module, &module_size);
	const char *name_text = module_text ? PyUnicode_AsUTF8AndSize(name, &name_size) : NULL;
	if (!name_text) {
		PyErr_Clear(); /* half of a surrogate pair */
		return NULL;
	}
	if (module_size > CLASS_PATH || name_size > CLASS_PATH || memchr(name_text, '.', (size_t)name_size))
		return NULL;
	PyObject *path = PyBytes_FromStringAndSize(NULL, 2 + module_size + name_size);
	unsigned char *to = path ? (unsigned char *)PyBytes_AS_STRING(path) : NULL;
	if (!to) {
		PyErr_Clear();
		return NULL;
	}
	*to++ = (unsigned char)module_size;
	memcpy(to, module_text, (size_t)module_size);
	to += module_size;
	*to++ = (unsigned char)name_size;
	memcpy(to, name_text, (size_t)name_size);
	return path;
}

/* Fills in how the class is named; leaves it not plain if it cannot be. */
static void name_it(struct known_class *known, PyTypeObject *type)
{
	PyObject *module = PyDict_GetItemString(type->tp_dict, "__module__");
	PyObject *name = ((PyHeapTypeObject *)type)->ht_qualname;
	if (!module || !PyUnicode_CheckExact(module) || !PyUnicode_CheckExact(name))
		return;
	known->path = path_of(module, name);
	if (!known->path)
		return;
	known->module = Py_NewRef(module);
	known->name = Py_NewRef(name);
}

static void known_class_clear(struct known_class *known)
{
	known->type = NULL;
	Py_CLEAR(known->module);
	Py_CLEAR(known->name);
	Py_CLEAR(known->path);
}

void class_learn(struct classes *classes, PyTypeObject *type)
{
	unsigned version = version_of(type);
	struct known_class *known = place_for(classes, type);
	known_class_clear(known);
	if (version == 0)
		return;
	known->type = type;
	known->version = version;
	if (is_plain(type))
		name_it(known, type);
}

/* 1: a reducer is registered for the class; 0; -1. */
static int has_reducer(struct messages *messages, PyObject *class)
{
	PyObject *pickler = PyObject_GetAttr(messages->reduction, messages->forking_pickler_name);
	PyObject *extra = pickler ? PyObject_GetAttr(pickler, messages->extra_reducers_name) : NULL;
	int result = !extra ? -1 : pickler != messages->forking_pickler ? 1 : PySequence_Contains(extra, class);
	if (result == 0)
		result = PySequence_Contains(messages->dispatch_table, class);
	Py_XDECREF(pickler);
	Py_XDECREF(extra);
	return result;
}

/*
 * PyImport_GetModule, which waits for a module that another thread is importing. To ask a program's own __main__, whose
 * __spec__ is None, whether it is that costs it an exception, made and dropped, and more than all the rest here.
 */
static PyObject *loaded_module(const struct messages *messages, PyObject *name)
{
	PyObject *module = messages->modules ? PyDict_GetItemWithError(messages->modules, name) : NULL;
	if (module && PyModule_CheckExact(module)) {
		Py_INCREF(module);
		if (PyDict_GetItemWithError(PyModule_GetDict(module), messages->spec_name) == Py_None)
			return module;
		Py_DECREF(module);
	}
	return PyErr_Occurred() ? NULL : PyImport_GetModule(name);
}

/* False: it is another one, or not there. */
static bool is_found_by_name(const struct messages *messages, const struct known_class *class)
{
	PyObject *module = loaded_module(messages, class->module);
	PyObject *found = module ? PyObject_GetAttr(module, class->name) : NULL;
	bool result = found == (PyObject *)class->type;
	Py_XDECREF(module);
	Py_XDECREF(found);
	if (!found)
		PyErr_Clear(); /* pickle, which is asked next, finds the words */
	return result;
}

int class_is_current(struct messages *messages, const struct known_class *class)
{
	if (!is_found_by_name(messages, class))
		return 0;
	int reducer = has_reducer(messages, (PyObject *)class->type);
	return reducer < 0 ? -1 : !reducer;
}

void known_class_copy(struct known_class *to, const struct known_class *from)
{
	*to = *from;
	Py_INCREF(to->type);
	Py_INCREF(to->module);
	Py_INCREF(to->name);
	Py_INCREF(to->path);
}

void known_class_release(struct known_class *copy)
{
	Py_DECREF(copy->type);
	Py_DECREF(copy->module);
	Py_DECREF(copy->name);
	Py_DECREF(copy->path);
}

/* --- receiving ---------------------------------------------------------------------------------------------- */

static void known_path_clear(struct known_path *known)
{
	Py_CLEAR(known->path);
	Py_CLEAR(known->module);
	Py_CLEAR(known->name);
}

/* Its place in the table, by FNV-1a (Fowler, Noll, Vo). */
static unsigned place_of(const unsigned char *path, size_t size)
{
	uint32_t hash = 2166136261U;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ path[i]) * 16777619U;
	return (hash ^ hash >> 16) % KNOWN_CLASSES;
}

static PyObject *interned(const unsigned char *text, size_t size)
{
	PyObject *string = PyUnicode_DecodeUTF8((const char *)text, (Py_ssize_t)size, "strict");
	if (string)
		PyUnicode_InternInPlace(&string);
	return string;
}

static struct known_path *find_path(struct classes *classes, const unsigned char *path, size_t size)
{
	struct known_path *known = &classes->paths[place_of(path, size)];
	if (known->path && (size_t)PyBytes_GET_SIZE(known->path) == size &&
	    memcmp(PyBytes_AS_STRING(known->path), path, size) == 0)
		return known;
	known_path_clear(known);
	known->path = PyBytes_FromStringAndSize((const char *)path, (Py_ssize_t)size);
	known->module = interned(path + 1, path[0]);
	known->name = interned(path + 2 + path[0], path[1 + path[0]]);
	if (known->path && known->module && known->name)
		return known;
	known_path_clear(known);
	return NULL;
}

static PyObject *find_class(const struct messages *messages, PyObject *module_name, PyObject *name)
{
	if (PySys_Audit("pickle.find_class", "OO", module_name, name) < 0)
		return NULL;
	PyObject *module = loaded_module(messages, module_name);
	if (!module && !PyErr_Occurred())
		module = PyImport_Import(module_name);
	PyObject *class = module ? PyObject_GetAttr(module, name) : NULL;
	if (module && !class && PyErr_ExceptionMatches(PyExc_AttributeError))
		PyErr_Format(PyExc_AttributeError, "Can't get attribute %R on %R", name, module);
	Py_XDECREF(module);
	return class;
}

PyObject *class_load(struct messages *messages, const unsigned char *path, size_t size)
{
	const struct known_path *known = find_path(&messages->classes, path, size);
	if (!known)
		return NULL;
	PyObject *module = Py_NewRef(known->module), *name = Py_NewRef(known->name); /* foreign code may clear the place */
	PyObject *class = find_class(messages, module, name);
	Py_DECREF(module);
	Py_DECREF(name);
	return class;
}

/* pickle's BUILD. */
static int set_state(PyObject *object, PyObject *attributes)
{
	PyObject *result = NULL;
	PyObject *set = PyObject_GetAttrString(object, "__setstate__");
	if (set) {
		result = PyObject_CallOneArg(set, attributes);
	} else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
		PyErr_Clear();
		PyObject *dict = PyObject_GetAttrString(object, "__dict__");
		result = dict ? PyObject_CallMethod(dict, "update", "O", attributes) : NULL;
		Py_XDECREF(dict);
	}
	Py_XDECREF(set);
	Py_XDECREF(result);
	return result ? 0 : -1;
}

/* Of a class that is plain with its sender and not here: another version of the program, say. */
static PyObject *make_by_the_book(PyObject *class, PyObject *attributes)
{
	PyObject *object = PyObject_CallMethod(class, "__new__", "O", class);
	if (object && set_state(object, attributes) < 0)
		Py_CLEAR(object);
	return object;
}

/* Into the dict that it has: one put in its place is not seen by every look for an attribute in 3.13. */
static PyObject *make_plain(PyTypeObject *type, PyObject *attributes)
{
	PyObject *none = PyTuple_New(0);
	PyObject *object = none ? PyBaseObject_Type.tp_new(type, none, NULL) : NULL;
	PyObject *dict = object ? PyObject_GenericGetDict(object, NULL) : NULL;
	if (!dict || PyDict_Update(dict, attributes) < 0)
		Py_CLEAR(object);
	Py_XDECREF(none);
	Py_XDECREF(dict);
	return object;
}

PyObject *class_make(struct classes *classes, PyObject *class, PyObject *attributes)
{
	if (!PyType_Check(class))
		return make_by_the_book(class, attributes);
	PyTypeObject *type = (PyTypeObject *)class;
	const struct known_class *known = class_known(classes, type);
	if (!known) {
		class_learn(classes, type);
		known = class_known(classes, type);
	}
	return known && known->path ? make_plain(type, attributes) : make_by_the_book(class, attributes);
}

void classes_clear(struct classes *classes)
{
	for (unsigned i = 0; i < KNOWN_CLASSES; i++) {
		known_class_clear(&classes->known[i]);
		known_path_clear(&classes->paths[i]);
	}
}
