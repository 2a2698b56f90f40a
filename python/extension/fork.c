/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared.h"

/* Room for one more. Lists are short: a fork settles within a millisecond. */
static void *grown(void *list, size_t count, size_t size)
{
	void *larger = realloc(list, (count + 1) * size);
	if (!larger)
		Py_FatalError("tutti: no memory for the list of forks");
	return larger;
}

static int has_settled(const struct py_fork *fork)
{
	struct pollfd poller = {.fd = fork->settled, .events = POLLIN};
	return poll(&poller, 1, 0) > 0;
}

static void forget_settled(struct py_forks *forks)
{
	size_t kept = 0;
	for (size_t i = 0; i < forks->unsettled_count; i++) {
		if (has_settled(&forks->unsettled[i]))
			close(forks->unsettled[i].settled);
		else
			forks->unsettled[kept++] = forks->unsettled[i];
	}
	forks->unsettled_count = kept;
}

/* Those that no unsettled fork may still want. */
static void close_leftovers(struct py_forks *forks)
{
	while (forks->leftover_count &&
	       (forks->unsettled_count == 0 || forks->leftovers[0].number < forks->unsettled[0].number)) {
		struct py_leftover first = forks->leftovers[0];
		/* Off the list first: closing may wait, and then lets other threads run. */
		forks->leftover_count--;
		memmove(forks->leftovers, forks->leftovers + 1, forks->leftover_count * sizeof first);
		first.close(first.object);
	}
}

static void settle(struct py_forks *forks)
{
	if (forks->unsettled_count)
		forget_settled(forks);
	if (forks->leftover_count)
		close_leftovers(forks);
}

int py_settle_forks(struct py_state *state)
{
	settle(&state->forks);
	return state->forks.leftover_count > 0;
}

void py_close_after_forks(struct py_state *state, void (*close)(void *object), void *object)
{
	struct py_forks *forks = &state->forks;
	settle(forks);
	if (forks->unsettled_count == 0) {
		close(object);
		return;
	}
	forks->leftovers = grown(forks->leftovers, forks->leftover_count, sizeof *forks->leftovers);
	forks->leftovers[forks->leftover_count++] = (struct py_leftover){forks->number, close, object};
}

/* --- the hooks ---------------------------------------------------------------------------------------------- */

static PyObject *before_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_state *state = py_state_of_module(module);
	settle(&state->forks);
	state->forks.number++;
	state->forks.forking = state->first && pipe2(state->forks.pipe, O_CLOEXEC) == 0;
	Py_RETURN_NONE;
}

/* Also after a fork that failed: then nobody has the other end, and it is settled at once. */
static PyObject *after_fork_in_parent(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_forks *forks = &py_state_of_module(module)->forks;
	if (forks->forking) {
		close(forks->pipe[1]);
		forks->unsettled = grown(forks->unsettled, forks->unsettled_count, sizeof *forks->unsettled);
		forks->unsettled[forks->unsettled_count++] = (struct py_fork){forks->number, forks->pipe[0]};
		forks->forking = 0;
	}
	Py_RETURN_NONE;
}

/* An object that cannot be held now says so at its first use. */
static void take_hold(struct py_state *state)
{
	for (struct py_shared *shared = state->first; shared; shared = shared->next) {
		tutti_renew(shared->object);
		if (shared->kind->after_fork)
			shared->kind->after_fork((PyObject *)shared);
	}
}

/* The parent's forks and leftovers are none of the child's: those it has not taken hold of. */
static void forget_parent(struct py_forks *forks)
{
	for (size_t i = 0; i < forks->unsettled_count; i++)
		close(forks->unsettled[i].settled);
	for (size_t i = 0; i < forks->leftover_count; i++)
		forks->leftovers[i].close(forks->leftovers[i].object);
	forks->unsettled_count = forks->leftover_count = 0;
}

static PyObject *after_fork_in_child(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_state *state = py_state_of_module(module);
	forget_parent(&state->forks);
	take_hold(state);
	if (state->forks.forking) {
		close(state->forks.pipe[0]);
		close(state->forks.pipe[1]);
		state->forks.forking = 0;
	}
	Py_RETURN_NONE;
}

static PyObject *settle_forks(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	struct py_forks *forks = &py_state_of_module(module)->forks;
	settle(forks);
	return PyLong_FromSize_t(forks->unsettled_count + forks->leftover_count);
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
