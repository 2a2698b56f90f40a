/* SPDX-License-Identifier: MIT */
/*
 * --joblog: one line per ended job, in GNU parallel's columns; and the jobs that an earlier run
 * noted there, for --resume. A line is one write, so that a killed run leaves whole lines.
 */
#ifndef CLI_JOBLOG_H
#define CLI_JOBLOG_H

#include "job.h"
#include <stdbool.h>

struct joblog;

enum resume { RESUME_NOT, RESUME_UNSEEN /* what the log does not have */, RESUME_FAILED /* and what failed there */ };

/* NULL: `*failure` says why; it names the file. */
struct joblog *joblog_open(const char *path, enum resume resume, const char **failure);
void joblog_close(struct joblog *log);

/* Whether an earlier run did this job. */
bool joblog_has(const struct joblog *log, uint64_t number);

/* Notes an ended job. False: errno says why. */
bool joblog_add(struct joblog *log, uint64_t number, const struct outcome *outcome, const char *command);

#endif
