/* SPDX-License-Identifier: MIT */
/* What the tests of the wait set begin with: an arena, a set, and one of each thing to wait for. */
#ifndef TUTTI_TESTS_UNIT_WAITSET_SCENE_H
#define TUTTI_TESTS_UNIT_WAITSET_SCENE_H

#include "channel/waitset.h"
#include "support.h"

enum { MESSAGES = 10000 };

struct scene {
	tutti_arena *arena;
	tutti_waitset *set;
	tutti_queue *queue;
	tutti_event *event;
	tutti_lock *lock;
	atomic_u32 ready, go;
	_Atomic uint8_t seen[MESSAGES];
};

static inline struct scene *new_scene(void)
{
	struct scene *scene = support_shared(sizeof *scene);
	scene->arena = support_arena(0);
	OK(tutti_waitset_open(&scene->set, &(tutti_waitset_options){.arena = scene->arena}));
	OK(tutti_queue_open(&scene->queue, &(tutti_queue_options){.arena = scene->arena}));
	OK(tutti_event_open(&scene->event, &(tutti_event_options){.arena = scene->arena}));
	OK(tutti_lock_open(&scene->lock, &(tutti_lock_options){.arena = scene->arena}));
	return scene;
}

static inline void end_scene(struct scene *scene)
{
	tutti_waitset_close(scene->set);
	tutti_arena_sweep(scene->arena);
	tutti_queue_close(scene->queue);
	tutti_event_close(scene->event);
	tutti_lock_close(scene->lock);
	support_end_arena(scene->arena);
}

static inline void expect_next(tutti_waitset *set, void *key, tutti_time timeout)
{
	tutti_wait_item item;
	OK(tutti_waitset_next(set, &item, timeout));
	REQUIRE(item.key == key);
	REQUIRE(item.ready != 0);
}

static inline void expect_none(tutti_waitset *set, tutti_time timeout)
{
	tutti_wait_item item;
	EXPECT(TUTTI_ETIMEDOUT, tutti_waitset_next(set, &item, timeout));
}

static inline void get_byte(tutti_queue *queue)
{
	char byte;
	OK(tutti_queue_get_into(queue, &byte, 1, NULL, TUTTI_NOW));
}

#endif
