/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support.h"

/* What a child tells about itself. */
struct report {
	struct tutti__identity identity;
	atomic_u32 ready;
	atomic_u32 word;
};

static void identify_and_wait(void *context)
{
	struct report *report = context;
	tutti__identity_self(&report->identity);
	store_release(&report->ready, 1);
	support_pause_forever();
}

static void self_is_alive(void **state)
{
	struct tutti__identity self;
	(void)state;
	tutti__identity_self(&self);
	assert_int_equal(self.pid, getpid());
	assert_int_not_equal(self.pid_namespace, 0);
	assert_int_not_equal(self.start_time, 0);
	assert_true(tutti__os.is_alive(&self));
}

static void a_child_is_alive_until_it_is_killed(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(identify_and_wait, report);
	UNTIL(5000, load_acquire(&report->ready));
	assert_int_equal(report->identity.pid, child);
	assert_true(tutti__os.is_alive(&report->identity));
	support_kill(child);
	assert_false(tutti__os.is_alive(&report->identity));
}

/* Not yet reaped, but dead: its pid still exists. */
static void a_zombie_is_dead(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(identify_and_wait, report);
	UNTIL(5000, load_acquire(&report->ready));
	kill(child, SIGKILL);
	UNTIL(5000, !tutti__os.is_alive(&report->identity));
	assert_int_equal(kill(child, 0), 0);
	support_kill(child);
}

static void a_stopped_process_is_alive(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(identify_and_wait, report);
	UNTIL(5000, load_acquire(&report->ready));
	support_stop(child);
	assert_true(tutti__os.is_alive(&report->identity));
	support_kill(child);
}

/* As if the pid had been given to another process. */
static void another_process_of_the_same_pid_is_not_it(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(identify_and_wait, report);
	UNTIL(5000, load_acquire(&report->ready));
	struct tutti__identity earlier = report->identity;
	earlier.pidfd_inode = 0;
	assert_true(tutti__os.is_alive(&earlier));
	earlier.start_time--;
	assert_false(tutti__os.is_alive(&earlier));
	if (report->identity.pidfd_inode) {
		earlier = report->identity;
		earlier.pidfd_inode++;
		assert_false(tutti__os.is_alive(&earlier));
	}
	support_kill(child);
}

static void a_foreign_pid_namespace_says_nothing(void **state)
{
	struct tutti__identity foreign;
	(void)state;
	tutti__identity_self(&foreign);
	foreign.pid = 0x3ffffff; /* no such process here */
	assert_false(tutti__os.is_alive(&foreign));
	foreign.pid_namespace++;
	assert_true(tutti__os.is_alive(&foreign));
}

static void *leave_main_thread_alone(void *context)
{
	struct report *report = context;
	pthread_join(*(pthread_t *)(report + 1), NULL);
	store_release(&report->ready, 1);
	support_pause_forever();
}

static void end_main_thread(void *context)
{
	struct report *report = context;
	pthread_t thread, *self = (pthread_t *)(report + 1);
	tutti__identity_self(&report->identity);
	*self = pthread_self();
	REQUIRE(pthread_create(&thread, NULL, leave_main_thread_alone, report) == 0);
	pthread_exit(NULL);
}

/* /proc shows state Z, but the process runs on. */
static void a_process_without_its_main_thread_is_alive(void **state)
{
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* its run-time does not let the main thread of a forked child end alone */
	struct report *report = support_shared(sizeof *report + sizeof(pthread_t));
	pid_t child = support_fork(end_main_thread, report);
	UNTIL(5000, load_acquire(&report->ready));
	assert_true(tutti__os.is_alive(&report->identity));
	support_kill(child);
	assert_false(tutti__os.is_alive(&report->identity));
}

/* Maps something and notes where, as a member does with the arena; then becomes another program. */
static void map_and_exec(void *context)
{
	struct report *report = context;
	size_t size = 4 * MEBIBYTE;
	int fd = tutti__memory_file("unit-exec", size);
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(base != MAP_FAILED);
	tutti__identity_self(&report->identity);
	report->identity.map_start = (uint64_t)(uintptr_t)base;
	report->identity.map_end = report->identity.map_start + size;
	store_release(&report->ready, 1);
	UNTIL(5000, load_acquire(&report->word));
	execl("/bin/sleep", "sleep", "15", (char *)NULL);
	REQUIRE(!"exec");
}

static void exec_counts_as_death(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(map_and_exec, report);
	UNTIL(5000, load_acquire(&report->ready));
	assert_true(tutti__os.is_alive(&report->identity));
	store_release(&report->word, 1);
	UNTIL(5000, !tutti__os.is_alive(&report->identity));
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	support_kill(child);
}

static void futex_wait_ends_at_its_deadline(void **state)
{
	atomic_u32 word = 5;
	(void)state;
	int64_t start = tutti__os.clock_now();
	assert_int_equal(tutti__os.futex_wait(&word, 5, start + 20000000), ETIMEDOUT);
	assert_true(tutti__os.clock_now() - start >= 20000000);
	assert_int_equal(tutti__os.futex_wait(&word, 5, start), ETIMEDOUT);
}

static void futex_wait_does_not_sleep_on_another_value(void **state)
{
	atomic_u32 word = 6;
	(void)state;
	assert_int_equal(tutti__os.futex_wait(&word, 5, INT64_MAX), 0);
	assert_int_equal(tutti__os.futex_wake(&word, 1), 0);
}

static void sleep_on_word(void *context)
{
	struct report *report = context;
	while (load_acquire(&report->word) == 0)
		REQUIRE(tutti__os.futex_wait(&report->word, 0, tutti__os.clock_now() + 8000000000) == 0);
}

static void futex_wake_reaches_another_process(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(sleep_on_word, report);
	UNTIL(5000, support_is_asleep(child));
	store_release(&report->word, 1);
	tutti__os.futex_wake(&report->word, 1);
	support_join_child(child);
}

static void do_nothing(int signal) { (void)signal; }

static void wait_for_signal(void *context)
{
	struct report *report = context;
	struct sigaction action = {.sa_handler = do_nothing};
	sigaction(SIGUSR1, &action, NULL);
	store_release(&report->ready, 1);
	REQUIRE(tutti__os.futex_wait(&report->word, 0, tutti__os.clock_now() + 8000000000) == EINTR);
}

static void futex_wait_tells_of_a_signal(void **state)
{
	(void)state;
	struct report *report = support_shared(sizeof *report);
	pid_t child = support_fork(wait_for_signal, report);
	UNTIL(5000, load_acquire(&report->ready) && support_is_asleep(child));
	kill(child, SIGUSR1);
	support_join_child(child);
}

static void a_memory_file_keeps_its_size(void **state)
{
	struct stat status;
	(void)state;
	int fd = tutti__memory_file("unit-file", 3 * MEBIBYTE);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, 3 * MEBIBYTE);
	assert_int_not_equal(ftruncate(fd, MEBIBYTE), 0);
	assert_int_equal(errno, EPERM);
	assert_int_not_equal(ftruncate(fd, 4 * MEBIBYTE), 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
}

static void punching_returns_pages_and_zeroes_them(void **state)
{
	struct stat status;
	(void)state;
	int fd = tutti__memory_file("unit-punch", MEBIBYTE);
	char *base = mmap(NULL, MEBIBYTE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	memset(base, 'x', MEBIBYTE);
	assert_true(tutti__memory_punch(base + 65536, 65536));
	assert_int_equal(base[65536], 0);
	assert_int_equal(base[65535], 'x');
	assert_int_equal(base[131072], 'x');
	assert_true(tutti__memory_punch(base, MEBIBYTE));
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_blocks, 0);
	munmap(base, MEBIBYTE);
	close(fd);
}

static void try_file_over_limit(void *context)
{
	struct rlimit limit = {.rlim_cur = MEBIBYTE, .rlim_max = MEBIBYTE};
	(void)context;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	errno = 0;
	REQUIRE(tutti__memory_file("unit-limit", 2 * MEBIBYTE) == -1 && errno == EFBIG);
	int fd = tutti__memory_file("unit-limit", MEBIBYTE);
	REQUIRE(fd >= 0);
	close(fd);
}

/* The kernel would kill, with SIGXFSZ. */
static void the_file_size_limit_is_an_error_not_a_signal(void **state)
{
	(void)state;
	support_join_child(support_fork(try_file_over_limit, NULL));
}

static void deadlines_do_not_overflow(void **state)
{
	(void)state;
	int64_t now = tutti__os.clock_now();
	assert_true(tutti__deadline(TUTTI_FOREVER) == INT64_MAX);
	assert_true(tutti__deadline(INT64_MAX - 1) > now);
	assert_true(tutti__deadline(tutti_ms(5)) >= now + 5000000);
	assert_true(tutti__deadline(-5) <= tutti__os.clock_now());
	assert_true(tutti__deadline(INT64_MIN) <= tutti__os.clock_now());
}

static void the_machine_has_memory_and_cpus(void **state)
{
	(void)state;
	assert_true(tutti__memory_total() > 64 * MEBIBYTE);
	assert_true(tutti__memory_allowed() > 0 && tutti__memory_allowed() <= tutti__memory_total());
	assert_in_range(tutti__cpus_usable(), 1, tutti__cpus_online());
	assert_string_equal(tutti__program_name(), "test_os");
}

static void *wait_for_word(void *context)
{
	while (load_acquire((atomic_u32 *)context) == 0)
		tutti__os.futex_wait(context, 0, tutti__os.clock_now() + 100000000);
	return NULL;
}

static void threads_are_counted(void **state)
{
	pthread_t thread;
	atomic_u32 word = 0;
	(void)state;
	if (support_has_thread_sanitizer())
		skip(); /* it starts a thread of its own beside the first one */
	unsigned before = tutti__thread_count();
	assert_int_equal(pthread_create(&thread, NULL, wait_for_word, &word), 0);
	assert_int_equal(tutti__thread_count(), before + 1);
	store_release(&word, 1);
	tutti__os.futex_wake(&word, 1);
	pthread_join(thread, NULL);
	UNTIL(5000, tutti__thread_count() == before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest os[] = {
		TEST(self_is_alive),
		TEST(a_child_is_alive_until_it_is_killed),
		TEST(a_zombie_is_dead),
		TEST(a_stopped_process_is_alive),
		TEST(another_process_of_the_same_pid_is_not_it),
		TEST(a_foreign_pid_namespace_says_nothing),
		TEST(a_process_without_its_main_thread_is_alive),
		TEST(exec_counts_as_death),
		TEST(futex_wait_ends_at_its_deadline),
		TEST(futex_wait_does_not_sleep_on_another_value),
		TEST(futex_wake_reaches_another_process),
		TEST(futex_wait_tells_of_a_signal),
		TEST(a_memory_file_keeps_its_size),
		TEST(punching_returns_pages_and_zeroes_them),
		TEST(the_file_size_limit_is_an_error_not_a_signal),
		TEST(deadlines_do_not_overflow),
		TEST(the_machine_has_memory_and_cpus),
		TEST(threads_are_counted),
	};
	return RUN_TESTS(os);
}
