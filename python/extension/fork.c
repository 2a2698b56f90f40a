/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"

/* Longer than a child needs that has any CPU at all; then it was stopped, and may stay so. */
enum { PATIENCE = 1000, WORD_STEP = 1 }; /* ms */

static int64_t milliseconds(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* --- forks -------------------------------------------------------------------------------------------------- */

static bool open_pipe(struct py_fork *fork)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	fork->settled = ends[0];
	fork->unsettled = ends[1];
	return true;
}

static bool map_word(struct py_fork *fork)
{
	void *word = mmap(NULL, sizeof *fork->word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fork->settled = fork->unsettled = -1;
	fork->word = word == MAP_FAILED ? NULL : word;
	return fork->word != NULL;
}

static void close_end(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

static void free_fork(struct py_fork *fork)
{
	close_end(&fork->settled);
	close_end(&fork->unsettled);
	if (fork->word)
		munmap((void *)(uintptr_t)fork->word, sizeof *fork->word);
	PyMem_RawFree(fork);
}

/* NULL with an exception. */
static struct py_fork *new_fork(uint64_t number)
{
	struct py_fork *fork = PyMem_RawCalloc(1, sizeof *fork);
	if (fork && !open_pipe(fork) && !map_word(fork)) {
		free_fork(fork);
		fork = NULL;
	}
	if (!fork) {
		PyErr_NoMemory();
		return NULL;
	}
	fork->number = number;
	fork->thread = PyThread_get_thread_ident();
	fork->going_on = true;
	return fork;
}

static void append_fork(struct py_forks *forks, struct py_fork *fork)
{
	struct py_fork **link = &forks->unsettled;
	while (*link)
		link = &(*link)->next;
	*link = fork;
}

/* The fork that the calling thread is in the hooks of, or NULL. */
static struct py_fork *own_fork(const struct py_forks *forks)
{
	struct py_fork *fork = forks->unsettled;
	while (fork && !(fork->going_on && fork->thread == PyThread_get_thread_ident()))
		fork = fork->next;
	return fork;
}

/* Waits up to `time` ms. */
static bool has_settled(const struct py_fork *fork, int time)
{
	struct pollfd poller = {.fd = fork->settled, .events = POLLIN}; /* -1: only the time passes */
	if (!fork->word)
		return poll(&poller, 1, time) > 0;
	if (time > 0)
		poll(&poller, 1, WORD_STEP);
	return atomic_load_explicit(fork->word, memory_order_acquire) != 0;
}

/* --- settling ----------------------------------------------------------------------------------------------- */

static void forget_settled(struct py_forks *forks)
{
	for (struct py_fork **link = &forks->unsettled; *link;) {
		struct py_fork *fork = *link;
		if (fork->going_on || fork->waiters || !has_settled(fork, 0)) {
			link = &fork->next;
			continue;
		}
		*link = fork->next;
		free_fork(fork);
	}
}

/* Those that no unsettled fork may still want. */
static void close_leftovers(struct py_forks *forks)
{
	while (forks->leftovers) {
		/* Anew each time: closing may wait, and then lets other threads run, which may fork. */
		uint64_t oldest = forks->deaf ? 0 : forks->unsettled ? forks->unsettled->number : UINT64_MAX;
		struct py_leftover *leftover = forks->leftovers;
		if (leftover->number >= oldest)
			return;
		forks->leftovers = leftover->next; /* off the list first */
		leftover->close(leftover->object);
		PyMem_RawFree(leftover);
	}
}

static void settle(struct py_forks *forks)
{
	forget_settled(forks);
	close_leftovers(forks);
}

bool py_settle_forks(struct py_state *state)
{
	if (state->forks.unsettled || state->forks.leftovers)
		settle(&state->forks);
	return state->forks.leftovers != NULL;
}

static struct py_fork *next_to_wait_for(const struct py_forks *forks)
{
	struct py_fork *fork = forks->unsettled;
	while (fork && (fork->going_on || fork->late))
		fork = fork->next;
	return fork;
}

/* Waits for those that have left their hooks behind in the parent. Other threads may fork, drop and settle meanwhile. */
static void await_forks(struct py_forks *forks)
{
	struct py_fork *fork;
	int64_t end = milliseconds() + PATIENCE;
	while ((fork = next_to_wait_for(forks)) != NULL) {
		int64_t left = end - milliseconds();
		bool settled;
		fork->waiters++; /* so it stays */
		Py_BEGIN_ALLOW_THREADS;
		settled = has_settled(fork, left > 0 ? (int)left : 0);
		Py_END_ALLOW_THREADS;
		fork->waiters--;
		fork->late = !settled && left <= 0;
		settle(forks);
	}
}

/* Without memory for it the object is kept until this process ends. */
static void leave_over(struct py_forks *forks, void (*close)(void *object), void *object)
{
	struct py_leftover **link = &forks->leftovers;
	struct py_leftover *leftover = PyMem_RawMalloc(sizeof *leftover);
	if (!leftover) {
		PyObject *type, *value, *traceback;
		PyErr_Fetch(&type, &value, &traceback);
		PyErr_NoMemory();
		PyErr_WriteUnraisable(NULL);
		PyErr_Restore(type, value, traceback);
		return;
	}
	*leftover = (struct py_leftover){NULL, forks->number, close, object};
	while (*link)
		link = &(*link)->next;
	*link = leftover;
}

void py_close_after_forks(struct py_state *state, void (*close)(void *object), void *object)
{
	struct py_forks *forks = &state->forks;
	py_settle_forks(state);
	if (forks->unsettled && !own_fork(forks))
		await_forks(forks);
	if (forks->unsettled || forks->deaf)
		leave_over(forks, close, object);
	else
		close(object);
}

/* --- the hooks ---------------------------------------------------------------------------------------------- */

/* An exception is reported by sys.unraisablehook: a hook cannot refuse a fork. */
static PyObject *before_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_state *state = py_state_of_module(module);
	struct py_forks *forks = &state->forks;
	py_settle_forks(state);
	forks->number++;
	if (!state->first)
		Py_RETURN_NONE;
	struct py_fork *fork = new_fork(forks->number);
	if (!fork) {
		forks->deaf = true;
		return NULL;
	}
	append_fork(forks, fork);
	Py_RETURN_NONE;
}

/* Also after a fork that failed: then nobody has the other end, and it is settled at once. */
static PyObject *after_fork_in_parent(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_forks *forks = &py_state_of_module(module)->forks;
	struct py_fork *fork = own_fork(forks);
	if (fork) {
		close_end(&fork->unsettled);
		fork->going_on = false;
	}
	if (forks->leftovers) /* dropped while the fork was going on */
		await_forks(forks);
	Py_RETURN_NONE;
}

/*
 * An object that cannot be held now says so at its first use. One that was closed while another thread was inside
 * goes now: that thread is not here.
 */
static void take_hold(struct py_state *state)
{
	for (struct py_shared *next, *shared = state->first; shared; shared = next) {
		next = shared->next;
		if (shared->closed && !shared->users) {
			py_shared_close((PyObject *)shared);
			continue;
		}
		tutti_renew(shared->object);
		if (shared->kind->after_fork)
			shared->kind->after_fork((PyObject *)shared);
	}
}

/* The parent's forks and leftovers are none of the child's: those it has not taken hold of. Returns its own fork. */
static struct py_fork *forget_parent(struct py_forks *forks)
{
	struct py_fork *own = own_fork(forks), *fork;
	struct py_leftover *leftover;
	while ((fork = forks->unsettled) != NULL) {
		forks->unsettled = fork->next;
		if (fork != own)
			free_fork(fork);
	}
	while ((leftover = forks->leftovers) != NULL) {
		forks->leftovers = leftover->next;
		leftover->close(leftover->object);
		PyMem_RawFree(leftover);
	}
	forks->deaf = false;
	return own;
}

static PyObject *after_fork_in_child(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_state *state = py_state_of_module(module);
	struct py_fork *own = forget_parent(&state->forks);
	py_forget_calls(state);
	take_hold(state);
	if (own && own->word)
		atomic_store_explicit(own->word, 1, memory_order_release); /* the parent sees our holds */
	if (own)
		free_fork(own);
	Py_RETURN_NONE;
}

static PyObject *settle_forks(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_forks *forks = &py_state_of_module(module)->forks;
	size_t count = 0;
	settle(forks);
	for (struct py_fork *fork = forks->unsettled; fork; fork = fork->next)
		count++;
	for (struct py_leftover *leftover = forks->leftovers; leftover; leftover = leftover->next)
		count++;
	return PyLong_FromSize_t(count);
}

static PyMethodDef hooks[] = {
	{"_before_fork", before_fork, METH_NOARGS, NULL},
	{"_after_fork_in_parent", after_fork_in_parent, METH_NOARGS, NULL},
	{"_after_fork_in_child", after_fork_in_child, METH_NOARGS, NULL},
	{"_settle_forks", settle_forks, METH_NOARGS,
     "Closes what settled forks have left over; how many forks and leftovers there still are."},
	{NULL},
};

/* os.register_at_fork(before=..., after_in_parent=..., after_in_child=...) */
static int register_hooks(PyObject *module)
{
	int rc = -1;
	PyObject *os = PyImport_ImportModule("os");
	PyObject *function = os ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
	PyObject *empty = PyTuple_New(0), *keywords = PyDict_New();
	static const char *const names[] = {"before", "after_in_parent", "after_in_child"};
	for (size_t i = 0; i < 3 && keywords; i++) {
		PyObject *hook = PyObject_GetAttrString(module, hooks[i].ml_name);
		if (!hook || PyDict_SetItemString(keywords, names[i], hook) < 0)
			Py_CLEAR(keywords);
		Py_XDECREF(hook);
	}
	PyObject *result = function && empty && keywords ? PyObject_Call(function, empty, keywords) : NULL;
	rc = result ? 0 : -1;
	Py_XDECREF(result);
	Py_XDECREF(keywords);
	Py_XDECREF(empty);
	Py_XDECREF(function);
	Py_XDECREF(os);
	return rc;
}

int py_add_forks(PyObject *module) { return PyModule_AddFunctions(module, hooks) < 0 ? -1 : register_hooks(module); }
