/* SPDX-License-Identifier: MIT */
/* Messages that carry handles: what travels lives, whoever closes or dies; what is dropped is let go. */
#include <signal.h>
#include <string.h>

#include "channel/queue.h"
#include "support.h"

static tutti_arena *arena; /* of the running test */

static tutti_queue *new_queue(const char *name)
{
	tutti_queue *queue;
	if (!arena)
		arena = support_arena(0);
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena, .name = name}));
	return queue;
}

static void end(void)
{
	support_end_arena(arena);
	arena = NULL;
}

static tutti_err put_with(tutti_queue *queue, size_t size, const tutti_handle *carried, size_t count)
{
	static unsigned char bytes[200000];
	support_fill(bytes, size, size);
	return tutti_queue_put_with(queue, &(tutti_view){bytes, size}, 1, TUTTI_PICKLE, carried, count, TUTTI_NOW);
}

/* Mails a queue with one message in it, and closes it here. */
static tutti_handle mail_a_queue(tutti_queue *by, size_t size, uint64_t number)
{
	tutti_queue *mailed = new_queue("mailed");
	tutti_handle handle = tutti_queue_handle(mailed);
	OK(tutti_queue_put(mailed, &number, sizeof number, TUTTI_NOW));
	OK(put_with(by, size, &handle, 1));
	tutti_queue_close(mailed);
	return handle;
}

static void expect_gone(tutti_handle handle)
{
	tutti_queue *queue;
	EXPECT(TUTTI_ESTALE, tutti_queue_at(&queue, arena, handle));
}

static void the_last_handle_travels_in_a_message(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 100, 4095, 4096, 20000, 150000};
	tutti_queue *by = new_queue("by");
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		tutti_message message;
		tutti_handle handle = mail_a_queue(by, sizes[i], i);
		assert_true(tutti__queue_is_valid(arena, by->shared, NULL, NULL));
		OK(tutti_queue_get(by, &message, TUTTI_NOW));
		assert_int_equal(message.view.size, sizes[i]);
		assert_true(support_is_filled(message.view.data, sizes[i], sizes[i]));
		assert_true(sizes[i] < 4096 || (uintptr_t)message.view.data % 64 == 0);
		assert_int_equal(message.encoding, TUTTI_PICKLE);
		assert_int_equal(message.carried_count, 1);
		assert_false(message.redelivered);
		assert_memory_equal(&message.carried[0], &handle, sizeof handle);
		support_take_number(arena, message.carried[0], i);
		tutti_message_release(&message);
		tutti_message_release(&message);
		expect_gone(handle);
	}
	tutti_queue_close(by);
	end();
}

static void opening_a_carried_handle_takes_a_reference_of_its_own(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by"), *mailed;
	tutti_message message;
	tutti_handle handle = mail_a_queue(by, 10, 7);
	OK(tutti_queue_get(by, &message, TUTTI_NOW));
	OK(tutti_queue_at(&mailed, arena, message.carried[0]));
	tutti_message_release(&message);
	support_take_number(arena, handle, 7);
	tutti_queue_close(mailed);
	expect_gone(handle);
	tutti_queue_close(by);
	end();
}

static void objects_of_every_kind_travel_together_and_twice(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by"), *queue = new_queue("one");
	tutti_lock *lock;
	tutti_event *event;
	tutti_pipe *first, *second;
	OK(tutti_lock_open(&lock, &(tutti_lock_options){.arena = arena}));
	OK(tutti_event_open(&event, &(tutti_event_options){.arena = arena}));
	OK(tutti_pipe_open(&first, &second, &(tutti_pipe_options){.arena = arena}));
	tutti_handle carried[] = {tutti_queue_handle(queue), tutti_lock_handle(lock), tutti_event_handle(event),
	                          tutti_pipe_handle(first), tutti_queue_handle(queue)};
	OK(put_with(by, 64, carried, 5));
	tutti_queue_close(queue);
	tutti_lock_close(lock);
	tutti_event_close(event);
	tutti_pipe_close(first);
	OK(tutti_pipe_send(second, "x", 1, TUTTI_NOW));
	tutti_message message;
	OK(tutti_queue_get(by, &message, TUTTI_NOW));
	assert_int_equal(message.carried_count, 5);
	OK(tutti_lock_at(&lock, arena, message.carried[1]));
	OK(tutti_event_at(&event, arena, message.carried[2]));
	OK(tutti_pipe_at(&first, arena, message.carried[3]));
	tutti_message_release(&message);
	expect_gone(carried[0]);
	OK(tutti_pipe_receive(first, &message, TUTTI_NOW));
	tutti_message_release(&message);
	tutti_lock_close(lock);
	tutti_event_close(event);
	tutti_pipe_close(first);
	tutti_pipe_close(second);
	tutti_queue_close(by);
	end();
}

static void a_message_carries_up_to_a_thousand_handles(void **state)
{
	(void)state;
	static tutti_handle carried[1001];
	tutti_queue *by = new_queue("by"), *mailed = new_queue("mailed");
	for (int i = 0; i < 1001; i++)
		carried[i] = tutti_queue_handle(mailed);
	EXPECT_TEXT(TUTTI_EINVAL, "at most 1000", put_with(by, 4000, carried, 1001));
	OK(put_with(by, 4000, carried, 1000));
	tutti_queue_close(mailed);
	tutti_message message;
	unsigned char near[TUTTI_NEAR];
	OK(tutti_queue_get_near(by, &message, near, TUTTI_NOW));
	assert_true(message.view.data != near); /* it lies beside the handles */
	assert_int_equal(message.carried_count, 1000);
	assert_true(support_is_filled(message.view.data, 4000, 4000));
	OK(tutti_queue_at(&mailed, arena, message.carried[999]));
	tutti_queue_close(mailed);
	tutti_message_release(&message);
	expect_gone(carried[0]);
	tutti_queue_close(by);
	end();
}

static void what_is_dropped_is_let_go(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by");
	char buffer[100];
	tutti_handle copied = mail_a_queue(by, 50, 1);
	OK(tutti_queue_get_into(by, buffer, sizeof buffer, NULL, TUTTI_NOW));
	assert_true(support_is_filled(buffer, 50, 50));
	expect_gone(copied);
	tutti_handle dropped = mail_a_queue(by, 50, 2);
	OK(tutti_queue_shutdown_now(by));
	expect_gone(dropped);
	tutti_queue_close(by);
	by = new_queue("by");
	tutti_handle left = mail_a_queue(by, 5000, 3);
	tutti_queue_close(by);
	expect_gone(left);
	end();
}

/* A queue that is mailed to itself waits there; who gets the message has it. */
static void a_queue_mailed_to_itself_comes_back(void **state)
{
	(void)state;
	tutti_queue *queue = new_queue("ring");
	tutti_handle handle = tutti_queue_handle(queue);
	tutti_message message;
	OK(put_with(queue, 10, &handle, 1));
	tutti_queue_close(queue);
	OK(tutti_queue_at(&queue, arena, handle)); /* it lives */
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	tutti_queue_close(queue);
	OK(tutti_queue_at(&queue, arena, message.carried[0]));
	tutti_queue_close(queue);
	tutti_message_release(&message);
	expect_gone(handle);
	end();
}

struct waiter {
	tutti_queue *queue;
	atomic_u32 *stage;
};

static void wait_to_put(void *context)
{
	struct waiter *waiter = context;
	store_release(waiter->stage, 1);
	REQUIRE(tutti_queue_put(waiter->queue, "x", 1, TUTTI_FOREVER) == TUTTI_ESHUTDOWN);
}

static void shutting_down_at_once_releases_putters(void **state)
{
	(void)state;
	arena = support_arena(0);
	tutti_queue *queue;
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena, .max_items = 3}));
	for (int i = 0; i < 3; i++)
		OK(put_with(queue, 5000, NULL, 0));
	struct waiter waiter = {.queue = queue, .stage = support_shared(sizeof(atomic_u32))};
	pid_t putter = support_fork(wait_to_put, &waiter);
	UNTIL(5000, load_acquire(waiter.stage) == 1 && support_is_asleep(putter));
	OK(tutti_queue_shutdown_now(queue));
	support_join_child(putter);
	assert_int_equal(tutti_queue_size(queue), 0);
	EXPECT(TUTTI_EOF, tutti_queue_get(queue, &(tutti_message){0}, TUTTI_NOW));
	tutti_queue_close(queue);
	end();
}

/* Each queue's only handle is in a message of the one before: no stack may grow with their number. */
static void a_long_chain_of_mailed_queues_is_let_go(void **state)
{
	(void)state;
	tutti_queue *first = new_queue("first");
	for (int i = 0; i < 20000; i++) {
		tutti_queue *next = new_queue("next");
		tutti_handle handle = tutti_queue_handle(first);
		OK(put_with(next, 8, &handle, 1));
		tutti_queue_close(first);
		first = next;
	}
	tutti_queue_close(first);
	end();
}

static void handles_that_are_none_are_refused(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by"), *good = new_queue("good");
	tutti_handle gone = mail_a_queue(by, 10, 1);
	OK(tutti_queue_shutdown_now(by));
	tutti_queue_close(by);
	by = new_queue("by");
	tutti_handle foreign = tutti_queue_handle(good), wild = foreign, inside = foreign;
	foreign.arena++;
	wild.offset = UINT64_MAX - 5;
	inside.offset += 64;
	tutti_handle cases[][2] = {{tutti_queue_handle(good), gone},
	                           {tutti_queue_handle(good), wild},
	                           {tutti_queue_handle(good), inside},
	                           {tutti_queue_handle(good), (tutti_handle){.arena = gone.arena}}};
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
		EXPECT_TEXT(TUTTI_ESTALE, "gone", put_with(by, 10, cases[i], 2));
	EXPECT(TUTTI_EFOREIGN, put_with(by, 10, &foreign, 1));
	assert_int_equal(tutti_queue_size(by), 0);
	/* Nothing of the refused messages holds the good one. */
	tutti_handle handle = tutti_queue_handle(good);
	tutti_queue_close(good);
	expect_gone(handle);
	tutti_queue_close(by);
	end();
}

static void a_refused_put_holds_nothing(void **state)
{
	(void)state;
	tutti_queue *by, *mailed = new_queue("mailed");
	tutti_handle handle = tutti_queue_handle(mailed);
	OK(tutti_queue_open(&by, &(tutti_queue_options){.arena = arena, .max_items = 1, .max_message = 10}));
	OK(put_with(by, 3, NULL, 0));
	EXPECT(TUTTI_EFULL, put_with(by, 4, &handle, 1));
	EXPECT(TUTTI_ETOOBIG, put_with(by, 11, &handle, 1));
	OK(tutti_queue_shutdown(by));
	EXPECT(TUTTI_ESHUTDOWN, put_with(by, 4, &handle, 1));
	tutti_queue_close(mailed);
	expect_gone(handle);
	tutti_queue_close(by);
	end();
}

struct mailing {
	tutti_queue *by;
	atomic_u32 *stage;
	tutti_handle *handle;
};

static void mail_and_wait(void *context)
{
	struct mailing *mailing = context;
	*mailing->handle = mail_a_queue(mailing->by, 5000, 42);
	store_release(mailing->stage, 1);
	support_pause_forever();
}

static void a_mailed_queue_survives_its_sender(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by");
	struct mailing mailing = {by, support_shared(sizeof(atomic_u32)), support_shared(sizeof(tutti_handle))};
	pid_t child = support_fork(mail_and_wait, &mailing);
	UNTIL(5000, load_acquire(mailing.stage) == 1);
	support_kill(child);
	tutti_arena_sweep(arena);
	tutti_message message;
	OK(tutti_queue_get(by, &message, TUTTI_NOW));
	support_take_number(arena, message.carried[0], 42);
	tutti_message_release(&message);
	expect_gone(*mailing.handle);
	tutti_queue_close(by);
	end();
}

static void get_and_wait(void *context)
{
	struct mailing *mailing = context;
	tutti_message message;
	REQUIRE(tutti_queue_get(mailing->by, &message, TUTTI_NOW) == TUTTI_OK);
	store_release(mailing->stage, 1);
	support_pause_forever();
}

static void what_a_killed_getter_held_is_let_go(void **state)
{
	(void)state;
	tutti_queue *by = new_queue("by");
	struct mailing mailing = {by, support_shared(sizeof(atomic_u32)), NULL};
	tutti_handle handle = mail_a_queue(by, 5000, 1);
	pid_t child = support_fork(get_and_wait, &mailing);
	UNTIL(5000, load_acquire(mailing.stage) == 1);
	tutti_arena_sweep(arena);
	support_take_number(arena, handle, 1); /* it lives while the getter does */
	support_kill(child);
	tutti_arena_sweep(arena);
	expect_gone(handle);
	tutti_queue_close(by);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest carried[] = {
		TEST(the_last_handle_travels_in_a_message),
		TEST(opening_a_carried_handle_takes_a_reference_of_its_own),
		TEST(objects_of_every_kind_travel_together_and_twice),
		TEST(a_message_carries_up_to_a_thousand_handles),
		TEST(what_is_dropped_is_let_go),
		TEST(a_long_chain_of_mailed_queues_is_let_go),
		TEST(a_queue_mailed_to_itself_comes_back),
		TEST(shutting_down_at_once_releases_putters),
		TEST(handles_that_are_none_are_refused),
		TEST(a_refused_put_holds_nothing),
		TEST(a_mailed_queue_survives_its_sender),
		TEST(what_a_killed_getter_held_is_let_go),
	};
	return RUN_TESTS(carried);
}
