/* SPDX-License-Identifier: MIT */
/*
 * A table that is read by some processes while another one changes it: no reader ever
 * sees it half changed.
 *
 *     rwlock
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tutti/tutti.h>

enum { ROWS = 64, CHANGES = 2000, READERS = 3 };

static int *table; /* shared with the forked processes; all rows are always equal */

TUTTI_TASK(read_table)
{
	tutti_handle handle;
	tutti_rwlock *guard = NULL;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_rwlock_at(&guard, NULL, handle);
	for (int last = 0; !err && last < CHANGES;) {
		err = tutti_rwlock_acquire_read(guard, TUTTI_FOREVER);
		if (err)
			break;
		last = table[0];
		for (int i = 0; i < ROWS; i++)
			if (table[i] != last)
				return tutti_task_fail(task, 1, "row %d is half changed", i);
		err = tutti_rwlock_release_read(guard);
	}
	tutti_rwlock_close(guard);
	return err;
}

static tutti_err change_table(tutti_rwlock *guard)
{
	tutti_err err = tutti_rwlock_acquire_write(guard, TUTTI_FOREVER);
	if (err)
		return err;
	for (int i = 0; i < ROWS; i++)
		table[i]++;
	return tutti_rwlock_release_write(guard);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	table = mmap(NULL, sizeof *table * ROWS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		return perror("rwlock: mmap"), 1;
	tutti_rwlock *guard = NULL;
	tutti_process *readers[READERS] = {NULL};
	tutti_err err = tutti_rwlock_open(&guard, &(tutti_rwlock_options){.name = "table"});
	tutti_handle handle = {0};
	if (!err)
		handle = tutti_rwlock_handle(guard);
	for (int i = 0; i < READERS && !err; i++)
		err = tutti_process_start(&readers[i], "read_table",
		                          &(tutti_process_options){.start = TUTTI_FORK, .input = {&handle, sizeof handle}});
	for (int i = 0; i < CHANGES && !err; i++)
		err = change_table(guard);
	int good = 0;
	for (int i = 0; i < READERS && !err; i++) {
		tutti_exit exit;
		err = tutti_process_wait(readers[i], &exit, tutti_seconds(10));
		good += !err && exit.code == 0;
		tutti_process_close(readers[i]);
	}
	if (err)
		return tutti_fatal(err);
	printf("%d of %d readers saw %d changes, none of them half done\n", good, READERS, CHANGES);
	tutti_rwlock_close(guard);
	return 0;
}
