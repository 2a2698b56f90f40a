/* SPDX-License-Identifier: MIT */
/* The result of one submitted call. */
#include <sched.h>

#include "arguments.h"
#include "errors.h"
#include "pool.h"
#include "wait.h"

struct task_object {
	PyObject_HEAD PyObject *dict;
	PyObject *weak_references;
	struct pool_object *pool;
	PyObject *function;
	tutti_future *future;
	unsigned long long number; /* in the order of their submission */
	int priority;
	bool is_reading; /* a thread decodes the result, or has; meanwhile another one may run */
	PyObject *value, *error; /* one of them, when it is settled */
	PyObject *called; /* NULL, or a threading.Event: its callback is called before anybody is told */
};

static bool is_settled(const struct task_object *self) { return self->value || self->error; }

/* The future is done. Other threads may be in a wait for it: it is closed with the task. */
static void read_result(struct task_object *self)
{
	self->is_reading = true;
	PyObject *value = pool_read(self->pool, self->future, self->function);
	self->error = value ? NULL : pool_caught();
	self->value = value;
	Py_CLEAR(self->function);
	if (!value || PyObject_IS_GC(value))
		PyObject_GC_Track(self);
}

/* Another thread decodes the result: that takes no longer than it takes. 0, or -1 with an exception. */
static int let_it_read(void)
{
	Py_BEGIN_ALLOW_THREADS;
	sched_yield();
	Py_END_ALLOW_THREADS;
	return PyErr_CheckSignals();
}

/* 1: settled; 0: not in time; -1 with an exception. */
static int settle(struct task_object *self, int64_t deadline)
{
	while (!is_settled(self)) {
		int done = self->is_reading ? 1 : pool_wait(self->pool, self->future, deadline);
		if (is_settled(self)) { /* by another thread, meanwhile */
			if (done < 0 && !PyErr_ExceptionMatches(self->pool->state->error))
				return -1;
			PyErr_Clear();
			return 1;
		}
		if (done < 0 && !self->is_reading && PyErr_ExceptionMatches(self->pool->state->error)) {
			self->error = pool_caught(); /* the pool is broken, and stays so */
			PyObject_GC_Track(self);
			return 1;
		}
		if (done <= 0)
			return done;
		if (!self->is_reading)
			read_result(self);
		else if (!is_settled(self) && let_it_read() < 0)
			return -1;
	}
	return 1;
}

/* The same, and the callback was called. Without the event of one that has none. */
static int await(struct task_object *self, tutti_time timeout)
{
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout);
	if (self->called) {
		PyObject *seconds = timeout == TUTTI_FOREVER ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)timeout / 1e9);
		PyObject *was_called = seconds ? PyObject_CallMethod(self->called, "wait", "O", seconds) : NULL;
		int truth = was_called ? PyObject_IsTrue(was_called) : -1;
		Py_XDECREF(seconds);
		Py_XDECREF(was_called);
		if (truth <= 0)
			return truth;
	}
	return settle(self, deadline);
}

static PyObject *raise_error(const struct task_object *self)
{
	PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
	return NULL;
}

static PyObject *task_get(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	struct task_object *self = (struct task_object *)object;
	tutti_time timeout;
	if (py_timeout_argument("get", given, count, keywords, &timeout) < 0)
		return NULL;
	int settled = await(self, timeout);
	if (settled == 0)
		return pool_raise_timeout(self->pool->state);
	if (settled < 0)
		return NULL;
	return self->value ? Py_NewRef(self->value) : raise_error(self);
}

static PyObject *task_wait(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	struct task_object *self = (struct task_object *)object;
	tutti_time timeout;
	if (py_timeout_argument("wait", given, count, keywords, &timeout) < 0)
		return NULL;
	if (await(self, timeout) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *task_ready(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct task_object *self = (struct task_object *)object;
	int settled = await(self, TUTTI_NOW);
	return settled < 0 ? NULL : PyBool_FromLong(settled);
}

/* _is_done(): the same for who calls the callback. */
static PyObject *task_is_done(PyObject *object, PyObject *Py_UNUSED(none))
{
	int settled = settle((struct task_object *)object, py_deadline(0));
	return settled < 0 ? NULL : PyBool_FromLong(settled);
}

static PyObject *task_successful(PyObject *object, PyObject *Py_UNUSED(none))
{
	struct task_object *self = (struct task_object *)object;
	int settled = await(self, TUTTI_NOW);
	if (settled < 0)
		return NULL;
	if (settled)
		return PyBool_FromLong(self->value != NULL);
	PyErr_Format(PyExc_ValueError, "%R not ready", object);
	return NULL;
}

/* True if it had not started: then it never runs. Or, of one that is to be ended as well while it runs, if it was not done. */
static PyObject *task_cancel(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"running"};
	struct task_object *self = (struct task_object *)object;
	PyObject *value;
	if (py_arguments("cancel", names, 1, given, count, keywords, &value) < 0)
		return NULL;
	int running = py_flag(value, false);
	if (running < 0)
		return NULL;
	if (self->pool->process != pool_process() ||
	    (running ? tutti_future_terminate : tutti_future_cancel)(self->future) != TUTTI_OK)
		Py_RETURN_FALSE;
	return running && pool_end_condemned(self->pool) < 0 ? NULL : Py_NewRef(Py_True);
}

/* Whether it runs, or is done. */
static PyObject *task_has_started(PyObject *object, PyObject *Py_UNUSED(none))
{
	return PyBool_FromLong(tutti_future_has_started(((struct task_object *)object)->future));
}

/* _wait_any(tasks, timeout, woken): waits until one of a list of tasks is done, or for so many seconds, or until _woken is another. */
PyObject *pool_wait_any_task(PyObject *object, PyObject *arguments)
{
	struct pool_object *pool = (struct pool_object *)object;
	PyObject *tasks, *seconds;
	tutti_time timeout;
	unsigned woken;
	size_t count = 0;
	if (!PyArg_ParseTuple(arguments, "O!OI:_wait_any", &PyList_Type, &tasks, &seconds, &woken) ||
	    py_timeout(seconds, &timeout) < 0)
		return NULL;
	/* Kept by the caller's list, which is its own. */
	tutti_future **futures = PyMem_New(tutti_future *, PyList_GET_SIZE(tasks) + 1);
	if (!futures)
		return PyErr_NoMemory();
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tasks); i++) {
		PyObject *task = PyList_GET_ITEM(tasks, i);
		if (PyObject_TypeCheck(task, (PyTypeObject *)pool->state->task_type))
			futures[count++] = ((struct task_object *)task)->future;
	}
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : py_deadline(timeout);
	bool is_over = count == 0 || woken != pool->woken; /* from here on a _wake() ends the wait: it needs the GIL */
	int answer = !is_over ? pool_wait_until_woken(pool, futures, count, deadline) : 0;
	PyMem_Free(futures);
	return answer < 0 ? NULL : Py_NewRef(Py_None);
}

/* _error: the exception that it failed with, or None. */
static PyObject *task_error(PyObject *object, void *Py_UNUSED(closure))
{
	PyObject *error = ((struct task_object *)object)->error;
	return Py_NewRef(error ? error : Py_None);
}

/* ---- submitting ---- */

/* A task that was submitted, or NULL with an exception. */
static PyObject *submit(struct pool_object *pool, PyObject *function, PyObject *arguments, PyObject *form,
                        const struct task_options *options)
{
	struct task_object *task = (struct task_object *)pool_new_result(pool->task_class);
	size_t size;
	if (!task)
		return NULL;
	/* What cannot be part of a cycle yet: with 100,000 tasks a third of the time went into looking through them. */
	PyObject_GC_UnTrack(task);
	task->pool = (struct pool_object *)Py_NewRef((PyObject *)pool);
	task->function = Py_NewRef(function);
	task->number = ++pool->submitted;
	task->priority = options->priority;
	if (pool_submit(pool, function, arguments, form, options, &task->future, &size) < 0)
		Py_CLEAR(task);
	else if (pool_tend_now_and_then(pool) < 0)
		PyErr_Clear(); /* it is in: who waits for it is told what is wrong */
	return (PyObject *)task;
}

/* `arguments` as a tuple: a new reference. */
static PyObject *as_tuple(PyObject *arguments)
{
	return !arguments                      ? PyTuple_New(0)
	       : PyTuple_CheckExact(arguments) ? Py_NewRef(arguments)
	                                       : PySequence_Tuple(arguments);
}

static bool is_given(PyObject *value) { return value && value != Py_None; }

/* Keywords as a dict, or None: empty ones are none. A new reference; NULL with TypeError. */
static PyObject *form_of(PyObject *keywords)
{
	if (!is_given(keywords) || (PyDict_CheckExact(keywords) && PyDict_GET_SIZE(keywords) == 0))
		return Py_NewRef(Py_None);
	if (PyDict_CheckExact(keywords))
		return Py_NewRef(keywords);
	PyObject *copy = PyMapping_Check(keywords) && PyObject_HasAttrString(keywords, "keys") ? PyDict_New() : NULL;
	if (!copy && !PyErr_Occurred())
		PyErr_Format(PyExc_TypeError, "kwds must be a mapping, not %.200s", Py_TYPE(keywords)->tp_name);
	if (copy && PyDict_Update(copy, keywords) < 0)
		Py_CLEAR(copy);
	return copy;
}

/* The function with what is to be run around it: a new reference. */
static PyObject *with_options(PyObject *function, unsigned retries, PyObject *retry_on, PyObject *memory)
{
	if (!is_given(retry_on) && !is_given(memory))
		return Py_NewRef(function);
	PyObject *module = PyImport_ImportModule("tutti._functions");
	PyObject *wrapped = module ? PyObject_CallMethod(module, "with_options", "OIOO", function, retries,
	                                                 retry_on ? retry_on : Py_None, memory ? memory : Py_None)
	                           : NULL;
	Py_XDECREF(module);
	return wrapped;
}

PyObject *pool_apply_async(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"func",    "args",         "kwds",     "callback", "error_callback",
	                                    "retries", "task_timeout", "retry_on", "memory",   "priority"};
	enum { NAMES = sizeof names / sizeof *names };
	struct pool_object *pool = (struct pool_object *)object;
	PyObject *values[NAMES];
	struct task_options options;
	if (py_arguments("apply_async", names, NAMES, given, count, keywords, values) < 0 ||
	    py_required("apply_async", "func", values[0]) < 0 ||
	    pool_task_options(values[5], values[6], values[9], &options) < 0 || pool_check_running(pool) < 0)
		return NULL;
	PyObject *function = with_options(values[0], options.retries, values[7], values[8]);
	PyObject *arguments = function ? as_tuple(values[1]) : NULL;
	PyObject *form = arguments ? form_of(values[2]) : NULL;
	PyObject *task = form ? submit(pool, function, arguments, form, &options) : NULL;
	Py_XDECREF(function);
	Py_XDECREF(arguments);
	Py_XDECREF(form);
	if (task && (is_given(values[3]) || is_given(values[4]))) {
		PyObject *watched = PyObject_CallMethod(object, "_watch", "OOO", task, values[3] ? values[3] : Py_None,
		                                        values[4] ? values[4] : Py_None);
		if (!watched)
			Py_CLEAR(task);
		Py_XDECREF(watched);
	}
	return task;
}

/* ---- the type ---- */

static int task_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct task_object *self = (struct task_object *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->dict);
	Py_VISIT(self->pool);
	Py_VISIT(self->function);
	Py_VISIT(self->value);
	Py_VISIT(self->error);
	Py_VISIT(self->called);
	return 0;
}

static int task_clear(PyObject *object)
{
	struct task_object *self = (struct task_object *)object;
	Py_CLEAR(self->dict);
	Py_CLEAR(self->function);
	Py_CLEAR(self->value);
	Py_CLEAR(self->error);
	Py_CLEAR(self->called);
	return 0;
}

static void task_dealloc(PyObject *object)
{
	struct task_object *self = (struct task_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject_GC_UnTrack(object);
	if (self->weak_references)
		PyObject_ClearWeakRefs(object);
	if (self->future)
		pool_drop(self->pool, self->future);
	task_clear(object);
	Py_XDECREF((PyObject *)self->pool);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
	{"get", PY_WITH_KEYWORDS(task_get),
     "get($self, timeout=None)\n--\n\nThe value, or the task's exception. TimeoutError: not in time."},
	{"wait", PY_WITH_KEYWORDS(task_wait), "wait($self, timeout=None)\n--\n\nWaits until it is done, or for so long."},
	{"ready", task_ready, METH_NOARGS, "ready($self, /)\n--\n\nWhether it is done."},
	{"_is_done", task_is_done, METH_NOARGS, "_is_done($self, /)\n--\n\nWhether it is done, callback or not."},
	{"successful", task_successful, METH_NOARGS,
     "successful($self, /)\n--\n\nWhether it is done without an exception. ValueError: it is not done."},
	{"_has_started", task_has_started, METH_NOARGS, "_has_started($self, /)\n--\n\nWhether it runs, or is done."},
	{"cancel", PY_WITH_KEYWORDS(task_cancel),
     "cancel($self, running=False)\n--\n\nWhether it could be cancelled: it had not started, and never will. "
     "running=True: ends it while it runs, too, by the kill of its worker."},
	{0},
};

/* _value: what it gave; None if it is not done, or failed. */
static PyObject *task_value(PyObject *object, void *Py_UNUSED(closure))
{
	PyObject *value = ((struct task_object *)object)->value;
	return Py_NewRef(value ? value : Py_None);
}

static PyGetSetDef properties[] = {
	{"_value", task_value, NULL, "What it gave; None if it is not done, or failed.", NULL},
	{"_error", task_error, NULL, "The exception that it failed with, or None.", NULL},
	{0},
};

static PyMemberDef members[] = {
	{"__dictoffset__", T_PYSSIZET, offsetof(struct task_object, dict), READONLY, NULL},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct task_object, weak_references), READONLY, NULL},
	{"_pool", T_OBJECT, offsetof(struct task_object, pool), READONLY, "The pool that runs it."},
	{"_number", T_ULONGLONG, offsetof(struct task_object, number), READONLY, "Its place in the order of submission."},
	{"_priority", T_INT, offsetof(struct task_object, priority), READONLY, "Of what waits, the highest starts first."},
	{"_called", T_OBJECT, offsetof(struct task_object, called), 0, "None, or an event that follows its callback."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "The result of one submitted call."},
	{Py_tp_traverse, task_traverse},
	{Py_tp_clear, task_clear},
	{Py_tp_dealloc, task_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_getset, properties},
	{Py_tp_members, members},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Task",
	.basicsize = sizeof(struct task_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_task(PyObject *module) { return py_add_type(module, &py_state_of_module(module)->task_type, &spec, NULL); }
