/* SPDX-License-Identifier: MIT */
/* What an idle wait costs, with the real clock. */
#include <sys/resource.h>

#include "support.h"

struct idle {
	tutti_queue *queue;
	struct rusage usage;
};

static void idle_for_two_seconds(void *context)
{
	struct idle *idle = context;
	struct rusage before;
	tutti_message message;
	tutti_queue_get(idle->queue, &message, tutti_ms(100)); /* warm up */
	getrusage(RUSAGE_THREAD, &before);
	EXPECT(TUTTI_EEMPTY, tutti_queue_get(idle->queue, &message, tutti_seconds(2)));
	getrusage(RUSAGE_THREAD, &idle->usage);
	idle->usage.ru_nvcsw -= before.ru_nvcsw;
	idle->usage.ru_utime.tv_usec += 1000000 * (int)(idle->usage.ru_utime.tv_sec - before.ru_utime.tv_sec);
	idle->usage.ru_utime.tv_usec -= before.ru_utime.tv_usec;
	tutti_queue_close(idle->queue);
}

/* With the real clock: at most four wakes a second. */
static void an_idle_getter_sleeps(void **state)
{
	(void)state;
	struct idle *idle = support_shared(sizeof *idle);
	tutti_arena *arena = support_arena(0);
	OK(tutti_queue_open(&idle->queue, &(tutti_queue_options){.arena = arena}));
	support_join_child(support_fork(idle_for_two_seconds, idle));
	assert_in_range(idle->usage.ru_nvcsw, 2, 9);
	if (!support_is_slow())
		assert_true(idle->usage.ru_utime.tv_usec < 20000);
	tutti_queue_close(idle->queue);
	tutti_arena_close(arena);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest wait_idle[] = {
		TEST(an_idle_getter_sleeps),
	};
	return RUN_TESTS(wait_idle);
}
