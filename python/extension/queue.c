/* SPDX-License-Identifier: MIT */
/* The queues as Python objects: made, looked at, sent, closed. Putting and getting: queue_move.c. */
#include "arguments.h"
#include "errors.h"
#include "queue.h"

PY_KIND_FUNCTIONS(queue)

/* What went wrong for a thread of the parent is told there. It goes at the next get: no hook may run what a dealloc runs. */
static void after_fork(PyObject *object)
{
	struct queue_object *self = (struct queue_object *)object;
	self->late_error_is_inherited = self->late_error != NULL;
}

static const struct py_kind kind = {.handle = handle_of_queue,
                                    .open = open_queue,
                                    .close = close_queue,
                                    .after_fork = after_fork};

static int check_open(struct queue_object *self)
{
	py_count_call();
	if (!self->shared.closed && queue_of(self))
		return 0;
	PyErr_Format(PyExc_ValueError, "Queue %R is closed", (PyObject *)self);
	return -1;
}

int queue_enter(struct queue_object *self) { return check_open(self) < 0 ? -1 : py_shared_enter(&self->shared); }

void queue_leave(struct queue_object *self) { py_shared_leave(&self->shared); }

/* ---- making ---- */

static PyObject *queue_new(PyTypeObject *type, PyObject *Py_UNUSED(arguments), PyObject *Py_UNUSED(keywords))
{
	return py_shared_new(type, &kind);
}

/* multiprocessing takes any maxsize; below 1 it means unbounded. */
static int read_bound(PyObject *value, const char *what, uint64_t *bound)
{
	if (!value || value == Py_None)
		return 0;
	int overflow;
	PyObject *index = PyNumber_Index(value);
	if (!index)
		return -1;
	long long number = PyLong_AsLongLongAndOverflow(index, &overflow);
	Py_DECREF(index);
	if (number == -1 && PyErr_Occurred())
		return -1;
	if (overflow > 0) {
		PyErr_Format(PyExc_OverflowError, "%s is too large", what);
		return -1;
	}
	*bound = number > 0 ? (uint64_t)number : 0;
	return 0;
}

static int open_new(struct queue_object *self, PyObject *name, bool joinable)
{
	tutti_queue *queue;
	tutti_queue_options options = {.max_items = self->max_items, .max_bytes = self->max_bytes, .joinable = joinable};
	if (py_name(name, &options.name) < 0)
		return -1;
	tutti_err err = tutti_queue_open(&queue, &options);
	if (err) {
		py_raise(self->shared.state, err);
		return -1;
	}
	self->name = Py_NewRef(name ? name : Py_None);
	py_shared_set((PyObject *)self, queue);
	return 0;
}

static int init(PyObject *object, PyObject *arguments, PyObject *keywords, bool joinable)
{
	static char *names[] = {"maxsize", "name", "max_bytes", "ctx", NULL};
	struct queue_object *self = (struct queue_object *)object;
	PyObject *max_items = NULL, *name = NULL, *max_bytes = NULL, *context = NULL;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O$OOO:Queue", names, &max_items, &name, &max_bytes,
	                                 &context) ||
	    py_shared_is_fresh(object) < 0 || read_bound(max_items, "maxsize", &self->max_items) < 0 ||
	    read_bound(max_bytes, "max_bytes", &self->max_bytes) < 0)
		return -1;
	return open_new(self, name, joinable);
}

static int queue_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
	return init(object, arguments, keywords, false);
}

static int joinable_queue_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
	return init(object, arguments, keywords, true);
}

static int simple_queue_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"name", "ctx", NULL};
	PyObject *name = NULL, *context = NULL;
	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OO:SimpleQueue", names, &name, &context) ||
	    py_shared_is_fresh(object) < 0)
		return -1;
	return open_new((struct queue_object *)object, name, false);
}

static PyObject *open_existing(PyObject *type, PyObject *handle)
{
	return py_shared_open((PyTypeObject *)type, &kind, handle);
}

/* _rebuilt(maxsize, max_bytes, name): what the sender's object knew. */
static PyObject *queue_rebuilt(PyObject *object, PyObject *arguments)
{
	struct queue_object *self = (struct queue_object *)object;
	unsigned long long max_items, max_bytes;
	PyObject *name;
	if (!PyArg_ParseTuple(arguments, "KKO:_rebuilt", &max_items, &max_bytes, &name))
		return NULL;
	self->max_items = max_items;
	self->max_bytes = max_bytes;
	Py_XSETREF(self->name, Py_NewRef(name));
	Py_RETURN_NONE;
}

/* ---- looking ---- */

static PyObject *queue_qsize(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyLong_FromUnsignedLongLong(tutti_queue_size(queue_of(self)));
	queue_leave(self);
	return result;
}

static PyObject *queue_empty(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyBool_FromLong(tutti_queue_size(queue_of(self)) == 0);
	queue_leave(self);
	return result;
}

PyObject *queue_full(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	if (queue_enter(self) < 0)
		return NULL;
	PyObject *result = PyBool_FromLong(self->max_items && tutti_queue_size(queue_of(self)) >= self->max_items);
	queue_leave(self);
	return result;
}

PyObject *queue_descriptor(PyObject *object, tutti_err (*descriptor_of)(tutti_queue *queue, int *fd))
{
	struct queue_object *self = (struct queue_object *)object;
	int descriptor;
	if (queue_enter(self) < 0)
		return NULL;
	tutti_err err = descriptor_of(queue_of(self), &descriptor);
	PyObject *result = err ? py_raise(self->shared.state, err) : PyLong_FromLong(descriptor);
	queue_leave(self);
	return result;
}

static PyObject *queue_fileno(PyObject *object, PyObject *Py_UNUSED(none))
{
	return queue_descriptor(object, tutti_queue_fd);
}

/* A task that awaits is a user too: the descriptor that its loop watches stays until it has left. */
static PyObject *queue_hold(PyObject *object, PyObject *none)
{
	(void)none;
	struct queue_object *self = (struct queue_object *)object;
	return check_open(self) < 0 || py_shared_hold(&self->shared) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *queue_let_go(PyObject *object, PyObject *none)
{
	(void)none;
	py_shared_let_go((struct py_shared *)object);
	Py_RETURN_NONE;
}

/* ---- redelivered ---- */

/* Never another thread's, as the thread's ident may be later. */
static PyObject *thread_number(void) { return PyLong_FromUnsignedLongLong(PyThreadState_GetID(PyThreadState_Get())); }

int queue_note_redelivered(struct queue_object *self, bool redelivered)
{
	if (!redelivered && !self->redelivered_to)
		return 0;
	if (!self->redelivered_to && !(self->redelivered_to = PySet_New(NULL)))
		return -1;
	PyObject *number = thread_number();
	if (!number)
		return -1;
	int result = redelivered ? PySet_Add(self->redelivered_to, number) : PySet_Discard(self->redelivered_to, number);
	Py_DECREF(number);
	if (PySet_GET_SIZE(self->redelivered_to) == 0)
		Py_CLEAR(self->redelivered_to);
	return result < 0 ? -1 : 0;
}

static PyObject *get_redelivered(PyObject *object, void *Py_UNUSED(closure))
{
	struct queue_object *self = (struct queue_object *)object;
	if (!self->redelivered_to)
		Py_RETURN_FALSE;
	PyObject *number = thread_number();
	int found = number ? PySet_Contains(self->redelivered_to, number) : -1;
	Py_XDECREF(number);
	return found < 0 ? NULL : PyBool_FromLong(found);
}

/* ---- ending ---- */

static PyObject *queue_close(PyObject *object, PyObject *none)
{
	(void)none;
	py_shared_close_unless_used((struct py_shared *)object);
	Py_RETURN_NONE;
}

/* join_thread, cancel_join_thread: there is no thread, everything was put when put returned. */
PyObject *queue_nothing_to_join(PyObject *object, PyObject *none)
{
	(void)object, (void)none;
	Py_RETURN_NONE;
}

static PyObject *queue_shutdown(PyObject *object, PyObject *const *given, Py_ssize_t count, PyObject *keywords)
{
	static const char *const names[] = {"immediate"};
	struct queue_object *self = (struct queue_object *)object;
	PyObject *value;
	tutti_err err;
	if (py_arguments("shutdown", names, 1, given, count, keywords, &value) < 0)
		return NULL;
	int immediate = py_flag(value, 0);
	if (immediate < 0 || queue_enter(self) < 0)
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	err = immediate ? tutti_queue_shutdown_now(queue_of(self)) : tutti_queue_shutdown(queue_of(self));
	Py_END_ALLOW_THREADS;
	if (err)
		py_raise(self->shared.state, err);
	queue_leave(self);
	if (err)
		return NULL;
	Py_RETURN_NONE;
}

static int queue_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct queue_object *self = (struct queue_object *)object;
	Py_VISIT(self->on_error);
	Py_VISIT(self->late_error);
	return py_shared_traverse(object, visit, arg);
}

static void queue_drop(PyObject *object)
{
	struct queue_object *self = (struct queue_object *)object;
	Py_CLEAR(self->on_error);
	Py_CLEAR(self->late_error);
	Py_CLEAR(self->redelivered_to);
}

static int queue_clear(PyObject *object)
{
	queue_drop(object);
	return py_shared_clear(object);
}

static void queue_dealloc(PyObject *object)
{
	PyObject_GC_UnTrack(object);
	queue_drop(object);
	Py_CLEAR(((struct queue_object *)object)->name);
	py_shared_dealloc(object);
}

/* ---- the types ---- */

static PyMethodDef common_methods[] = {
	{"empty", queue_empty, METH_NOARGS, "empty($self, /)\n--\n\nTrue if nothing is in the queue at this moment."},
	{"close", queue_close, METH_NOARGS, "close($self, /)\n--\n\nGives this process's handle back. Others go on."},
	{"_hold", queue_hold, METH_NOARGS,
     "_hold($self, /)\n--\n\nKeeps its descriptors open, also after a close(), until as many _let_go()."},
	{"_let_go", queue_let_go, METH_NOARGS, "_let_go($self, /)\n--\n\nUndoes a _hold()."},
	{"fileno", queue_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nA descriptor that is readable while something is there. Never read it."},
	{"_open", open_existing, METH_O | METH_CLASS,
     "_open($type, handle, /)\n--\n\nA queue on the existing one of that handle."},
	{"_rebuilt", queue_rebuilt, METH_VARARGS,
     "_rebuilt($self, maxsize, max_bytes, name, /)\n--\n\nWhat the sender's object knew."},
	{"qsize", queue_qsize, METH_NOARGS, "qsize($self, /)\n--\n\nHow many objects are in the queue."},
	{"shutdown", PY_WITH_KEYWORDS(queue_shutdown),
     "shutdown($self, immediate=False)\n--\n\nRefuses further puts everywhere and wakes all who wait."},
	{0},
};

static PyMemberDef members[] = {
	{"name", T_OBJECT, offsetof(struct queue_object, name), READONLY, "name($self)\n--\n\nThe name given, or None."},
	{"max_bytes", T_ULONGLONG, offsetof(struct queue_object, max_bytes), READONLY,
     "max_bytes($self)\n--\n\nBytes it holds; 0: no limit."},
	{"_maxsize", T_ULONGLONG, offsetof(struct queue_object, max_items), READONLY,
     "_maxsize($self)\n--\n\nObjects it holds; 0: no limit."},
	{"_used", T_BOOL, offsetof(struct queue_object, used), READONLY,
     "_used($self)\n--\n\nTrue if something was put in this process."},
	{"_closed", T_BOOL, offsetof(struct queue_object, shared.closed), READONLY,
     "_closed($self)\n--\n\nTrue after close()."},
	{"_on_error", T_OBJECT, offsetof(struct queue_object, on_error), 0,
     "_on_error($self)\n--\n\nCalled with (error, obj); or None."},
	{0},
};

static PyGetSetDef attributes[] = {
	{"redelivered", get_redelivered, NULL,
     "redelivered($self)\n--\n\nTrue if the object that this thread got last had been got before, by a process that was "
     "killed.",
     NULL},
	{0},
};

static PyType_Slot base_slots[] = {
	{Py_tp_doc, "What all queues have in common."},
	{Py_tp_methods, common_methods},
	{Py_tp_members, members},
	{Py_tp_getset, attributes},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

static PyType_Slot queue_slots[] = {
	{Py_tp_doc, "Queue(maxsize=0, *, name=None, max_bytes=0, ctx=None)\n--\n\nA queue for any number of processes."},
	{Py_tp_new, queue_new},
	{Py_tp_init, queue_init},
	{Py_tp_methods, queue_methods},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

static PyType_Slot joinable_queue_slots[] = {
	{Py_tp_doc,
     "JoinableQueue(maxsize=0, *, name=None, max_bytes=0, ctx=None)\n--\n\nA Queue that knows when all is done."},
	{Py_tp_new, queue_new},
	{Py_tp_init, joinable_queue_init},
	{Py_tp_methods, joinable_queue_methods},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

static PyType_Slot simple_queue_slots[] = {
	{Py_tp_doc, "SimpleQueue(*, name=None, ctx=None)\n--\n\nAn unbounded queue."},
	{Py_tp_new, queue_new},
	{Py_tp_init, simple_queue_init},
	{Py_tp_methods, simple_queue_methods},
	{Py_tp_traverse, queue_traverse},
	{Py_tp_clear, queue_clear},
	{Py_tp_dealloc, queue_dealloc},
	{0},
};

enum { FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC };

static PyType_Spec base_spec = {"tutti._tutti._QueueBase", sizeof(struct queue_object), 0, FLAGS, base_slots};
static PyType_Spec queue_spec = {"tutti._tutti.Queue", sizeof(struct queue_object), 0, FLAGS, queue_slots};
static PyType_Spec joinable_queue_spec = {"tutti._tutti.JoinableQueue", sizeof(struct queue_object), 0, FLAGS,
                                          joinable_queue_slots};
static PyType_Spec simple_queue_spec = {"tutti._tutti.SimpleQueue", sizeof(struct queue_object), 0, FLAGS,
                                        simple_queue_slots};

static int add_subtype(PyObject *module, PyObject **type, PyType_Spec *spec, PyObject *base)
{
	PyObject *bases = PyTuple_Pack(1, base);
	int result = bases ? py_add_type(module, type, spec, bases) : -1;
	Py_XDECREF(bases);
	return result;
}

int py_add_queues(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
	if (py_add_kind(module, &state->queue_base, &base_spec) < 0 ||
	    add_subtype(module, &state->queue_type, &queue_spec, state->queue_base) < 0 ||
	    add_subtype(module, &state->joinable_queue_type, &joinable_queue_spec, state->queue_type) < 0)
		return -1;
	return add_subtype(module, &state->simple_queue_type, &simple_queue_spec, state->queue_base);
}
