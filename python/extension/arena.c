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

/* --- escorts: what is on its way to a process that is being started. In Python a number. ---------------------- */

static PyObject *escort_open(PyObject *module, PyObject *handle)
{
	tutti_arena *arena;
	tutti_escort escort;
	tutti_err err = find_arena(handle, &arena);
	if (!err)
		err = tutti_escort_open(&escort, arena);
	if (err)
		return py_raise(py_state_of_module(module), err);
	return PyLong_FromUnsignedLongLong((unsigned long long)escort.arena << 32 | escort.member);
}

/* For PyArg_ParseTuple. */
static int convert_escort(PyObject *number, void *result)
{
	unsigned long long value = PyLong_AsUnsignedLongLong(number);
	*(tutti_escort *)result = (tutti_escort){.arena = (uint32_t)(value >> 32), .member = (uint32_t)value};
	return !PyErr_Occurred();
}

static PyObject *escort_take(PyObject *module, PyObject *arguments)
{
	tutti_escort escort;
	tutti_handle handle;
	const char *bytes;
	Py_ssize_t size;
	if (!PyArg_ParseTuple(arguments, "O&y#:_escort_take", convert_escort, &escort, &bytes, &size))
		return NULL;
	if (size != sizeof handle)
		return PyErr_Format(PyExc_TypeError, "a handle is a bytes object of %zu bytes", sizeof handle);
	memcpy(&handle, bytes, sizeof handle);
	tutti_err err = tutti_escort_take(escort, handle);
	if (err)
		return py_raise(py_state_of_module(module), err);
	Py_RETURN_NONE;
}

static PyObject *escort_follow(PyObject *Py_UNUSED(module), PyObject *arguments)
{
	tutti_escort escort;
	int pid;
	if (!PyArg_ParseTuple(arguments, "O&i:_escort_follow", convert_escort, &escort, &pid))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	tutti_escort_follow(escort, pid);
	Py_END_ALLOW_THREADS;
	Py_RETURN_NONE;
}

static PyObject *escort_close(PyObject *Py_UNUSED(module), PyObject *number)
{
	tutti_escort escort;
	if (!convert_escort(number, &escort))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	tutti_escort_close(escort);
	Py_END_ALLOW_THREADS;
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"_arena_descriptor", descriptor, METH_O,
     "The memory file's descriptor; of a handle's arena, or of the default one (None)."},
	{"_is_member", is_member, METH_O, "Whether this process is a member of the arena of a handle."},
	{"_join", join, METH_O, "Joins an arena by a descriptor, which stays the caller's."},
	{"_leave", leave, METH_NOARGS, "Announces that this process is about to end cleanly."},
	{"_arena_usage", usage, METH_NOARGS, "What is in use in the default arena, by counting."},
	{"_arena_sweep", sweep, METH_NOARGS, "Recovers dead members now; how many there were."},
	{"_escort_open", escort_open, METH_O, "A new escort in the arena of a handle."},
	{"_escort_take", escort_take, METH_VARARGS, "(escort, handle): it holds the object."},
	{"_escort_follow", escort_follow, METH_VARARGS, "(escort, pid): it ends with that process."},
	{"_escort_close", escort_close, METH_O, "Gives back what it holds. Idempotent."},
	{NULL},
};

int py_add_arena(PyObject *module) { return PyModule_AddFunctions(module, functions); }
