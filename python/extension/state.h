/* SPDX-License-Identifier: MIT */
/*
 * What one import of tutti._tutti owns: each interpreter has its own. There are no statics that
 * hold Python objects, so that isolated subinterpreters do not share any.
 */
#ifndef TUTTI_PYTHON_STATE_H
#define TUTTI_PYTHON_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <tutti/tutti.h>

#include "messages.h"

/*
 * Every Python object that the module keeps: X(field). One list declares, visits and clears them.
 * Types, exceptions and the functions of other modules that the extension calls.
 */
#define PY_STATE_OBJECTS(X)                                                                                            \
	X(error) /* tutti.Error */                                                                                         \
	X(abandoned_lock_error) /* tutti.AbandonedLockError */                                                             \
	X(stale_handle_error) /* tutti.StaleHandleError */                                                                 \
	X(shut_down) /* queue.ShutDown, before 3.13 a class of its own */                                                  \
	X(queue_empty) /* queue.Empty */                                                                                   \
	X(queue_full) /* queue.Full */                                                                                     \
	X(broken_barrier_error) /* threading.BrokenBarrierError */                                                         \
	X(queue_base)                                                                                                      \
	X(queue_type)                                                                                                      \
	X(simple_queue_type)

struct py_state {
#define PY_STATE_FIELD(field) PyObject *field;
	PY_STATE_OBJECTS(PY_STATE_FIELD)
#undef PY_STATE_FIELD
	struct messages messages; /* visited and cleared by messages.c */
};

extern struct PyModuleDef py_module;

/* The state of the module that made `type` or one of its bases. NULL with TypeError if none did. */
struct py_state *py_state_of_type(PyTypeObject *type);

/* The state of the module object itself. */
static inline struct py_state *py_state_of_module(PyObject *module) { return PyModule_GetState(module); }

/*
 * Makes a type from its spec and enters it in the module under its name. `*type` gets a reference of its own
 * and is a field of the state. 0, or -1 with an exception.
 */
int py_add_type(PyObject *module, PyObject **type, PyType_Spec *spec, PyObject *bases);

/* PyModule_AddObjectRef, which 3.9 lacks: keeps no reference of the caller's. 0, or -1 with an exception. */
int py_add_object(PyObject *module, const char *name, PyObject *value);

/* What each file adds to the module: 0, or -1 with an exception. One line here and one in module.c for each file. */
int py_add_errors(PyObject *module);
int py_add_messages(PyObject *module);
int py_add_queues(PyObject *module);

#endif
