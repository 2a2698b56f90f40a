/* SPDX-License-Identifier: MIT */
/*
 * Messages: Python objects as bytes in the arena, and back.
 *
 * An object travels in one of four ways, named by the message's encoding tag:
 *
 *   TUTTI_RAW            the bytes themselves (send_bytes, and what C programs put)
 *   TUTTI_PICKLE         a pickle of the interpreter's default protocol
 *   TUTTI_PYTHON         the direct form: exact None, bool, int of 64 bits, float, str, bytes, and tuples,
 *                        lists, dicts and instances of plain classes with them (encode.c, decode.c, classes.c)
 *   TUTTI_PYTHON_BUFFERS a pickle of protocol 5 beside its large buffers (pickler.c, block.c)
 *
 * The direct form is tried first and gives up at the first object that it does not know.
 *
 * All of this holds the GIL but for copies of COPY_WITHOUT_GIL bytes and more. Nothing here is
 * called under an arena latch: pickling runs foreign code, and dropping a reference may.
 */
#ifndef TUTTI_PYTHON_MESSAGES_H
#define TUTTI_PYTHON_MESSAGES_H

#include <tutti/queue.h>

#include "classes.h"
#include "compatible.h"

enum {
	OUT_OF_BAND = 64 * 1024, /* bytes from which a buffer travels beside the pickle */
	COPY_WITHOUT_GIL = 1024 * 1024,
	FAR_STRING = 16 * 1024, /* bytes from which the direct form refers to a string instead of copying it */
	FAR_STRINGS = 16,
	NEAR_BYTES = 512, /* an encoded message up to here needs no allocation */
	SPARE_PICKLERS = 4,
};

/* Owned references in an array that grows and is used again. */
struct objects {
	PyObject **items;
	size_t count, capacity;
};

/* A C pickler by its two methods, and the sink that it writes to. See pickler.c. */
struct pickler {
	PyObject *sink, *dump, *clear_memo;
};

enum pickler_kind { WITH_BUFFERS, PLAIN, PICKLER_KINDS };

/* Picklers that nobody uses at the moment. */
struct spare_picklers {
	struct pickler items[SPARE_PICKLERS];
	unsigned count;
};

/* What the module keeps for messages; part of the module's state. All zero in the beginning. */
struct messages {
	PyTypeObject *block_type, *sink_type, *reducers_type;
	PyObject *reduction; /* the module multiprocessing.reduction */
	PyObject *forking_pickler; /* its ForkingPickler at import: another one is asked to do the work itself */
	PyObject *dispatch_table; /* copyreg's; the dict is filled, never replaced */
	PyObject *reducers; /* the one instance of reducers_type */
	PyObject *pickler_class, *loads;
	PyObject *loads_keywords; /* ("buffers",) */
	PyObject *forking_pickler_name, *extra_reducers_name, *spec_name;
	PyObject *modules; /* sys.modules, if that is a dict; empty when the interpreter ends */
	long default_protocol;
	struct spare_picklers spare[PICKLER_KINDS];
	struct classes classes;
};

int messages_traverse(struct messages *messages, visitproc visit, void *arg);
void messages_clear(struct messages *messages);

/*
 * A message on its way out: parts that become one message. What they point to is kept alive by
 * `objects` (and the caller's object) until outgoing_clear().
 */
struct outgoing {
	tutti_view *parts;
	size_t count;
	size_t size; /* of all parts */
	tutti_encoding encoding;
	tutti_handle *carried; /* objects that the message keeps alive until it is decoded */
	size_t carried_count;
	/* The rest belongs to messages. */
	tutti_view near_part;
	tutti_view *own_parts;
	unsigned char *own_bytes;
	struct objects objects;
	unsigned char near_bytes[NEAR_BYTES];
};

/* A message on its way in. A small one lies in it, and needs no block of the arena. */
struct incoming {
	tutti_message message;
	_Alignas(64) unsigned char near[TUTTI_NEAR];
};

/*
 * Called by the __reduce__ of a shared object: if a message is being encoded in this thread, it will hold
 * the object until its receiver has opened it. 0, or -1 with an exception.
 */
int message_carry(tutti_handle handle);

/* Encodes. 0, or -1 with an exception that names what cannot be sent. Clear `out` in both cases. */
int message_encode(struct messages *messages, PyObject *object, struct outgoing *out);

/*
 * When that has failed with `error`, which was caught: encodes what is to travel instead. 0, or -1: with `error` if this
 * does not encode either; with the exception that is set if `replacement` is NULL. Both references are taken.
 */
int message_encode_instead(struct messages *messages, PyObject *replacement, PyObject *error, struct outgoing *out);

/* The same as a pickle of the interpreter's default protocol, whatever it is. */
int message_encode_plain(struct messages *messages, PyObject *object, struct outgoing *out);

/* The same from the bytes of any buffer, without a copy. */
int message_encode_bytes(PyObject *buffer, Py_ssize_t offset, Py_ssize_t size, struct outgoing *out);
void outgoing_clear(struct outgoing *out);

/* All of it in one piece, as bytes. NULL with an exception. */
PyObject *outgoing_bytes(const struct outgoing *out);

/* Decodes a received message and releases it, or hands it to the objects that live in it. */
PyObject *message_decode(struct messages *messages, tutti_message *message);

/* The bytes of a message of any encoding as a pickle or, if raw, as they are. Releases it. */
PyObject *message_decode_bytes(struct messages *messages, tutti_message *message);

/* encode.c: 1 done, 0 not of this form (nothing is left of the attempt), -1 with an exception. */
int direct_encode(struct messages *messages, PyObject *object, struct outgoing *out);
/* decode.c: a new reference, or NULL with an exception; safe for any bytes. */
PyObject *direct_decode(struct messages *messages, const void *data, size_t size);

/* pickler.c */
int pickler_init(struct messages *messages, PyObject *module);
int pickler_traverse(struct messages *messages, visitproc visit, void *arg);
void pickler_clear(struct messages *messages);
int pickle_encode(struct messages *messages, PyObject *object, struct outgoing *out);
int pickle_encode_plain(struct messages *messages, PyObject *object, struct outgoing *out);
PyObject *pickle_decode(struct messages *messages, const void *data, size_t size, PyObject *buffers);

/* block.c: takes the message over, always; NULL with an exception. */
int block_init(struct messages *messages, PyObject *module);
PyObject *block_decode(struct messages *messages, tutti_message *message);

/* The start of a TUTTI_PYTHON_BUFFERS message; everything is counted from the message's start. */
struct buffers_head {
	uint64_t count;
	uint64_t pickle_offset, pickle_size;
	uint64_t reserved;
	struct buffers_entry {
		uint64_t offset, size; /* 64-byte aligned */
	} entries[];
};

/* objects.c */
int objects_append(struct objects *objects, PyObject *object); /* takes a new reference */
void objects_clear(struct objects *objects); /* keeps the storage */
void objects_free(struct objects *objects);

/* Copies without the GIL if it takes long. The caller sees to it that both stay alive. */
void copy_bytes(void *to, const void *from, size_t size);

#endif
