/* SPDX-License-Identifier: MIT */
/*
 * A condition: takers wait until there is something to take. One of them is killed while it
 * waits; nobody waits for it, and what it was to be told another one is told.
 *
 *     condition
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tutti/tutti.h>

enum { TAKERS = 3, THINGS = 1000 };

/* Shared with the forked processes, and guarded by the lock. */
static struct basket {
	int put, taken;
} * basket;

struct handles {
	tutti_handle lock, condition;
};

static bool has_something(void *context)
{
	struct basket *it = context;
	return it->taken < it->put || it->taken == THINGS;
}

/* Takes one thing at a time until all are taken. */
static tutti_err take(tutti_lock *lock, tutti_condition *condition)
{
	tutti_err err = tutti_lock_acquire(lock, TUTTI_FOREVER);
	while (!err && basket->taken < THINGS) {
		err = tutti_condition_wait_for(condition, lock, has_something, basket, tutti_seconds(10));
		if (!err && basket->taken < basket->put && ++basket->taken == THINGS)
			err = tutti_condition_notify(condition, UINT32_MAX, NULL); /* all may go home */
	}
	return err ? err : tutti_lock_release(lock);
}

TUTTI_TASK(take_things)
{
	struct handles handles;
	tutti_lock *lock = NULL;
	tutti_condition *condition = NULL;
	memcpy(&handles, tutti_task_input(task).data, sizeof handles);
	tutti_err err = tutti_lock_at(&lock, NULL, handles.lock);
	if (!err)
		err = tutti_condition_at(&condition, NULL, handles.condition);
	return err ? err : take(lock, condition);
}

static tutti_err put_things(tutti_lock *lock, tutti_condition *condition)
{
	tutti_err err = TUTTI_OK;
	for (int i = 0; i < THINGS && !err; i++) {
		err = tutti_lock_acquire(lock, TUTTI_FOREVER);
		if (err)
			break;
		basket->put++;
		err = tutti_condition_notify(condition, 1, NULL);
		tutti_lock_release(lock);
	}
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	basket = mmap(NULL, sizeof *basket, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (basket == MAP_FAILED)
		return perror("condition: mmap"), 1;
	tutti_lock *lock = NULL;
	tutti_condition *condition = NULL;
	tutti_process *takers[TAKERS] = {0};
	tutti_err err = tutti_lock_open(&lock, &(tutti_lock_options){.name = "basket"});
	if (!err)
		err = tutti_condition_open(&condition, &(tutti_condition_options){.name = "something"});
	if (err)
		return tutti_fatal(err);
	struct handles handles = {tutti_lock_handle(lock), tutti_condition_handle(condition)};
	for (int i = 0; i < TAKERS && !err; i++)
		err = tutti_process_start(&takers[i], "take_things",
		                          &(tutti_process_options){.start = TUTTI_FORK, .input = {&handles, sizeof handles}});
	while (!err && tutti_condition_waiters(condition) < TAKERS)
		err = tutti_process_wait(takers[0], NULL, tutti_ms(5)) == TUTTI_ETIMEDOUT ? TUTTI_OK : TUTTI_EFAILED;
	if (!err && kill(tutti_process_pid(takers[0]), SIGKILL) == 0)
		err = put_things(lock, condition);
	for (int i = 0; i < TAKERS && !err; i++)
		err = tutti_process_wait(takers[i], NULL, tutti_seconds(10));
	printf("%d of %d things were taken, though a taker was killed\n", basket->taken, THINGS);
	for (int i = 0; i < TAKERS; i++)
		tutti_process_close(takers[i]);
	tutti_condition_close(condition);
	tutti_lock_close(lock);
	return err ? tutti_fatal(err) : 0;
}
