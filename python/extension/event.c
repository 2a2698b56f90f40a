/* SPDX-License-Identifier: MIT */
/* tutti._tutti.Event */
#include "arguments.h"
#include "errors.h"
#include "shared.h"
#include "wait.h"

PY_KIND_FUNCTIONS(event)
static tutti_err fd_of_event(void *object, int *fd) { return tutti_event_fd(object, fd); }

static const struct py_kind kind = {.handle = handle_of_event,
                                    .open = open_event,
                                    .close = close_event,
                                    .fd = fd_of_event};

static PyObject *new_event(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"name", NULL};
	PyObject *name = NULL;
	tutti_event_options options = {0};
	tutti_event *event;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O:Event", names, &name) || py_name(name, &options.name) < 0 ||
	    py_shared_is_fresh(self) < 0)
		return -1;
	return py_shared_made(self, tutti_event_open(&event, &options), &event);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static PyObject *is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return PyBool_FromLong(tutti_event_is_set(((struct py_shared *)self)->object));
}

static PyObject *set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return py_shared_done(self, tutti_event_set(((struct py_shared *)self)->object));
}

static PyObject *clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	if (py_shared_check(self) < 0)
		return NULL;
	return py_shared_done(self, tutti_event_clear(((struct py_shared *)self)->object));
}

static tutti_err attempt(void *event, tutti_time timeout) { return tutti_event_wait(event, timeout); }

static PyObject *wait_for_it(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	tutti_time timeout;
	if (py_shared_check(self) < 0 || py_timeout_argument("wait", args, nargs, keywords, &timeout) < 0)
		return NULL;
	struct py_shared *shared = (struct py_shared *)self;
	int answer = py_wait(attempt, shared->object, timeout);
	if (answer == TUTTI_OK)
		Py_RETURN_TRUE;
	if (py_is_not_yet(answer))
		Py_RETURN_FALSE;
	return answer < 0 ? NULL : py_raise(shared->state, (tutti_err)answer);
}

static PyMethodDef methods[] = {
	{"fileno", py_shared_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while the flag is set. Never read it."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nAn event on the existing one of that handle."},
	{"is_set", is_set, METH_NOARGS, "is_set($self, /)\n--\n\nWhether the flag is set."},
	{"set", set, METH_NOARGS, "set($self, /)\n--\n\nSets the flag and wakes all that wait. Takes no lock."},
	{"clear", clear, METH_NOARGS, "clear($self, /)\n--\n\nClears the flag."},
	{"wait", PY_WITH_KEYWORDS(wait_for_it),
     "wait($self, timeout=None)\n--\n\nWaits until the flag is set, up to timeout seconds. Returns whether it was."},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Event(*, name=None)\n--\n\nA flag that threads and processes wait for."},
	{Py_tp_new, new_event},
	{Py_tp_init, init},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Event",
	.basicsize = sizeof(struct py_shared),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int py_add_event(PyObject *module) { return py_add_kind(module, &py_state_of_module(module)->event_type, &spec); }
