/* SPDX-License-Identifier: MIT */
/* The queues as Python objects: made, looked at, sent, closed. Putting and getting: queue_move.c. */
#include "arguments.h"
#include "errors.h"
#include "queue.h"

int queue_enter(struct queue_object *self)
{
	if (self->closed || !self->queue) {
		PyErr_Format(PyExc_ValueError, "Queue %R is closed", (PyObject *)self);
		return -1;
	}
	self->users++;
	return 0;
}

static void give_back(struct queue_object *self)
{
	tutti_queue *queue = self->queue;
	self->queue = NULL;
	tutti_queue_close(queue);
}

void queue_leave(struct queue_object *self)
{
	if (--self->users == 0 && self->closed)
		give_back(self);
}

/* ---- making ---- */

static struct queue_object *allocate(PyTypeObject *type)
{
	struct py_state *state = py_state_of_type(type);
	struct queue_object *self = state ? (struct queue_object *)type->tp_alloc(type, 0) : NULL;
	if (self) {
		self->state = state;
		self->closed = true;
	}
	return self;
}

/* multiprocessing takes any maxsize; below 1 it means unbounded. */
static int read_bound(PyObject *value, const char *what, uint64_t *bound)
{
	if (!value || value == Py_None)
		return 0;
	int overflow;
	long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
	if (number == -1 && PyErr_Occurred())
		return -1;
	if (overflow > 0) {
		PyErr_Format(PyExc_OverflowError, "%s is too large", what);
		return -1;
	}
	*bound = number > 0 ? (uint64_t)number : 0;
	return 0;
}

static int open_new(struct queue_object *self)
{
	const char *name = self->name == Py_None ? NULL : PyUnicode_AsUTF8(self->name);
	if (!name && self->name != Py_None)
		return -1;
	tutti_queue_options options = {.name = name, .max_items = self->max_items, .max_bytes = self->max_bytes};
	tutti_err err = tutti_queue_open(&self->queue, &options);
	self->closed = err != TUTTI_OK;
	if (err)
		py_raise(self->state, err);
	return err ? -1 : 0;
}

/* Takes `name` and the bounds, and makes the queue; drops `self` if that fails. */
static PyObject *make(struct queue_object *self, PyObject *name, PyObject *max_items, PyObject *max_bytes)
{
	if (!self)
		return NULL;
	self->name = Py_NewRef(name ? name : Py_None);
	if (name && name != Py_None && !PyUnicode_Check(name))
		PyErr_Format(PyExc_TypeError, "name must be a str, not %.100s", Py_TYPE(name)->tp_name);
	else if (read_bound(max_items, "maxsize", &self->max_items) == 0 &&
	         read_bound(max_bytes, "max_bytes", &self->max_bytes) == 0 && open_new(self) == 0)
		return (PyObject *)self;
	Py_DECREF(self);
	return NULL;
}

static PyObject *queue_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"maxsize", "name", "max_bytes", "ctx", NULL};
	PyObject *max_items = NULL, *name = NULL, *max_bytes = NULL, *context = NULL;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O$OOO:Queue", names, &max_items, &name, &max_bytes,
	                                 &context))
		return NULL;
	return make(allocate(type), name, max_items, max_bytes);
}

static PyObject *simple_queue_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"name", "ctx", NULL};
	PyObject *name = NULL, *context = NULL;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OO:SimpleQueue", names, &name, &context))
		return NULL;
	return make(allocate(type), name, NULL, NULL);
}

/* ---- sending: the handle and what the receiver's object must know ---- */

struct sent {
	tutti_handle handle;
	uint64_t max_items, max_bytes;
};

static PyObject *queue_reduce(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	struct sent sent = {tutti_queue_handle(self->queue), self->max_items, self->max_bytes};
	queue_leave(self);
	PyObject *module = PyImport_ImportModule("tutti._tutti");
	PyObject *open = module ? PyObject_GetAttrString(module, "_open_queue") : NULL;
	Py_XDECREF(module);
	if (!open)
		return NULL;
	PyObject *attributes = NULL;
	if (PyObject_HasAttrString(object, "__dict__"))
		attributes = PyObject_GetAttrString(object, "__dict__");
	bool has_some = attributes && PyDict_Check(attributes) && PyDict_GET_SIZE(attributes);
	PyObject *result = Py_BuildValue("N(Oy#O)O", open, (PyObject *)Py_TYPE(object), (const char *)&sent,
	                                 (Py_ssize_t)sizeof sent, self->name, has_some ? attributes : Py_None);
	Py_XDECREF(attributes);
	return result;
}

/* _open_queue(class, sent, name) */
static PyObject *open_sent(PyObject *module, PyObject *arguments)
{
	PyObject *class, *name;
	struct sent sent;
	const char *bytes;
	Py_ssize_t size;
	PyTypeObject *base = (PyTypeObject *)py_state_of_module(module)->queue_base;
	if (!PyArg_ParseTuple(arguments, "O!y#O", &PyType_Type, &class, &bytes, &size, &name))
		return NULL;
	if (size != sizeof sent || !PyType_IsSubtype((PyTypeObject *)class, base))
		return PyErr_Format(PyExc_ValueError, "this is not a sent queue");
	memcpy(&sent, bytes, sizeof sent);
	struct queue_object *self = allocate((PyTypeObject *)class);
	if (!self)
		return NULL;
	self->name = Py_NewRef(name);
	self->max_items = sent.max_items;
	self->max_bytes = sent.max_bytes;
	tutti_err err = tutti_queue_at(&self->queue, NULL, sent.handle);
	self->closed = err != TUTTI_OK;
	if (!err)
		return (PyObject *)self;
	py_raise(self->state, err);
	Py_DECREF(self);
	return NULL;
}

/* ---- looking ---- */

static PyObject *queue_qsize(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyLong_FromUnsignedLongLong(tutti_queue_size(self->queue));
	queue_leave(self);
	return result;
}

static PyObject *queue_empty(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyBool_FromLong(tutti_queue_size(self->queue) == 0);
	queue_leave(self);
	return result;
}

PyObject *queue_full(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyBool_FromLong(self->max_items && tutti_queue_size(self->queue) >= self->max_items);
	queue_leave(self);
	return result;
}

static PyObject *queue_fileno(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	int descriptor;
	if (queue_enter(self) < 0)
		return NULL;
	tutti_err err = tutti_queue_fd(self->queue, &descriptor);
	PyObject *result = err ? py_raise(self->state, err) : PyLong_FromLong(descriptor);
	queue_leave(self);
	return result;
}

/* ---- ending ---- */

static PyObject *queue_close(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	bool was_closed = self->closed;
	self->closed = true;
	if (!was_closed && self->users == 0)
		give_back(self);
	Py_RETURN_NONE;
}

/* join_thread, cancel_join_thread: there is no thread, everything was put when put returned. */
PyObject *queue_nothing_to_join(PyObject *object, PyObject *none)
{
	(void)object, (void)none;
	Py_RETURN_NONE;
}

/* Takes out and drops what is there. */
static tutti_err drain(tutti_queue *queue)
{
	tutti_message message;
	tutti_err err;
	while ((err = tutti_queue_get(queue, &message, TUTTI_NOW)) == TUTTI_OK)
		tutti_message_release(&message);
	return err == TUTTI_EEMPTY || err == TUTTI_EOF ? TUTTI_OK : err;
}

static PyObject *queue_shutdown(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"immediate"};
	struct queue_object *self = (struct queue_object *)object;
	PyObject *value;
	tutti_err err;
	if (py_arguments("shutdown", names, 1, 0, given, count, keywords, &value) < 0)
		return NULL;
	int immediate = py_flag(value, 0);
	if (immediate < 0 || queue_enter(self) < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	err = tutti_queue_shutdown(self->queue);
	if (err == TUTTI_OK && immediate)
		err = drain(self->queue);
	Py_END_ALLOW_THREADS;
	if (err)
		py_raise(self->state, err);
	queue_leave(self);
	if (err)
		return NULL;
	Py_RETURN_NONE;
}

static int queue_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct queue_object *self = (struct queue_object *)object;
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->on_error);
	Py_VISIT(self->late_error);
	return 0;
}

static int queue_clear(PyObject *object)
{
	struct queue_object *self = (struct queue_object *)object;
	Py_CLEAR(self->on_error);
	Py_CLEAR(self->late_error);
	return 0;
}

static void queue_dealloc(PyObject *object)
{
	struct queue_object *self = (struct queue_object *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject_GC_UnTrack(object);
	if (self->weak_references)
		PyObject_ClearWeakRefs(object);
	queue_clear(object);
	Py_CLEAR(self->name);
	give_back(self);
	type->tp_free(object);
	Py_DECREF(type);
}

/* ---- the types ---- */

static PyMethodDef common_methods[] = {
	{"empty", queue_empty, METH_NOARGS, "True if nothing is in the queue at this moment."},
	{"close", queue_close, METH_NOARGS, "Gives this process's handle back. Others go on."},
	{"fileno", queue_fileno, METH_NOARGS, "A descriptor that is readable while something is there. Never read it."},
	{"__reduce__", queue_reduce, METH_NOARGS, "The queue's handle: it opens the queue in any process of the arena."},
	{"qsize", queue_qsize, METH_NOARGS, "How many objects are in the queue."},
	{"shutdown", PY_WITH_KEYWORDS(queue_shutdown),
     "shutdown(immediate=False): refuses further puts everywhere and wakes all who wait."},
	{0},
};

static PyMemberDef members[] = {
	{"name", T_OBJECT, offsetof(struct queue_object, name), READONLY, "The name given, or None."},
	{"max_bytes", T_ULONGLONG, offsetof(struct queue_object, max_bytes), READONLY, "Bytes it holds; 0: no limit."},
	{"_maxsize", T_ULONGLONG, offsetof(struct queue_object, max_items), READONLY, "Objects it holds; 0: no limit."},
	{"_closed", T_BOOL, offsetof(struct queue_object, closed), READONLY, "True after close()."},
	{"_on_error", T_OBJECT, offsetof(struct queue_object, on_error), 0, "Called with (error, obj); or None."},
	{"__weaklistoffset__", T_PYSSIZET, offsetof(struct queue_object, weak_references), READONLY, NULL},
	{0},
};

static PyType_Slot base_slots[] = {
	{Py_tp_doc, "What all queues have in common."},
	{Py_tp_methods, common_methods},
	{Py_tp_members, members},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

static PyType_Slot queue_slots[] = {
	{Py_tp_doc, "Queue(maxsize=0, *, name=None, max_bytes=0): a queue for any number of processes and threads."},
	{Py_tp_new, queue_new},
	{Py_tp_methods, queue_methods},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

static PyType_Slot simple_queue_slots[] = {
	{Py_tp_doc, "SimpleQueue(*, name=None): an unbounded queue."},
	{Py_tp_new, simple_queue_new},
	{Py_tp_methods, simple_queue_methods},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

enum { FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC };

static PyType_Spec base_spec = {"tutti._tutti._QueueBase", sizeof(struct queue_object), 0, FLAGS, base_slots};
static PyType_Spec queue_spec = {"tutti._tutti.Queue", sizeof(struct queue_object), 0, FLAGS, queue_slots};
static PyType_Spec simple_queue_spec = {"tutti._tutti.SimpleQueue", sizeof(struct queue_object), 0, FLAGS,
                                        simple_queue_slots};

static PyMethodDef functions[] = {
	{"_open_queue", open_sent, METH_VARARGS, "Opens a queue that was sent."},
	{0},
};

int py_add_queues(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
	if (py_add_type(module, &state->queue_base, &base_spec, NULL) < 0 ||
	    py_add_type(module, &state->queue_type, &queue_spec, state->queue_base) < 0 ||
	    py_add_type(module, &state->simple_queue_type, &simple_queue_spec, state->queue_base) < 0)
		return -1;
	return PyModule_AddFunctions(module, functions);
}
