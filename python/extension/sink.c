/* SPDX-License-Identifier: MIT */
/*
 * What a pickler writes to: it keeps the pieces as they come, without copying them, and says which
 * buffers stay out of the pickle.
 */
#include "sink.h"

static PyObject *sink_write(PyObject *object, PyObject *data)
{
	struct sink *sink = (struct sink *)object;
	PyObject *piece = PyBytes_CheckExact(data) ? Py_NewRef(data) : PyMemoryView_FromObject(data);
	if (!piece)
		return NULL;
	int result = objects_append(&sink->pieces, piece);
	Py_DECREF(piece);
	if (result < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* pickle asks for each buffer; false: it travels beside the pickle. */
static PyObject *sink_offer(PyObject *object, PyObject *buffer)
{
	struct sink *sink = (struct sink *)object;
	const Py_buffer *view = PyPickleBuffer_GetBuffer(buffer);
	if (!view)
		return NULL;
	if (view->len < OUT_OF_BAND || !PyBuffer_IsContiguous(view, 'A')) {
		sink->kept_some = true;
		Py_RETURN_TRUE;
	}
	if (objects_append(&sink->buffers, buffer) < 0)
		return NULL;
	Py_RETURN_FALSE;
}

tutti_view sink_piece(PyObject *piece)
{
	if (PyBytes_CheckExact(piece))
		return (tutti_view){PyBytes_AS_STRING(piece), (size_t)PyBytes_GET_SIZE(piece)};
	const Py_buffer *view = PyMemoryView_GET_BUFFER(piece);
	return (tutti_view){view->buf, (size_t)view->len};
}

void sink_clear(struct sink *sink)
{
	objects_clear(&sink->pieces);
	objects_clear(&sink->buffers);
	sink->kept_some = false;
}

static int sink_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct sink *sink = (struct sink *)object;
	Py_VISIT(Py_TYPE(object));
	for (size_t i = 0; i < sink->pieces.count; i++)
		Py_VISIT(sink->pieces.items[i]);
	for (size_t i = 0; i < sink->buffers.count; i++)
		Py_VISIT(sink->buffers.items[i]);
	return 0;
}

static int sink_tp_clear(PyObject *object)
{
	sink_clear((struct sink *)object);
	return 0;
}

static void sink_dealloc(PyObject *object)
{
	struct sink *sink = (struct sink *)object;
	PyTypeObject *type = Py_TYPE(object);
	PyObject_GC_UnTrack(object);
	objects_free(&sink->pieces);
	objects_free(&sink->buffers);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef sink_methods[] = {
	{"write", sink_write, METH_O, "write($self, data, /)\n--\n\nKeeps a piece of the pickle."},
	{"offer", sink_offer, METH_O, "offer($self, buffer, /)\n--\n\nKeeps a buffer if it is large; else true."},
	{0},
};

static PyType_Slot sink_slots[] = {
	{Py_tp_methods, sink_methods},
	{Py_tp_traverse, sink_traverse},
	{Py_tp_clear, sink_tp_clear},
	{Py_tp_dealloc, sink_dealloc},
	{0},
};

PyType_Spec sink_spec = {
	.name = "tutti._tutti._Sink",
	.basicsize = sizeof(struct sink),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = sink_slots,
};
