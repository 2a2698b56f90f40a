/* SPDX-License-Identifier: MIT */
/*
 * The limit of Condition from Python: a type with the four calls that a loop around a condition makes, over a word as
 * lock and a word for each of two waiters, each on a line of its own. Nothing else: who waits spins for ever, and
 * a call by a thread that does not hold the lock, or a killed process, hangs both. bench/run compiles it; trips.py imports it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { IDLE, WAITING, WOKEN, WAITERS = 2, LINE = 64, LOOKS_PER_YIELD = 10000 };

struct word {
	_Alignas(LINE) atomic_uint value;
};

struct words {
	struct word lock, waiters[WAITERS];
};

struct condition {
	PyObject head;
	struct words *words; /* shared with the processes that are forked */
};

static struct words *words_of(PyObject *self) { return ((struct condition *)self)->words; }

static PyObject *make(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
	struct condition *self = (struct condition *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	self->words = mmap(NULL, sizeof(struct words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (self->words != MAP_FAILED)
		return (PyObject *)self;
	self->words = NULL;
	Py_DECREF(self);
	return PyErr_SetFromErrno(PyExc_OSError);
}

static void dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	if (words_of(self))
		munmap(words_of(self), sizeof(struct words));
	type->tp_free(self);
	Py_DECREF(type);
}

/* The CPU is given away now and then, so that a machine with other work to do gets through, too. */
static void spin_until(atomic_uint *word, unsigned value)
{
	for (unsigned looks = 1; atomic_load_explicit(word, memory_order_acquire) != value; looks++) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
		if (looks % LOOKS_PER_YIELD == 0)
			sched_yield();
	}
}

static void lock(struct words *words)
{
	unsigned none = 0;
	while (!atomic_compare_exchange_strong_explicit(&words->lock.value, &none, 1, memory_order_acquire,
	                                                memory_order_relaxed)) {
		spin_until(&words->lock.value, 0);
		none = 0;
	}
}

static void unlock(struct words *words) { atomic_store_explicit(&words->lock.value, 0, memory_order_release); }

static PyObject *enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	lock(words_of(self));
	Py_RETURN_NONE;
}

static PyObject *leave(PyObject *self, PyObject *Py_UNUSED(args))
{
	unlock(words_of(self));
	Py_RETURN_NONE;
}

/* Under the lock, as all that changes from or to IDLE. */
static PyObject *wait_for_it(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	struct words *words = words_of(self);
	atomic_uint *mine = &words->waiters[0].value;
	while (atomic_load_explicit(mine, memory_order_relaxed) != IDLE)
		mine += LINE / sizeof *mine;
	atomic_store_explicit(mine, WAITING, memory_order_relaxed);
	unlock(words);
	spin_until(mine, WOKEN);
	lock(words);
	atomic_store_explicit(mine, IDLE, memory_order_relaxed);
	Py_RETURN_TRUE;
}

static PyObject *notify(PyObject *self, PyObject *Py_UNUSED(ignored))
{
	struct words *words = words_of(self);
	for (int i = 0; i < WAITERS; i++) {
		if (atomic_load_explicit(&words->waiters[i].value, memory_order_relaxed) == WAITING) {
			atomic_store_explicit(&words->waiters[i].value, WOKEN, memory_order_release);
			break;
		}
	}
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"__enter__", enter, METH_NOARGS, NULL},
	{"__exit__", leave, METH_VARARGS, NULL},
	{"wait", wait_for_it, METH_NOARGS, NULL},
	{"notify", notify, METH_NOARGS, NULL},
	{NULL},
};

static PyType_Slot slots[] = {{Py_tp_new, make}, {Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {.name = "barest.Condition",
                           .basicsize = sizeof(struct condition),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "barest", .m_size = -1};

PyMODINIT_FUNC PyInit_barest(void)
{
	PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&spec);
	if (module && type && PyModule_AddObject(module, "Condition", type) == 0)
		return module;
	Py_XDECREF(type);
	Py_XDECREF(module);
	return NULL;
}
