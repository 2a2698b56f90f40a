/* SPDX-License-Identifier: MIT */
/* The module tutti._tutti: multi-phase initialisation, and the state of each import. */
#include "state.h"

static int execute(PyObject *module)
{
#define ADD(name)                                                                                                      \
	if (py_add_##name(module) < 0)                                                                                     \
		return -1;
	PY_PARTS(ADD)
#undef ADD
	return PyModule_AddStringConstant(module, "__version__", tutti_version());
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
	struct py_state *state = py_state_of_module(module);
#define VISIT(field) Py_VISIT(state->field);
	PY_STATE_OBJECTS(VISIT)
#undef VISIT
	return messages_traverse(&state->messages, visit, arg);
}

static int clear(PyObject *module)
{
	struct py_state *state = py_state_of_module(module);
#define CLEAR(field) Py_CLEAR(state->field);
	PY_STATE_OBJECTS(CLEAR)
#undef CLEAR
	messages_clear(&state->messages);
	return 0;
}

static void release(void *module)
{
	clear(module);
	PyMem_RawFree(py_state_of_module(module)->calls.list);
}

/* PyType_GetModuleByDef, which 3.9 and 3.10 lack: subclasses made in Python have no module of their own. */
PyObject *py_module_of_type(PyTypeObject *type)
{
	PyObject *mro = type->tp_mro;
	for (Py_ssize_t i = 0; mro && i < PyTuple_GET_SIZE(mro); i++) {
		PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
		if (!PyType_HasFeature(base, Py_TPFLAGS_HEAPTYPE))
			continue;
		PyObject *module = ((PyHeapTypeObject *)base)->ht_module;
		if (module && PyModule_Check(module) && PyModule_GetDef(module) == &py_module)
			return module;
	}
	PyErr_Format(PyExc_TypeError, "%.200s is not a type of tutti", type->tp_name);
	return NULL;
}

int py_add_object(PyObject *module, const char *name, PyObject *value)
{
	Py_INCREF(value);
	int rc = PyModule_AddObject(module, name, value);
	if (rc < 0)
		Py_DECREF(value);
	return rc;
}

int py_add_type(PyObject *module, PyObject **type, PyType_Spec *spec, PyObject *bases)
{
	*type = PyType_FromModuleAndSpec(module, spec, bases);
	return *type ? PyModule_AddType(module, (PyTypeObject *)*type) : -1;
}

static PyModuleDef_Slot slots[] = {
	{Py_mod_exec, execute},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
	{Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
	{0, NULL},
};

struct PyModuleDef py_module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "tutti._tutti",
	.m_doc = "The C part of the package tutti.",
	.m_size = sizeof(struct py_state),
	.m_slots = slots,
	.m_traverse = traverse,
	.m_clear = clear,
	.m_free = release,
};

PyMODINIT_FUNC PyInit__tutti(void) { return PyModuleDef_Init(&py_module); }
