/* SPDX-License-Identifier: MIT */
/*
 * The direct form: a tree written depth first, each object as
 *
 *     tag (1 byte) | what its kind says
 *
 * tag: kind, in the low 5 bits; WIDE: the count behind it has 8 bytes instead of 1; SHARED: the
 * object may be referred to later. Shared objects are numbered in the order of their tags, also
 * tuples, lists and dicts, whose tag comes before their items.
 *
 *     NONE FALSE TRUE        nothing
 *     INT1 INT4 INT8         1, 4 or 8 bytes, signed
 *     FLOAT                  8 bytes
 *     STR1 STR2 STR4         count, then that many characters of 1, 2 or 4 bytes
 *     BYTES                  count, then that many bytes
 *     TUPLE LIST             count, then the items
 *     DICT                   count, then that many keys and values by turns
 *     INSTANCE               count of the attributes, then the class, then that many names and values by turns
 *     REFERENCE              1 byte: the number of a shared object that is complete
 *
 * A class is 1 byte: its number, in the order in which they turn up. A number that is new is followed by
 * the class's path: length (1 byte) and text of its module, length and text of its name (classes.h).
 *
 * Numbers have the byte order of the machine: an arena never leaves it.
 *
 * What is shared is what pickle would share: str, bytes, tuple, list, dict and instances, but neither numbers nor
 * the objects of which there is one only. An object that contains itself is left to pickle.
 */
#ifndef TUTTI_PYTHON_DIRECT_FORM_H
#define TUTTI_PYTHON_DIRECT_FORM_H

enum {
	DIRECT_NONE = 1,
	DIRECT_FALSE,
	DIRECT_TRUE,
	DIRECT_INT1,
	DIRECT_INT4,
	DIRECT_INT8,
	DIRECT_FLOAT,
	DIRECT_REFERENCE,
	DIRECT_STR1,
	DIRECT_STR2,
	DIRECT_STR4,
	DIRECT_BYTES,
	DIRECT_TUPLE,
	DIRECT_LIST,
	DIRECT_DICT,
	DIRECT_INSTANCE,
	DIRECT_KIND = 0x1f,
	DIRECT_WIDE = 0x40,
	DIRECT_SHARED = 0x80,
};

enum { DIRECT_MEMO = 32, DIRECT_DEPTH = 64, DIRECT_CLASSES = 8 };

#endif
