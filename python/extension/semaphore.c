/* SPDX-License-Identifier: MIT */
/*
 * tutti._tutti.Semaphore: bounded or not. A permit that a killed process had is given back, and the one who gets
 * it is warned, in both modes: it guards no state, so there is nothing to repair.
 */
#include "abandoned.h"
#include "arguments.h"
#include "errors.h"
#include "wait.h"

PY_KIND_FUNCTIONS(semaphore)
static tutti_err fd_of_semaphore(void *object, int *fd) { return tutti_semaphore_fd(object, fd); }

struct py_semaphore {
	struct py_shared shared;
	long count; /* acquires without a release by this object in this process: what multiprocessing's _count() tells */
	unsigned long thread; /* of the last acquire */
};

static void after_fork(PyObject *self) { ((struct py_semaphore *)self)->count = 0; }

static const struct py_kind kind = {.handle = handle_of_semaphore,
                                    .open = open_semaphore,
                                    .close = close_semaphore,
                                    .fd = fd_of_semaphore,
                                    .after_fork = after_fork};

static PyObject *new_semaphore(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int check_value(long value, long max_value)
{
	if (value >= 0 && max_value > 0 && max_value <= INT32_MAX && value <= max_value)
		return 0;
	PyErr_Format(PyExc_ValueError, "a semaphore's value must be from 0 to %ld; it cannot be %ld",
	             max_value > 0 && max_value <= INT32_MAX ? max_value : (long)INT32_MAX, value);
	return -1;
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"value", "maxvalue", "name", NULL};
	PyObject *name = NULL;
	long value = 1, max_value = INT32_MAX;
	tutti_semaphore_options options = {0};
	tutti_semaphore *semaphore;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|ll$O:Semaphore", names, &value, &max_value, &name) ||
	    py_name(name, &options.name) < 0 || check_value(value, max_value) < 0 || py_shared_is_fresh(self) < 0)
		return -1;
	options.max_value = (uint32_t)max_value;
	return py_shared_made(self, tutti_semaphore_open(&semaphore, (uint32_t)value, &options), &semaphore);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static tutti_semaphore *semaphore_of(PyObject *self) { return ((struct py_shared *)self)->object; }

static tutti_err attempt(void *semaphore, tutti_time timeout) { return tutti_semaphore_acquire(semaphore, timeout); }

static tutti_err give_back(void *semaphore) { return tutti_semaphore_release(semaphore, 1); }

static PyObject *take(PyObject *self, tutti_time timeout)
{
	struct py_semaphore *semaphore = (struct py_semaphore *)self;
	int answer = py_wait(attempt, semaphore_of(self), timeout);
	PyObject *result = answer == TUTTI_EOWNERDEAD ? py_warned(&semaphore->shared, give_back)
	                                              : py_acquired(&semaphore->shared, answer, give_back);
	if (result == Py_True) {
		semaphore->count++;
		semaphore->thread = PyThread_get_thread_ident();
	}
	return result;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	tutti_time timeout;
	if (py_shared_check(self) < 0 || py_block_timeout_arguments("acquire", args, nargs, keywords, &timeout) < 0)
		return NULL;
	return take(self, timeout);
}

static PyObject *give_back_one(PyObject *self)
{
	if (py_shared_check(self) < 0)
		return NULL;
	tutti_err err = tutti_semaphore_release(semaphore_of(self), 1);
	if (err == TUTTI_EBOUND) {
		PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
		return NULL;
	}
	if (err == TUTTI_OK)
		((struct py_semaphore *)self)->count--;
	return py_shared_done(self, err);
}

static PyObject *release(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
	return py_no_arguments("release", nargs) < 0 ? NULL : give_back_one(self);
}

static PyObject *enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : take(self, TUTTI_FOREVER);
}

static PyObject *leave(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
	return give_back_one(self);
}

static PyObject *get_value(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyLong_FromUnsignedLong(tutti_semaphore_value(semaphore_of(self)));
}

static PyObject *locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyBool_FromLong(tutti_semaphore_value(semaphore_of(self)) == 0);
}

static PyObject *is_mine(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	const struct py_semaphore *semaphore = (struct py_semaphore *)self;
	return PyBool_FromLong(semaphore->count > 0 && semaphore->thread == PyThread_get_thread_ident());
}

static PyObject *count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return PyLong_FromLong(((struct py_semaphore *)self)->count);
}

static PyMethodDef methods[] = {
	{"fileno", py_shared_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while a permit may be had. Never read it."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA semaphore on the existing one of that handle."},
	{"acquire", PY_WITH_KEYWORDS(acquire),
     "acquire($self, block=True, timeout=None)\n--\n\n"
     "Takes one permit; waits for it, up to timeout seconds, if block is true. Returns whether it was taken."},
	{"release", PY_WITHOUT_ARGUMENTS(release),
     "release($self, /)\n--\n\nGives one permit back, whoever took it. ValueError: that would be too many."},
	{"get_value", get_value, METH_NOARGS, "get_value($self, /)\n--\n\nHow many permits are left."},
	{"locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether no permit is left."},
	{"_get_value", get_value, METH_NOARGS, "_get_value($self, /)\n--\n\nHow many permits are left."},
	{"_is_mine", is_mine, METH_NOARGS,
     "_is_mine($self, /)\n--\n\nWhether this thread took the last one that this process has."},
	{"_count", count, METH_NOARGS, "_count($self, /)\n--\n\nHow many permits this process has taken by this object."},
	{"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nTakes one permit, waiting for it."},
	{"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL,
     "__exit__($self, *args)\n--\n\nGives one permit back."},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc,
     "Semaphore(value=1, maxvalue=2147483647, *, name=None)\n--\n\nA number of permits that threads and processes take and give back."},
	{Py_tp_new, new_semaphore},
	{Py_tp_init, init},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Semaphore",
	.basicsize = sizeof(struct py_semaphore),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int py_add_semaphore(PyObject *module)
{
	return py_add_kind(module, &py_state_of_module(module)->semaphore_type, &spec);
}
