/* SPDX-License-Identifier: MIT */
/* Making, joining, leaving an arena, and what is refused. Who is in it: test_member.c. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arena/context.h"
#include "os/os.h"
#include "support.h"

static void options_are_checked(void **state)
{
	tutti_arena *arena;
	char name[41];
	(void)state;
	memset(name, 'n', 40);
	name[40] = 0;
	EXPECT_TEXT(TUTTI_EINVAL, "39", tutti_arena_open(&arena, &(tutti_arena_options){.name = name}));
	EXPECT(TUTTI_EINVAL, tutti_arena_open(&arena, &(tutti_arena_options){.name = "a/b"}));
	EXPECT_TEXT(TUTTI_EINVAL, "1 MiB", tutti_arena_open(&arena, &(tutti_arena_options){.size = MEBIBYTE - 1}));
	OK(tutti_arena_open(&arena, &(tutti_arena_options){.size = MEBIBYTE}));
	assert_true(arena->size >= MEBIBYTE);
	tutti_arena_close(arena);
}

/* "At least 64 GiB", sparse: nothing of it is touched. */
static void the_default_is_large_and_costs_nothing(void **state)
{
	tutti_arena_usage usage;
	tutti_arena *arena;
	(void)state;
	OK(tutti_arena_open(&arena, NULL));
	OK(tutti_arena_usage_read(arena, &usage));
	assert_true(arena->size >= (uint64_t)1 << 36);
	assert_int_equal(usage.touched_bytes, 0);
	assert_int_equal(usage.live_blocks, 0);
	assert_int_equal(usage.members, 1);
	assert_int_equal(usage.max_bytes / 65536, tutti__memory_allowed() / 5 * 4 / 65536);
	tutti_arena_close(arena);
}

static void an_arena_of_any_size_can_be_filled(void **state)
{
	static const uint64_t sizes[] = {MEBIBYTE, 3 * MEBIBYTE + 17, 100 * MEBIBYTE};
	(void)state;
	for (int i = 0; i < 3; i++) {
		tutti_arena *arena;
		tutti_queue *queue;
		OK(tutti_arena_open(&arena, &(tutti_arena_options){.size = sizes[i]}));
		OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
		char *data = calloc(1, sizes[i]);
		OK(tutti_queue_put(queue, data, sizes[i] - 65536 * 2, TUTTI_NOW));
		tutti_err err;
		for (int j = 0; (err = tutti_queue_put(queue, data, 65536, TUTTI_NOW)) == TUTTI_OK; j++)
			REQUIRE(j < 10000);
		assert_int_equal(err, TUTTI_ENOMEM);
		free(data);
		tutti_queue_close(queue);
		tutti_arena_close(arena);
	}
}

static void the_environment_sets_defaults(void **state)
{
	tutti_arena_usage usage;
	tutti_arena *arena;
	(void)state;
	setenv("TUTTI_ARENA_MAX", "24M", 1);
	setenv("TUTTI_ARENA_NAME", "unit-environment", 1);
	OK(tutti_arena_open(&arena, NULL));
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.max_bytes, 24 * MEBIBYTE);
	assert_true(support_memory_file_exists("tutti:unit-environment"));
	tutti_arena_close(arena);
	OK(tutti_arena_open(&arena, &(tutti_arena_options){.max_bytes = 8 * MEBIBYTE}));
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.max_bytes, 8 * MEBIBYTE);
	tutti_arena_close(arena);
	unsetenv("TUTTI_ARENA_MAX");
	unsetenv("TUTTI_ARENA_NAME");
	assert_false(support_memory_file_exists("tutti:unit-environment"));
}

static void the_default_arena_is_one(void *context)
{
	tutti_arena *first, *second;
	tutti_lock *lock;
	(void)context;
	OK(tutti_arena_default(&first));
	OK(tutti_arena_default(&second));
	REQUIRE(first == second);
	tutti_arena_close(first); /* never closed */
	OK(tutti_lock_open(&lock, NULL));
	REQUIRE(tutti_lock_handle(lock).arena == first->header->arena_id);
	tutti_lock_close(lock);
}

static void without_an_arena_the_default_one_is_meant(void **state)
{
	(void)state;
	support_join_child(support_fork(the_default_arena_is_one, NULL));
}

static void not_an_arena(int fd)
{
	tutti_arena *arena;
	unsigned before = support_descriptors();
	EXPECT_TEXT(TUTTI_ENOTARENA, "not an arena", tutti_arena_join_fd(&arena, fd, NULL));
	assert_int_equal(support_descriptors(), before);
}

static void other_files_are_refused(void **state)
{
	int ends[2], sockets[2];
	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	int empty = memfd_create("unit-empty", MFD_CLOEXEC);
	int zeros = memfd_create("unit-zeros", MFD_CLOEXEC);
	int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(zeros, 1 << 20), 0);
	not_an_arena(ends[0]);
	not_an_arena(sockets[0]);
	not_an_arena(empty);
	not_an_arena(zeros);
	not_an_arena(program);
	not_an_arena(-1);
	not_an_arena(9999);
	close(ends[0]), close(ends[1]), close(sockets[0]), close(sockets[1]);
	close(empty), close(zeros), close(program);
}

/* A copy of the arena's header in a file of `size` bytes, to be patched. */
static int copy_of(tutti_arena *arena, uint64_t size, struct tutti__header *header)
{
	int fd = memfd_create("unit-copy", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	memcpy(header, arena->header, sizeof *header);
	return fd;
}

static void write_header(int fd, const struct tutti__header *header)
{
	assert_int_equal(pwrite(fd, header, sizeof *header, 0), (ssize_t)sizeof *header);
}

static void another_layout_is_refused_by_name(void **state)
{
	tutti_arena *joined;
	struct tutti__header header;
	(void)state;
	tutti_arena *arena = support_arena(0);
	int fd = copy_of(arena, arena->size, &header);
	header.layout_version++;
	snprintf(header.version, sizeof header.version, "9.8.7");
	write_header(fd, &header);
	EXPECT_TEXT(TUTTI_EVERSION, "9.8.7", tutti_arena_join_fd(&joined, fd, NULL));
	EXPECT_TEXT(TUTTI_EVERSION, TUTTI_VERSION_TEXT, tutti_arena_join_fd(&joined, fd, NULL));
	EXPECT_TEXT(TUTTI_EVERSION, "unit", tutti_arena_join_fd(&joined, fd, NULL));
	close(fd);
	tutti_arena_close(arena);
}

static void an_arena_in_the_making_is_refused(void **state)
{
	struct tutti__header header;
	(void)state;
	tutti_arena *arena = support_arena(0);
	int fd = copy_of(arena, arena->size, &header);
	store_relaxed(&header.state, TUTTI__ARENA_MAKING);
	write_header(fd, &header);
	not_an_arena(fd);
	store_relaxed(&header.state, TUTTI__ARENA_READY);
	header.magic ^= 1;
	write_header(fd, &header);
	not_an_arena(fd);
	close(fd);
	tutti_arena_close(arena);
}

/* The header promises more than the file holds: using it would end in a signal. */
static void join_truncated(void *context)
{
	struct tutti__header header;
	tutti_arena *joined;
	int fd = copy_of(context, 2 * MEBIBYTE, &header);
	write_header(fd, &header);
	tutti_err err = tutti_arena_join_fd(&joined, fd, NULL);
	REQUIRE(err == TUTTI_ENOTARENA || err == TUTTI_ECORRUPT);
	close(fd);
}

static void a_truncated_arena_is_refused(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	support_join_child(support_fork(join_truncated, arena));
	tutti_arena_close(arena);
}

static void a_descriptor_stays_the_callers(void **state)
{
	tutti_arena *joined;
	tutti_lock *lock;
	(void)state;
	tutti_arena *arena = support_arena(0);
	int fd = dup(tutti_arena_fd(arena));
	OK(tutti_arena_join_fd(&joined, fd, NULL));
	assert_int_not_equal(tutti_arena_fd(joined), fd);
	assert_int_equal(fcntl(tutti_arena_fd(joined), F_GETFD), FD_CLOEXEC);
	close(fd);
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = joined}));
	tutti_lock_close(lock);
	tutti_arena_close(joined);
	tutti_arena_close(arena);
}

struct limits {
	int resource;
	rlim_t value;
};

static void open_under_limit(void *context)
{
	const struct limits *limits = context;
	struct rlimit limit = {.rlim_cur = limits->value, .rlim_max = limits->value};
	tutti_arena *arena;
	tutti_queue *queue;
	char data[10000], back[10000];
	size_t size;
	REQUIRE(setrlimit((__rlimit_resource_t)limits->resource, &limit) == 0);
	OK(tutti_arena_open(&arena, NULL));
	REQUIRE(arena->size < (uint64_t)1 << 36 && arena->size >= (uint64_t)1 << 30);
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	support_fill(data, sizeof data, 1);
	OK(tutti_queue_put(queue, data, sizeof data, TUTTI_NOW));
	OK(tutti_queue_get_into(queue, back, sizeof back, &size, TUTTI_NOW));
	REQUIRE(size == sizeof data && support_is_filled(back, size, 1));
	tutti_queue_close(queue);
	tutti_arena_close(arena);
}

static void limits_of_the_process_make_it_smaller(void **state)
{
	(void)state;
	struct limits file = {RLIMIT_FSIZE, (rlim_t)3 << 30}, memory = {RLIMIT_AS, (rlim_t)6 << 30};
	support_join_child(support_fork(open_under_limit, &file));
	if (!support_is_slow()) /* a sanitizer's shadow is larger than any limit */
		support_join_child(support_fork(open_under_limit, &memory));
}

static void refused_by_limit(void *context)
{
	const struct limits *limits = context;
	struct rlimit limit = {.rlim_cur = limits->value, .rlim_max = limits->value};
	tutti_arena *arena;
	unsigned before = support_descriptors();
	REQUIRE(setrlimit((__rlimit_resource_t)limits->resource, &limit) == 0);
	EXPECT_TEXT(TUTTI_ESYSTEM, "ulimit", tutti_arena_open(&arena, NULL));
	REQUIRE(support_descriptors() == before);
}

static void too_little_room_is_an_error_with_advice(void **state)
{
	(void)state;
	struct limits file = {RLIMIT_FSIZE, (rlim_t)512 << 20}, memory = {RLIMIT_AS, (rlim_t)700 << 20};
	support_join_child(support_fork(refused_by_limit, &file));
	if (!support_is_slow())
		support_join_child(support_fork(refused_by_limit, &memory));
}

static void join_under_limit(void *context)
{
	struct rlimit limit = {.rlim_cur = (rlim_t)6 << 30, .rlim_max = (rlim_t)6 << 30};
	tutti_arena *inherited = context, *joined;
	int fd = dup(tutti_arena_fd(inherited));
	tutti_arena_close(inherited); /* else its mapping would be shared, and would count */
	REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
	EXPECT_TEXT(TUTTI_ESYSTEM, "ulimit -v", tutti_arena_join_fd(&joined, fd, NULL));
	close(fd);
}

static void a_joiner_that_cannot_map_it_is_told(void **state)
{
	(void)state;
	if (support_is_slow())
		skip();
	tutti_arena *arena = support_arena(0);
	support_join_child(support_fork(join_under_limit, arena));
	tutti_arena_close(arena);
}

static void run_out_of_descriptors(void *context)
{
	struct rlimit limit;
	tutti_arena *arena = context, *made;
	tutti_queue *queue;
	tutti_lock *lock;
	int fd;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)dup(0); /* the lowest that is free: none is left below it */
	close((int)limit.rlim_cur);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT_TEXT(TUTTI_EDESCRIPTORS, "ulimit -n", tutti_arena_open(&made, NULL));
	EXPECT_TEXT(TUTTI_EDESCRIPTORS, "ulimit -n", tutti_arena_join_fd(&made, tutti_arena_fd(arena), NULL));
	EXPECT_TEXT(TUTTI_EDESCRIPTORS, "ulimit -n", tutti_queue_fd(queue, &fd));
	/* What needs no descriptor goes on. */
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	OK(tutti_lock_acquire(lock, TUTTI_NOW));
	OK(tutti_lock_release(lock));
	OK(tutti_queue_put(queue, "x", 1, TUTTI_NOW));
	tutti_lock_close(lock);
	tutti_queue_close(queue);
}

static void a_descriptor_limit_is_an_error_with_advice(void **state)
{
	(void)state;
	tutti_arena *arena = support_arena(0);
	support_join_child(support_fork(run_out_of_descriptors, arena));
	tutti_arena_close(arena);
}

static void hold_in_child(void *context)
{
	OK(tutti_lock_acquire(context, tutti_seconds(5)));
	support_pause_forever();
}

static void take_over_without_descriptors(void *context)
{
	struct rlimit limit;
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)dup(0);
	close((int)limit.rlim_cur);
	EXPECT(TUTTI_EBUSY, tutti_lock_acquire(context, TUTTI_NOW));
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	pid_t holder = tutti_lock_holder(context);
	kill(holder, SIGKILL);
	EXPECT(TUTTI_EOWNERDEAD, tutti_lock_acquire(context, tutti_seconds(4)));
	OK(tutti_lock_release(context));
	tutti_lock_close(context);
}

/* Promise K1 holds in a process that has used up its descriptors, too. */
static void deaths_are_noticed_without_a_descriptor(void **state)
{
	tutti_lock *lock;
	(void)state;
	tutti_arena *arena = support_arena(0);
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	pid_t holder = support_fork(hold_in_child, lock);
	UNTIL(5000, tutti_lock_holder(lock) == holder);
	pid_t heir = support_fork(take_over_without_descriptors, lock);
	support_join_child(heir);
	support_wait(holder); /* not before: its pid is to stay in use, by a zombie */
	tutti_lock_close(lock);
	tutti_arena_close(arena);
}

static void nothing_is_left_when_it_is_closed(void **state)
{
	tutti_arena *arena;
	(void)state;
	OK(tutti_arena_open(&arena, &(tutti_arena_options){.name = "unit-gone"}));
	assert_true(support_memory_file_exists("tutti:unit-gone"));
	tutti_arena *other = support_join(arena);
	tutti_arena_close(arena);
	assert_true(support_memory_file_exists("tutti:unit-gone"));
	tutti_arena_close(other);
	assert_false(support_memory_file_exists("tutti:unit-gone"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest arena[] = {
		TEST(options_are_checked),
		TEST(the_default_is_large_and_costs_nothing),
		TEST(an_arena_of_any_size_can_be_filled),
		TEST(the_environment_sets_defaults),
		TEST(without_an_arena_the_default_one_is_meant),
		TEST(other_files_are_refused),
		TEST(another_layout_is_refused_by_name),
		TEST(an_arena_in_the_making_is_refused),
		TEST(a_truncated_arena_is_refused),
		TEST(a_descriptor_stays_the_callers),
		TEST(limits_of_the_process_make_it_smaller),
		TEST(too_little_room_is_an_error_with_advice),
		TEST(a_joiner_that_cannot_map_it_is_told),
		TEST(a_descriptor_limit_is_an_error_with_advice),
		TEST(deaths_are_noticed_without_a_descriptor),
		TEST(nothing_is_left_when_it_is_closed),
	};
	return RUN_TESTS(arena);
}
