/* SPDX-License-Identifier: MIT */
/*
 * Plain classes: those whose instances pickle would write as a class and the instance's __dict__, and
 * nothing else. The direct form carries their instances itself.
 *
 * Plain is a class
 *   - whose metaclass is `type`, and so for all its bases up to `object`, none of them written in C;
 *   - which none of these names changes: __reduce__, __getstate__, __setstate__, __getnewargs__, __new__,
 *     __slots__, __getattr__, __getattribute__, __class__, and their kin (the list is in classes.c);
 *   - of a module's top level.
 *
 * What was found out holds as long as the class has the version that it had then (tp_version_tag, which
 * the interpreter changes when an attribute of the class or of a base is set). What no version tells
 * is looked up for each message: that the name still means the class, and that no reducer is registered for it.
 *
 * Asking (class_known) runs no foreign code; finding out and looking up may.
 */
#ifndef TUTTI_PYTHON_CLASSES_H
#define TUTTI_PYTHON_CLASSES_H

#include "compatible.h"

enum { KNOWN_CLASSES = 256, CLASS_PATH = 255 };

struct messages;

/* What is known of one class. */
struct known_class {
	PyTypeObject *type; /* borrowed: only compared, together with the version */
	unsigned version;
	PyObject *module, *name; /* owned, str; NULL: not plain */
	PyObject *path; /* owned, bytes: how the direct form names it */
};

/* A name of the direct form, and what it says; for receivers. */
struct known_path {
	PyObject *path, *module, *name; /* owned */
};

/* Part of the module's state; all zero in the beginning. What finds no place takes another one's. */
struct classes {
	struct known_class known[KNOWN_CLASSES];
	unsigned next_way;
	struct known_path paths[KNOWN_CLASSES];
};

/* What is known of the class; NULL: nothing. */
const struct known_class *class_known(const struct classes *classes, PyTypeObject *type);

/* Finds out. Without memory nothing is known afterwards. */
void class_learn(struct classes *classes, PyTypeObject *type);

/* A copy of a plain one that holds its references itself; and their end. */
void known_class_copy(struct known_class *to, const struct known_class *from);
void known_class_release(struct known_class *copy);

/* Of such a copy. 1: pickle, too, would write the class by its name; 0: it would not; -1 with an exception. */
int class_is_current(struct messages *messages, const struct known_class *class);

/* The class of that name, imported if need be: a new reference, or NULL with an exception, as pickle has it. */
PyObject *class_load(struct messages *messages, const unsigned char *path, size_t size);

/* A new instance with those attributes, as pickle would make it. */
PyObject *class_make(struct classes *classes, PyObject *class, PyObject *attributes);

void classes_clear(struct classes *classes);

#endif
