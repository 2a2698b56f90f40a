/* SPDX-License-Identifier: MIT */
/* Single steps of another process, through ptrace. */
#ifndef TUTTI_TESTS_CRASH_STEP_H
#define TUTTI_TESTS_CRASH_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In the victim: asks its parent to trace it; stops where the steps shall begin. */
void step_offer(void);
void step_begin_here(void);

/* In the parent: waits until the victim stands at step_begin_here(). It dies with its tracer. */
bool step_wait_begin(pid_t pid);
/* Takes hold of a process that runs: it stops, wherever it is. */
bool step_seize(pid_t pid);
/* One instruction. False if the process is gone. */
bool step(pid_t pid);
/* True if it stands in a repeated string instruction, each round of which is one step. */
bool step_is_repeating(pid_t pid);
/* Where it stands, as "function+offset" if that can be found out. */
uint64_t step_place(pid_t pid);
/* Kills it with SIGKILL and waits until it is dead. `leave_zombie`: it is not reaped. */
void step_kill(pid_t pid, bool leave_zombie);

/* True if this system lets us trace at all. */
bool step_is_possible(void);

#endif
