/* SPDX-License-Identifier: MIT */
/* tutti._tutti.RLock: held by one thread, which may take it again. */
#include <unistd.h>

#include "abandoned.h"
#include "arguments.h"
#include "errors.h"
#include "wait.h"

PY_KIND_FUNCTIONS(rlock)
static tutti_err fd_of_rlock(void *object, int *fd) { return tutti_rlock_fd(object, fd); }

static const struct py_kind kind = {.handle = handle_of_rlock,
                                    .open = open_rlock,
                                    .close = close_rlock,
                                    .fd = fd_of_rlock};

static PyObject *new_rlock(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"name", NULL};
	PyObject *name = NULL;
	tutti_rlock_options options = {0};
	tutti_rlock *rlock;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O:RLock", names, &name) || py_name(name, &options.name) < 0 ||
	    py_shared_is_fresh(self) < 0)
		return -1;
	return py_shared_made(self, tutti_rlock_open(&rlock, &options), &rlock);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static tutti_rlock *rlock_of(PyObject *self) { return ((struct py_shared *)self)->object; }

static tutti_err attempt(void *rlock, tutti_time timeout) { return tutti_rlock_acquire(rlock, timeout); }

static tutti_err abandon_rlock(void *rlock) { return tutti_rlock_abandon(rlock); }

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	tutti_time timeout;
	if (py_shared_check(self) < 0 || py_block_timeout_arguments("acquire", args, nargs, keywords, &timeout) < 0)
		return NULL;
	return py_acquired((struct py_shared *)self, py_wait(attempt, rlock_of(self), timeout), abandon_rlock);
}

static PyObject *give_back_one(PyObject *self)
{
	if (py_shared_check(self) < 0)
		return NULL;
	tutti_err err = tutti_rlock_release(rlock_of(self));
	if (err != TUTTI_EPERM)
		return py_shared_done(self, err);
	PyErr_SetString(PyExc_AssertionError, "attempt to release recursive lock not owned by thread");
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
	return py_entered((struct py_shared *)self, py_wait(attempt, rlock_of(self), TUTTI_FOREVER), abandon_rlock);
}

static PyObject *leave(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
	return give_back_one(self);
}

static PyObject *abandon(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : py_shared_done(self, tutti_rlock_abandon(rlock_of(self)));
}

static PyObject *locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyBool_FromLong(tutti_rlock_holder(rlock_of(self)) != 0);
}

static PyObject *is_mine(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyBool_FromLong(tutti_rlock_depth(rlock_of(self)) > 0);
}

/* The depth is its thread's secret; of another thread of this process it is only known that it holds it. */
static PyObject *count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	uint32_t depth = tutti_rlock_depth(rlock_of(self));
	if (depth == 0 && tutti_rlock_holder(rlock_of(self)) == (int)getpid())
		depth = 1;
	return PyLong_FromUnsignedLong(depth);
}

static PyObject *get_value(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyLong_FromLong(tutti_rlock_holder(rlock_of(self)) == 0);
}

static PyMethodDef methods[] = {
	{"fileno", py_shared_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while nobody has the lock. Never read it."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA lock on the existing one of that handle."},
	{"acquire", PY_WITH_KEYWORDS(acquire),
     "acquire($self, block=True, timeout=None)\n--\n\n"
     "Takes the lock, at once if this thread holds it already. Returns whether it was taken."},
	{"release", PY_WITHOUT_ARGUMENTS(release),
     "release($self, /)\n--\n\nUndoes one acquire. AssertionError: this thread does not hold it."},
	{"locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody holds it. Recovers nothing."},
	{"_abandon", abandon, METH_NOARGS, "_abandon($self, /)\n--\n\nGives it back as if its holder had been killed."},
	{"_is_mine", is_mine, METH_NOARGS, "_is_mine($self, /)\n--\n\nWhether this thread holds it."},
	{"_count", count, METH_NOARGS,
     "_count($self, /)\n--\n\nHow often this thread holds it; 1 if another one of this process does."},
	{"_get_value", get_value, METH_NOARGS, "_get_value($self, /)\n--\n\nHow many may still take it: 1 or 0."},
	{"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nTakes the lock, waiting for it."},
	{"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL,
     "__exit__($self, *args)\n--\n\nUndoes one acquire."},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "RLock(*, name=None)\n--\n\nA recursive lock between threads and processes."},
	{Py_tp_new, new_rlock},
	{Py_tp_init, init},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.RLock",
	.basicsize = sizeof(struct py_shared),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int py_add_rlock(PyObject *module) { return py_add_kind(module, &py_state_of_module(module)->rlock_type, &spec); }
