/* SPDX-License-Identifier: MIT */
#include "joblog.h"

#include "buffer.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

struct joblog {
	int fd;
	uint8_t *done; /* a bit for each job */
	uint64_t capacity; /* jobs */
};

/* --- what was done before --- */

static void mark(struct joblog *log, uint64_t number, bool done)
{
	if (number >= log->capacity) {
		uint64_t capacity = (number | 1023) + 1 + log->capacity;
		log->done = reallocate(log->done, capacity / 8 + 1);
		memset(log->done + log->capacity / 8, 0, capacity / 8 + 1 - log->capacity / 8);
		log->capacity = capacity;
	}
	uint8_t bit = (uint8_t)(1 << (number & 7));
	log->done[number / 8] = (uint8_t)(done ? log->done[number / 8] | bit : log->done[number / 8] & ~bit);
}

bool joblog_has(const struct joblog *log, uint64_t number)
{
	return log && number < log->capacity && (log->done[number / 8] >> (number & 7) & 1);
}

/* The number in column `column`, counted from 0. False: there is none. */
static bool read_number(const char *line, int column, long long *number)
{
	char *end;
	while (column-- > 0) {
		line = strchr(line, '\t');
		if (!line++)
			return false;
	}
	errno = 0;
	*number = strtoll(line, &end, 10);
	return end > line && *end == '\t' && errno == 0;
}

static bool read_line(struct joblog *log, const char *line, enum resume resume)
{
	long long number, exit_status, signal_number;
	if (!read_number(line, 0, &number) || !read_number(line, 6, &exit_status) || !read_number(line, 7, &signal_number))
		return false;
	if (number <= 0 || number > UINT32_MAX)
		return false;
	mark(log, (uint64_t)number, resume == RESUME_UNSEEN || (exit_status == 0 && signal_number == 0));
	return true;
}

static const char *complaint(const char *path, const char *what)
{
	static char text[512];
	snprintf(text, sizeof text, "job log %s: %s", path, what);
	return text;
}

/* A last line that was cut off in the middle counts as not there; its job is run again. */
static const char *read_log(struct joblog *log, const char *path, enum resume resume)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? NULL : complaint(path, strerror(errno));
	char *line = NULL;
	size_t capacity = 0;
	off_t whole = 0;
	const char *failure = NULL;
	for (ssize_t size; !failure && (size = getline(&line, &capacity, file)) > 0 && line[size - 1] == '\n';
	     whole += size)
		if (!(whole == 0 && strncmp(line, "Seq\t", 4) == 0) && !read_line(log, line, resume))
			failure = complaint(path, "this is not a job log; name another file, or run without --resume");
	free(line);
	fclose(file);
	if (!failure && truncate(path, whole))
		failure = complaint(path, strerror(errno));
	return failure;
}

/* --- writing --- */

static bool write_whole(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);
		if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			data += done;
			size -= (size_t)done;
		}
	}
	return true;
}

struct joblog *joblog_open(const char *path, enum resume resume, const char **failure)
{
	struct joblog *log = allocate(sizeof *log);
	*log = (struct joblog){.fd = -1};
	*failure = resume == RESUME_NOT ? NULL : read_log(log, path, resume);
	if (!*failure) {
		int fresh = resume == RESUME_NOT ? O_TRUNC : 0;
		log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | fresh, 0666);
		bool empty = log->fd >= 0 && lseek(log->fd, 0, SEEK_END) <= 0;
		if (log->fd < 0 || (empty && !write_whole(log->fd, HEADER, strlen(HEADER))))
			*failure = complaint(path, strerror(errno));
	}
	if (*failure) {
		joblog_close(log);
		return NULL;
	}
	return log;
}

void joblog_close(struct joblog *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	free(log->done);
	free(log);
}

bool joblog_add(struct joblog *log, uint64_t number, const struct outcome *outcome, const char *command)
{
	if (!log)
		return true;
	struct buffer line = {0};
	char head[160];
	snprintf(head, sizeof head, "%" PRIu64 "\t:\t%.3f\t%10.3f\t0\t%" PRIu64 "\t%d\t%d\t", number, outcome->started,
	         outcome->seconds, outcome->output_size, outcome->exit_status, outcome->signal_number);
	buffer_add_text(&line, head);
	for (; *command; command++)
		buffer_add_byte(&line, *command == '\n' ? '\0' : *command); /* as GNU parallel: a line stays one */
	buffer_add_byte(&line, '\n');
	bool written = write_whole(log->fd, line.data, line.size);
	buffer_free(&line);
	return written;
}
