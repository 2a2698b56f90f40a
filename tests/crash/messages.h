/* SPDX-License-Identifier: MIT */
/* Messages that can be told apart: each has an id, and all its bytes follow from it. */
#ifndef TUTTI_TESTS_CRASH_MESSAGES_H
#define TUTTI_TESTS_CRASH_MESSAGES_H

#include "ring.h"

enum { PROBE = 1000000, LARGEST = 1 << 17 };

/* Fills in the bytes of message `id`. */
void message_write(unsigned char *bytes, size_t size, unsigned id);
/* The id; a message whose bytes do not all belong to it is a finding. At least 8 bytes. */
unsigned message_read(const unsigned char *bytes, size_t size);

tutti_err message_put(tutti_queue *queue, size_t size, unsigned id, tutti_time timeout);
/* The same, now, with a handle that the message carries. */
tutti_err message_put_with(tutti_queue *queue, size_t size, unsigned id, tutti_handle handle);

/*
 * K2: takes all messages out and compares them with what the operation may have left: ids [first, last) without gap,
 * where `first` says how many the victim took and `last` how many it put. Sets board->outcome to their sum. With
 * `probe` the survivor has put one more, which comes last.
 */
void messages_check(struct stage *stage, bool probe);

/* The probe comes out, and nothing else. */
void messages_check_probe(tutti_queue *queue);

/* The queue works as if nothing had happened: messages of all sizes go in and come out. */
void messages_use(tutti_queue *queue);

#endif
