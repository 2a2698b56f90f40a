/* SPDX-License-Identifier: MIT */
/* The pipe: both ways, one way, its end by closing, by a kill, by a mailed end that is dropped. */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "support.h"

#include "os/atomics.h"

static tutti_arena *arena; /* of the running test */

struct ends {
	tutti_pipe *first, *second;
};

static struct ends new_pipe(tutti_pipe_options options)
{
	struct ends ends;
	if (!arena)
		arena = support_arena(0);
	options.arena = arena;
	OK(tutti_pipe_open(&ends.first, &ends.second, &options));
	return ends;
}

static void end(struct ends ends)
{
	tutti_arena_usage usage;
	tutti_pipe_close(ends.first);
	tutti_pipe_close(ends.second);
	tutti_arena_sweep(arena);
	OK(tutti_arena_usage_read(arena, &usage));
	assert_int_equal(usage.live_blocks, 0);
	tutti_arena_close(arena);
	arena = NULL;
}

static void expect_number(tutti_pipe *from, uint64_t expected)
{
	uint64_t number = 0;
	size_t size = 0;
	OK(tutti_pipe_receive_into(from, &number, sizeof number, &size, TUTTI_NOW));
	assert_int_equal(size, sizeof number);
	assert_int_equal(number, expected);
}

static void send_number(tutti_pipe *into, uint64_t number)
{
	OK(tutti_pipe_send(into, &number, sizeof number, TUTTI_NOW));
}

static void both_ways(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){0});
	tutti_message message;
	send_number(ends.first, 1);
	send_number(ends.second, 2);
	send_number(ends.first, 3);
	expect_number(ends.second, 1);
	expect_number(ends.first, 2);
	expect_number(ends.second, 3);
	EXPECT(TUTTI_EEMPTY, tutti_pipe_receive(ends.first, &message, TUTTI_NOW));
	tutti_view parts[] = {{"ab", 2}, {"cde", 3}};
	OK(tutti_pipe_send_gather(ends.second, parts, 2, TUTTI_MSGPACK, TUTTI_NOW));
	OK(tutti_pipe_receive(ends.first, &message, TUTTI_NOW));
	assert_int_equal(message.encoding, TUTTI_MSGPACK);
	assert_int_equal(message.view.size, 5);
	assert_memory_equal(message.view.data, "abcde", 5);
	tutti_message_release(&message);
	unsigned char near[TUTTI_NEAR];
	EXPECT(TUTTI_EEMPTY, tutti_pipe_receive_near(ends.first, &message, near, TUTTI_NOW));
	send_number(ends.second, 4);
	OK(tutti_pipe_receive_near(ends.first, &message, near, TUTTI_NOW));
	assert_true(message.view.data == near && message.view.size == sizeof(uint64_t) && near[0] + near[7] == 4);
	tutti_message_release(&message);
	end(ends);
}

static void one_way(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){.one_way = true, .name = "down"});
	tutti_message message;
	int fd;
	send_number(ends.second, 5);
	expect_number(ends.first, 5);
	EXPECT_TEXT(TUTTI_EPERM, "this end of pipe \"down\" only receives", tutti_pipe_send(ends.first, "x", 1, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EPERM, "only sends", tutti_pipe_receive(ends.second, &message, TUTTI_NOW));
	EXPECT(TUTTI_EPERM, tutti_pipe_poll(ends.second, TUTTI_NOW));
	EXPECT(TUTTI_EPERM, tutti_pipe_fd(ends.second, &fd));
	tutti_pipe_close(ends.first);
	EXPECT(TUTTI_ESHUTDOWN, tutti_pipe_send(ends.second, "x", 1, TUTTI_NOW));
	ends.first = NULL;
	end(ends);
}

static void closing_an_end_is_the_others_end(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){.name = "talk"});
	tutti_message message;
	send_number(ends.first, 1);
	send_number(ends.first, 2);
	send_number(ends.second, 3); /* nobody will get it */
	tutti_pipe_close(ends.first);
	ends.first = NULL;
	EXPECT_TEXT(TUTTI_ESHUTDOWN, "the other end of pipe \"talk\"", tutti_pipe_send(ends.second, "x", 1, TUTTI_NOW));
	expect_number(ends.second, 1);
	expect_number(ends.second, 2);
	OK(tutti_pipe_poll(ends.second, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_EOF, "\"talk\"", tutti_pipe_receive(ends.second, &message, TUTTI_FOREVER));
	end(ends);
}

static void an_end_lives_while_it_has_a_handle(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){0});
	tutti_pipe *again;
	OK(tutti_pipe_at(&again, arena, tutti_pipe_handle(ends.first)));
	tutti_pipe_close(ends.first);
	ends.first = again;
	send_number(ends.second, 4);
	expect_number(ends.first, 4);
	tutti_queue *queue;
	EXPECT_TEXT(TUTTI_EKIND, "of a pipe", tutti_queue_at(&queue, arena, tutti_pipe_handle(ends.first)));
	tutti_handle handle = tutti_pipe_handle(ends.first);
	tutti_pipe_close(ends.first);
	ends.first = NULL;
	EXPECT(TUTTI_ESTALE, tutti_pipe_at(&again, arena, handle));
	end(ends);
}

static void bounds_hold_each_way(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){.max_items = 2, .max_message = 8});
	EXPECT(TUTTI_ETOOBIG, tutti_pipe_send(ends.first, "123456789", 9, TUTTI_NOW));
	for (uint64_t i = 0; i < 2; i++) {
		send_number(ends.first, i);
		send_number(ends.second, i);
	}
	EXPECT(TUTTI_EFULL, tutti_pipe_send(ends.first, "x", 1, TUTTI_NOW));
	EXPECT(TUTTI_EFULL, tutti_pipe_send(ends.second, "x", 1, tutti_ms(5)));
	expect_number(ends.second, 0);
	send_number(ends.first, 2);
	end(ends);
}

static void bad_options_leave_nothing(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){0});
	tutti_pipe *first = NULL, *second = NULL;
	EXPECT(TUTTI_EINVAL, tutti_pipe_open(&first, &second,
	                                     &(tutti_pipe_options){
											 .arena = arena,
											 .name = "a name that is much longer than thirty-nine bytes",
										 }));
	assert_null(first);
	assert_null(second);
	end(ends);
}

static void polling(void **state)
{
	(void)state;
	struct ends ends = new_pipe((tutti_pipe_options){0});
	struct pollfd entry = {.events = POLLIN};
	EXPECT(TUTTI_EEMPTY, tutti_pipe_poll(ends.first, TUTTI_NOW));
	EXPECT(TUTTI_EEMPTY, tutti_pipe_poll(ends.first, tutti_ms(5)));
	OK(tutti_pipe_fd(ends.first, &entry.fd));
	assert_int_equal(poll(&entry, 1, 0), 0);
	send_number(ends.second, 1);
	assert_int_equal(poll(&entry, 1, 5000), 1);
	OK(tutti_pipe_poll(ends.first, TUTTI_NOW));
	expect_number(ends.first, 1);
	EXPECT(TUTTI_EEMPTY, tutti_pipe_receive(ends.first, &(tutti_message){0}, TUTTI_NOW));
	assert_int_equal(poll(&entry, 1, 0), 0);
	tutti_pipe_close(ends.second);
	ends.second = NULL;
	assert_int_equal(poll(&entry, 1, 5000), 1); /* the end is readable too */
	OK(tutti_pipe_poll(ends.first, TUTTI_NOW));
	end(ends);
}

static void handles_travel_through_it(void **state)
{
	(void)state;
	struct ends outer = new_pipe((tutti_pipe_options){0}), inner = new_pipe((tutti_pipe_options){0});
	tutti_message message;
	tutti_handle handle = tutti_pipe_handle(inner.first);
	OK(tutti_pipe_send_with(outer.first, &(tutti_view){"end", 3}, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	tutti_pipe_close(inner.first);
	send_number(inner.second, 8); /* the end is on its way: it lives */
	OK(tutti_pipe_receive(outer.second, &message, TUTTI_NOW));
	OK(tutti_pipe_at(&inner.first, arena, message.carried[0]));
	tutti_message_release(&message);
	expect_number(inner.first, 8);
	/* Dropped on its way, it is closed. */
	OK(tutti_pipe_send_with(outer.first, &(tutti_view){"end", 3}, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	tutti_pipe_close(inner.first);
	tutti_pipe_close(outer.first);
	tutti_pipe_close(outer.second);
	EXPECT(TUTTI_EOF, tutti_pipe_receive(inner.second, &message, TUTTI_NOW));
	inner.first = NULL;
	end(inner);
}

struct talk {
	struct ends ends;
	atomic_u32 *stage;
	unsigned sends;
};

/* The child has the first end; the parent has closed it. */
static void talk(void *context)
{
	struct talk *talk = context;
	for (uint64_t i = 0; i < talk->sends; i++)
		REQUIRE(tutti_pipe_send(talk->ends.first, &i, sizeof i, TUTTI_NOW) == TUTTI_OK);
	tutti_pipe_close(talk->ends.second);
	store_release(talk->stage, 1);
	support_pause_forever();
}

static void a_killed_end_is_noticed(void **state)
{
	(void)state;
	struct talk it = {.ends = new_pipe((tutti_pipe_options){0}), .sends = 3};
	it.stage = support_shared(sizeof(atomic_u32));
	pid_t child = support_fork(talk, &it);
	UNTIL(5000, load_acquire(it.stage) == 1);
	tutti_pipe_close(it.ends.first);
	it.ends.first = NULL;
	send_number(it.ends.second, 1);
	support_kill(child);
	for (uint64_t i = 0; i < 3; i++)
		expect_number(it.ends.second, i);
	int64_t begin = support_now();
	EXPECT(TUTTI_EOF, tutti_pipe_receive(it.ends.second, &(tutti_message){0}, tutti_seconds(10)));
	assert_true(support_now() - begin < 1500000000);
	EXPECT(TUTTI_ESHUTDOWN, tutti_pipe_send(it.ends.second, "x", 1, TUTTI_NOW));
	end(it.ends);
}

/* Nobody waits, nobody sweeps: those who only ask notice it too. */
static void who_never_waits_notices_a_killed_end(void **state)
{
	(void)state;
	struct talk it = {.ends = new_pipe((tutti_pipe_options){.max_items = 1}), .sends = 1};
	it.stage = support_shared(sizeof(atomic_u32));
	pid_t child = support_fork(talk, &it);
	UNTIL(5000, load_acquire(it.stage) == 1);
	tutti_pipe_close(it.ends.first);
	it.ends.first = NULL;
	expect_number(it.ends.second, 0);
	send_number(it.ends.second, 1);
	EXPECT_TEXT(TUTTI_EFULL, "pipe \"pipe\" is full", tutti_pipe_send(it.ends.second, "x", 1, TUTTI_NOW));
	support_kill(child);
	UNTIL(1500, tutti_pipe_receive(it.ends.second, &(tutti_message){0}, TUTTI_NOW) == TUTTI_EOF);
	EXPECT(TUTTI_ESHUTDOWN, tutti_pipe_send(it.ends.second, "x", 1, TUTTI_NOW));
	end(it.ends);
}

static void a_sender_that_waits_for_room_notices_too(void **state)
{
	(void)state;
	struct talk it = {.ends = new_pipe((tutti_pipe_options){.max_items = 1}), .sends = 0};
	it.stage = support_shared(sizeof(atomic_u32));
	send_number(it.ends.second, 1);
	it.sends = 1; /* its first use makes the end the child's */
	pid_t child = support_fork(talk, &it);
	UNTIL(5000, load_acquire(it.stage) == 1);
	tutti_pipe_close(it.ends.first);
	it.ends.first = NULL;
	support_kill(child);
	int64_t begin = support_now();
	EXPECT(TUTTI_ESHUTDOWN, tutti_pipe_send(it.ends.second, "x", 1, tutti_seconds(10)));
	assert_true(support_now() - begin < 1500000000);
	end(it.ends);
}

static void echo(void *context)
{
	struct talk *talk = context;
	tutti_message message;
	tutti_err err;
	while ((err = tutti_pipe_receive(talk->ends.first, &message, TUTTI_FOREVER)) == TUTTI_OK) {
		store_release(talk->stage, 1);
		REQUIRE(tutti_pipe_send(talk->ends.first, message.view.data, message.view.size, TUTTI_FOREVER) == TUTTI_OK);
		tutti_message_release(&message);
	}
	REQUIRE(err == TUTTI_EOF);
}

static void an_echo_of_all_sizes(void **state)
{
	(void)state;
	static unsigned char bytes[150000];
	static const size_t sizes[] = {0, 1, 64, 4096, 4097, 150000};
	struct talk it = {.ends = new_pipe((tutti_pipe_options){0})};
	it.stage = support_shared(sizeof(atomic_u32));
	pid_t child = support_fork(echo, &it);
	for (unsigned i = 0; i < 600; i++) {
		size_t size = sizes[i % 6];
		tutti_message message;
		support_fill(bytes, size, i);
		OK(tutti_pipe_send(it.ends.second, bytes, size, TUTTI_NOW));
		OK(tutti_pipe_receive(it.ends.second, &message, tutti_seconds(5)));
		assert_int_equal(message.view.size, size);
		assert_true(support_is_filled(message.view.data, size, i));
		tutti_message_release(&message);
	}
	tutti_pipe_close(it.ends.first); /* the child has it */
	tutti_pipe_close(it.ends.second);
	it.ends = (struct ends){NULL, NULL};
	support_join_child(child);
	end(it.ends);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest pipes[] = {
		TEST(both_ways),
		TEST(one_way),
		TEST(closing_an_end_is_the_others_end),
		TEST(an_end_lives_while_it_has_a_handle),
		TEST(bounds_hold_each_way),
		TEST(bad_options_leave_nothing),
		TEST(polling),
		TEST(handles_travel_through_it),
		TEST(a_killed_end_is_noticed),
		TEST(who_never_waits_notices_a_killed_end),
		TEST(a_sender_that_waits_for_room_notices_too),
		TEST(an_echo_of_all_sizes),
	};
	return RUN_TESTS(pipes);
}
