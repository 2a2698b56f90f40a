/* SPDX-License-Identifier: MIT */
/*
 * Which process group each worker's command runs in, in memory that the command line tool
 * shares with its workers.
 *
 * A command is killed with its worker (PR_SET_PDEATHSIG), but its own children are not. So each
 * command gets a process group, which is noted here by the command itself before it executes:
 * whoever learns of a worker's death kills the group.
 */
#ifndef CLI_GROUPS_H
#define CLI_GROUPS_H

#include "halt.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One worker's line. `group` is 0 while no command runs. */
struct group_slot {
	_Atomic pid_t worker;
	_Atomic pid_t group;
	_Atomic uint64_t job;
};

/* Makes the table; before the workers are forked. False: errno says why. */
bool groups_open(void);

/* The rule that workers follow, too: the one whose job fulfils it starts no other. */
void groups_set_halt(const struct halt *halt);

/* Counts an ended job in its worker, before the next one is started. */
void groups_count(bool failed);

/* The process that made the table: the parent of every worker. */
pid_t groups_owner(void);

/* Takes a line for the calling worker, `*number` counting from 1. NULL: all lines are taken. */
struct group_slot *groups_enter(unsigned *number);

/* Kills what a dead worker left of `job`; `own` is the caller's line, or NULL. */
void groups_kill_job(uint64_t job, const struct group_slot *own);

/* Sends a signal to every group. Returns how many there were. */
unsigned groups_signal(int signal_number);

void groups_stop(enum stop_level level);
enum stop_level groups_stop_level(void);

#endif
