/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "errors.h"
#include "fork.h"
#include "shared.h"

static void link_in(struct py_shared *shared)
{
	shared->next = shared->state->first;
	shared->previous = NULL;
	if (shared->next)
		shared->next->previous = shared;
	shared->state->first = shared;
}

static void unlink_from(struct py_shared *shared)
{
	if (shared->next)
		shared->next->previous = shared->previous;
	if (shared->previous)
		shared->previous->next = shared->next;
	else
		shared->state->first = shared->next;
}

PyObject *py_shared_new(PyTypeObject *type, const struct py_kind *kind)
{
	PyObject *module = py_module_of_type(type);
	struct py_shared *shared = module ? (struct py_shared *)type->tp_alloc(type, 0) : NULL;
	if (!shared)
		return NULL;
	Py_INCREF(module);
	shared->module = module;
	shared->state = py_state_of_module(module);
	shared->kind = kind;
	return (PyObject *)shared;
}

void py_shared_set(PyObject *self, void *object)
{
	struct py_shared *shared = (struct py_shared *)self;
	shared->object = object;
	link_in(shared);
}

void py_shared_close(PyObject *self)
{
	struct py_shared *shared = (struct py_shared *)self;
	if (!shared->object)
		return;
	void *object = shared->object;
	unlink_from(shared);
	shared->object = NULL; /* before it is closed, which may wait and let other threads run */
	py_close_after_forks(shared->state, shared->kind->close, object);
}

enum {
	AWAITING = 0
}; /* in a thread's place: the task of a loop, which no fork takes along. No thread has that number. */

static int enter_as(struct py_shared *shared, unsigned long thread)
{
	struct py_calls *calls = &shared->state->calls;
	if (calls->count == calls->room) {
		size_t room = calls->room ? 2 * calls->room : 16;
		struct py_call *list = PyMem_RawRealloc(calls->list, room * sizeof *list);
		if (!list) {
			PyErr_NoMemory();
			return -1;
		}
		calls->list = list;
		calls->room = room;
	}
	calls->list[calls->count++] = (struct py_call){thread, shared};
	shared->users++;
	return 0;
}

/* Mostly the last one: threads that wait are inside for long. False: a fork has struck it out. */
static bool forget_call(struct py_calls *calls, const struct py_shared *shared, unsigned long thread)
{
	for (size_t i = calls->count; i-- > 0;)
		if (calls->list[i].shared == shared && calls->list[i].thread == thread) {
			calls->list[i] = calls->list[--calls->count];
			return true;
		}
	return false;
}

static void leave_as(struct py_shared *shared, unsigned long thread)
{
	if (forget_call(&shared->state->calls, shared, thread) && --shared->users == 0 && shared->closed)
		py_shared_close((PyObject *)shared);
}

int py_shared_enter(struct py_shared *shared) { return enter_as(shared, PyThread_get_thread_ident()); }
void py_shared_leave(struct py_shared *shared) { leave_as(shared, PyThread_get_thread_ident()); }
int py_shared_hold(struct py_shared *shared) { return enter_as(shared, AWAITING); }
void py_shared_let_go(struct py_shared *shared) { leave_as(shared, AWAITING); }

void py_shared_close_unless_used(struct py_shared *shared)
{
	shared->closed = true;
	if (shared->users == 0)
		py_shared_close((PyObject *)shared);
}

void py_forget_calls(struct py_state *state)
{
	struct py_calls *calls = &state->calls;
	size_t kept = 0;
	for (struct py_shared *shared = state->first; shared; shared = shared->next)
		shared->users = 0;
	for (size_t i = 0; i < calls->count; i++) {
		if (calls->list[i].thread != PyThread_get_thread_ident())
			continue;
		calls->list[i].shared->users++;
		calls->list[kept++] = calls->list[i];
	}
	calls->count = kept;
}

int py_shared_is_fresh(PyObject *self)
{
	if (!((struct py_shared *)self)->object)
		return 0;
	PyErr_Format(PyExc_RuntimeError, "%.200s.__init__() was called twice", Py_TYPE(self)->tp_name);
	return -1;
}

int py_shared_fail(PyObject *self)
{
	PyErr_Format(PyExc_ValueError, "this %.200s is closed, or its __init__() was not called", Py_TYPE(self)->tp_name);
	return -1;
}

int py_shared_made(PyObject *self, tutti_err err, void *object)
{
	if (err) {
		py_raise(((struct py_shared *)self)->state, err);
		return -1;
	}
	py_shared_set(self, *(void **)object);
	return 0;
}

PyObject *py_shared_done(PyObject *self, tutti_err err)
{
	if (err)
		return py_raise(((struct py_shared *)self)->state, err);
	Py_RETURN_NONE;
}

PyObject *py_shared_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	int fd;
	struct py_shared *shared = (struct py_shared *)self;
	if (py_shared_check(self) < 0)
		return NULL;
	tutti_err err = shared->kind->fd(shared->object, &fd);
	return err ? py_raise(shared->state, err) : PyLong_FromLong(fd);
}

/* Finds the handle's arena: one that this process is in, else among the running processes. */
static tutti_err open_anywhere(const struct py_kind *kind, void **object, tutti_handle handle)
{
	tutti_arena *arena;
	tutti_err err = tutti_arena_join_handle(&arena, handle, NULL);
	if (err)
		return err;
	tutti_arena_adopt(arena);
	return kind->open(object, arena, handle);
}

PyObject *py_shared_open(PyTypeObject *type, const struct py_kind *kind, PyObject *bytes)
{
	void *object;
	tutti_handle handle;
	if (!PyBytes_Check(bytes) || PyBytes_GET_SIZE(bytes) != sizeof handle) {
		PyErr_Format(PyExc_TypeError, "a handle is a bytes object of %zu bytes", sizeof handle);
		return NULL;
	}
	memcpy(&handle, PyBytes_AS_STRING(bytes), sizeof handle);
	PyObject *self = py_shared_new(type, kind);
	if (!self)
		return NULL;
	tutti_err err = open_anywhere(kind, &object, handle);
	if (err) {
		py_raise(((struct py_shared *)self)->state, err);
		Py_DECREF(self);
		return NULL;
	}
	py_shared_set(self, object);
	return self;
}

int py_shared_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct py_shared *shared = (struct py_shared *)self;
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(shared->module);
	Py_VISIT(shared->dict);
	return 0;
}

/* The module stays: dealloc needs the state. */
int py_shared_clear(PyObject *self)
{
	Py_CLEAR(((struct py_shared *)self)->dict);
	return 0;
}

void py_shared_dealloc(PyObject *self)
{
	struct py_shared *shared = (struct py_shared *)self;
	PyTypeObject *type = Py_TYPE(self);
	PyObject *module = shared->module;
	PyObject_GC_UnTrack(self);
	if (shared->weak_references)
		PyObject_ClearWeakRefs(self);
	Py_CLEAR(shared->dict);
	py_shared_close(self);
	type->tp_free(self);
	Py_XDECREF(module);
	Py_DECREF(type);
}

int py_name(PyObject *name, const char **text)
{
	*text = NULL;
	if (!name || name == Py_None)
		return 0;
	*text = PyUnicode_AsUTF8(name);
	return *text ? 0 : -1;
}

/* --- what all kinds have ------------------------------------------------------------------------------------ */

static PyObject *handle(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	struct py_shared *shared = (struct py_shared *)self;
	if (py_shared_check(self) < 0)
		return NULL;
	tutti_handle value = shared->kind->handle(shared->object);
	if (message_carry(value) < 0)
		return NULL;
	return PyBytes_FromStringAndSize((const char *)&value, sizeof value);
}

/* For kinds that are not closed by hand: an awaited one is kept by who awaits it. */
static PyObject *hold_nothing(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored)) { Py_RETURN_NONE; }

static PyMethodDef methods[] = {
	{"_hold", hold_nothing, METH_NOARGS,
     "_hold($self, /)\n--\n\nKeeps its descriptors open, also after a close(), until as many _let_go()."},
	{"_let_go", hold_nothing, METH_NOARGS, "_let_go($self, /)\n--\n\nUndoes a _hold()."},
	{"_handle", handle, METH_NOARGS,
     "_handle($self, /)\n--\n\nThe name of the shared object, 16 bytes, valid in every member of its arena. A message "
     "that is being encoded meanwhile holds the object until it is decoded."},
	{NULL},
};

static PyMemberDef members[] = {
	{"_letter", T_BOOL, offsetof(struct py_shared, letter), 0,
     "Whether it behaves as multiprocessing's to the letter."},
	{"__dictoffset__", T_PYSSIZET, offsetof(struct py_shared, dict), READONLY, NULL},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_shared, weak_references), READONLY, NULL},
	{NULL},
};

static PyGetSetDef attributes[] = {
	{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
	{NULL},
};

/* Its kinds are made, not it. */
static PyObject *refuse(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return PyErr_Format(PyExc_TypeError, "cannot create '%.200s' instances", type->tp_name);
}

static PyType_Slot slots[] = {
	{Py_tp_new, refuse},
	{Py_tp_doc, "The base of all objects that live in the arena."},
	{Py_tp_traverse, py_shared_traverse},
	{Py_tp_clear, py_shared_clear},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{Py_tp_getset, attributes},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Shared",
	.basicsize = sizeof(struct py_shared),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_kind(PyObject *module, PyObject **type, PyType_Spec *kind_spec)
{
	PyObject *bases = PyTuple_Pack(1, py_state_of_module(module)->shared_type);
	int rc = bases ? py_add_type(module, type, kind_spec, bases) : -1;
	Py_XDECREF(bases);
	return rc;
}

int py_add_shared(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
	return py_add_type(module, &state->shared_type, &spec, NULL);
}
