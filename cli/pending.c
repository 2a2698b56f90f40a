/* SPDX-License-Identifier: MIT */
#include "pending.h"

#include "buffer.h"
#include <stdlib.h>
#include <string.h>

static struct pending_job **bucket_of(struct pending *pending, uint64_t place)
{
	return &pending->buckets[place % PENDING_BUCKETS];
}

static char *copy(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(allocate(size), text, size);
}

void pending_add(struct pending *pending, uint64_t place, uint64_t number, const char *command, const char *tag)
{
	struct pending_job *job = allocate(sizeof *job);
	struct pending_job **bucket = bucket_of(pending, place);
	*job = (struct pending_job){.next = *bucket, .place = place, .number = number, .command = copy(command)};
	job->tag = tag ? copy(tag) : NULL;
	*bucket = job;
	pending->count++;
}

struct pending_job *pending_find(struct pending *pending, uint64_t place)
{
	struct pending_job *job = *bucket_of(pending, place);
	while (job && job->place != place)
		job = job->next;
	return job;
}

void pending_remove(struct pending *pending, struct pending_job *job)
{
	struct pending_job **link = bucket_of(pending, job->place);
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	pending->count--;
	tutti_result_release(&job->result);
	free(job->command);
	free(job->tag);
	free(job);
}
