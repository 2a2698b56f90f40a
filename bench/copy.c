/* SPDX-License-Identifier: MIT */
/*
 * The limit of large messages: memcpy from one source into a memory file, either
 * around 8 buffers that were touched before, or into fresh pages; and Tutti's puts
 * into an arena that nobody touched before.
 */
#include "tutti_check.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS 8

static char *memory_file(size_t bytes)
{
	int fd = memfd_create("bench-copy", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		fail_system("memfd_create");
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail_system("mmap");
	close(fd);
	return memory;
}

/* Copies `count` messages around `buffers` places and returns messages a second. */
static double copy_around(char *memory, size_t buffers, const char *source, size_t size, size_t count)
{
	int64_t begin = now_ns();
	for (size_t i = 0; i < count; i++) {
		memcpy(memory + i % buffers * size, source, size);
		/* The compiler must believe that each copy is read. */
		__asm__ __volatile__("" : : "r"(memory) : "memory");
	}
	return (double)count * 1e9 / (double)(now_ns() - begin);
}

static double copy_touched(const char *source, size_t size, size_t count)
{
	char *memory = memory_file(BUFFERS * size);
	copy_around(memory, BUFFERS, source, size, 2 * BUFFERS);
	return copy_around(memory, BUFFERS, source, size, count);
}

static double copy_fresh(const char *source, size_t size, size_t count)
{
	return copy_around(memory_file(count * size), count, source, size, count);
}

static double put_fresh(const char *source, size_t size, size_t count)
{
	tutti_queue *queue;
	check(tutti_queue_open(&queue, NULL), "tutti_queue_open");
	int64_t begin = now_ns();
	for (size_t i = 0; i < count; i++)
		check(tutti_queue_put(queue, source, size, TUTTI_NOW), "tutti_queue_put");
	return (double)count * 1e9 / (double)(now_ns() - begin);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		double (*run)(const char *source, size_t size, size_t count);
	} ways[] = {{"touched", copy_touched}, {"fresh", copy_fresh}, {"tutti-fresh", put_fresh}};
	bench_start(argv[0]);
	size_t size = argument(argc, argv, 2, 1 << 20), count = argument(argc, argv, 3, 200);
	side *self = share(sizeof *self);
	char *source = share(size);
	memset(source, 'm', size);
	pin(0, bench_cpu(0));
	note_cpu(self);
	for (size_t i = 0; argc > 1 && i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(argv[1], ways[i].name)) {
			report("rate", ways[i].run(source, size, count));
			note_cpu(self);
			report_cpus("from", self->cpus);
			return 0;
		}
	fail("usage: %s touched|fresh|tutti-fresh [BYTES [COUNT]]", argv[0]);
}
