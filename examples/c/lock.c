/* SPDX-License-Identifier: MIT */
/*
 * A lock whose holder is killed: the next one gets it, is told so, and repairs what the
 * lock guards. Here that is two accounts whose sum must stay 100.
 *
 *     lock
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tutti/tutti.h>
#include <unistd.h>

static int *accounts; /* shared with the forked process */

TUTTI_TASK(transfer) /* from one account to the other, but it is killed in the middle */
{
	tutti_handle handle;
	tutti_lock *lock = NULL;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_lock_at(&lock, NULL, handle);
	if (!err)
		err = tutti_lock_acquire(lock, TUTTI_FOREVER);
	if (err)
		return err;
	accounts[0] -= 30;
	kill(getpid(), SIGKILL);
	accounts[1] += 30;
	return tutti_lock_release(lock);
}

/* Takes the lock; if its last holder was killed, makes the sum right again. */
static tutti_err acquire_and_repair(tutti_lock *lock)
{
	tutti_err err = tutti_lock_acquire(lock, tutti_seconds(10));
	if (err != TUTTI_EOWNERDEAD)
		return err;
	printf("%s\n", tutti_last_error());
	printf("found %d + %d", accounts[0], accounts[1]);
	accounts[1] = 100 - accounts[0];
	printf(", repaired to %d + %d\n", accounts[0], accounts[1]);
	return TUTTI_OK;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	accounts = mmap(NULL, sizeof *accounts * 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (accounts == MAP_FAILED)
		return perror("lock: mmap"), 1;
	accounts[0] = 100;

	tutti_lock *lock = NULL;
	tutti_err err = tutti_lock_open(&lock, &(tutti_lock_options){.name = "accounts"});
	if (err)
		return tutti_fatal(err);
	tutti_handle handle = tutti_lock_handle(lock);
	tutti_process *process = NULL;
	err = tutti_process_start(&process, "transfer",
	                          &(tutti_process_options){.start = TUTTI_FORK, .input = {&handle, sizeof handle}});
	if (!err)
		err = tutti_process_wait(process, NULL, tutti_seconds(10));
	if (!err)
		err = acquire_and_repair(lock);
	if (!err)
		err = tutti_lock_release(lock);
	if (err)
		return tutti_fatal(err);
	tutti_process_close(process);
	tutti_lock_close(lock);
	return 0;
}
