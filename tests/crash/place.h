/* SPDX-License-Identifier: MIT */
/* Names an address of this program for a reader: function and line where addr2line can tell, else the bare offset. */
#ifndef TUTTI_TESTS_CRASH_PLACE_H
#define TUTTI_TESTS_CRASH_PLACE_H

#include <stddef.h>
#include <stdint.h>

void place_name(uint64_t address, char *text, size_t size);

#endif
