/* SPDX-License-Identifier: MIT */
/*
 * Who a process is and whether it is dead.
 *
 * A wrong "dead" would tear a living member's data apart, a wrong "alive" only delays
 * recovery: every doubt answers "alive". Dead is, in the same pid namespace, a process
 * - whose pid does not exist, or belongs to another process (other pidfd inode, else
 *   other start time), or
 * - whose pidfd is readable (it ended as a whole; /proc's state Z is not that: the main
 *   thread may have ended and the others run on), or
 * - that has an address space, but no arena at the place where it had mapped it: it
 *   called exec. An address space that is gone says nothing (a main thread that ended
 *   has none either): then the pidfd decides.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/identity.h"

#define PIDFS_MAGIC 0x50494446 /* statfs type of pidfds that have an inode of their own */

/* Fields of /proc/PID/stat that come after the command's closing parenthesis, numbered as in proc(5). */
#define STAT_START_TIME 22
#define STAT_VIRTUAL_SIZE 23

int tutti__pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int tutti__pidfd_send_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

uint64_t tutti__pid_namespace(void)
{
	struct stat status;
	return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

static uint64_t pidfd_inode(int pidfd)
{
	struct statfs filesystem;
	struct stat status;
	if (fstatfs(pidfd, &filesystem) != 0 || filesystem.f_type != PIDFS_MAGIC || fstat(pidfd, &status) != 0)
		return 0;
	return status.st_ino;
}

/* A numeric field of /proc/PID/stat; false if it cannot be read. */
static bool read_stat_field(pid_t pid, int field, uint64_t *value)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size <= 0)
		return false;
	text[size] = 0;
	/* The command may hold blanks and parentheses: count from its last ')', after which field 3 begins. */
	const char *at = strrchr(text, ')');
	for (int i = 2; at && i < field; i++)
		at = strchr(at + 1, ' ');
	char *end;
	*value = at ? strtoull(at, &end, 10) : 0;
	return at && end > at;
}

bool tutti__identity_of(struct tutti__identity *identity, pid_t pid)
{
	memset(identity, 0, sizeof *identity);
	identity->pid = (int32_t)pid;
	identity->pid_namespace = tutti__pid_namespace();
	int pidfd = tutti__pidfd_open(pid);
	bool none = pidfd < 0 && errno == ESRCH;
	if (pidfd >= 0) {
		identity->pidfd_inode = pidfd_inode(pidfd);
		close(pidfd);
	}
	read_stat_field(pid, STAT_START_TIME, &identity->start_time);
	return !none;
}

void tutti__identity_self(struct tutti__identity *identity) { tutti__identity_of(identity, getpid()); }

/* True if the process has an address space in which the arena is not mapped where it was. */
static bool has_left_by_exec(const struct tutti__identity *identity)
{
	char path[96];
	struct stat status;
	uint64_t virtual_size = 0;
	if (identity->map_end == 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", identity->pid, (unsigned long)identity->map_start,
	         (unsigned long)identity->map_end);
	if (lstat(path, &status) == 0 || errno != ENOENT)
		return false;
	/* The folder must be there: else /proc is not mounted, or not for us. */
	snprintf(path, sizeof path, "/proc/%d/map_files", identity->pid);
	return access(path, F_OK) == 0 && read_stat_field(identity->pid, STAT_VIRTUAL_SIZE, &virtual_size) &&
	       virtual_size != 0;
}

static bool is_same_process(const struct tutti__identity *identity, int pidfd)
{
	uint64_t start_time;
	uint64_t inode = identity->pidfd_inode ? pidfd_inode(pidfd) : 0;
	if (inode)
		return inode == identity->pidfd_inode;
	return identity->start_time == 0 || !read_stat_field(identity->pid, STAT_START_TIME, &start_time) ||
	       start_time == identity->start_time;
}

/*
 * A process that has used up its descriptors must still notice deaths, or it would wait for
 * the dead for ever: one is kept in reserve, and given up for the time of a look.
 */
static int reserve = -1;
static pthread_mutex_t reserve_mutex = PTHREAD_MUTEX_INITIALIZER;

static int open_reserve(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

static bool look(const struct tutti__identity *identity, int *error_number)
{
	int pidfd = tutti__pidfd_open(identity->pid);
	*error_number = pidfd < 0 ? errno : 0;
	if (pidfd < 0)
		return *error_number != ESRCH && *error_number != EINVAL; /* EINVAL: the number is a thread's by now */
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};
	bool ended = poll(&poller, 1, 0) != 0;
	bool same = is_same_process(identity, pidfd);
	close(pidfd); /* before the next look, which needs a descriptor too */
	return !ended && same && !has_left_by_exec(identity);
}

static bool look_with_reserve(const struct tutti__identity *identity)
{
	int error_number;
	pthread_mutex_lock(&reserve_mutex);
	if (reserve >= 0)
		close(reserve);
	bool alive = look(identity, &error_number);
	reserve = open_reserve();
	pthread_mutex_unlock(&reserve_mutex);
	return alive;
}

void tutti__identity_keep_reserve(void)
{
	pthread_mutex_lock(&reserve_mutex);
	if (reserve < 0)
		reserve = open_reserve();
	pthread_mutex_unlock(&reserve_mutex);
}

bool tutti__identity_is_alive(const struct tutti__identity *identity)
{
	static uint64_t own_namespace; /* racing threads store the same value */
	uint64_t here = __atomic_load_n(&own_namespace, __ATOMIC_RELAXED);
	if (here == 0) {
		here = tutti__pid_namespace();
		__atomic_store_n(&own_namespace, here, __ATOMIC_RELAXED);
	}
	if (identity->pid_namespace != here)
		return true; /* "no such process" would mean nothing */
	if (identity->pid == getpid())
		return true;
	int error_number;
	bool alive = look(identity, &error_number);
	return error_number == EMFILE ? look_with_reserve(identity) : alive;
}
