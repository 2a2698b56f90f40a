/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

/* gcc says it by a macro, clang by a feature. */
#if defined(__has_feature)
#define HAS_TSAN __has_feature(thread_sanitizer)
#define HAS_ASAN __has_feature(address_sanitizer)
#else
#ifdef __SANITIZE_THREAD__
#define HAS_TSAN 1
#else
#define HAS_TSAN 0
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif
#endif

enum { MAX_CHILDREN = 256, MAX_SHARED = 16, CHILD_SECONDS = 10 };

struct shared_range {
	void *address;
	size_t size;
};

/* Of the running test. */
static pid_t test_process;
static pthread_t test_thread;
static pid_t children[MAX_CHILDREN];
static struct shared_range shared_ranges[MAX_SHARED];
static unsigned descriptors_before;

/* LeakSanitizer asks at exit: a child ends in the middle of things, what it holds then is no leak. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return getpid() != test_process; }

/* Read by ThreadSanitizer at start: a forked child may make threads, the tests know what they do. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

bool support_has_thread_sanitizer(void) { return HAS_TSAN; }

bool support_is_slow(void) { return HAS_ASAN || HAS_TSAN; }

int64_t support_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t support_cpu_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void support_pause(void)
{
	struct timespec moment = {.tv_nsec = 200000};
	nanosleep(&moment, NULL);
}

void support_fail(const char *file, int line, const char *text)
{
	if (getpid() == test_process && pthread_equal(pthread_self(), test_thread)) {
		print_error("%s\n", text);
		_fail(file, line);
	}
	fprintf(stderr, "%s:%d: pid %d: %s\n", file, line, (int)getpid(), text);
	_exit(1);
}

void support_expect(const char *file, int line, const char *call, tutti_err expected, tutti_err got)
{
	char text[1024];
	if (expected == got)
		return;
	snprintf(text, sizeof text, "%s gave %s, not %s; last error: %s", call, tutti_error_name(got),
	         tutti_error_name(expected), tutti_last_error());
	support_fail(file, line, text);
}

void support_expect_text(const char *file, int line, const char *text)
{
	char message[1024];
	if (strstr(tutti_last_error(), text))
		return;
	snprintf(message, sizeof message, "the error text lacks \"%s\": %s", text, tutti_last_error());
	support_fail(file, line, message);
}

/* Children end with us: they asked the kernel for it. */
static void say_time_is_up(int signal)
{
	static const char text[] = "the test's time is up\n";
	(void)signal;
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		_exit(125);
	_exit(124);
}

/* In the process of one test. */
static _Noreturn void run_one(const char *group, const struct CMUnitTest *test)
{
	test_process = getpid();
	test_thread = pthread_self();
	signal(SIGALRM, say_time_is_up);
	signal(SIGPIPE, SIG_IGN);
	exit(_cmocka_run_group_tests(group, test, 1, NULL, NULL) == 0 ? 0 : 1);
}

/* Each test is a process of its own: a failed one leaves nothing to those that follow. */
static bool passes(const char *group, const struct CMUnitTest *test)
{
	int status = -1;
	pid_t runner = getpid();
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != runner)
			_exit(1);
		run_one(group, test);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status != 0)
		fprintf(stderr, "%s: %s: failed (wait status %#x)\n", group, test->name, (unsigned)status);
	return pid > 0 && status == 0;
}

int support_run(const char *group, const struct CMUnitTest *tests, size_t count, const char *only)
{
	unsigned passed = 0, failed = 0;
	for (size_t i = 0; i < count; i++) {
		if (only && strcmp(only, tests[i].name) != 0)
			continue;
		bool ok = passes(group, &tests[i]);
		passed += ok;
		failed += !ok;
	}
	printf("%s: %u passed, %u failed\n", group, passed, failed);
	return failed || passed == 0 ? 1 : 0;
}

int support_setup(void **state)
{
	(void)state;
	alarm(SUPPORT_TEST_SECONDS);
	tutti__identity_keep_reserve(); /* one descriptor of the process, for good: no leak of a test */
	descriptors_before = support_descriptors();
	return 0;
}

static unsigned end_children(void)
{
	unsigned count = 0;
	for (int i = 0; i < MAX_CHILDREN; i++) {
		if (children[i] == 0)
			continue;
		count++;
		support_kill(children[i]);
	}
	return count;
}

int support_teardown(void **state)
{
	(void)state;
	unsigned left = end_children();
	for (int i = 0; i < MAX_SHARED; i++)
		if (shared_ranges[i].address) {
			munmap(shared_ranges[i].address, shared_ranges[i].size);
			shared_ranges[i].address = NULL;
		}
	alarm(0);
	unsigned descriptors = support_descriptors();
	if (left)
		print_error("%u children were left\n", left);
	if (descriptors != descriptors_before)
		print_error("%u descriptors before, %u after\n", descriptors_before, descriptors);
	return left || descriptors != descriptors_before ? -1 : 0;
}

tutti_arena *support_arena(uint64_t max_bytes)
{
	tutti_arena *arena;
	OK(tutti_arena_open(&arena, &(tutti_arena_options){.name = "unit", .max_bytes = max_bytes}));
	return arena;
}

void support_end_arena(tutti_arena *arena)
{
	tutti_arena_usage usage;
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	tutti_arena_close(arena);
}

tutti_arena *support_join(tutti_arena *arena)
{
	tutti_arena *joined;
	OK(tutti_arena_join_fd(&joined, tutti_arena_fd(arena), "second"));
	return joined;
}

static void note_child(pid_t pid)
{
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i] == 0) {
			children[i] = pid;
			return;
		}
	kill(pid, SIGKILL);
	support_fail(__FILE__, __LINE__, "a test has too many children");
}

static void forget_child(pid_t pid)
{
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i] == pid)
			children[i] = 0;
}

pid_t support_fork(void (*function)(void *context), void *context)
{
	pid_t parent = getpid();
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		support_fail(__FILE__, __LINE__, "fork failed");
	if (pid > 0) {
		if (parent == test_process)
			note_child(pid);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(SUPPORT_TEST_SECONDS);
	function(context);
	exit(0);
}

void support_take_number(tutti_arena *arena, tutti_handle handle, uint64_t expected)
{
	tutti_queue *queue;
	uint64_t number = 0;
	OK(tutti_queue_at(&queue, arena, handle));
	OK(tutti_queue_get_into(queue, &number, sizeof number, NULL, TUTTI_NOW));
	assert_int_equal(number, expected);
	tutti_queue_close(queue);
}

int support_wait(pid_t pid)
{
	int status;
	int64_t end = support_now() + CHILD_SECONDS * 1000000000LL;
	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			break;
		if (ended < 0)
			support_fail(__FILE__, __LINE__, "a child was reaped by somebody else");
		if (support_now() > end)
			support_fail(__FILE__, __LINE__, "a child did not end in time");
		support_pause();
	}
	forget_child(pid);
	return status;
}

void support_join_child(pid_t pid)
{
	char text[64];
	int status = support_wait(pid);
	if (status == 0)
		return;
	snprintf(text, sizeof text, "child %d ended with wait status %#x", (int)pid, (unsigned)status);
	support_fail(__FILE__, __LINE__, text);
}

void support_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	support_wait(pid);
}

void support_stop(pid_t pid)
{
	int status;
	REQUIRE(kill(pid, SIGSTOP) == 0);
	REQUIRE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static char state_in(const char *path)
{
	char text[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[size > 0 ? size : 0] = 0;
	char *end = strrchr(text, ')');
	return end && end[1] ? end[2] : 0;
}

bool support_is_asleep(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	char state = state_in(path);
	return state == 'S' || state == 'D';
}

bool support_thread_is_asleep(pid_t thread)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
	char state = state_in(path);
	return state == 'S' || state == 'D';
}

void support_pause_forever(void)
{
	for (;;)
		pause();
}

void *support_shared(size_t size)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(address != MAP_FAILED);
	for (int i = 0; i < MAX_SHARED; i++)
		if (!shared_ranges[i].address) {
			shared_ranges[i] = (struct shared_range){address, size};
			return address;
		}
	support_fail(__FILE__, __LINE__, "a test shares too many ranges");
}

unsigned support_descriptors(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	REQUIRE(folder != NULL);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static bool process_has_file(const char *pid, const char *name)
{
	char path[64], link[400], target[256];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
	DIR *folder = opendir(path);
	if (!folder)
		return false;
	for (struct dirent *entry; !found && (entry = readdir(folder));) {
		snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
		ssize_t length = readlink(link, target, sizeof target - 1);
		target[length > 0 ? length : 0] = 0;
		found = strncmp(target, "/memfd:", 7) == 0 && strstr(target, name);
	}
	closedir(folder);
	return found;
}

bool support_memory_file_exists(const char *name)
{
	bool found = false;
	DIR *folder = opendir("/proc");
	REQUIRE(folder != NULL);
	for (struct dirent *entry; !found && (entry = readdir(folder));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			found = process_has_file(entry->d_name, name);
	closedir(folder);
	return found;
}

static uint8_t byte_of(size_t index, uint64_t seed)
{
	return (uint8_t)((index * 0x9e3779b97f4a7c15ULL + seed * 0xbf58476d1ce4e5b9ULL) >> 56);
}

void support_fill(void *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)data)[i] = byte_of(i, seed);
}

bool support_is_filled(const void *data, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)data)[i] != byte_of(i, seed))
			return false;
	return true;
}
