/* SPDX-License-Identifier: MIT */
/* Memory files, and what the machine has: memory, CPUs, threads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int tutti__memory_file(const char *name, uint64_t size)
{
	struct rlimit limit;
	/* Beyond this limit ftruncate would not fail but kill, with SIGXFSZ. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur) {
		errno = EFBIG;
		return -1;
	}
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		int error_number = errno;
		close(fd);
		errno = error_number;
		return -1;
	}
	return fd;
}

bool tutti__memory_punch(void *address, uint64_t size) { return madvise(address, size, MADV_REMOVE) == 0; }

uint64_t tutti__memory_total(void) { return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE); }

/* A number in a one-line file; 0 if there is none ("max"). */
static uint64_t read_number(const char *path)
{
	char text[32] = "";
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof text, file))
		text[0] = 0;
	fclose(file);
	return strtoull(text, NULL, 10);
}

/* The least memory.max from this process's cgroup (version 2) up to the root; 0: none. */
static uint64_t cgroup_limit(void)
{
	char line[512], path[600];
	uint64_t least = 0;
	FILE *file = fopen("/proc/self/cgroup", "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof line, file)) {
		char *group = strncmp(line, "0::", 3) == 0 ? line + 3 : NULL;
		for (char *end = group ? group + strcspn(group, "\n") : NULL; end; end = strrchr(group, '/')) {
			*end = 0;
			snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
			uint64_t limit = read_number(path);
			if (limit && (least == 0 || limit < least))
				least = limit;
		}
	}
	fclose(file);
	return least;
}

uint64_t tutti__memory_allowed(void)
{
	uint64_t total = tutti__memory_total();
	uint64_t limit = cgroup_limit();
	if (limit == 0)
		limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"); /* cgroup version 1 */
	return limit && limit < total ? limit : total;
}

unsigned tutti__cpus_online(void)
{
	static unsigned count; /* racing threads store the same value */
	unsigned known = __atomic_load_n(&count, __ATOMIC_RELAXED);
	if (known == 0) {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		known = online > 0 ? (unsigned)online : 1;
		__atomic_store_n(&count, known, __ATOMIC_RELAXED);
	}
	return known;
}

unsigned tutti__cpus_usable(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return tutti__cpus_online();
	int count = CPU_COUNT(&set);
	return count > 0 ? (unsigned)count : 1;
}

unsigned tutti__thread_count(void)
{
	struct stat status;
	/* A folder has a link from each of its subfolders and two more. */
	return stat("/proc/self/task", &status) == 0 && status.st_nlink > 2 ? (unsigned)status.st_nlink - 2 : 1;
}

const char *tutti__program_name(void)
{
	return program_invocation_short_name && *program_invocation_short_name ? program_invocation_short_name : "tutti";
}
