/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

static void names_come_from_the_table(void **state)
{
	(void)state;
	assert_string_equal(tutti_error_name(TUTTI_OK), "TUTTI_OK");
	assert_string_equal(tutti_error_name(TUTTI_ENOMEM), "TUTTI_ENOMEM");
	assert_string_equal(tutti_error_name(TUTTI_EDESCRIPTORS), "TUTTI_EDESCRIPTORS");
	assert_string_equal(tutti_error_text(TUTTI_OK), "success");
}

static void every_code_has_a_name_and_a_text_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < TUTTI_ERROR_COUNT; i++) {
		assert_memory_equal(tutti_error_name((tutti_err)i), "TUTTI_", 6);
		assert_true(strlen(tutti_error_text((tutti_err)i)) > 3);
		for (int j = 0; j < i; j++) {
			assert_string_not_equal(tutti_error_name((tutti_err)i), tutti_error_name((tutti_err)j));
			assert_string_not_equal(tutti_error_text((tutti_err)i), tutti_error_text((tutti_err)j));
		}
	}
}

static void codes_outside_the_table_are_named_too(void **state)
{
	(void)state;
	assert_non_null(tutti_error_name((tutti_err)-1));
	assert_non_null(tutti_error_name(TUTTI_ERROR_COUNT));
	assert_non_null(tutti_error_text((tutti_err)-1));
	assert_non_null(tutti_error_text((tutti_err)100000));
}

/* Codes are ABI: a program that was compiled before must go on to mean the same. */
static void codes_keep_their_numbers(void **state)
{
	(void)state;
	assert_int_equal(TUTTI_OK, 0);
	assert_int_equal(TUTTI_ETIMEDOUT, 3);
	assert_int_equal(TUTTI_EOWNERDEAD, 7);
	assert_int_equal(TUTTI_ESTALE, 12);
	assert_int_equal(TUTTI_EDESCRIPTORS, 27);
}

static void the_last_text_is_the_last_failures(void **state)
{
	(void)state;
	assert_int_equal(tutti__fail(TUTTI_EINVAL, "thing %d is %s", 7, "odd"), TUTTI_EINVAL);
	assert_string_equal(tutti_last_error(), "thing 7 is odd");
	assert_int_equal(tutti__fail_plain(TUTTI_EEMPTY, "plain"), TUTTI_EEMPTY);
	assert_string_equal(tutti_last_error(), "plain");
	tutti__fail(TUTTI_EINVAL, "formatted again");
	assert_string_equal(tutti_last_error(), "formatted again");
}

static void a_long_text_is_cut_not_overrun(void **state)
{
	char text[4096];
	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	tutti__fail(TUTTI_EINVAL, "%s", text);
	assert_in_range(strlen(tutti_last_error()), 100, 4000);
}

static void system_errors_are_wrapped_not_lost(void **state)
{
	(void)state;
	assert_int_equal(tutti__fail_system(ENOTDIR, "cannot open the thing"), TUTTI_ESYSTEM);
	assert_non_null(strstr(tutti_last_error(), "cannot open the thing"));
	assert_non_null(strstr(tutti_last_error(), strerror(ENOTDIR)));
	assert_int_equal(tutti__fail_system(EMFILE, "cannot open it"), TUTTI_EDESCRIPTORS);
	assert_non_null(strstr(tutti_last_error(), "ulimit -n"));
	assert_int_equal(tutti__fail_system(ENFILE, "cannot open it"), TUTTI_EDESCRIPTORS);
}

static void *fail_in_thread(void *context)
{
	REQUIRE(strcmp(tutti_last_error(), "") == 0);
	tutti__fail(TUTTI_EINVAL, "of the thread %d", *(int *)context);
	REQUIRE(strcmp(tutti_last_error(), "of the thread 3") == 0);
	return NULL;
}

static void each_thread_has_its_own_text(void **state)
{
	pthread_t thread;
	int number = 3;
	(void)state;
	tutti__fail(TUTTI_EINVAL, "of the test");
	assert_int_equal(pthread_create(&thread, NULL, fail_in_thread, &number), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(tutti_last_error(), "of the test");
}

/* In a child whose stderr is a pipe. */
static void print_fatal(void *context)
{
	REQUIRE(dup2(((int *)context)[1], STDERR_FILENO) == STDERR_FILENO);
	REQUIRE(tutti_fatal(TUTTI_OK) == 0);
	tutti__fail(TUTTI_EINVAL, "the very reason");
	REQUIRE(tutti_fatal(TUTTI_EINVAL) == 1);
}

static void fatal_prints_program_and_reason(void **state)
{
	int ends[2];
	char text[256] = "";
	(void)state;
	assert_int_equal(pipe(ends), 0);
	support_join_child(support_fork(print_fatal, ends));
	close(ends[1]);
	assert_true(read(ends[0], text, sizeof text - 1) > 0);
	close(ends[0]);
	assert_string_equal(text + strlen(tutti__program_name()), ": the very reason\n");
}

static void the_version_is_the_headers(void **state)
{
	(void)state;
	assert_string_equal(tutti_version(), TUTTI_VERSION_TEXT);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest error[] = {
		TEST(names_come_from_the_table),
		TEST(every_code_has_a_name_and_a_text_of_its_own),
		TEST(codes_outside_the_table_are_named_too),
		TEST(codes_keep_their_numbers),
		TEST(the_last_text_is_the_last_failures),
		TEST(a_long_text_is_cut_not_overrun),
		TEST(system_errors_are_wrapped_not_lost),
		TEST(each_thread_has_its_own_text),
		TEST(fatal_prints_program_and_reason),
		TEST(the_version_is_the_headers),
	};
	return RUN_TESTS(error);
}
