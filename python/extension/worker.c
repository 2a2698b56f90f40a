/* SPDX-License-Identifier: MIT */
/* A worker of a pool: takes one task after the other and runs it. What a task is: pool.h. */
#include "calls.h"
#include "errors.h"
#include "pool.h"
#include "wait.h"

struct worker_object {
	PyObject_HEAD PyObject *module;
	struct py_state *state;
	tutti_worker *worker;
	struct functions functions; /* those of the catalogue that were loaded */
	PyObject *no_longer_wanted; /* _serve's argument: asked while nothing comes */
	int by_value; /* what pickle refuses may travel by value */
	unsigned run; /* of the task in hand: 1 is the first */
	unsigned process; /* a child that a task has forked is another */
	PyObject *manner, *caught; /* tutti._failures: how failures are told, and which are */
};

enum { IDLE_TICK = 250 * 1000000 /* ns */ };

/* ---- the function ---- */

static PyObject *load_function(struct worker_object *self, size_t number)
{
	tutti_view bytes;
	tutti_err err = tutti_worker_published(self->worker, (uint32_t)number, &bytes);
	if (err)
		return py_raise(self->state, err);
	PyObject *function = pickle_decode(&self->state->messages, bytes.data, bytes.size, NULL);
	if (function && functions_set(&self->functions, self->state, number, function) < 0)
		Py_CLEAR(function);
	return function;
}

/* What a message names: a new reference. */
static PyObject *function_of(struct worker_object *self, PyObject *reference)
{
	if (!PyLong_CheckExact(reference))
		return Py_NewRef(reference);
	size_t number = PyLong_AsSize_t(reference);
	if (number == (size_t)-1 && PyErr_Occurred())
		return NULL;
	PyObject *known = functions_get(&self->functions, number);
	return known ? Py_NewRef(known) : load_function(self, number);
}

/* ---- running ---- */

static PyObject *call_one(PyObject *function, PyObject *item, bool star)
{
	if (!star)
		return PyObject_CallOneArg(function, item);
	PyObject *arguments = PySequence_Tuple(item);
	PyObject *value = arguments ? PyObject_Call(function, arguments, NULL) : NULL;
	Py_XDECREF(arguments);
	return value;
}

/* The exception that is set, as the owner is to have it: with its traceback as a text. It is set no more. */
static PyObject *taken_failure(const struct worker_object *self)
{
	PyObject *value = pool_caught();
	PyObject *failure = PyObject_CallMethod(self->manner, "failure", "O", value);
	Py_XDECREF(value);
	return failure;
}

/* Enters the exception that is set at its place: 0, or -1 with another one, or with one that is to end the worker. */
static int note_failure(const struct worker_object *self, PyObject **failures, Py_ssize_t place)
{
	if (!PyErr_ExceptionMatches(self->caught))
		return -1;
	PyObject *failure = taken_failure(self);
	PyObject *key = failure ? PyLong_FromSsize_t(place) : NULL;
	if (key && !*failures)
		*failures = PyDict_New();
	int result = key && *failures ? PyDict_SetItem(*failures, key, failure) : -1;
	Py_XDECREF(key);
	Py_XDECREF(failure);
	return result;
}

/* A child that a task has forked came back from it: the task, and all that the worker has, is its parent's. */
static bool is_astray(const struct worker_object *self) { return self->process != pool_process(); }

static void raise_astray(void)
{
	if (!PyErr_Occurred())
		PyErr_SetString(PyExc_RuntimeError, "a worker has forked, and its child has returned: end it by os._exit()");
}

static PyObject *call_all(const struct worker_object *self, PyObject *function, PyObject *items, bool star)
{
	Py_ssize_t count = PyTuple_GET_SIZE(items);
	PyObject *values = PyList_New(count), *failures = NULL;
	for (Py_ssize_t i = 0; values && i < count; i++) {
		PyObject *value = call_one(function, PyTuple_GET_ITEM(items, i), star);
		if (is_astray(self) || (!value && note_failure(self, &failures, i) < 0)) {
			Py_XDECREF(value);
			Py_CLEAR(values);
		} else
			PyList_SET_ITEM(values, i, value ? value : Py_NewRef(Py_None));
	}
	if (!values || !failures) {
		Py_XDECREF(failures);
		return values;
	}
	PyObject *both = PyTuple_Pack(2, values, failures);
	Py_DECREF(values);
	Py_DECREF(failures);
	return both;
}

static PyObject *call(const struct worker_object *self, PyObject *function, PyObject *arguments, PyObject *form)
{
	if (form == Py_None)
		return PyObject_Call(function, arguments, NULL);
	if (PyLong_CheckExact(form))
		return call_all(self, function, arguments, PyLong_AsLong(form) != 0);
	if (PyDict_Check(form))
		return PyObject_Call(function, arguments, form);
	PyErr_SetString(PyExc_TypeError, "what was submitted is no task");
	return NULL;
}

static bool is_task(PyObject *task)
{
	return PyTuple_CheckExact(task) && PyTuple_GET_SIZE(task) == 3 && PyTuple_CheckExact(PyTuple_GET_ITEM(task, 1));
}

/* The value, or NULL with the task's exception. Takes the message over. */
static PyObject *run(struct worker_object *self, tutti_message *message, bool *is_read)
{
	PyObject *task = message_decode(&self->state->messages, message), *value = NULL;
	*is_read = task != NULL;
	if (task && !is_task(task))
		PyErr_SetString(PyExc_TypeError, "what was submitted is no task");
	else if (task) {
		PyObject *function = function_of(self, PyTuple_GET_ITEM(task, 0));
		if (function)
			value = call(self, function, PyTuple_GET_ITEM(task, 1), PyTuple_GET_ITEM(task, 2));
		Py_XDECREF(function);
	}
	Py_XDECREF(task);
	return value;
}

/* ---- the outcome ---- */

/* A result that does not encode, for the exception that is set, by value. */
static int encode_by_value(struct worker_object *self, PyObject *value, struct outgoing *out)
{
	PyObject *error = pool_caught();
	PyObject *module = PyImport_ImportModule("tutti._functions");
	PyObject *replacement = module ? PyObject_CallMethod(module, "by_value", "OO", value, error) : NULL;
	Py_XDECREF(module);
	return message_encode_instead(&self->state->messages, replacement, error, out);
}

/* 0, or -1 with an exception: it does not encode, or the arena has no room. */
static int finish(struct worker_object *self, tutti_err outcome, PyObject *value)
{
	struct outgoing out;
	int result = message_encode(&self->state->messages, value, &out);
	if (result < 0 && self->by_value && PyErr_ExceptionMatches(PyExc_Exception))
		result = encode_by_value(self, value, &out);
	if (result == 0) {
		tutti_err err = tutti_worker_finish(self->worker, outcome, 0, out.parts, out.count, out.encoding, out.carried,
		                                    out.carried_count);
		if (err)
			py_raise(self->state, err);
		result = err ? -1 : 0;
	}
	outgoing_clear(&out);
	return result < 0 ? -1 : 0;
}

/* Nothing else went: a few words always do. */
static void finish_with_words(struct worker_object *self)
{
	static const char words[] = "the task's exception could not be sent";
	tutti_view part = {words, sizeof words};
	PyErr_Clear();
	tutti_worker_finish(self->worker, TUTTI_EFAILED, 0, &part, 1, TUTTI_RAW, NULL, 0);
}

/* In place of the exception that is set: that this cannot be sent. NULL. */
static PyObject *unsendable(const struct worker_object *self, PyObject *value)
{
	PyObject *error = pool_caught();
	PyObject *better = PyObject_CallMethod(self->manner, "unsendable", "OO", error, value);
	if (better)
		PyErr_SetObject((PyObject *)Py_TYPE(better), better);
	Py_XDECREF(better);
	Py_XDECREF(error);
	return NULL;
}

/* The exception that is set becomes the outcome. */
static void finish_failed(struct worker_object *self)
{
	PyObject *failure = taken_failure(self);
	if (!failure || finish(self, TUTTI_EFAILED, failure) < 0) {
		/* An exception that does not encode: another one says so. */
		if (failure)
			unsendable(self, failure);
		PyObject *why = taken_failure(self);
		if (!why || finish(self, TUTTI_EFAILED, why) < 0)
			finish_with_words(self);
		Py_XDECREF(why);
	}
	Py_XDECREF(failure);
}

/* 0, or -1 with an exception that ends the worker. */
static int run_and_finish(struct worker_object *self, tutti_message *message)
{
	bool is_read;
	PyObject *value = run(self, message, &is_read);
	if (is_astray(self)) {
		raise_astray();
		Py_XDECREF(value);
		return -1;
	}
	if (value && finish(self, TUTTI_OK, value) < 0) {
		unsendable(self, value);
		Py_CLEAR(value);
	}
	PyObject *caught = is_read ? self->caught : PyExc_Exception;
	bool is_last = !value && PyErr_Occurred() && !PyErr_ExceptionMatches(caught) &&
	               !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
	if (is_last)
		return -1; /* in a pool SystemExit: its process ends, and the task fails with its worker */
	if (!value)
		finish_failed(self);
	Py_XDECREF(value);
	return 0;
}

/* ---- one after the other ---- */

struct next_attempt {
	tutti_worker *worker;
	tutti_message *message;
	unsigned run;
};

static tutti_err try_next(void *context, tutti_time timeout)
{
	struct next_attempt *attempt = context;
	return tutti_worker_next(attempt->worker, attempt->message, &attempt->run, timeout);
}

/* 1: a task is there; 0: there will be none; -1 with an exception. */
static int next_task(struct worker_object *self, tutti_message *message)
{
	struct next_attempt attempt = {self->worker, message, 0};
	for (;;) {
		int err = (int)try_next(&attempt, IDLE_TICK);
		self->run = attempt.run;
		if (err == TUTTI_OK)
			return 1;
		if (err == TUTTI_EOF)
			return 0;
		if (!py_is_not_yet(err)) {
			py_raise(self->state, (tutti_err)err);
			return -1;
		}
		if (PyErr_CheckSignals() < 0)
			return -1;
		PyObject *end = PyObject_CallNoArgs(self->no_longer_wanted);
		int wanted = end ? !PyObject_IsTrue(end) : -1;
		Py_XDECREF(end);
		if (wanted <= 0)
			return wanted;
	}
}

/* _serve(no_longer_wanted, limit, manner): the number of tasks that were run. */
static PyObject *serve(PyObject *object, PyObject *arguments)
{
	struct worker_object *self = (struct worker_object *)object;
	unsigned long long limit, done = 0;
	PyObject *ask, *manner;
	if (!PyArg_ParseTuple(arguments, "OKO:_serve", &ask, &limit, &manner))
		return NULL;
	if (is_astray(self)) {
		raise_astray(); /* from the initializer */
		return NULL;
	}
	Py_XSETREF(self->no_longer_wanted, Py_NewRef(ask));
	Py_XSETREF(self->manner, Py_NewRef(manner));
	Py_XSETREF(self->caught, PyObject_GetAttrString(manner, "caught"));
	if (!self->caught)
		return NULL;
	tutti_worker_ready(self->worker);
	while (limit == 0 || done < limit) {
		tutti_message message;
		py_count_call();
		int there = next_task(self, &message);
		if (there < 0)
			return NULL;
		if (there == 0)
			break;
		if (run_and_finish(self, &message) < 0)
			return NULL;
		done++;
	}
	return PyLong_FromUnsignedLongLong(done);
}

static PyObject *refuse(PyObject *object, PyObject *text)
{
	const char *words = PyUnicode_AsUTF8(text);
	if (!words)
		return NULL;
	tutti_worker_refuse(((struct worker_object *)object)->worker, words);
	Py_RETURN_NONE;
}

/* ---- the type ---- */

/* Worker(handle, index, by_value) */
static PyObject *worker_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
	PyObject *module = py_module_of_type(type);
	const char *bytes;
	Py_ssize_t size;
	unsigned index;
	int by_value;
	tutti_handle handle;
	if (!module || !PyArg_ParseTuple(arguments, "y#Ip:Worker", &bytes, &size, &index, &by_value))
		return NULL;
	if (size != sizeof handle) {
		PyErr_SetString(PyExc_ValueError, "a pool's handle has 16 bytes");
		return NULL;
	}
	memcpy(&handle, bytes, sizeof handle);
	struct worker_object *self = (struct worker_object *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	self->module = Py_NewRef(module);
	self->state = py_state_of_module(module);
	self->by_value = by_value;
	self->process = pool_process();
	tutti_arena *arena; /* a process that another library started finds it by the handle */
	tutti_err err = tutti_arena_join_handle(&arena, handle, NULL);
	if (!err) {
		tutti_arena_adopt(arena);
		err = tutti_worker_open(&self->worker, arena, handle, index);
	}
	if (err) {
		py_raise(self->state, err);
		Py_CLEAR(self);
	}
	return (PyObject *)self;
}

static int worker_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct worker_object *self = (struct worker_object *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->module);
	Py_VISIT(self->no_longer_wanted);
	Py_VISIT(self->manner);
	Py_VISIT(self->caught);
	return functions_traverse(&self->functions, visit, arg);
}

static int worker_clear(PyObject *object)
{
	struct worker_object *self = (struct worker_object *)object;
	Py_CLEAR(self->no_longer_wanted);
	Py_CLEAR(self->manner);
	Py_CLEAR(self->caught);
	functions_clear(&self->functions);
	return 0;
}

static void worker_dealloc(PyObject *object)
{
	struct worker_object *self = (struct worker_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject *module = self->module;
	PyObject_GC_UnTrack(object);
	worker_clear(object);
	tutti_worker_close(self->worker);
	type->tp_free(object);
	Py_DECREF(type);
	Py_XDECREF(module);
}

static PyMethodDef methods[] = {
	{"_serve", serve, METH_VARARGS,
     "_serve($self, *args)\n--\n\nRuns tasks: (no_longer_wanted, limit, manner). How many it ran."},
	{"_refuse", refuse, METH_O, "_refuse($self, text, /)\n--\n\nThis worker cannot work: the pool is broken."},
	{0},
};

static PyMemberDef members[] = {
	{"_run", T_UINT, offsetof(struct worker_object, run), READONLY, "Which run of its task it is at: 1 is the first."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "A place in a pool, for the process that runs its tasks."},
	{Py_tp_new, worker_new},
	{Py_tp_traverse, worker_traverse},
	{Py_tp_clear, worker_clear},
	{Py_tp_dealloc, worker_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{0, NULL},
};

static PyType_Spec spec = {
	.name = "tutti._tutti.Worker",
	.basicsize = sizeof(struct worker_object),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

int py_add_worker(PyObject *module)
{
	return py_add_type(module, &py_state_of_module(module)->worker_type, &spec, NULL);
}
