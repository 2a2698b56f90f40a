/* SPDX-License-Identifier: MIT */
/* Stations: how many there are, what they cost, who is rung, and what a dead poller leaves. */
#include <stdlib.h>
#include <unistd.h>

#include "waitset_scene.h"

/* Each kind of set costs what the header says, and gives it back. */
static void descriptors_and_stations_are_counted(void **state)
{
	enum { COUNT = 300 };
	tutti_queue *queues[COUNT];
	int pair[2];
	(void)state;
	struct scene *scene = new_scene();
	unsigned descriptors = support_descriptors();
	uint32_t used = load_acquire(&scene->arena->header->stations_used);
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = scene->arena}));
		OK(tutti_waitset_add(scene->set, tutti_wait_queue(queues[i], queues[i])));
	}
	assert_int_equal(support_descriptors(), descriptors);
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_put(queues[i], "a", 1, TUTTI_NOW));
		expect_next(scene->set, queues[i], TUTTI_NOW);
		get_byte(queues[i]);
		expect_none(scene->set, TUTTI_NOW);
	}
	assert_int_equal(pipe(pair), 0);
	OK(tutti_waitset_add(scene->set, tutti_wait_descriptor(pair[0], POLLIN, NULL)));
	assert_int_equal(support_descriptors(), descriptors + 2 + 2);
	for (int i = 0; i < 100; i++) {
		tutti_waitset *other;
		OK(tutti_waitset_open(&other, &(tutti_waitset_options){.arena = scene->arena}));
		tutti_waitset_close(other);
	}
	assert_true(load_acquire(&scene->arena->header->stations_used) <=
	            used + 2); /* the helper's, and one for all others */
	close(pair[0]), close(pair[1]);
	tutti_waitset_close(scene->set);
	scene->set = NULL;
	assert_int_equal(support_descriptors(), descriptors);
	for (int i = 0; i < COUNT; i++)
		tutti_queue_close(queues[i]);
	end_scene(scene);
}

static void die_with_a_set(void *context)
{
	struct scene *scene = context;
	tutti_waitset *set;
	OK(tutti_waitset_open(&set, &(tutti_waitset_options){.arena = scene->arena}));
	OK(tutti_waitset_add(set, tutti_wait_queue(scene->queue, NULL)));
	store_release(&scene->ready, 1);
	support_pause_forever();
}

static void a_dead_pollers_station_is_free_again(void **state)
{
	(void)state;
	struct scene *scene = new_scene();
	pid_t child = support_fork(die_with_a_set, scene);
	UNTIL(5000, load_acquire(&scene->ready));
	assert_int_not_equal(tutti__station_at(scene->arena, 2)->owner, 0);
	support_kill(child);
	assert_int_equal(tutti_arena_sweep(scene->arena), 1);
	assert_int_equal(tutti__station_at(scene->arena, 2)->owner, 0);
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW)); /* its armed bit is there still */
	end_scene(scene);
}

/* More pollers than there are classes of stations, and than the eight of the first design. */
static void a_hundred_sets_are_all_rung(void **state)
{
	enum { COUNT = 100 };
	tutti_waitset *sets[COUNT];
	(void)state;
	struct scene *scene = new_scene();
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_waitset_open(&sets[i], &(tutti_waitset_options){.arena = scene->arena}));
		OK(tutti_waitset_add(sets[i], tutti_wait_queue(scene->queue, sets[i])));
		expect_none(sets[i], TUTTI_NOW);
	}
	OK(tutti_queue_put(scene->queue, "a", 1, TUTTI_NOW));
	for (int i = 0; i < COUNT; i++) {
		assert_int_not_equal(sets[i]->poller.station->lines, 0); /* by the ring, not by a scan */
		expect_next(sets[i], sets[i], TUTTI_NOW);
		tutti_waitset_close(sets[i]);
	}
	end_scene(scene);
}

/* Stations 1 to 64 have a class each; the 65th shares that of the first, which is rung in vain for it. */
static void sixty_four_pollers_are_rung_exactly(void **state)
{
	enum { EXACT = 64, COUNT = EXACT + 1 };
	tutti_waitset *sets[COUNT];
	tutti_queue *queues[COUNT];
	(void)state;
	struct scene *scene = new_scene();
	tutti_waitset_close(scene->set); /* it had station 1 */
	scene->set = NULL;
	for (int i = 0; i < COUNT; i++) {
		OK(tutti_queue_open(&queues[i], &(tutti_queue_options){.arena = scene->arena}));
		OK(tutti_waitset_open(&sets[i], &(tutti_waitset_options){.arena = scene->arena}));
		OK(tutti_waitset_add(sets[i], tutti_wait_queue(queues[i], queues[i])));
		expect_none(sets[i], TUTTI_NOW);
		assert_int_equal(sets[i]->poller.number, i + 1);
	}
	for (int rung = 0; rung < COUNT; rung++) {
		OK(tutti_queue_put(queues[rung], "a", 1, TUTTI_NOW));
		for (int i = 0; i < COUNT; i++) {
			bool shares_class = (rung == 0 && i == EXACT) || (rung == EXACT && i == 0);
			assert_int_equal(load_relaxed(&sets[i]->poller.station->lines) != 0, i == rung || shares_class);
			store_relaxed(&sets[i]->poller.station->lines, 0);
		}
	}
	for (int i = 0; i < COUNT; i++) {
		tutti_waitset_close(sets[i]);
		tutti_queue_close(queues[i]);
	}
	end_scene(scene);
}

static void every_station_may_be_taken(void **state)
{
	tutti_waitset **sets = calloc(TUTTI__STATIONS, sizeof *sets);
	unsigned count = 0;
	tutti_err err;
	(void)state;
	struct scene *scene = new_scene();
	while ((err = tutti_waitset_open(&sets[count], &(tutti_waitset_options){.arena = scene->arena})) == TUTTI_OK)
		count++;
	EXPECT_TEXT(TUTTI_EMEMBERS, "4095", err);
	assert_int_equal(count, TUTTI__STATIONS - 2);
	while (count > 0)
		tutti_waitset_close(sets[--count]);
	free(sets);
	end_scene(scene);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest station[] = {
		TEST(descriptors_and_stations_are_counted), TEST(a_dead_pollers_station_is_free_again),
		TEST(a_hundred_sets_are_all_rung),          TEST(sixty_four_pollers_are_rung_exactly),
		TEST(every_station_may_be_taken),
	};
	return RUN_TESTS(station);
}
