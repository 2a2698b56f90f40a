/* SPDX-License-Identifier: MIT */
/*
 * What every other header needs: export macro, version, time, views and handles.
 */
#ifndef TUTTI_BASE_H
#define TUTTI_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TUTTI_VERSION_MAJOR 0
#define TUTTI_VERSION_MINOR 1
#define TUTTI_VERSION_PATCH 0
#define TUTTI_VERSION_TEXT "0.1.0"

#if defined(__GNUC__)
#define TUTTI_API __attribute__((visibility("default")))
#define TUTTI_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define TUTTI_API
#define TUTTI_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A length of time in nanoseconds, measured on the monotonic clock. */
typedef int64_t tutti_time;

#define TUTTI_FOREVER INT64_MAX /* wait without limit */
#define TUTTI_NOW ((tutti_time)0) /* do not wait: answer at once */

static inline tutti_time tutti_us(int64_t microseconds) { return microseconds * 1000; }
static inline tutti_time tutti_ms(int64_t milliseconds) { return milliseconds * 1000000; }
static inline tutti_time tutti_seconds(double seconds) { return (tutti_time)(seconds * 1e9); }

/* Bytes that somebody else owns: valid as long as their owner says. */
typedef struct tutti_view {
	const void *data;
	size_t size; /* bytes */
} tutti_view;

/*
 * The name of a shared object: a plain value of 16 bytes that may be put into a
 * message, a file or an environment variable, and that opens the object in any
 * member of its arena. It holds no reference: an object whose last handle was
 * closed is gone, and opening it answers TUTTI_ESTALE.
 */
typedef struct tutti_handle {
	uint32_t arena;
	uint32_t generation;
	uint64_t offset;
} tutti_handle;

/* The version of the library that runs, as "major.minor.patch". */
TUTTI_API const char *tutti_version(void);

#ifdef __cplusplus
}
#endif

#endif
