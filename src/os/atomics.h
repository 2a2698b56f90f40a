/* SPDX-License-Identifier: MIT */
/*
 * Atomics by the name of their order, so that no access is sequentially consistent
 * by accident. A death counts as an observer too: what a killed process stored with
 * release order (or earlier in its program) is what recovery finds.
 */
#ifndef TUTTI_OS_ATOMICS_H
#define TUTTI_OS_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint8_t atomic_u8;
typedef _Atomic uint32_t atomic_u32;
typedef _Atomic uint64_t atomic_u64;

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define fetch_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)

static inline bool cas_u32(atomic_u32 *word, uint32_t expected, uint32_t desired)
{
	return atomic_compare_exchange_strong_explicit(word, &expected, desired, memory_order_acq_rel,
	                                               memory_order_acquire);
}

static inline bool cas_u64(atomic_u64 *word, uint64_t expected, uint64_t desired)
{
	return atomic_compare_exchange_strong_explicit(word, &expected, desired, memory_order_acq_rel,
	                                               memory_order_acquire);
}

/*
 * Orders an earlier read-modify-write before a later load (the store-then-look half of
 * a wake-up). A locked instruction of x86 is a full barrier already.
 */
static inline void fence_after_rmw(void)
{
#if defined(__x86_64__)
	atomic_signal_fence(memory_order_seq_cst);
#else
	fence_seq_cst();
#endif
}

static inline void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#endif
}

enum { CACHE_LINE = 64 };

/* Asks for the cache lines of [from, to) early: to be read, or to be written. A hint: any address will do. */
static inline void prefetch_to_read(const unsigned char *from, const unsigned char *to)
{
	for (; from < to; from += CACHE_LINE)
		__builtin_prefetch(from, 0);
}

static inline void prefetch_to_write(const unsigned char *from, const unsigned char *to)
{
	for (; from < to; from += CACHE_LINE)
#if defined(__x86_64__)
		__asm__ __volatile__("prefetchw %0" : : "m"(*from)); /* the compiler's own would ask for reading only */
#else
		__builtin_prefetch(from, 1);
#endif
}

static inline void prefetch_line_to_read(const void *place)
{
	prefetch_to_read(place, (const unsigned char *)place + 1);
}
static inline void prefetch_line_to_write(const void *place)
{
	prefetch_to_write(place, (const unsigned char *)place + 1);
}

/* For a look at memory that may be reused at this moment, whose answer is checked later. */
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
/* clang's no_sanitize spares no atomics, and the other attribute is lost where the function is inlined. */
#define NO_THREAD_SANITIZER __attribute__((disable_sanitizer_instrumentation)) INLINE_UNLESS_SANITIZED
#if __has_feature(thread_sanitizer)
#define INLINE_UNLESS_SANITIZED __attribute__((noinline))
#else
#define INLINE_UNLESS_SANITIZED
#endif
#else
#define NO_THREAD_SANITIZER __attribute__((no_sanitize("thread")))
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* For steps that are the same in a common case, at whose call the compiler knows most of what they decide, and in all. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
/*
 * The way of a message past a sleep. Such functions lie together: after a sleep neither code nor page tables are in
 * the caches, and each further page costs about half a microsecond.
 */
#define HOT __attribute__((hot))

#endif
