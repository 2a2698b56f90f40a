/* SPDX-License-Identifier: MIT */
/*
 * How often Python has called a method of a shared object or connection in this process. A test that is
 * meant to test Tutti, and finds that it never got here, tested something else (docs/conformance.md).
 */
#ifndef TUTTI_PYTHON_CALLS_H
#define TUTTI_PYTHON_CALLS_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint64_t py_calls;

/* Relaxed, and no read-modify-write: it orders nothing, and a lost one of two threads does not matter. */
static inline void py_count_call(void)
{
	atomic_store_explicit(&py_calls, atomic_load_explicit(&py_calls, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
