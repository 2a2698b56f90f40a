/* SPDX-License-Identifier: MIT */
/*
 * The arenas of this process, for the package's own use: how a started process joins one, and how
 * it says that it ends.
 */
#include <string.h>
#include <unistd.h>

#include "errors.h"

/* The arena of a handle (16 bytes), or the default one for None. */
static tutti_err find_arena(PyObject *bytes, tutti_arena **arena)
{
	tutti_handle handle;
	if (bytes == Py_None)
		return tutti_arena_default(arena);
	memset(&handle, 0, sizeof handle);
	if (PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == sizeof handle)
		memcpy(&handle, PyBytes_AS_STRING(bytes), sizeof handle);
	return tutti_arena_join_handle(arena, handle, NULL);
}

static PyObject *descriptor(PyObject *module, PyObject *handle)
{
	tutti_arena *arena;
	tutti_err err = find_arena(handle, &arena);
	return err ? py_raise(py_state_of_module(module), err) : PyLong_FromLong(tutti_arena_fd(arena));
}

static PyObject *is_member(PyObject *Py_UNUSED(module), PyObject *bytes)
{
	tutti_handle handle;
	if (!PyBytes_Check(bytes) || PyBytes_GET_SIZE(bytes) != sizeof handle) {
		PyErr_SetString(PyExc_TypeError, "a handle is a bytes object of 16 bytes");
		return NULL;
	}
	memcpy(&handle, PyBytes_AS_STRING(bytes), sizeof handle);
	return PyBool_FromLong(tutti_arena_of(handle) != NULL);
}

static PyObject *join(PyObject *module, PyObject *argument)
{
	tutti_arena *arena;
	int fd = PyObject_AsFileDescriptor(argument);
	if (fd < 0)
		return NULL;
	tutti_err err = tutti_arena_join_fd(&arena, fd, NULL);
	if (err)
		return py_raise(py_state_of_module(module), err);
	tutti_arena_adopt(arena); /* if not, it is a second arena: its objects are found by their handles */
	Py_RETURN_NONE;
}

static PyObject *leave(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	tutti_leave();
	Py_RETURN_NONE;
}

static PyObject *usage(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	tutti_arena *arena;
	tutti_arena_usage usage;
	tutti_err err = tutti_arena_default(&arena);
	if (!err)
		err = tutti_arena_usage_read(arena, &usage);
	if (err)
		return py_raise(py_state_of_module(module), err);
	return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "max_bytes", (unsigned long long)usage.max_bytes, "touched_bytes",
	                     (unsigned long long)usage.touched_bytes, "live_blocks", (unsigned long long)usage.live_blocks,
	                     "live_bytes", (unsigned long long)usage.live_bytes, "members",
	                     (unsigned long long)usage.members);
}

static PyObject *sweep(PyObject *module, PyObject *Py_UNUSED(ignored))
{
	tutti_arena *arena;
	unsigned count = 0;
	tutti_err err = tutti_arena_default(&arena);
	if (err)
		return py_raise(py_state_of_module(module), err);
	Py_BEGIN_ALLOW_THREADS;
	count = tutti_arena_sweep(arena);
	Py_END_ALLOW_THREADS;
	return PyLong_FromUnsignedLong(count);
}

static PyMethodDef functions[] = {
	{"_arena_descriptor", descriptor, METH_O,
     "The memory file's descriptor; of a handle's arena, or of the default one (None)."},
	{"_is_member", is_member, METH_O, "Whether this process is a member of the arena of a handle."},
	{"_join", join, METH_O, "Joins an arena by a descriptor, which stays the caller's."},
	{"_leave", leave, METH_NOARGS, "Announces that this process is about to end cleanly."},
	{"_arena_usage", usage, METH_NOARGS, "What is in use in the default arena, by counting."},
	{"_arena_sweep", sweep, METH_NOARGS, "Recovers dead members now; how many there were."},
	{NULL},
};

int py_add_arena(PyObject *module) { return PyModule_AddFunctions(module, functions); }
