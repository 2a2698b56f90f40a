/* SPDX-License-Identifier: MIT */
/* The joinable queue: what is unfinished, whose it is, what a death and an exit give back, shutdown at once. */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "channel/joinable.h"
#include "queue_scene.h"

static tutti_queue *new_jobs(tutti_queue_options options)
{
	options.joinable = true;
	return new_queue(options);
}

static void check(tutti_queue *queue) { REQUIRE(tutti__queue_is_valid(arena, queue->shared, NULL, NULL)); }

static uint64_t get(tutti_queue *queue, bool *redelivered)
{
	tutti_message message = {0};
	unsigned char near[TUTTI_NEAR];
	uint64_t number = 0;
	support_expect(__FILE__, __LINE__, "get", TUTTI_OK, tutti_queue_get_near(queue, &message, near, TUTTI_NOW));
	REQUIRE(message.view.size == sizeof number);
	memcpy(&number, message.view.data, sizeof number);
	if (redelivered)
		*redelivered = message.redelivered;
	tutti_message_release(&message);
	return number;
}

static void join_waits_for_what_is_not_done(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){.name = "jobs"});
	OK(tutti_queue_join(queue, TUTTI_NOW));
	for (uint64_t i = 0; i < 3; i++)
		put_number(queue, i);
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "3 of the messages of queue \"jobs\"", tutti_queue_join(queue, TUTTI_NOW));
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(get(queue, NULL), i);
		check(queue);
	}
	assert_int_equal(tutti_queue_size(queue), 0);
	for (uint64_t i = 0; i < 3; i++) {
		EXPECT(TUTTI_ETIMEDOUT, tutti_queue_join(queue, tutti_ms(1)));
		OK(tutti_queue_task_done(queue));
		check(queue);
	}
	OK(tutti_queue_join(queue, TUTTI_FOREVER));
	EXPECT_TEXT(TUTTI_EBOUND, "more often", tutti_queue_task_done(queue));
	end(queue);
}

static void done_may_be_said_before_the_get(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){.name = "jobs"});
	EXPECT_TEXT(TUTTI_EBOUND, "more often than messages were put", tutti_queue_task_done(queue));
	for (uint64_t i = 0; i < 4; i++)
		put_number(queue, i);
	get(queue, NULL);
	for (uint64_t left = 3;; left--) {
		OK(tutti_queue_task_done(queue)); /* first of the one that was got */
		check(queue);
		if (left == 0)
			break;
		EXPECT(TUTTI_ETIMEDOUT, tutti_queue_join(queue, TUTTI_NOW));
	}
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(tutti_queue_size(queue), 4 - i);
		assert_int_equal(get(queue, NULL), i);
		assert_int_equal(load_acquire(&queue->shared->open_first), 0); /* by its get: nobody will end it */
		check(queue);
	}
	put_number(queue, 4);
	get(queue, NULL);
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "1 of", tutti_queue_join(queue, TUTTI_NOW)); /* nothing is left of what was said */
	OK(tutti_queue_task_done(queue));
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void what_is_done_ahead_is_got_in_all_ways(void **state)
{
	(void)state;
	static unsigned char bytes[9000], copy[9000];
	tutti_queue *queue = new_jobs((tutti_queue_options){0}), *mailed;
	OK(tutti_queue_open(&mailed, &(tutti_queue_options){.arena = arena}));
	tutti_handle handle = tutti_queue_handle(mailed);
	for (unsigned i = 0; i < 4; i++) {
		size_t size = i % 2 ? sizeof bytes : 100, got;
		tutti_message message;
		support_fill(bytes, size, i);
		tutti_view view = {bytes, size};
		OK(tutti_queue_put_with(queue, &view, 1, TUTTI_RAW, &handle, i / 2, TUTTI_NOW));
		OK(tutti_queue_put_with(queue, &view, 1, TUTTI_RAW, &handle, i / 2, TUTTI_NOW));
		OK(tutti_queue_task_done(queue));
		OK(tutti_queue_task_done(queue));
		OK(tutti_queue_get(queue, &message, TUTTI_NOW));
		assert_int_equal(message.carried_count, i / 2);
		assert_true(support_is_filled(message.view.data, size, i));
		tutti_message_release(&message);
		EXPECT(TUTTI_ETOOBIG, tutti_queue_get_into(queue, copy, size - 1, &got, TUTTI_NOW));
		OK(tutti_queue_get_into(queue, copy, sizeof copy, &got, TUTTI_NOW));
		assert_true(support_is_filled(copy, got, i));
		assert_int_equal(load_acquire(&queue->shared->open_first), 0);
		check(queue);
	}
	tutti_queue_close(mailed);
	EXPECT(TUTTI_ESTALE, tutti_queue_at(&mailed, arena, handle)); /* no item holds it any more */
	end(queue);
}

static void all_ways_in_and_out(void **state)
{
	(void)state;
	static unsigned char bytes[150000], copy[150000];
	static const size_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 30000, 150000};
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t size = 0, accepted;
		tutti_message message;
		tutti_draft draft;
		support_fill(bytes, sizes[i], i);
		tutti_view view = {bytes, sizes[i]};
		OK(tutti_queue_put_gather(queue, &view, 1, TUTTI_PICKLE, TUTTI_NOW));
		OK(tutti_queue_put_many(queue, &view, 1, &accepted, TUTTI_NOW));
		OK(tutti_queue_put_begin(queue, &draft, sizes[i]));
		memcpy(draft.data, bytes, sizes[i]);
		OK(tutti_queue_put_commit(&draft, TUTTI_NOW));
		check(queue);
		OK(tutti_queue_get(queue, &message, TUTTI_NOW));
		assert_int_equal(message.encoding, TUTTI_PICKLE);
		assert_int_equal(message.view.size, sizes[i]);
		OK(tutti_queue_task_done(queue)); /* the message is the getter's own: it stays */
		assert_true(support_is_filled(message.view.data, sizes[i], i));
		tutti_message_release(&message);
		if (sizes[i])
			EXPECT(TUTTI_ETOOBIG, tutti_queue_get_into(queue, copy, sizes[i] - 1, &size, TUTTI_NOW));
		for (int way = 0; way < 2; way++) {
			unsigned char near[TUTTI_NEAR];
			memset(copy, 0, sizeof copy);
			if (way == 0) {
				OK(tutti_queue_get_into(queue, copy, sizeof copy, &size, TUTTI_NOW));
			} else {
				OK(tutti_queue_get_near(queue, &message, near, TUTTI_NOW));
				assert_false(message.redelivered);
				memcpy(copy, message.view.data, size = message.view.size);
				tutti_message_release(&message);
			}
			assert_int_equal(size, sizes[i]);
			assert_true(support_is_filled(copy, size, i));
			OK(tutti_queue_task_done(queue));
		}
		OK(tutti_queue_join(queue, TUTTI_NOW));
	}
	end(queue);
}

static void a_refused_draft_stays_open(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){.max_items = 1});
	tutti_draft drafts[2];
	put_number(queue, 1);
	for (int i = 0; i < 2; i++) {
		OK(tutti_queue_put_begin(queue, &drafts[i], i ? 9000 : 90));
		support_fill(drafts[i].data, drafts[i].size, 5);
		EXPECT(TUTTI_EFULL, tutti_queue_put_commit(&drafts[i], TUTTI_NOW));
		assert_true(support_is_filled(drafts[i].data, drafts[i].size, 5));
	}
	get(queue, NULL);
	OK(tutti_queue_put_commit(&drafts[1], TUTTI_NOW));
	tutti_queue_put_abort(&drafts[0]);
	tutti_message message;
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	assert_int_equal(message.view.size, 9000);
	assert_true(support_is_filled(message.view.data, 9000, 5));
	tutti_message_release(&message);
	OK(tutti_queue_task_done(queue));
	OK(tutti_queue_task_done(queue));
	end(queue);
}

static void plain_queues_count_nothing(void **state)
{
	(void)state;
	tutti_queue *queue;
	arena = support_arena(0);
	OK(tutti_queue_open(&queue, &(tutti_queue_options){.arena = arena}));
	put_number(queue, 1);
	get(queue, NULL);
	EXPECT_TEXT(TUTTI_EINVAL, ".joinable", tutti_queue_task_done(queue));
	EXPECT_TEXT(TUTTI_EINVAL, ".joinable", tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void a_member_ends_its_own_first(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0}), *theirs;
	tutti_arena *other = support_join(arena);
	OK(tutti_queue_at(&theirs, other, tutti_queue_handle(queue)));
	for (uint64_t i = 0; i < 4; i++)
		put_number(queue, i);
	get(queue, NULL); /* 0 */
	get(theirs, NULL); /* 1 */
	get(theirs, NULL); /* 2 */
	get(queue, NULL); /* 3 */
	uint64_t first = load_acquire(&queue->shared->open_first);
	OK(tutti_queue_task_done(theirs)); /* 1: not 0, which is older */
	assert_int_equal(load_acquire(&queue->shared->open_first), first);
	OK(tutti_queue_task_done(theirs)); /* 2 */
	OK(tutti_queue_task_done(theirs)); /* 0: none of its own is left */
	assert_int_not_equal(load_acquire(&queue->shared->open_first), first);
	check(queue);
	OK(tutti_queue_task_done(queue)); /* 3 */
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	tutti_queue_close(theirs);
	tutti_arena_close(other);
	end(queue);
}

static void handles_travel_and_come_again(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0}), *mailed;
	tutti_message message;
	OK(tutti_queue_open(&mailed, &(tutti_queue_options){.arena = arena}));
	tutti_handle handle = tutti_queue_handle(mailed);
	OK(tutti_queue_put_with(queue, &(tutti_view){"x", 1}, 1, TUTTI_RAW, &handle, 1, TUTTI_NOW));
	tutti_queue_close(mailed);
	OK(tutti_queue_get(queue, &message, TUTTI_NOW));
	OK(tutti_queue_task_done(queue));
	assert_int_equal(message.carried_count, 1);
	OK(tutti_queue_at(&mailed, arena, message.carried[0]));
	tutti_queue_close(mailed);
	tutti_message_release(&message);
	EXPECT(TUTTI_ESTALE, tutti_queue_at(&mailed, arena, handle));
	end(queue);
}

struct getter {
	tutti_queue *queue;
	atomic_u32 *stage;
	unsigned gets, ends;
	bool exits;
};

static void get_some(void *context)
{
	struct getter *getter = context;
	for (unsigned i = 0; i < getter->gets; i++)
		get(getter->queue, NULL);
	for (unsigned i = 0; i < getter->ends; i++)
		REQUIRE(tutti_queue_task_done(getter->queue) == TUTTI_OK);
	store_release(getter->stage, 1);
	if (!getter->exits)
		support_pause_forever();
}

/* A child gets, ends some, and is killed or exits. */
static void run_getter(struct getter getter)
{
	getter.stage = support_shared(sizeof(atomic_u32));
	pid_t child = support_fork(get_some, &getter);
	UNTIL(5000, load_acquire(getter.stage) == 1);
	if (getter.exits)
		support_join_child(child);
	else
		support_kill(child);
}

static void what_a_killed_getter_had_is_given_back_first(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	bool redelivered;
	for (uint64_t i = 0; i < 5; i++)
		put_number(queue, i);
	run_getter((struct getter){.queue = queue, .gets = 3, .ends = 1});
	tutti_arena_sweep(arena);
	check(queue);
	assert_int_equal(tutti_queue_size(queue), 4);
	for (uint64_t i = 1; i < 5; i++) {
		assert_int_equal(get(queue, &redelivered), i);
		assert_int_equal(redelivered, i < 3);
	}
	EXPECT(TUTTI_EEMPTY, tutti_queue_get(queue, &(tutti_message){0}, TUTTI_NOW));
	for (uint64_t i = 1; i < 5; i++) {
		EXPECT(TUTTI_ETIMEDOUT, tutti_queue_join(queue, TUTTI_NOW));
		OK(tutti_queue_task_done(queue));
	}
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

/* Whether the death has been noticed or not makes no difference. */
static void what_a_killed_getter_had_can_be_ended(void **state)
{
	(void)state;
	for (int is_noticed = 0; is_noticed < 2; is_noticed++) {
		tutti_queue *queue = new_jobs((tutti_queue_options){0});
		put_number(queue, 0);
		put_number(queue, 1);
		run_getter((struct getter){.queue = queue, .gets = 1});
		if (is_noticed)
			tutti_arena_sweep(arena);
		OK(tutti_queue_task_done(queue));
		tutti_arena_sweep(arena);
		check(queue);
		assert_int_equal(tutti_queue_size(queue), 1);
		EXPECT_TEXT(TUTTI_ETIMEDOUT, "1 of", tutti_queue_join(queue, TUTTI_NOW));
		assert_int_equal(get(queue, NULL), 1);
		OK(tutti_queue_task_done(queue));
		OK(tutti_queue_join(queue, TUTTI_NOW));
		end(queue);
	}
}

static void take_and_stay(void *context)
{
	struct getter *getter = context;
	uint64_t parcel;
	REQUIRE(tutti__queue_take(getter->queue, &parcel) == TUTTI_OK);
	store_release(getter->stage, 1);
	support_pause_forever();
}

/* Said to be done while its getter, which is killed then, copies it: it comes again, and is done. */
static void what_is_done_ahead_is_given_back_and_stays_done(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	struct getter getter = {.queue = queue, .stage = support_shared(sizeof(atomic_u32))};
	bool redelivered;
	put_number(queue, 5);
	pid_t child = support_fork(take_and_stay, &getter);
	UNTIL(5000, load_acquire(getter.stage) == 1);
	OK(tutti_queue_task_done(queue));
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	support_kill(child);
	tutti_arena_sweep(arena);
	check(queue);
	OK(tutti_queue_join(queue, TUTTI_NOW));
	assert_int_equal(get(queue, &redelivered), 5);
	assert_true(redelivered);
	assert_int_equal(load_acquire(&queue->shared->open_first), 0);
	check(queue);
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void a_waiting_getter_gets_what_is_given_back(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	put_number(queue, 9);
	run_getter((struct getter){.queue = queue, .gets = 1});
	tutti_message message;
	int64_t begin = support_now();
	OK(tutti_queue_get(queue, &message, tutti_seconds(5))); /* nobody sweeps but the waiter */
	assert_true(message.redelivered);
	assert_true(support_now() - begin < 1500000000);
	tutti_message_release(&message);
	OK(tutti_queue_task_done(queue));
	end(queue);
}

static void who_never_waits_gets_what_is_given_back(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	tutti_message message = {0};
	put_number(queue, 3);
	run_getter((struct getter){.queue = queue, .gets = 1});
	UNTIL(1500, tutti_queue_get(queue, &message, TUTTI_NOW) == TUTTI_OK);
	assert_true(message.redelivered);
	tutti_message_release(&message);
	OK(tutti_queue_task_done(queue));
	end(queue);
}

static void a_poller_is_told_of_what_is_given_back(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	struct pollfd entry = {.events = POLLIN};
	put_number(queue, 3);
	OK(tutti_queue_fd(queue, &entry.fd));
	run_getter((struct getter){.queue = queue, .gets = 1});
	for (int64_t limit = support_now() + 5000000000; support_now() < limit;) {
		tutti_message message;
		assert_int_equal(poll(&entry, 1, 2000), 1); /* at first perhaps for what the dead one took */
		if (tutti_queue_get(queue, &message, TUTTI_NOW) == TUTTI_OK) {
			assert_true(message.redelivered);
			tutti_message_release(&message);
			break;
		}
	}
	OK(tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void a_full_arena_can_be_drained(void **state)
{
	(void)state;
	static unsigned char bytes[2000];
	arena = support_arena(2 * MEBIBYTE);
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	tutti_err err;
	unsigned count = 0;
	support_fill(bytes, sizeof bytes, 1);
	while ((err = tutti_queue_put(queue, bytes, sizeof bytes, TUTTI_NOW)) == TUTTI_OK)
		count++;
	assert_int_equal(err, TUTTI_ENOMEM);
	check(queue);
	for (unsigned i = 0; i < count; i++) {
		tutti_message message;
		OK(tutti_queue_get(queue, &message, TUTTI_NOW));
		assert_true(support_is_filled(message.view.data, sizeof bytes, 1));
		tutti_message_release(&message);
		OK(tutti_queue_task_done(queue));
	}
	OK(tutti_queue_join(queue, TUTTI_NOW));
	put_number(queue, 1);
	get(queue, NULL);
	OK(tutti_queue_task_done(queue));
	end(queue);
}

static void after_a_clean_exit_nothing_is_given_back(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	put_number(queue, 1);
	put_number(queue, 2);
	run_getter((struct getter){.queue = queue, .gets = 1, .exits = true});
	tutti_arena_sweep(arena);
	assert_int_equal(tutti_queue_size(queue), 1);
	assert_int_equal(get(queue, NULL), 2);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get(queue, &(tutti_message){0}, TUTTI_NOW));
	OK(tutti_queue_task_done(queue)); /* ours */
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "1 of", tutti_queue_join(queue, TUTTI_NOW));
	OK(tutti_queue_task_done(queue)); /* the other one's: unfinished until somebody says so */
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void shutting_down_at_once_drops_and_releases_joiners(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	for (uint64_t i = 0; i < 100; i++)
		put_number(queue, i);
	get(queue, NULL);
	OK(tutti_queue_shutdown_now(queue));
	check(queue);
	assert_int_equal(tutti_queue_size(queue), 0);
	EXPECT(TUTTI_EOF, tutti_queue_get(queue, &(tutti_message){0}, TUTTI_NOW));
	EXPECT(TUTTI_ESHUTDOWN, tutti_queue_put(queue, "x", 1, TUTTI_NOW));
	EXPECT_TEXT(TUTTI_ETIMEDOUT, "1 of", tutti_queue_join(queue, TUTTI_NOW)); /* what was got is not dropped */
	OK(tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	OK(tutti_queue_shutdown_now(queue));
	OK(tutti_queue_shutdown(queue));
	assert_int_equal(load_acquire(&queue->shared->is_shut), TUTTI__IS_DROPPED);
	end(queue);
}

static void what_is_done_ahead_is_dropped_once(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	for (uint64_t i = 0; i < 4; i++)
		put_number(queue, i);
	OK(tutti_queue_task_done(queue));
	get(queue, NULL); /* ended by that */
	OK(tutti_queue_task_done(queue));
	get(queue, NULL);
	OK(tutti_queue_task_done(queue));
	OK(tutti_queue_shutdown_now(queue));
	check(queue);
	assert_int_equal(load_acquire(&queue->shared->done_count), 4);
	EXPECT(TUTTI_EBOUND, tutti_queue_task_done(queue));
	OK(tutti_queue_join(queue, TUTTI_NOW));
	end(queue);
}

static void what_is_given_back_to_a_dropped_queue_is_dropped(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	put_number(queue, 1);
	put_number(queue, 2);
	run_getter((struct getter){.queue = queue, .gets = 1});
	OK(tutti_queue_shutdown_now(queue));
	OK(tutti_queue_join(queue, tutti_seconds(5)));
	EXPECT(TUTTI_EOF, tutti_queue_get(queue, &(tutti_message){0}, TUTTI_NOW));
	end(queue);
}

static void work(void *context)
{
	struct getter *getter = context;
	tutti_message message;
	while (tutti_queue_get(getter->queue, &message, TUTTI_FOREVER) == TUTTI_OK) {
		tutti_message_release(&message);
		atomic_fetch_add(getter->stage, 1);
		REQUIRE(tutti_queue_task_done(getter->queue) == TUTTI_OK);
	}
}

/* Workers that are killed again and again: every item is got, and the join comes to its end. */
static void a_join_over_killed_workers_ends(void **state)
{
	(void)state;
	enum { WORKERS = 3, ITEMS = 3000, KILLS = 10 };
	tutti_queue *queue = new_jobs((tutti_queue_options){.max_items = 50});
	struct getter getter = {.queue = queue, .stage = support_shared(sizeof(atomic_u32))};
	pid_t workers[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		workers[i] = support_fork(work, &getter);
	for (uint64_t i = 0; i < ITEMS; i++) {
		OK(tutti_queue_put(queue, &i, sizeof i, tutti_seconds(5)));
		if (i % (ITEMS / KILLS) == 100) {
			support_kill(workers[i % WORKERS]);
			workers[i % WORKERS] = support_fork(work, &getter);
		}
	}
	OK(tutti_queue_join(queue, tutti_seconds(10)));
	assert_true(load_acquire(getter.stage) >= ITEMS - KILLS);
	OK(tutti_queue_shutdown(queue));
	for (int i = 0; i < WORKERS; i++)
		support_join_child(workers[i]);
	end(queue);
}

static void join_and_report(void *context)
{
	struct getter *getter = context;
	store_release(getter->stage, 1);
	REQUIRE(tutti_queue_join(getter->queue, TUTTI_FOREVER) == TUTTI_OK);
}

static void a_sleeping_joiner_is_woken(void **state)
{
	(void)state;
	tutti_queue *queue = new_jobs((tutti_queue_options){0});
	put_number(queue, 1);
	struct getter getter = {.queue = queue, .stage = support_shared(sizeof(atomic_u32))};
	pid_t joiner = support_fork(join_and_report, &getter);
	UNTIL(5000, load_acquire(getter.stage) == 1 && support_is_asleep(joiner));
	get(queue, NULL);
	OK(tutti_queue_task_done(queue));
	support_join_child(joiner);
	end(queue);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest joinable[] = {
		TEST(join_waits_for_what_is_not_done),
		TEST(done_may_be_said_before_the_get),
		TEST(what_is_done_ahead_is_got_in_all_ways),
		TEST(all_ways_in_and_out),
		TEST(a_refused_draft_stays_open),
		TEST(plain_queues_count_nothing),
		TEST(a_member_ends_its_own_first),
		TEST(handles_travel_and_come_again),
		TEST(what_a_killed_getter_had_is_given_back_first),
		TEST(what_a_killed_getter_had_can_be_ended),
		TEST(what_is_done_ahead_is_given_back_and_stays_done),
		TEST(a_waiting_getter_gets_what_is_given_back),
		TEST(who_never_waits_gets_what_is_given_back),
		TEST(a_poller_is_told_of_what_is_given_back),
		TEST(a_full_arena_can_be_drained),
		TEST(after_a_clean_exit_nothing_is_given_back),
		TEST(shutting_down_at_once_drops_and_releases_joiners),
		TEST(what_is_done_ahead_is_dropped_once),
		TEST(what_is_given_back_to_a_dropped_queue_is_dropped),
		TEST(a_join_over_killed_workers_ends),
		TEST(a_sleeping_joiner_is_woken),
	};
	return RUN_TESTS(joinable);
}
