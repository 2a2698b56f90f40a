/* SPDX-License-Identifier: MIT */
/* The owner's side of a pool. */
#include <pthread.h>

#include "arguments.h"
#include "calls.h"
#include "errors.h"
#include "pool.h"
#include "shared.h"
#include "wait.h"

static const tutti_time TEND_INTERVAL = 50 * 1000000; /* ns */
static const tutti_time SHORT_INTERVAL = 2 * 1000000; /* ns, of a pool whose workers end all the time */

static unsigned processes;

unsigned pool_process(void) { return processes; }

static void count_fork(void) { processes++; }

static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

/* ---- for all of it ---- */

int pool_check(struct pool_object *pool)
{
	py_count_call();
	if (pool->pool && pool->process == processes)
		return 0;
	PyErr_SetString(PyExc_ValueError,
	                pool->pool ? "this pool belongs to the parent process: open one here" : "Pool not running");
	return -1;
}

int pool_check_running(struct pool_object *pool)
{
	if (!pool->closing)
		return pool_check(pool);
	PyErr_SetString(PyExc_ValueError, "Pool not running");
	return -1;
}

static int read_priority(PyObject *priority, int *number)
{
	int is_too_large;
	long value = PyLong_AsLongAndOverflow(priority, &is_too_large);
	if (value == -1 && PyErr_Occurred())
		return -1;
	*number = (int)value;
	if (!is_too_large && value >= TUTTI_PRIORITY_MIN && value <= TUTTI_PRIORITY_MAX)
		return 0;
	PyErr_Format(PyExc_ValueError, "priority is a number from %d to %d, those with the highest start first; not %R",
	             TUTTI_PRIORITY_MIN, TUTTI_PRIORITY_MAX, priority);
	return -1;
}

int pool_task_options(PyObject *retries, PyObject *timeout, PyObject *priority, struct task_options *options)
{
	*options = (struct task_options){0};
	if (retries) {
		unsigned long number = PyLong_AsUnsignedLong(retries);
		if (number == (unsigned long)-1 && PyErr_Occurred())
			return -1;
		options->retries = number < UINT32_MAX ? (unsigned)number : UINT32_MAX - 1;
	}
	if (priority && priority != Py_None && read_priority(priority, &options->priority) < 0)
		return -1;
	if (!timeout || timeout == Py_None)
		return 0;
	if (py_timeout(timeout, &options->timeout) < 0)
		return -1;
	if (options->timeout > 0)
		return 0;
	PyErr_SetString(PyExc_ValueError, "task_timeout is a number of seconds above 0, or None");
	return -1;
}

PyObject *pool_new_result(PyObject *class) { return ((PyTypeObject *)class)->tp_alloc((PyTypeObject *)class, 0); }

PyObject *pool_raise_timeout(struct py_state *state)
{
	PyErr_SetNone(state->timeout_error);
	return NULL;
}

int pool_tend_now_and_then(struct pool_object *pool)
{
	enum { CALLS_PER_CLOCK = 32 };
	return ++pool->calls % CALLS_PER_CLOCK == 0 ? pool_tend(pool) : 0;
}

int pool_tend(struct pool_object *pool)
{
	int64_t now = py_deadline(0);
	if (now - pool->tended < pool->tend_interval)
		return 0;
	pool->tended = now;
	PyObject *done = PyObject_CallMethod((PyObject *)pool, "_tend", NULL);
	Py_XDECREF(done);
	return done ? 0 : -1;
}

int pool_end_condemned(struct pool_object *pool)
{
	PyObject *done = PyObject_CallMethod((PyObject *)pool, "_end_condemned", NULL);
	Py_XDECREF(done);
	return done ? 0 : -1;
}

/* ---- its workers ---- */

static PyObject *pool_handle(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	if (pool_check(self) < 0)
		return NULL;
	tutti_handle handle = tutti_pool_handle(self->pool);
	return PyBytes_FromStringAndSize((const char *)&handle, sizeof handle);
}

static PyObject *worker_begin(PyObject *object, PyObject *index)
{
	struct pool_object *self = (struct pool_object *)object;
	unsigned long number = PyLong_AsUnsignedLong(index);
	if (PyErr_Occurred() || pool_check(self) < 0)
		return NULL;
	tutti_err err = tutti_pool_worker_begin(self->pool, (unsigned)number);
	return err ? py_raise(self->state, err) : Py_NewRef(Py_None);
}

/* _worker_ended(index, exitcode): False: not settled yet, ask again. */
static PyObject *worker_ended(PyObject *object, PyObject *arguments)
{
	struct pool_object *self = (struct pool_object *)object;
	unsigned index;
	int exit_code;
	if (!PyArg_ParseTuple(arguments, "Ii:_worker_ended", &index, &exit_code) || pool_check(self) < 0)
		return NULL;
	tutti_exit status = {.known = true,
	                     .code = exit_code < 0 ? -1 : exit_code,
	                     .signal = exit_code < 0 ? -exit_code : 0};
	tutti_err err = tutti_pool_worker_ended(self->pool, index, &status);
	if (err && err != TUTTI_EBUSY)
		return py_raise(self->state, err);
	return PyBool_FromLong(err == TUTTI_OK);
}

static PyObject *worker_condemned(PyObject *object, PyObject *index)
{
	struct pool_object *self = (struct pool_object *)object;
	unsigned long number = PyLong_AsUnsignedLong(index);
	if (PyErr_Occurred() || pool_check(self) < 0)
		return NULL;
	return PyBool_FromLong(tutti_pool_worker_condemned(self->pool, (unsigned)number));
}

/* ---- its end ---- */

/* Not under the feet of a thread that is in tutti_pool_drain(): that one does it then. */
static void close_pool(struct pool_object *self)
{
	self->close_later = self->draining > 0;
	if (self->close_later)
		return;
	tutti_pool *pool = self->pool;
	self->pool = NULL;
	if (pool && self->process == processes)
		tutti_pool_close(pool);
}

static tutti_err try_drain(void *context, tutti_time timeout) { return tutti_pool_drain(context, timeout); }

/* From now on tasks are refused. */
static PyObject *refuse_more(PyObject *object, PyObject *Py_UNUSED(none))
{
	((struct pool_object *)object)->closing = true;
	Py_RETURN_NONE;
}

/* Runs what was submitted, and then takes no more. */
static PyObject *drain(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	int err = TUTTI_ETIMEDOUT;
	while (py_is_not_yet(err)) {
		if (pool_check(self) < 0)
			return NULL;
		self->draining++;
		err = py_wait_with_limit(try_drain, self->pool, self->tend_interval);
		self->draining--;
		if (self->close_later)
			close_pool(self);
		if (err < 0 || (py_is_not_yet(err) && pool_tend(self) < 0))
			return NULL;
	}
	return err ? pool_raise(self, (tutti_err)err) : Py_NewRef(Py_None);
}

/* Whoever is in _wait_any looks again. */
static PyObject *wake(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	self->woken++;
	if (self->pool && self->process == processes)
		tutti_pool_wake(self->pool);
	Py_RETURN_NONE;
}

static PyObject *unfinished(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	return pool_check(self) < 0 ? NULL : PyLong_FromSize_t(tutti_pool_unfinished(self->pool));
}

/* Cancels what has not started, and goes on. */
static PyObject *cancel_waiting(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	if (pool_check(self) < 0)
		return NULL;
	tutti_pool_cancel_waiting(self->pool);
	Py_RETURN_NONE;
}

/* Cancels what has not started; the rest fails when its worker's end is told. */
static PyObject *stop(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct pool_object *self = (struct pool_object *)object;
	if (self->pool && self->process == processes)
		tutti_pool_kill(self->pool);
	Py_RETURN_NONE;
}

static PyObject *pool_close(PyObject *object, PyObject *Py_UNUSED(none))
{
	close_pool((struct pool_object *)object);
	Py_RETURN_NONE;
}

/* ---- the type ---- */

static PyObject *pool_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
	PyObject *module = py_module_of_type(type);
	struct pool_object *self = module ? (struct pool_object *)type->tp_alloc(type, 0) : NULL;
	if (!self)
		return NULL;
	self->module = Py_NewRef(module);
	self->state = py_state_of_module(module);
	self->process = processes;
	return (PyObject *)self;
}

/* _open(workers, name, task_class, stream_class, short_lived) */
static PyObject *pool_open(PyObject *object, PyObject *arguments)
{
	struct pool_object *self = (struct pool_object *)object;
	tutti_pool_options options = {.own_workers = true};
	PyObject *name, *task_class, *stream_class;
	int short_lived;
	if (!PyArg_ParseTuple(arguments, "IOO!O!p:_open", &options.workers, &name, &PyType_Type, &task_class, &PyType_Type,
	                      &stream_class, &short_lived) ||
	    py_name(name, &options.name) < 0)
		return NULL;
	if (self->pool) {
		PyErr_SetString(PyExc_RuntimeError, "this pool is open already");
		return NULL;
	}
	self->task_class = Py_NewRef(task_class);
	self->stream_class = Py_NewRef(stream_class);
	self->tend_interval = short_lived ? SHORT_INTERVAL : TEND_INTERVAL;
	tutti_err err = tutti_pool_open(&self->pool, &options);
	return err ? py_raise(self->state, err) : Py_NewRef(Py_None);
}

static int pool_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct pool_object *self = (struct pool_object *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->dict);
	Py_VISIT(self->module);
	Py_VISIT(self->task_class);
	Py_VISIT(self->stream_class);
	return functions_traverse(&self->functions, visit, arg);
}

static int pool_clear(PyObject *object)
{
	struct pool_object *self = (struct pool_object *)object;
	Py_CLEAR(self->dict);
	Py_CLEAR(self->task_class);
	Py_CLEAR(self->stream_class);
	functions_clear(&self->functions);
	return 0;
}

static void pool_dealloc(PyObject *object)
{
	struct pool_object *self = (struct pool_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject *module = self->module;
	PyObject_GC_UnTrack(object);
	if (self->weak_references)
		PyObject_ClearWeakRefs(object);
	close_pool(self);
	pool_clear(object);
	type->tp_free(object);
	Py_DECREF(type);
	Py_XDECREF(module); /* last: the state goes with it */
}

static PyMethodDef methods[] = {
	{"_open", pool_open, METH_VARARGS, "_open($self, *args)\n--\n\nMakes a pool of (workers, name)."},
	{"apply_async", PY_WITH_KEYWORDS(pool_apply_async),
     "apply_async($self, func, args=(), kwds={}, callback=None, error_callback=None, *, retries=0, task_timeout=None, "
     "retry_on=None, memory=None, priority=0)\n"
     "--\n\nSubmits one call; its result."},
	{"_stream", pool_stream, METH_VARARGS,
     "_stream($self, *args)\n--\n\nSubmits many calls: (func, iterable, star, chunksize, window, ordered, as_values, "
     "retries, task_timeout, priority). Window 0: all at once; -1: all, but of large ones a few ahead of who reads."},
	{"_handle", pool_handle, METH_NOARGS, "_handle($self, /)\n--\n\nWhat its workers open, as bytes."},
	{"_worker_begin", worker_begin, METH_O, "_worker_begin($self, index, /)\n--\n\nA worker is about to start."},
	{"_worker_ended", worker_ended, METH_VARARGS,
     "_worker_ended($self, *args)\n--\n\nA worker's process has ended: (index, exitcode). False: ask again."},
	{"_worker_condemned", worker_condemned, METH_O,
     "_worker_condemned($self, index, /)\n--\n\nWhether it is to be killed for its task."},
	{"_refuse_more", refuse_more, METH_NOARGS, "_refuse_more($self, /)\n--\n\nFrom now on tasks are refused."},
	{"_drain", drain, METH_NOARGS, "_drain($self, /)\n--\n\nRuns what was submitted; no more is taken."},
	{"_unfinished", unfinished, METH_NOARGS, "_unfinished($self, /)\n--\n\nHow many tasks wait or run."},
	{"_cancel_waiting", cancel_waiting, METH_NOARGS, "_cancel_waiting($self, /)\n--\n\nCancels what has not started."},
	{"_wake", wake, METH_NOARGS, "_wake($self, /)\n--\n\nWhoever is in _wait_any looks again."},
	{"_wait_any", pool_wait_any_task, METH_VARARGS,
     "_wait_any($self, *args)\n--\n\nWaits until one of (tasks, timeout) is done."},
	{"_stop", stop, METH_NOARGS, "_stop($self, /)\n--\n\nCancels what has not started; no more is taken."},
	{"_close", pool_close, METH_NOARGS, "_close($self, /)\n--\n\nGives the pool back. Its workers have ended."},
	{0},
};

static PyMemberDef members[] = {
	{"__dictoffset__", T_PYSSIZET, offsetof(struct pool_object, dict), READONLY, NULL},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct pool_object, weak_references), READONLY, NULL},
	{"_woken", T_UINT, offsetof(struct pool_object, woken), READONLY, "Calls of _wake()."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "The core of a pool of Python processes."},
	{Py_tp_new, pool_new},
	{Py_tp_traverse, pool_traverse},
	{Py_tp_clear, pool_clear},
	{Py_tp_dealloc, pool_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Pool",
	.basicsize = sizeof(struct pool_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_pool(PyObject *module)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_forks);
	struct py_state *state = py_state_of_module(module);
	PyObject *context = PyImport_ImportModule("multiprocessing.context");
	state->timeout_error = context ? PyObject_GetAttrString(context, "TimeoutError") : NULL;
	Py_XDECREF(context);
	if (!state->timeout_error)
		return -1;
	return py_add_type(module, &state->pool_type, &spec, NULL);
}
