/* SPDX-License-Identifier: MIT */
/*
 * One ready queue in a wait set, among as many as are given: a round is a put, the report, the get, and
 * the look that finds nothing and arms the queue again. The ready queue is one in the middle; with `roving`
 * each in turn, so that their memory is not in the cache either. `poll` does the same with pipes.
 */
#include "tutti_check.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH 500

typedef struct crowd {
	size_t count;
	size_t step; /* 0: always the same one is ready */
	size_t next;
	tutti_waitset *set;
	tutti_queue **queues;
	int (*pipes)[2];
	struct pollfd *polls;
} crowd;

static void open_tutti(crowd *all)
{
	all->queues = calloc(all->count, sizeof *all->queues);
	check(tutti_waitset_open(&all->set, NULL), "tutti_waitset_open");
	for (size_t i = 0; i < all->count; i++) {
		check(tutti_queue_open(&all->queues[i], NULL), "tutti_queue_open");
		check(tutti_waitset_add(all->set, tutti_wait_queue(all->queues[i], all->queues[i])), "tutti_waitset_add");
	}
}

static void round_tutti(crowd *all, size_t ready)
{
	char byte;
	tutti_wait_item item;
	check(tutti_queue_put(all->queues[ready], "x", 1, TUTTI_NOW), "tutti_queue_put");
	check(tutti_waitset_next(all->set, &item, TUTTI_FOREVER), "tutti_waitset_next");
	check(tutti_queue_get_into(item.key, &byte, 1, NULL, TUTTI_NOW), "tutti_queue_get_into");
	if (tutti_waitset_next(all->set, &item, TUTTI_NOW) != TUTTI_ETIMEDOUT)
		fail("a queue is ready that was drained");
}

static void open_poll(crowd *all)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	all->pipes = calloc(all->count, sizeof *all->pipes);
	all->polls = calloc(all->count, sizeof *all->polls);
	for (size_t i = 0; i < all->count; i++) {
		if (pipe(all->pipes[i]) != 0)
			fail_system("pipe");
		all->polls[i] = (struct pollfd){.fd = all->pipes[i][0], .events = POLLIN};
	}
}

static void round_poll(crowd *all, size_t ready)
{
	char byte = 'x';
	if (write(all->pipes[ready][1], &byte, 1) != 1 || poll(all->polls, all->count, -1) != 1)
		fail_system("poll");
	size_t found = 0;
	while (!all->polls[found].revents)
		found++;
	if (read(all->polls[found].fd, &byte, 1) != 1 || poll(all->polls, all->count, 0) != 0)
		fail_system("poll");
}

static double round_ns(crowd *all, void (*run)(crowd *, size_t), size_t batches)
{
	double *times = malloc(batches * sizeof *times);
	for (size_t i = 0; i < batches; i++) {
		int64_t begin = now_ns();
		for (unsigned k = 0; k < BATCH; k++) {
			run(all, all->next);
			all->next = (all->next + all->step) % all->count;
		}
		times[i] = (double)(now_ns() - begin) / BATCH;
	}
	double median = quantile(times, batches, 0.5);
	free(times);
	return median;
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	bool is_poll = argc > 1 && !strcmp(argv[1], "poll");
	if (argc < 4 || (!is_poll && strcmp(argv[1], "tutti")))
		fail("usage: %s tutti|poll fixed|roving COUNT [BATCHES]", argv[0]);
	side *self = share(sizeof *self);
	crowd all = {.count = argument(argc, argv, 3, 1), .step = strcmp(argv[2], "roving") ? 0 : 7};
	all.next = all.count / 2;
	size_t batches = argument(argc, argv, 4, 200);
	pin(0, bench_cpu(0));
	is_poll ? open_poll(&all) : open_tutti(&all);
	round_ns(&all, is_poll ? round_poll : round_tutti, 1 + batches / 10);
	report("round_ns", round_ns(&all, is_poll ? round_poll : round_tutti, batches));
	note_cpu(self);
	report_cpus("from", self->cpus);
	return 0;
}
