/* SPDX-License-Identifier: MIT */
/*
 * What one import of tutti._tutti owns: each interpreter has its own. There are no statics that
 * hold Python objects, so that isolated subinterpreters do not share any.
 */
#ifndef TUTTI_PYTHON_STATE_H
#define TUTTI_PYTHON_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <tutti/tutti.h>

#include "compatible.h"
#include "fork.h"
#include "messages.h"

/*
 * Every Python object that the module keeps: X(field). One list declares, visits and clears them.
 * Types, exceptions and the functions of other modules that the extension calls.
 */
#define PY_STATE_OBJECTS(X)                                                                                            \
	X(shared_type) /* tutti._tutti.Shared */                                                                           \
	X(lock_type) /* tutti._tutti.Lock */                                                                               \
	X(rlock_type) /* tutti._tutti.RLock */                                                                             \
	X(semaphore_type) /* tutti._tutti.Semaphore */                                                                     \
	X(condition_type) /* tutti._tutti.Condition */                                                                     \
	X(barrier_type) /* tutti._tutti.Barrier */                                                                         \
	X(event_type) /* tutti._tutti.Event */                                                                             \
	X(error) /* tutti.Error */                                                                                         \
	X(abandoned_lock_error) /* tutti.AbandonedLockError */                                                             \
	X(stale_handle_error) /* tutti.StaleHandleError */                                                                 \
	X(shut_down) /* queue.ShutDown, before 3.13 a class of its own */                                                  \
	X(queue_empty) /* queue.Empty */                                                                                   \
	X(queue_full) /* queue.Full */                                                                                     \
	X(broken_barrier_error) /* threading.BrokenBarrierError */                                                         \
	X(queue_base) /* tutti._tutti._QueueBase */                                                                        \
	X(queue_type)                                                                                                      \
	X(joinable_queue_type)                                                                                             \
	X(simple_queue_type)                                                                                               \
	X(pipe_type)                                                                                                       \
	X(connection_type)                                                                                                 \
	X(timeout_error) /* multiprocessing.TimeoutError */                                                                \
	X(pool_type)                                                                                                       \
	X(task_type)                                                                                                       \
	X(stream_type)                                                                                                     \
	X(worker_type)                                                                                                     \
	X(acquire_name) /* of methods, interned */                                                                         \
	X(release_name)                                                                                                    \
	X(enter_name)                                                                                                      \
	X(exit_name)

struct py_call;

/* The calls that threads are inside of: shared.c. */
struct py_calls {
	struct py_call *list;
	size_t count, room;
};

struct py_state {
#define PY_STATE_FIELD(field) PyObject *field;
	PY_STATE_OBJECTS(PY_STATE_FIELD)
#undef PY_STATE_FIELD
	struct py_shared *first; /* the list of all shared objects of this interpreter: shared.c */
	struct py_forks forks; /* children that have not taken hold of theirs: fork.c */
	struct py_calls calls;
	struct messages messages; /* visited and cleared by messages.c */
};

extern struct PyModuleDef py_module;

/* The module that made `type` or one of its bases, borrowed. NULL with TypeError if none did. */
PyObject *py_module_of_type(PyTypeObject *type);

/* The state of the module object itself. */
static inline struct py_state *py_state_of_module(PyObject *module) { return PyModule_GetState(module); }

/*
 * Makes a type from its spec and enters it in the module under its name. `*type` gets a reference of its own
 * and is a field of the state. 0, or -1 with an exception.
 */
int py_add_type(PyObject *module, PyObject **type, PyType_Spec *spec, PyObject *bases);

/* PyModule_AddObjectRef, which 3.9 lacks: keeps no reference of the caller's. 0, or -1 with an exception. */
int py_add_object(PyObject *module, const char *name, PyObject *value);

/* What each file adds to the module, in this order: 0, or -1 with an exception. One line for each file. */
#define PY_PARTS(X)                                                                                                    \
	X(waits)                                                                                                           \
	X(errors)                                                                                                          \
	X(shared)                                                                                                          \
	X(forks)                                                                                                           \
	X(arena)                                                                                                           \
	X(ends)                                                                                                            \
	X(beginning)                                                                                                       \
	X(calls)                                                                                                           \
	X(lock)                                                                                                            \
	X(rlock)                                                                                                           \
	X(semaphore)                                                                                                       \
	X(condition)                                                                                                       \
	X(barrier)                                                                                                         \
	X(event)                                                                                                           \
	X(messages)                                                                                                        \
	X(queues)                                                                                                          \
	X(pipes)                                                                                                           \
	X(connections)                                                                                                     \
	X(pool)                                                                                                            \
	X(task)                                                                                                            \
	X(stream)                                                                                                          \
	X(worker)
#define PY_PART_DECLARATION(name) int py_add_##name(PyObject *module);
PY_PARTS(PY_PART_DECLARATION)
#undef PY_PART_DECLARATION

#endif
