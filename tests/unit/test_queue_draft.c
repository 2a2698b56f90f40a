/* SPDX-License-Identifier: MIT */
/* Putting in two steps: a draft is written in place, then committed or aborted. */
#include "queue_scene.h"

static void drafts_are_written_in_place(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 4096, 4097, 70000, 3000000};
	tutti_message message;
	tutti_draft draft;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	for (size_t i = 0; i < 7; i++)
		for (size_t shrunk = 0; shrunk <= sizes[i]; shrunk += sizes[i] / 2 + 1) {
			OK(tutti_queue_put_begin(queue, &draft, sizes[i]));
			assert_int_equal(draft.size, sizes[i]);
			assert_int_equal((uintptr_t)draft.data % 64, 0);
			support_fill(draft.data, sizes[i], i);
			assert_int_equal(tutti_queue_size(queue), 0);
			draft.size = sizes[i] - shrunk;
			draft.encoding = TUTTI_PICKLE;
			OK(tutti_queue_put_commit(&draft, TUTTI_NOW));
			OK(tutti_queue_get(queue, &message, TUTTI_NOW));
			assert_int_equal(message.view.size, sizes[i] - shrunk);
			assert_int_equal(message.encoding, TUTTI_PICKLE);
			assert_true(support_is_filled(message.view.data, message.view.size, i));
			tutti_message_release(&message);
		}
	end(queue);
}

static void a_draft_ends_once(void **state)
{
	tutti_draft draft = {0};
	tutti_message message;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){0});
	tutti_queue_put_abort(&draft);
	OK(tutti_queue_put_begin(queue, &draft, 10000));
	tutti_queue_put_abort(&draft);
	tutti_queue_put_abort(&draft);
	EXPECT(TUTTI_EINVAL, tutti_queue_put_commit(&draft, TUTTI_NOW));
	EXPECT(TUTTI_EEMPTY, tutti_queue_get(queue, &message, TUTTI_NOW));
	OK(tutti_queue_put_begin(queue, &draft, 10));
	draft.size = 11;
	EXPECT_TEXT(TUTTI_EINVAL, "10", tutti_queue_put_commit(&draft, TUTTI_NOW));
	draft.size = 10;
	OK(tutti_queue_put_commit(&draft, TUTTI_NOW));
	EXPECT(TUTTI_EINVAL, tutti_queue_put_commit(&draft, TUTTI_NOW));
	tutti_queue_put_abort(&draft);
	assert_int_equal(tutti_queue_size(queue), 1);
	end(queue);
}

/* On an error the draft stays open: commit again, or abort. */
static void a_refused_draft_stays_open(void **state)
{
	tutti_draft draft;
	(void)state;
	tutti_queue *queue = new_queue((tutti_queue_options){.max_items = 1});
	put_number(queue, 1);
	static const size_t sizes[] = {100, 9000};
	for (int i = 0; i < 2; i++) {
		OK(tutti_queue_put_begin(queue, &draft, sizes[i]));
		EXPECT(TUTTI_EFULL, tutti_queue_put_commit(&draft, TUTTI_NOW));
		EXPECT(TUTTI_EFULL, tutti_queue_put_commit(&draft, tutti_ms(1)));
		if (i == 0)
			tutti_queue_put_abort(&draft);
	}
	get_number(queue, 1);
	OK(tutti_queue_put_commit(&draft, TUTTI_NOW));
	OK(tutti_queue_put_begin(queue, &draft, 9000));
	OK(tutti_queue_shutdown(queue));
	EXPECT(TUTTI_ESHUTDOWN, tutti_queue_put_commit(&draft, TUTTI_NOW));
	tutti_queue_put_abort(&draft);
	end(queue);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest queue_draft[] = {
		TEST(drafts_are_written_in_place),
		TEST(a_draft_ends_once),
		TEST(a_refused_draft_stays_open),
	};
	return RUN_TESTS(queue_draft);
}
