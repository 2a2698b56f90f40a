/* SPDX-License-Identifier: MIT */
/* Error names and texts from the one table, and the thread's last error. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

enum { TEXT_SIZE = 512 };

/* Allocated on a thread's first error: a large thread-local would fill the room that dlopen has for them. */
static _Thread_local char *last_text;
static _Thread_local const char *last_plain_text; /* of the last error, if its text is a constant */
static pthread_key_t text_key;
static pthread_once_t text_once = PTHREAD_ONCE_INIT;

static void make_text_key(void) { pthread_key_create(&text_key, free); }

static const char *const names[] = {
#define ERROR_NAME(name, text) "TUTTI_" #name,
	TUTTI_ERRORS(ERROR_NAME)
#undef ERROR_NAME
};

static const char *const texts[] = {
#define ERROR_TEXT(name, text) text,
	TUTTI_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
};

const char *tutti_version(void) { return TUTTI_VERSION_TEXT; }

const char *tutti_error_name(tutti_err err) { return (unsigned)err < TUTTI_ERROR_COUNT ? names[err] : "TUTTI_UNKNOWN"; }

const char *tutti_error_text(tutti_err err)
{
	return (unsigned)err < TUTTI_ERROR_COUNT ? texts[err] : "unknown error code";
}

const char *tutti_last_error(void)
{
	if (last_plain_text)
		return last_plain_text;
	return last_text ? last_text : "";
}

tutti_err tutti__fail_plain(tutti_err err, const char *text)
{
	last_plain_text = text;
	return err;
}

static char *text_buffer(void)
{
	if (!last_text) {
		pthread_once(&text_once, make_text_key);
		last_text = calloc(1, TEXT_SIZE);
		pthread_setspecific(text_key, last_text);
	}
	return last_text;
}

tutti_err(tutti__fail)(tutti_err err, const char *format, ...)
{
	char *text = text_buffer();
	va_list arguments;
	if (!text)
		return tutti__fail_plain(err, tutti_error_text(err));
	last_plain_text = NULL;
	va_start(arguments, format);
	vsnprintf(text, TEXT_SIZE, format, arguments);
	va_end(arguments);
	return err;
}

tutti_err(tutti__fail_system)(int error_number, const char *what)
{
	if (error_number == EMFILE || error_number == ENFILE)
		return tutti__fail(TUTTI_EDESCRIPTORS, "%s: no file descriptor is left (%s). Close some, or raise `ulimit -n`.",
		                   what, strerror(error_number));
	return tutti__fail(TUTTI_ESYSTEM, "%s: %s", what, strerror(error_number));
}

int tutti_fatal(tutti_err err)
{
	if (err == TUTTI_OK)
		return 0;
	const char *text = tutti_last_error();
	fprintf(stderr, "%s: %s\n", tutti__program_name(), *text ? text : tutti_error_text(err));
	return 1;
}
