/* SPDX-License-Identifier: MIT */
/*
 * tutti._tutti.Barrier. The wait releases the GIL at once, and is in one piece: an attempt without waiting, or the end
 * of a slice, would break the barrier. A signal ends the wait without breaking it; if its handler raises nothing, the
 * party arrives again. One that came a moment before the sleep, or to another thread, is noticed within 250 ms.
 */
#include "errors.h"
#include "shared.h"
#include "wait.h"

PY_KIND_FUNCTIONS(barrier)

static const struct py_kind kind = {.handle = handle_of_barrier, .open = open_barrier, .close = close_barrier};

static PyObject *new_barrier(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"parties", "name", NULL};
	PyObject *name = NULL;
	long parties;
	tutti_barrier_options options = {0};
	tutti_barrier *barrier;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "l|$O:Barrier", names, &parties, &name) ||
	    py_name(name, &options.name) < 0 || py_shared_is_fresh(self) < 0)
		return -1;
	if (parties < 1) {
		PyErr_SetString(PyExc_ValueError, "parties must be > 0");
		return -1;
	}
	if (parties > UINT32_MAX)
		parties = UINT32_MAX; /* the core refuses it, and names what it can */
	return py_shared_made(self, tutti_barrier_open(&barrier, (uint32_t)parties, &options), &barrier);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static tutti_barrier *barrier_of(PyObject *self) { return ((struct py_shared *)self)->object; }

/* The action, and the wait of the thread that runs it when it is the last party. */
struct action {
	PyObject *callable;
	struct py_long_wait wait;
	PyObject *type, *value, *traceback; /* what it raised */
};

/* Called by the core in the waiting thread, without the GIL. */
static bool run_action(void *context)
{
	struct action *action = context;
	py_long_wait_pause(&action->wait);
	PyObject *result = PyObject_CallNoArgs(action->callable);
	bool good = result != NULL;
	Py_XDECREF(result);
	if (!good)
		PyErr_Fetch(&action->type, &action->value, &action->traceback);
	py_long_wait_go_on(&action->wait);
	return good;
}

static tutti_err wait_once(tutti_barrier *barrier, struct action *action, uint32_t *index, tutti_time timeout)
{
	py_long_wait_begin(&action->wait);
	tutti_err err = tutti_barrier_wait(barrier, action->callable ? run_action : NULL, action, index, timeout);
	py_long_wait_end(&action->wait);
	return err;
}

static PyObject *wait_for_all(PyObject *self, PyObject *args)
{
	PyObject *callable, *seconds;
	tutti_time timeout;
	uint32_t index;
	tutti_err err;
	if (!PyArg_ParseTuple(args, "OO:_wait", &callable, &seconds) || py_shared_check(self) < 0 ||
	    py_timeout(seconds, &timeout) < 0)
		return NULL;
	struct action action = {.callable = callable == Py_None ? NULL : callable};
	int64_t deadline = py_deadline(timeout);
	do {
		err = wait_once(barrier_of(self), &action, &index, py_time_left(deadline));
		if (action.wait.raised || (err == TUTTI_EINTR && PyErr_CheckSignals() < 0))
			return NULL;
	} while (err == TUTTI_EINTR);
	if (action.type) {
		PyErr_Restore(action.type, action.value, action.traceback);
		return NULL;
	}
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromUnsignedLong(index);
}

/* --- in steps, for event loops ------------------------------------------------------------------------------ */

static PyObject *enlist(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	uint64_t ticket;
	if (py_shared_check(self) < 0)
		return NULL;
	tutti_err err = tutti_barrier_enlist(barrier_of(self), &ticket);
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromUnsignedLongLong(ticket);
}

/* The index, or None: not all are there. */
static PyObject *try_once(PyObject *self, PyObject *args)
{
	PyObject *callable;
	unsigned long long ticket;
	uint32_t index;
	if (!PyArg_ParseTuple(args, "KO:_try", &ticket, &callable) || py_shared_check(self) < 0)
		return NULL;
	struct action action = {.callable = callable == Py_None ? NULL : callable};
	py_long_wait_begin(&action.wait);
	tutti_err err = tutti_barrier_try(barrier_of(self), ticket, action.callable ? run_action : NULL, &action, &index);
	py_long_wait_end(&action.wait);
	if (action.wait.raised)
		return NULL;
	if (action.type) {
		PyErr_Restore(action.type, action.value, action.traceback);
		return NULL;
	}
	if (err == TUTTI_EBUSY)
		Py_RETURN_NONE;
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromUnsignedLong(index);
}

static PyObject *descriptor(PyObject *self, PyObject *number)
{
	int fd;
	uint64_t ticket = PyLong_AsUnsignedLongLong(number);
	if (PyErr_Occurred() || py_shared_check(self) < 0)
		return NULL;
	tutti_err err = tutti_barrier_fd(barrier_of(self), ticket, &fd);
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromLong(fd);
}

static PyObject *give_up(PyObject *self, PyObject *args)
{
	unsigned long long ticket;
	int breaks_it;
	if (!PyArg_ParseTuple(args, "Kp:_leave", &ticket, &breaks_it) || py_shared_check(self) < 0)
		return NULL;
	tutti_barrier_leave(barrier_of(self), ticket, breaks_it);
	Py_RETURN_NONE;
}

static PyObject *reset(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : py_shared_done(self, tutti_barrier_reset(barrier_of(self)));
}

static PyObject *break_it(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : py_shared_done(self, tutti_barrier_abort(barrier_of(self)));
}

static PyObject *get_parties(PyObject *self, void *Py_UNUSED(closure))
{
	return py_shared_check(self) < 0 ? NULL : PyLong_FromUnsignedLong(tutti_barrier_parties(barrier_of(self)));
}

static PyObject *get_waiting(PyObject *self, void *Py_UNUSED(closure))
{
	return py_shared_check(self) < 0 ? NULL : PyLong_FromUnsignedLong(tutti_barrier_waiting(barrier_of(self)));
}

static PyObject *get_broken(PyObject *self, void *Py_UNUSED(closure))
{
	return py_shared_check(self) < 0 ? NULL : PyBool_FromLong(tutti_barrier_is_broken(barrier_of(self)));
}

static PyMethodDef methods[] = {
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA barrier on the existing one of that handle."},
	{"_wait", wait_for_all, METH_VARARGS,
     "_wait($self, action, timeout, /)\n--\n\nWaits for the other parties; the last one runs the action. Returns its index."},
	{"_enlist", enlist, METH_NOARGS, "_enlist($self, /)\n--\n\nA ticket for a wait in steps."},
	{"_try", try_once, METH_VARARGS,
     "_try($self, ticket, action, /)\n--\n\nArrives, the first time. The index, or None: not all are there."},
	{"_fileno", descriptor, METH_O,
     "_fileno($self, ticket, /)\n--\n\nA descriptor that is readable when the round of this ticket, too, is over."},
	{"_leave", give_up, METH_VARARGS,
     "_leave($self, ticket, breaks_it, /)\n--\n\nGives the ticket up. Nothing if it is used up."},
	{"reset", reset, METH_NOARGS,
     "reset($self, /)\n--\n\nMakes it whole and empty; those that wait get BrokenBarrierError."},
	{"abort", break_it, METH_NOARGS,
     "abort($self, /)\n--\n\nBreaks it; those that wait and will wait get BrokenBarrierError."},
	{NULL},
};

static PyGetSetDef attributes[] = {
	{"parties", get_parties, NULL, "How many wait for each other.", NULL},
	{"n_waiting", get_waiting, NULL, "How many wait now.", NULL},
	{"broken", get_broken, NULL, "Whether it is broken.", NULL},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Barrier(parties, *, name=None)\n--\n\nA place where threads and processes wait for each other."},
	{Py_tp_new, new_barrier},
	{Py_tp_init, init},
	{Py_tp_dealloc, py_shared_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_getset, attributes},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Barrier",
	.basicsize = sizeof(struct py_shared),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};

int py_add_barrier(PyObject *module) { return py_add_kind(module, &py_state_of_module(module)->barrier_type, &spec); }
