/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_OS_COPY_H
#define TUTTI_OS_COPY_H

#include <stddef.h>
#include <string.h>

#include "os/atomics.h"

/* Both ends of `size` bytes, by `half` each, which may overlap. `half` is a constant: no call. */
#define COPY_ENDS(half)                                                                                                \
	do {                                                                                                               \
		unsigned char low[half], high[half];                                                                           \
		memcpy(low, from, half);                                                                                       \
		memcpy(high, (const unsigned char *)from + size - (half), half);                                               \
		memcpy(to, low, half);                                                                                         \
		memcpy((unsigned char *)to + size - (half), high, half);                                                       \
	} while (0)

/*
 * memcpy, of which most is at most a cache line: those are copied in place. A call costs a small message a twentieth of
 * its time, and one that ends a sleep a page of libc that is in no cache.
 */
static ALWAYS_INLINE void copy_few(void *to, const void *from, size_t size)
{
	if (unlikely(size > 64))
		memcpy(to, from, size);
	else if (size >= 32)
		COPY_ENDS(32);
	else if (size >= 16)
		COPY_ENDS(16);
	else if (size >= 8)
		COPY_ENDS(8);
	else if (size >= 4)
		COPY_ENDS(4);
	else
		for (size_t i = 0; i < size; i++)
			((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
}

#undef COPY_ENDS

#endif
