/* SPDX-License-Identifier: MIT */
/*
 * tutti._tutti.Lock: a lock of the core with `handover`, because multiprocessing's Lock is a semaphore of one that
 * any thread of any process may release.
 */
#include "abandoned.h"
#include "arguments.h"
#include "errors.h"
#include "lock.h"
#include "wait.h"

PY_KIND_FUNCTIONS(lock)
static tutti_err fd_of_lock(void *object, int *fd) { return tutti_lock_fd(object, fd); }

static const struct py_kind kind = {.handle = handle_of_lock, .open = open_lock, .close = close_lock, .fd = fd_of_lock};

static PyObject *new_lock(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"name", NULL};
	PyObject *name = NULL;
	tutti_lock_options options = {.handover = true};
	tutti_lock *lock;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O:Lock", names, &name) || py_name(name, &options.name) < 0 ||
	    py_shared_is_fresh(self) < 0)
		return -1;
	return py_shared_made(self, tutti_lock_open(&lock, &options), &lock);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static tutti_err attempt(void *lock, tutti_time timeout) { return tutti_lock_acquire(lock, timeout); }

int py_lock_acquire(struct py_lock *self, tutti_time timeout)
{
	int answer = py_wait(attempt, self->shared.object, timeout);
	if (answer == TUTTI_OK || answer == TUTTI_EOWNERDEAD)
		self->thread = PyThread_get_thread_ident();
	return answer;
}

static tutti_err abandon_lock(void *lock) { return tutti_lock_abandon(lock); }

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	tutti_time timeout;
	struct py_lock *lock = (struct py_lock *)self;
	if (py_shared_check(self) < 0 || py_block_timeout_arguments("acquire", args, nargs, keywords, &timeout) < 0)
		return NULL;
	return py_acquired(&lock->shared, py_lock_acquire(lock, timeout), abandon_lock);
}

static PyObject *give_back_one(PyObject *self)
{
	if (py_shared_check(self) < 0)
		return NULL;
	struct py_shared *shared = (struct py_shared *)self;
	tutti_err err = tutti_lock_release(shared->object);
	if (err != TUTTI_EBOUND)
		return py_shared_done(self, err);
	PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
	return NULL;
}

static PyObject *release(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
	return py_no_arguments("release", nargs) < 0 ? NULL : give_back_one(self);
}

static PyObject *enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	struct py_lock *lock = (struct py_lock *)self;
	return py_entered(&lock->shared, py_lock_acquire(lock, TUTTI_FOREVER), abandon_lock);
}

static PyObject *leave(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
	return give_back_one(self);
}

static PyObject *abandon(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	struct py_shared *shared = (struct py_shared *)self;
	return py_shared_done(self, tutti_lock_abandon(shared->object));
}

static PyObject *locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return PyBool_FromLong(tutti_lock_holder(((struct py_shared *)self)->object) != 0);
}

bool py_lock_is_of_process(const struct py_lock *self) { return tutti_lock_is_mine(self->shared.object); }

bool py_lock_is_mine(const struct py_lock *self)
{
	return self->thread == PyThread_get_thread_ident() && py_lock_is_of_process(self);
}

static PyObject *is_mine(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return PyBool_FromLong(py_lock_is_mine((struct py_lock *)self));
}

static PyObject *count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return PyLong_FromLong(py_lock_is_of_process((struct py_lock *)self));
}

static PyObject *get_value(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return PyLong_FromLong(tutti_lock_holder(((struct py_shared *)self)->object) == 0);
}

static PyMethodDef methods[] = {
	{"fileno", py_shared_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while the lock may be had. Never read it."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA lock on the existing one of that handle."},
	{"acquire", PY_WITH_KEYWORDS(acquire),
     "acquire($self, block=True, timeout=None)\n--\n\n"
     "Takes the lock; waits for it, up to timeout seconds, if block is true. Returns whether it was taken."},
	{"release", PY_WITHOUT_ARGUMENTS(release),
     "release($self, /)\n--\n\nGives the lock back. Any thread of any process may. ValueError: nobody holds it."},
	{"locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody holds it. Recovers nothing."},
	{"_abandon", abandon, METH_NOARGS, "_abandon($self, /)\n--\n\nGives it back as if its holder had been killed."},
	{"_is_mine", is_mine, METH_NOARGS, "_is_mine($self, /)\n--\n\nWhether this thread holds it."},
	{"_count", count, METH_NOARGS, "_count($self, /)\n--\n\nHow often this process holds it."},
	{"_get_value", get_value, METH_NOARGS, "_get_value($self, /)\n--\n\nHow many may still take it: 1 or 0."},
	{"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nTakes the lock, waiting for it."},
	{"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL,
     "__exit__($self, *args)\n--\n\nGives the lock back."},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Lock(*, name=None)\n--\n\nA lock between threads and processes."},
	{Py_tp_new, new_lock},
	{Py_tp_init, init},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Lock",
	.basicsize = sizeof(struct py_lock),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int py_add_lock(PyObject *module) { return py_add_kind(module, &py_state_of_module(module)->lock_type, &spec); }
