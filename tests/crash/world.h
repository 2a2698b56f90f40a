/* SPDX-License-Identifier: MIT */
/*
 * The world as the library sees it, where the tests bend it: who is dead, and in a checker
 * also what time it is. A checker is alone with its snapshot: nobody would ever wake it,
 * so each sleep ends at once at its deadline, and time is counted instead of spent.
 */
#ifndef TUTTI_TESTS_CRASH_WORLD_H
#define TUTTI_TESTS_CRASH_WORLD_H

#include "ring.h"

/* From now on in this process and its children: the dead are also those on the board. */
void world_bend_death(void);
void world_declare_dead(pid_t pid);
void world_forget_dead(void);
/* In a process whose steps count: the dead are those on the board, and no system call is needed to tell. */
void world_trust_board(void);

/* In a checker on a snapshot: time is counted. */
void world_bend_time(void);
bool world_time_is_bent(void);
/*
 * K1: begins and ends what must not take longer than a second. In bent time more than a
 * second or endless sleeping is a finding; in real time the alarm is.
 */
void world_begin(const char *what);
void world_end(void);

#endif
