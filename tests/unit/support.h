/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: a time limit for each test, children that never outlive
 * it, waiting for a condition with a deadline, and memory outside the arena in which
 * processes report.
 *
 * cmocka's assertions jump back into the runner: a child must not use them. It uses
 * REQUIRE, which prints and ends the child; in the test's own process it fails the test.
 * Other threads than the test's use REQUIRE too: there it ends the process.
 */
#ifndef TUTTI_TESTS_UNIT_SUPPORT_H
#define TUTTI_TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>

#include <tutti/tutti.h>

#include "arena/context.h"

enum { SUPPORT_TEST_SECONDS = 20 };

#define KIBIBYTE ((size_t)1024)
#define MEBIBYTE ((size_t)1024 * 1024)

/*
 * Runs the tests, each in a process of its own and with a time limit; what a test leaves behind (children,
 * descriptors) fails it. With an argument, `test_lock NAME`, that one alone.
 */
#define RUN_TESTS(tests) support_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]), argc > 1 ? argv[1] : NULL)
#define TEST(function) cmocka_unit_test_setup_teardown(function, support_setup, support_teardown)
int support_run(const char *group, const struct CMUnitTest *tests, size_t count, const char *only);
int support_setup(void **state);
int support_teardown(void **state);

/* Fails the test, or ends the child, with the text. */
_Noreturn void support_fail(const char *file, int line, const char *text);
#define REQUIRE(condition) ((condition) ? (void)0 : support_fail(__FILE__, __LINE__, #condition))

/* The call must answer `expected`; if not, both names and the error text are shown. */
void support_expect(const char *file, int line, const char *call, tutti_err expected, tutti_err got);
#define EXPECT(expected, call) support_expect(__FILE__, __LINE__, #call, expected, call)
#define OK(call) EXPECT(TUTTI_OK, call)
/* The same, and the error text must contain `text`. */
#define EXPECT_TEXT(expected, text, call) (EXPECT(expected, call), support_expect_text(__FILE__, __LINE__, text))
void support_expect_text(const char *file, int line, const char *text);

/* Looks at the condition until it holds; fails after `milliseconds`. */
#define UNTIL(milliseconds, condition)                                                                                 \
	for (int64_t support_end = support_now() + (milliseconds)*1000000LL; !(condition);)                                \
	(support_now() < support_end) ? support_pause() : support_fail(__FILE__, __LINE__, "not in time: " #condition)
int64_t support_now(void);
int64_t support_cpu_time(void); /* of this process, in ns: also on a busy machine what the work takes */
void support_pause(void);

/* The queue of a handle has this number in it, and now has it no more. */
void support_take_number(tutti_arena *arena, tutti_handle queue, uint64_t expected);

/* An arena of its own that may touch `max_bytes` (0: the default). */
tutti_arena *support_arena(uint64_t max_bytes);
/* Closes it; it must be as empty as it was, once the dead are looked after, and nobody else be in it. */
void support_end_arena(tutti_arena *arena);
/* Another member of it in this process. */
tutti_arena *support_join(tutti_arena *arena);

/* Runs the function in a forked child, which then exits cleanly with 0, or with 1 if a REQUIRE failed. */
pid_t support_fork(void (*function)(void *context), void *context);
/* Waits for the child's end (10 seconds at most) and gives its wait status. */
int support_wait(pid_t pid);
/* Waits for it; it must have exited with 0. */
void support_join_child(pid_t pid);
/* SIGKILL, and waits for its end. */
void support_kill(pid_t pid);
/* Stops the child with SIGSTOP and waits until it is stopped. */
void support_stop(pid_t pid);
/* True if the process sleeps in the kernel (state S or D). */
bool support_is_asleep(pid_t pid);
/* True if the thread of this process does. */
bool support_thread_is_asleep(pid_t thread);
/* Waits for ever: what a child does that is to be killed. */
_Noreturn void support_pause_forever(void);

/* Zeroed memory outside the arena that forked children share. Unmapped at the end of the test. */
void *support_shared(size_t size);

/* How many descriptors are open in this process. */
unsigned support_descriptors(void);
/* True if a process maps or has open a memory file whose name contains `name`. */
bool support_memory_file_exists(const char *name);

/* Bytes that depend on `seed`, and a check of them. */
void support_fill(void *data, size_t size, uint64_t seed);
bool support_is_filled(const void *data, size_t size, uint64_t seed);

/* True under a sanitizer that makes everything many times slower. */
bool support_is_slow(void);
/* True under ThreadSanitizer, which cannot follow threads into a forked child. */
bool support_has_thread_sanitizer(void);

#endif
