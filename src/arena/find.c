/* SPDX-License-Identifier: MIT */
/*
 * Joining an arena without being handed a descriptor: it is found among the open files of this user's
 * processes, of which the kernel lets us open those that we may. The file's name narrows the search; what is
 * in it decides.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena/arena.h"

struct wanted {
	const char *name; /* NULL: any */
	uint32_t arena_id; /* 0: any */
};

static bool has_wanted_name(const char *target, const char *name)
{
	static const char prefix[] = "/memfd:tutti:";
	char whole[TUTTI__NAME_SIZE + 32];
	if (!name)
		return strncmp(target, prefix, sizeof prefix - 1) == 0;
	snprintf(whole, sizeof whole, "%s%s (deleted)", prefix, name);
	return strcmp(target, whole) == 0;
}

/* Opens descriptor `entry` of process `pid` if it is the wanted arena's memory file; -1 if not. */
static int open_if_wanted(const char *pid, const char *entry, const struct wanted *wanted)
{
	char path[320], target[128];
	uint32_t arena_id = 0;
	snprintf(path, sizeof path, "/proc/%.20s/fd/%.20s", pid, entry);
	ssize_t length = readlink(path, target, sizeof target - 1);
	if (length < 0)
		return -1;
	target[length] = 0;
	int fd = has_wanted_name(target, wanted->name) ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0 || wanted->arena_id == 0)
		return fd;
	if (tutti__arena_check_file(fd, &arena_id) == TUTTI_OK && arena_id == wanted->arena_id)
		return fd;
	close(fd);
	return -1;
}

static int find_in_process(const char *pid, const struct wanted *wanted)
{
	char path[64];
	int fd = -1;
	snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	DIR *folder = opendir(path);
	if (!folder)
		return -1; /* another user's */
	for (struct dirent *entry; fd < 0 && (entry = readdir(folder));)
		fd = open_if_wanted(pid, entry->d_name, wanted);
	closedir(folder);
	return fd;
}

/* A descriptor of the wanted arena, or -1. */
static tutti_err find(const struct wanted *wanted, int *fd)
{
	*fd = -1;
	DIR *processes = opendir("/proc");
	if (!processes)
		return tutti__fail_system(errno, "cannot look for the arena: /proc");
	for (struct dirent *entry; *fd < 0 && (entry = readdir(processes));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			*fd = find_in_process(entry->d_name, wanted);
	closedir(processes);
	return TUTTI_OK;
}

static tutti_err join_found(tutti_arena **arena, int fd, const char *member_name)
{
	tutti_err err = tutti_arena_join_fd(arena, fd, member_name);
	close(fd);
	return err;
}

tutti_err tutti_arena_join_name(tutti_arena **arena, const char *name, const char *member_name)
{
	int fd;
	tutti_err err = find(&(struct wanted){.name = name}, &fd);
	if (err)
		return err;
	if (fd < 0)
		return tutti__fail(TUTTI_ENOENT,
		                   "no running process of this user has an arena \"%s\". Start its program first.", name);
	return join_found(arena, fd, member_name);
}

tutti_err tutti_arena_join_handle(tutti_arena **arena, tutti_handle handle, const char *member_name)
{
	int fd;
	*arena = tutti_arena_of(handle);
	if (*arena)
		return TUTTI_OK;
	tutti_err err = handle.arena ? find(&(struct wanted){.arena_id = handle.arena}, &fd) : TUTTI_OK;
	if (err)
		return err;
	if (handle.arena == 0 || fd < 0)
		return tutti__fail(TUTTI_ENOENT,
		                   "no running process of this user is a member of arena %08x. Its members have ended, or "
		                   "run as another user or in another container.",
		                   handle.arena);
	return join_found(arena, fd, member_name);
}
