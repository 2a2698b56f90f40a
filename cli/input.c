/* SPDX-License-Identifier: MIT */
#include "input.h"

#include "buffer.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	READ_SIZE = 64 << 10,
	LOOK_AHEAD = 4 << 20,
	LONGEST = (128 << 10) - 1 /* Linux passes no longer argument (MAX_ARG_STRLEN) */
};

struct input {
	char *const *arguments; /* NULL: a file */
	const char *name;
	int fd;
	char separator;
	bool always_ready; /* a regular file */
	bool at_end;
	struct buffer buffer;
	size_t start; /* of what was not taken yet */
	uint64_t seen, taken; /* inputs */
	char failure[512];
};

struct input *input_of_arguments(char *const *values, size_t count)
{
	struct input *input = allocate(sizeof *input);
	*input = (struct input){.arguments = values, .name = "the command line", .fd = -1, .at_end = true, .seen = count};
	return input;
}

struct input *input_of_file(const char *path, char separator)
{
	bool standard = !path || strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (fd < 0 || fstat(fd, &status))
		return NULL;
	struct input *input = allocate(sizeof *input);
	*input = (struct input){.name = standard ? "standard input" : path, .fd = fd, .separator = separator};
	input->always_ready = !S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) && !S_ISCHR(status.st_mode);
	return input;
}

void input_close(struct input *input)
{
	if (!input)
		return;
	if (input->fd > STDIN_FILENO)
		close(input->fd);
	buffer_free(&input->buffer);
	free(input);
}

static void fail(struct input *input, const char *what, const char *advice)
{
	snprintf(input->failure, sizeof input->failure, "cannot read inputs from %s: %s%s", input->name, what, advice);
}

/* --- reading --- */

static void count_inputs(struct input *input, const char *data, size_t size)
{
	const char *end = data + size;
	while ((data = memchr(data, input->separator, (size_t)(end - data)))) {
		input->seen++;
		data++;
	}
}

static void reach_end(struct input *input)
{
	input->at_end = true;
	if (input->buffer.size == 0 || input->buffer.data[input->buffer.size - 1] == input->separator)
		return;
	buffer_add_byte(&input->buffer, input->separator);
	input->seen++;
}

/* What was taken is dropped when it is the larger part, so that each byte is moved at most once. */
static void drop_taken(struct input *input)
{
	size_t left = input->buffer.size - input->start;
	if (input->start < left || input->start == 0)
		return;
	memmove(input->buffer.data, input->buffer.data + input->start, left);
	input->buffer.size = left;
	input->start = 0;
}

static void read_more(struct input *input)
{
	drop_taken(input);
	char *place = buffer_reserve(&input->buffer, READ_SIZE);
	ssize_t got = read(input->fd, place, READ_SIZE);
	if (got > 0) {
		input->buffer.size += (size_t)got;
		count_inputs(input, place, (size_t)got);
	} else if (got == 0)
		reach_end(input);
	else if (errno != EINTR && errno != EAGAIN)
		fail(input, strerror(errno), "");
}

static bool can_read(const struct input *input, int milliseconds)
{
	if (input->at_end || input->failure[0])
		return false;
	if (input->always_ready)
		return true;
	struct pollfd ready = {.fd = input->fd, .events = POLLIN};
	return poll(&ready, 1, milliseconds) > 0;
}

static bool is_endless(struct input *input)
{
	if (input->seen > input->taken || input->buffer.size - input->start <= LONGEST)
		return false;
	char what[64];
	snprintf(what, sizeof what, "input %llu is longer than %d bytes", (unsigned long long)input->taken + 1, LONGEST);
	fail(input, what, ", the most that Linux passes as one argument; is -0 missing?");
	return true;
}

enum input_state input_state(struct input *input, size_t wanted)
{
	while (input->seen - input->taken < wanted && !is_endless(input) && can_read(input, 0))
		read_more(input);
	uint64_t there = input->seen - input->taken;
	if (there >= wanted || (there > 0 && input->at_end))
		return INPUT_READY;
	if (input->failure[0])
		return INPUT_FAILED;
	return input->at_end ? INPUT_END : INPUT_PAUSED;
}

bool input_wait(struct input *input, int milliseconds) { return can_read(input, milliseconds); }

void input_look_ahead(struct input *input)
{
	while (input->buffer.size - input->start < LOOK_AHEAD && can_read(input, 0))
		read_more(input);
}

/* --- taking --- */

static bool is_usable(struct input *input, const char *value, size_t size)
{
	char what[96];
	unsigned long long number = (unsigned long long)input->taken + 1;
	if (size > LONGEST) {
		snprintf(what, sizeof what, "input %llu is longer than %d bytes", number, LONGEST);
		fail(input, what, ", the most that Linux passes as one argument");
		return false;
	}
	if (memchr(value, '\0', size)) {
		snprintf(what, sizeof what, "input %llu holds a zero byte", number);
		fail(input, what, "; use -0 for inputs that end with one");
		return false;
	}
	return true;
}

static char *take_one(struct input *input)
{
	if (input->arguments)
		return input->arguments[input->taken++];
	char *value = input->buffer.data + input->start;
	char *end = memchr(value, input->separator, input->buffer.size - input->start);
	size_t size = (size_t)(end - value);
	if (!is_usable(input, value, size))
		return NULL;
	*end = '\0';
	input->start += size + 1;
	input->taken++;
	return value;
}

size_t input_take(struct input *input, char **values, size_t wanted)
{
	size_t count = 0;
	while (count < wanted && input->taken < input->seen && (values[count] = take_one(input)))
		count++;
	return input->failure[0] ? 0 : count;
}

bool input_total(const struct input *input, uint64_t *total)
{
	*total = input->seen;
	return input->at_end;
}

const char *input_failure(const struct input *input) { return input->failure[0] ? input->failure : NULL; }
