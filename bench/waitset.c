/* SPDX-License-Identifier: MIT */
/*
 * A wait set of many queues, one of which is ready: what the next ready one costs. And the same
 * through epoll, with a descriptor for each.
 */
#include "tutti_check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <tutti/waitset.h>

#define BATCH 1000

static tutti_waitset *set;
static int epoll;
static char ready_key, other_key;

static void next_tutti(void)
{
	tutti_wait_item item;
	check(tutti_waitset_next(set, &item, TUTTI_NOW), "tutti_waitset_next");
	if (item.key != &ready_key)
		fail("the wait set reports a queue that is empty");
}

static void next_epoll(void)
{
	struct epoll_event event;
	if (epoll_wait(epoll, &event, 1, 0) != 1 || event.data.ptr != &ready_key)
		fail("epoll reports something else");
}

/* The one in the middle is ready, and stays so. */
static void open_tutti(uint64_t count)
{
	check(tutti_waitset_open(&set, NULL), "tutti_waitset_open");
	for (uint64_t i = 0; i < count; i++) {
		tutti_queue *queue;
		bool is_ready = i == count / 2;
		check(tutti_queue_open(&queue, NULL), "tutti_queue_open");
		check(tutti_waitset_add(set, tutti_wait_queue(queue, is_ready ? &ready_key : &other_key)), "tutti_waitset_add");
		if (is_ready)
			check(tutti_queue_put(queue, "word", 4, TUTTI_FOREVER), "tutti_queue_put");
	}
}

static void open_epoll(uint64_t count)
{
	struct rlimit most;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (uint64_t i = 0; i < count; i++) {
		bool is_ready = i == count / 2;
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = is_ready ? &ready_key : &other_key};
		int descriptor = eventfd(is_ready, EFD_CLOEXEC);
		if (descriptor < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event))
			fail_system("a descriptor for each");
	}
}

static double next_ns(void (*next)(void), size_t batches)
{
	double *times = malloc(batches * sizeof *times);
	for (size_t i = 0; i < batches; i++) {
		int64_t begin = now_ns();
		for (unsigned k = 0; k < BATCH; k++)
			next();
		times[i] = (double)(now_ns() - begin) / BATCH;
	}
	double median = quantile(times, batches, 0.5);
	free(times);
	return median;
}

int main(int argc, char **argv)
{
	bench_start(argv[0]);
	bool tutti = argc > 1 && !strcmp(argv[1], "tutti");
	if (argc < 3 || (!tutti && strcmp(argv[1], "epoll")))
		fail("usage: %s tutti|epoll COUNT [BATCHES]", argv[0]);
	side *self = share(sizeof *self);
	pin(0, bench_cpu(0));
	void (*open)(uint64_t) = tutti ? open_tutti : open_epoll;
	void (*next)(void) = tutti ? next_tutti : next_epoll;
	open(argument(argc, argv, 2, 1));
	next_ns(next, 10);
	report("next_ns", next_ns(next, argument(argc, argv, 3, 300)));
	note_cpu(self);
	report_cpus("from", self->cpus);
	return 0;
}
