/* SPDX-License-Identifier: MIT */
/*
 * tutti._tutti.Condition: a condition of the core and the Python lock that goes with it.
 *
 * A wait enlists while it has the lock, releases it, waits without it and takes it again; only then it gives
 * up its ticket, so that a notification for a waiter that is killed before that goes to the next. A wait that ends
 * with an exception passes a notification that it got on.
 */
#include "abandoned.h"
#include "arguments.h"
#include "errors.h"
#include "guard.h"
#include "wait.h"

PY_KIND_FUNCTIONS(condition)

struct py_condition {
	struct py_shared shared;
	PyObject *lock; /* a Lock or an RLock; NULL until __init__ or _rebuilt */
	const struct py_guard *guard; /* its kind's */
};

static const struct py_kind kind = {.handle = handle_of_condition, .open = open_condition, .close = close_condition};

static PyObject *new_condition(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

static int set_lock(PyObject *self, PyObject *lock)
{
	struct py_condition *condition = (struct py_condition *)self;
	const struct py_guard *guard = py_guard_of(condition->shared.state, lock);
	if (!guard || py_shared_check(lock) < 0)
		return -1;
	condition->guard = guard;
	Py_INCREF(lock);
	Py_XSETREF(condition->lock, lock);
	return 0;
}

static int init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static char *names[] = {"lock", "name", NULL};
	PyObject *lock, *name = NULL;
	tutti_condition_options options = {0};
	tutti_condition *condition;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O:Condition", names, &lock, &name) ||
	    py_name(name, &options.name) < 0 || py_shared_is_fresh(self) < 0 || set_lock(self, lock) < 0)
		return -1;
	return py_shared_made(self, tutti_condition_open(&condition, &options), &condition);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

static PyObject *rebuilt(PyObject *self, PyObject *lock)
{
	if (set_lock(self, lock) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(((struct py_condition *)self)->lock);
	return py_shared_traverse(self, visit, arg);
}

static int clear(PyObject *self)
{
	Py_CLEAR(((struct py_condition *)self)->lock);
	return py_shared_clear(self);
}

static void dealloc(PyObject *self)
{
	PyObject_GC_UnTrack(self);
	Py_CLEAR(((struct py_condition *)self)->lock);
	py_shared_dealloc(self);
}

static tutti_condition *condition_of(PyObject *self) { return ((struct py_shared *)self)->object; }

static struct py_shared *lock_of(const struct py_condition *condition) { return (struct py_shared *)condition->lock; }

/* 0 if this thread holds the lock; -1 with AssertionError(`text`) if not. */
static int check_held(PyObject *self, const char *text)
{
	struct py_condition *condition = (struct py_condition *)self;
	if (py_shared_check(self) < 0)
		return -1;
	if (!condition->lock)
		return py_shared_fail(self);
	if (py_shared_check(condition->lock) < 0)
		return -1;
	if (condition->guard->is_mine(lock_of(condition)))
		return 0;
	PyErr_SetString(PyExc_AssertionError, text);
	return -1;
}

/* --- the lock's own methods --------------------------------------------------------------------------------- */

/* Looked up anew, as a class in Python may have its own. */
static PyObject *call_lock(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	enum { MOST = 8 };
	PyObject *all[1 + MOST], *lock = ((struct py_condition *)self)->lock;
	Py_ssize_t count = nargs + (keywords ? PyTuple_GET_SIZE(keywords) : 0);
	if (!lock) {
		py_shared_fail(self);
		return NULL;
	}
	if (count > MOST)
		return PyErr_Format(PyExc_TypeError, "%U() takes fewer than %zd arguments", name, count);
	all[0] = Py_NewRef(lock);
	for (Py_ssize_t i = 0; i < count; i++)
		all[1 + i] = args[i];
	PyObject *result =
		PyObject_VectorcallMethod(name, all, (size_t)(1 + nargs) | PY_VECTORCALL_ARGUMENTS_OFFSET, keywords);
	Py_DECREF(lock);
	return result;
}

static const struct py_state *state_of(PyObject *self) { return ((struct py_shared *)self)->state; }

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	return call_lock(self, state_of(self)->acquire_name, args, nargs, keywords);
}

static PyObject *release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return call_lock(self, state_of(self)->release_name, NULL, 0, NULL);
}

static PyObject *enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return call_lock(self, state_of(self)->enter_name, NULL, 0, NULL);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
	return call_lock(self, state_of(self)->exit_name, args, nargs, NULL);
}

/* --- wait --------------------------------------------------------------------------------------------------- */

struct ticket {
	tutti_condition *condition;
	uint64_t number;
};

static tutti_err attempt(void *context, tutti_time timeout)
{
	struct ticket *ticket = context;
	return tutti_condition_await(ticket->condition, ticket->number, timeout);
}

/* The exception that is set came while this one was being handled. Takes the references over. */
static void set_context(PyObject *type, PyObject *value, PyObject *traceback)
{
	PyObject *later_type, *later, *later_traceback;
	if (!type)
		return;
	PyErr_Fetch(&later_type, &later, &later_traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	PyErr_NormalizeException(&later_type, &later, &later_traceback);
	if (traceback)
		PyException_SetTraceback(value, traceback);
	PyException_SetContext(later, value);
	Py_DECREF(type);
	Py_XDECREF(traceback);
	PyErr_Restore(later_type, later, later_traceback);
}

/*
 * Takes the lock again. 0, and an exception that was set is so again. -1 with another one. A signal handler that
 * raises meanwhile (Ctrl-C) does not leave without the lock, which a `with` would then release though it is another's:
 * its exception is kept until the lock is held. Only with a second one (the first may be that of the wait) the caller
 * gets away, and does not hold it.
 */
static int take_again(const struct py_condition *condition, uint32_t depth)
{
	struct py_shared *lock = lock_of(condition);
	const struct py_guard *guard = condition->guard;
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	int answer = guard->acquire_all(lock, depth);
	if (answer < 0 && !type) {
		PyErr_Fetch(&type, &value, &traceback);
		answer = guard->acquire_all(lock, depth);
	}
	PyObject *result = py_acquired(lock, answer, guard->abandon);
	if (result) {
		Py_DECREF(result);
		PyErr_Restore(type, value, traceback);
		return 0;
	}
	set_context(type, value, traceback);
	return -1;
}

static PyObject *wait_enlisted(const struct py_condition *condition, struct ticket *ticket, tutti_time timeout)
{
	uint32_t depth;
	tutti_err err = condition->guard->release_all(lock_of(condition), &depth);
	if (err) {
		tutti_condition_leave(ticket->condition, ticket->number);
		return py_raise(condition->shared.state, err);
	}
	int answer = py_wait(attempt, ticket, timeout);
	if (answer > TUTTI_OK && !py_is_not_yet(answer))
		py_raise(condition->shared.state, (tutti_err)answer);
	int taken = take_again(condition, depth);
	bool notified = tutti_condition_leave(ticket->condition, ticket->number);
	if (taken == 0 && !PyErr_Occurred())
		return PyBool_FromLong(notified);
	if (notified)
		tutti_condition_notify(ticket->condition, 1, NULL);
	return NULL;
}

static PyObject *wait_for_it(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	tutti_time timeout;
	if (py_timeout_argument("wait", args, nargs, keywords, &timeout) < 0 ||
	    check_held(self, "must acquire() condition before using wait()") < 0)
		return NULL;
	struct ticket ticket = {.condition = condition_of(self)};
	tutti_err err = tutti_condition_enlist(ticket.condition, &ticket.number);
	if (err)
		return py_raise(((struct py_shared *)self)->state, err);
	return wait_enlisted((struct py_condition *)self, &ticket, timeout);
}

/* --- in steps, for event loops ------------------------------------------------------------------------------ */

static PyObject *enlist(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	uint64_t ticket;
	if (check_held(self, "must acquire() condition before using wait_async()") < 0)
		return NULL;
	tutti_err err = tutti_condition_enlist(condition_of(self), &ticket);
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromUnsignedLongLong(ticket);
}

static int read_ticket(PyObject *self, PyObject *number, uint64_t *ticket)
{
	*ticket = PyLong_AsUnsignedLongLong(number);
	return PyErr_Occurred() ? -1 : py_shared_check(self);
}

static PyObject *is_notified(PyObject *self, PyObject *number)
{
	uint64_t ticket;
	if (read_ticket(self, number, &ticket) < 0)
		return NULL;
	tutti_err err = tutti_condition_await(condition_of(self), ticket, TUTTI_NOW);
	if (err && !py_is_not_yet((int)err))
		return py_raise(((struct py_shared *)self)->state, err);
	return PyBool_FromLong(err == TUTTI_OK);
}

static PyObject *descriptor(PyObject *self, PyObject *number)
{
	int fd;
	uint64_t ticket;
	if (read_ticket(self, number, &ticket) < 0)
		return NULL;
	tutti_err err = tutti_condition_fd(condition_of(self), ticket, &fd);
	return err ? py_raise(((struct py_shared *)self)->state, err) : PyLong_FromLong(fd);
}

static PyObject *give_up(PyObject *self, PyObject *number)
{
	uint64_t ticket;
	if (read_ticket(self, number, &ticket) < 0)
		return NULL;
	return PyBool_FromLong(tutti_condition_leave(condition_of(self), ticket));
}

static PyObject *pass_on(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : py_shared_done(self, tutti_condition_notify(condition_of(self), 1, NULL));
}

/* --- notify ------------------------------------------------------------------------------------------------- */

static PyObject *notify_count(PyObject *self, uint32_t number)
{
	if (check_held(self, "lock is not owned") < 0)
		return NULL;
	return number == 0 ? Py_NewRef(Py_None)
	                   : py_shared_done(self, tutti_condition_notify(condition_of(self), number, NULL));
}

static PyObject *notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
	static const char *const names[] = {"n"};
	PyObject *value;
	if (nargs == 0 && !keywords)
		return notify_count(self, 1);
	if (py_arguments("notify", names, 1, args, nargs, keywords, &value) < 0)
		return NULL;
	int overflow = 0;
	long long number = value ? PyLong_AsLongLongAndOverflow(value, &overflow) : 1;
	if (number == -1 && PyErr_Occurred())
		return NULL;
	if (overflow < 0 || number < 0)
		number = 0;
	return notify_count(self, overflow > 0 || number > UINT32_MAX ? UINT32_MAX : (uint32_t)number);
}

static PyObject *notify_all(PyObject *self, PyObject *Py_UNUSED(ignored)) { return notify_count(self, UINT32_MAX); }

static PyObject *waiters(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	return py_shared_check(self) < 0 ? NULL : PyLong_FromUnsignedLong(tutti_condition_waiters(condition_of(self)));
}

static PyMethodDef methods[] = {
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA condition on the existing one of that handle. Give it its lock with _rebuilt()."},
	{"_rebuilt", rebuilt, METH_O, "_rebuilt($self, lock, /)\n--\n\nThe lock of one that was opened by its handle."},
	{"acquire", PY_WITH_KEYWORDS(acquire), "acquire($self, block=True, timeout=None)\n--\n\nTakes the lock."},
	{"release", release, METH_NOARGS, "release($self, /)\n--\n\nGives the lock back."},
	{"__enter__", enter, METH_NOARGS, "__enter__($self, /)\n--\n\nTakes the lock, waiting for it."},
	{"__exit__", PY_WITHOUT_ARGUMENTS(leave), "__exit__($self, *args)\n--\n\nGives the lock back."},
	{"wait", PY_WITH_KEYWORDS(wait_for_it),
     "wait($self, timeout=None)\n--\n\n"
     "Gives the lock up, waits for a notification, up to timeout seconds, and takes the lock again. Returns "
     "whether it was notified."},
	{"notify", PY_WITH_KEYWORDS(notify),
     "notify($self, n=1)\n--\n\nWakes up to n waiters, those that came first. Waits for none of them."},
	{"notify_all", notify_all, METH_NOARGS, "notify_all($self, /)\n--\n\nWakes all waiters. Waits for none of them."},
	{"_enlist", enlist, METH_NOARGS, "_enlist($self, /)\n--\n\nA ticket for a wait, with the lock held."},
	{"_is_notified", is_notified, METH_O,
     "_is_notified($self, ticket, /)\n--\n\nWhether the wait of the ticket is over. It stays enlisted."},
	{"_fileno", descriptor, METH_O,
     "_fileno($self, ticket, /)\n--\n\nA descriptor that is readable when this ticket, too, is notified."},
	{"_leave", give_up, METH_O,
     "_leave($self, ticket, /)\n--\n\nGives the ticket up, with the lock held; whether it was notified."},
	{"_pass_on", pass_on, METH_NOARGS,
     "_pass_on($self, /)\n--\n\nNotifies the next in place of one that does not act on it."},
	{"_waiters", waiters, METH_NOARGS, "_waiters($self, /)\n--\n\nHow many wait."},
	{NULL},
};

static PyMemberDef members[] = {
	{"_lock", T_OBJECT_EX, offsetof(struct py_condition, lock), READONLY, "The lock that goes with it."},
	{NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Condition(lock, *, name=None)\n--\n\nA condition that threads and processes wait for, with a lock."},
	{Py_tp_new, new_condition},
	{Py_tp_init, init},
	{Py_tp_traverse, traverse},
	{Py_tp_clear, clear},
	{Py_tp_dealloc, dealloc},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Condition",
	.basicsize = sizeof(struct py_condition),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_condition(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
	state->acquire_name = PyUnicode_InternFromString("acquire");
	state->release_name = PyUnicode_InternFromString("release");
	state->enter_name = PyUnicode_InternFromString("__enter__");
	state->exit_name = PyUnicode_InternFromString("__exit__");
	if (!state->acquire_name || !state->release_name || !state->enter_name || !state->exit_name)
		return -1;
	return py_add_kind(module, &state->condition_type, &spec);
}
