/* SPDX-License-Identifier: MIT */
#include "functions.h"

static bool is_current(const struct named_function *named)
{
	return !named->namespace || PyDict_GetItem(named->namespace, named->name) == named->function;
}

Py_ssize_t functions_find(struct functions *functions, PyObject *function)
{
	size_t found = functions->last;
	if (found >= functions->count || functions->items[found].function != function)
		for (found = 0; found < functions->count && functions->items[found].function != function;)
			found++;
	if (found == functions->count || !is_current(&functions->items[found]))
		return -1;
	functions->last = found;
	return (Py_ssize_t)found;
}

PyObject *functions_get(const struct functions *functions, size_t number)
{
	if (number >= functions->count || !functions->items[number].function || !is_current(&functions->items[number]))
		return NULL;
	return functions->items[number].function;
}

static bool may_have_name(PyObject *function)
{
	return PyFunction_Check(function) || PyType_Check(function) || PyCFunction_Check(function);
}

/* A new reference to an attribute that is a string without a dot; NULL without an exception if it is not. */
static PyObject *plain_name(PyObject *function, const char *attribute)
{
	PyObject *name = PyObject_GetAttrString(function, attribute);
	if (!name)
		PyErr_Clear();
	else if (!PyUnicode_Check(name))
		Py_CLEAR(name);
	return name;
}

static bool has_dot(PyObject *name) { return PyUnicode_FindChar(name, '.', 0, PyUnicode_GET_LENGTH(name), 1) >= 0; }

/* Fills in where its module has it; leaves NULL if it is not there. The module's dict lives as long as we hold it. */
static void locate(struct py_state *state, struct named_function *named)
{
	PyObject *name = may_have_name(named->function) ? plain_name(named->function, "__qualname__") : NULL;
	PyObject *module_name = name && !has_dot(name) ? plain_name(named->function, "__module__") : NULL;
	PyObject *modules = state->messages.modules;
	PyObject *module = module_name && modules ? PyDict_GetItem(modules, module_name) : NULL;
	PyObject *namespace = module && PyModule_Check(module) ? PyModule_GetDict(module) : NULL;
	if (namespace && PyDict_GetItem(namespace, name) == named->function) {
		named->namespace = Py_NewRef(namespace);
		named->name = Py_NewRef(name);
	}
	Py_XDECREF(module_name);
	Py_XDECREF(name);
}

static void forget(struct named_function *named)
{
	Py_CLEAR(named->function);
	Py_CLEAR(named->namespace);
	Py_CLEAR(named->name);
}

int functions_is_named(struct py_state *state, PyObject *function)
{
	struct named_function named = {.function = Py_NewRef(function)};
	locate(state, &named);
	bool is_named = named.namespace != NULL;
	forget(&named);
	return is_named;
}

static int grow(struct functions *functions, size_t count)
{
	if (count <= functions->count)
		return 0;
	struct named_function *items = PyMem_Resize(functions->items, struct named_function, count);
	if (!items) {
		PyErr_NoMemory();
		return -1;
	}
	memset(items + functions->count, 0, (count - functions->count) * sizeof *items);
	functions->items = items;
	functions->count = count;
	return 0;
}

int functions_set(struct functions *functions, struct py_state *state, size_t number, PyObject *function)
{
	struct named_function named = {.function = Py_NewRef(function)};
	locate(state, &named);
	if (grow(functions, number + 1) < 0) {
		forget(&named);
		return -1;
	}
	struct named_function old = functions->items[number];
	functions->items[number] = named;
	forget(&old); /* last: it may run foreign code */
	return 0;
}

int functions_traverse(struct functions *functions, visitproc visit, void *arg)
{
	for (size_t i = 0; i < functions->count; i++) {
		Py_VISIT(functions->items[i].function);
		Py_VISIT(functions->items[i].namespace);
	}
	return 0;
}

void functions_clear(struct functions *functions)
{
	struct functions old = *functions;
	*functions = (struct functions){0};
	for (size_t i = 0; i < old.count; i++)
		forget(&old.items[i]);
	PyMem_Free(old.items);
}
