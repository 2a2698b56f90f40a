/* SPDX-License-Identifier: MIT */
/*
 * The base of every Python object that stands for a shared one: tutti._tutti.Shared.
 *
 * A forked child inherits the Python object and takes hold of the shared one in its after-fork hook. The
 * parent may drop its own at any moment before: what it drops while a child has not said that it has
 * taken hold waits in a list of leftovers (fork.c), so that `Process(target=f, args=(Lock(),)).start()` works.
 *
 * Each object keeps a reference of its module: the state stays valid until the last object is gone, in
 * whichever order the garbage collector takes type and module.
 */
#ifndef TUTTI_PYTHON_SHARED_H
#define TUTTI_PYTHON_SHARED_H

#include "calls.h"
#include "state.h"

/* What differs between the kinds of shared objects, of which `object` is the core's: a tutti_lock *, ... */
struct py_kind {
	tutti_handle (*handle)(const void *object);
	tutti_err (*open)(void **object, tutti_arena *arena, tutti_handle handle);
	void (*close)(void *object);
	tutti_err (*fd)(void *object, int *fd); /* the descriptor to poll. May be NULL */
	void (*after_fork)(PyObject *self); /* in the child: forget what the parent's threads hold. May be NULL */
};

struct py_shared {
	PyObject_HEAD PyObject *dict;
	PyObject *weak_references;
	PyObject *module;
	struct py_state *state;
	const struct py_kind *kind;
	void *object; /* the core's handle; NULL until it is set, and after close */
	struct py_shared *next, *previous; /* all that have one, in this interpreter */
	char letter; /* made by a class that stands in multiprocessing's place */
	/* For kinds with a close method: */
	bool closed; /* then the shared object goes with the last call that is inside */
	unsigned users; /* such calls; guarded by the GIL */
};

/* A call that a thread is inside of. */
struct py_call {
	unsigned long thread;
	struct py_shared *shared;
};

/* Functions of a struct py_kind for the core's type tutti_NAME. */
#define PY_KIND_FUNCTIONS(NAME)                                                                                        \
	static tutti_handle handle_of_##NAME(const void *object) { return tutti_##NAME##_handle(object); }                 \
	static tutti_err open_##NAME(void **object, tutti_arena *arena, tutti_handle handle)                               \
	{                                                                                                                  \
		tutti_##NAME *opened;                                                                                          \
		tutti_err err = tutti_##NAME##_at(&opened, arena, handle);                                                     \
		if (err == TUTTI_OK)                                                                                           \
			*object = opened;                                                                                          \
		return err;                                                                                                    \
	}                                                                                                                  \
	static void close_##NAME(void *object) { tutti_##NAME##_close(object); }

/* A new Python object of `type` (or a subclass) without a shared one, or NULL. Its own fields are zero. */
PyObject *py_shared_new(PyTypeObject *type, const struct py_kind *kind);

/* Gives it the shared object, which it closes in the end. */
void py_shared_set(PyObject *self, void *object);

/* For an __init__: 0, or -1 with RuntimeError if it has a shared object already, which others may be using. */
int py_shared_is_fresh(PyObject *self);

/* The rest of an __init__: keeps the shared object that `object` points to, or raises. 0, or -1. */
int py_shared_made(PyObject *self, tutti_err err, void *object);

/* The result of a call that has none of its own: None, or NULL with an exception. */
PyObject *py_shared_done(PyObject *self, tutti_err err);

/* The method fileno of the kinds that have `fd`. */
PyObject *py_shared_fileno(PyObject *self, PyObject *ignored);

/* First line of each method: 0, or -1 with ValueError if there is none (closed, or __init__ was not called). */
int py_shared_fail(PyObject *self);
static inline int py_shared_check(PyObject *self)
{
	py_count_call();
	return ((struct py_shared *)self)->object ? 0 : py_shared_fail(self);
}

/*
 * Adds the type of a kind: a subtype of Shared, whose flags have no Py_TPFLAGS_HAVE_GC unless it has its own
 * traverse and clear, and whose dealloc is py_shared_dealloc or calls it last.
 */
int py_add_kind(PyObject *module, PyObject **type, PyType_Spec *spec);

/* A Python object on an existing shared one: for a classmethod _open(handle). `handle`: 16 bytes. */
PyObject *py_shared_open(PyTypeObject *type, const struct py_kind *kind, PyObject *handle);

/* Gives the shared object back now instead of with the Python object. May release the GIL. */
void py_shared_close(PyObject *self);

/*
 * For kinds with a close method. Between enter and leave another thread may close the object, which is given back by
 * the last that leaves. A forked child has none of the other threads: there their calls are forgotten.
 * -1 with MemoryError.
 */
int py_shared_enter(struct py_shared *shared);
void py_shared_leave(struct py_shared *shared);
void py_shared_close_unless_used(struct py_shared *shared);

/* The same for a task that awaits: the descriptor that its loop watches stays until it has let go. */
int py_shared_hold(struct py_shared *shared);
void py_shared_let_go(struct py_shared *shared);

/* In a forked child: the calls of all threads but this one are over. */
void py_forget_calls(struct py_state *state);

/*
 * For the traverse, clear and dealloc of a type that has more fields: call these in their place, or leave the
 * slots to the base if it has no Python objects among them.
 */
int py_shared_traverse(PyObject *self, visitproc visit, void *arg);
int py_shared_clear(PyObject *self);
void py_shared_dealloc(PyObject *self);

/* The options' name: NULL for None. -1 with TypeError, ValueError if it is no string or too long. */
int py_name(PyObject *name, const char **text);

#endif
