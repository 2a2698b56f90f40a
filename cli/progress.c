/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "buffer.h"
#include "output.h"
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { WIDEST_BAR = 24, NARROWEST_BAR = 6 };
#define INTERVAL 0.1 /* seconds between two drawings */

static double seconds_now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool is_capable_terminal(void)
{
	const char *kind = getenv("TERM");
	return isatty(STDERR_FILENO) && !(kind && strcmp(kind, "dumb") == 0);
}

void progress_open(struct progress *progress, enum progress_mode mode)
{
	*progress = (struct progress){.enabled = mode == PROGRESS_ON || (mode != PROGRESS_OFF && is_capable_terminal())};
	if (!progress->enabled)
		return;
	setlocale(LC_CTYPE, "");
	progress->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	progress->output_is_terminal = isatty(STDOUT_FILENO);
	progress->started = seconds_now();
}

static size_t terminal_width(void)
{
	struct winsize size;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void add(struct buffer *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct buffer *text, const char *format, ...)
{
	char part[128];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(part, sizeof part, format, arguments);
	va_end(arguments);
	buffer_add_text(text, part);
}

static void add_time(struct buffer *text, double seconds)
{
	uint64_t whole = (uint64_t)(seconds + 0.5);
	if (whole < 60)
		add(text, "%" PRIu64 "s", whole);
	else if (whole < 3600)
		add(text, "%" PRIu64 "m%02" PRIu64 "s", whole / 60, whole % 60);
	else if (whole < 86400)
		add(text, "%" PRIu64 "h%02" PRIu64 "m", whole / 3600, whole / 60 % 60);
	else
		add(text, "%" PRIu64 "d%02" PRIu64 "h", whole / 86400, whole / 3600 % 24);
}

/* What stands left of the bar. */
static void add_share(struct buffer *text, const struct counts *counts)
{
	add(text, "  %" PRIu64 "/%" PRIu64, counts->done, counts->total);
	if (!counts->total_is_known)
		buffer_add_byte(text, '+');
	else if (counts->total)
		add(text, "  %" PRIu64 " %%", counts->done * 100 / counts->total);
}

/* What stands right of the bar. */
static void add_speed(struct buffer *text, const struct counts *counts, uint64_t retried, double seconds)
{
	double rate = seconds > 0 ? (double)counts->done / seconds : 0;
	add(text, rate < 10 ? "  %.1f/s" : "  %.0f/s", rate);
	if (counts->total_is_known && counts->done && counts->done < counts->total) {
		buffer_add_text(text, "  eta ");
		add_time(text, (double)(counts->total - counts->done) / rate);
	} else {
		buffer_add_text(text, "  ");
		add_time(text, seconds);
	}
	if (counts->failed)
		add(text, "   failed %" PRIu64, counts->failed);
	if (retried)
		add(text, "%sretried %" PRIu64, counts->failed ? "  " : "   ", retried);
}

static void add_bar(struct buffer *line, const struct progress *progress, const struct counts *counts, size_t width)
{
	size_t full = counts->total ? (size_t)(counts->done * width / counts->total) : 0;
	buffer_add_text(line, "  ");
	for (size_t i = 0; i < width; i++)
		if (progress->unicode)
			buffer_add_text(line, i < full ? "\u2588" : "\u2591");
		else
			buffer_add_byte(line, i < full ? '#' : '.');
}

/* The bar takes the room that the text leaves; a line that is too long for the terminal is cut. */
static void compose(struct buffer *line, const struct progress *progress, const struct counts *counts, uint64_t retried)
{
	struct buffer right = {0};
	size_t width = terminal_width();
	buffer_add_text(line, "\r");
	add_share(line, counts);
	add_speed(&right, counts, retried, seconds_now() - progress->started);
	size_t taken = line->size - 1 + right.size + 3; /* two blanks before the bar, and the last column stays free */
	if (counts->total_is_known && width >= taken + NARROWEST_BAR)
		add_bar(line, progress, counts, width - taken < WIDEST_BAR ? width - taken : WIDEST_BAR);
	else if (line->size + right.size > width)
		right.size = line->size < width ? width - line->size : 0;
	buffer_add(line, right.data, right.size);
	buffer_add_text(line, "\033[K");
	buffer_free(&right);
}

void progress_draw(struct progress *progress, const struct counts *counts, uint64_t retried, bool now)
{
	if (!progress->enabled || (!now && seconds_now() - progress->drawn < INTERVAL))
		return;
	struct buffer line = {0};
	compose(&line, progress, counts, retried);
	output_write(STDERR_FILENO, NULL, line.data, line.size, NULL);
	buffer_free(&line);
	progress->drawn = seconds_now();
	progress->visible = true;
}

void progress_hide(struct progress *progress, int fd)
{
	if (!progress->visible || (fd == STDOUT_FILENO && !progress->output_is_terminal))
		return;
	output_write(STDERR_FILENO, NULL, "\r\033[K", 4, NULL);
	progress->visible = false;
	progress->drawn = 0;
}

void progress_close(struct progress *progress, const struct counts *counts, uint64_t retried)
{
	if (!progress->enabled)
		return;
	progress_draw(progress, counts, retried, true);
	output_write(STDERR_FILENO, NULL, "\n", 1, NULL);
	progress->enabled = progress->visible = false;
}
