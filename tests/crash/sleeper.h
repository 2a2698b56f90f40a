/* SPDX-License-Identifier: MIT */
/*
 * Somebody who sleeps when the victim is killed. The survivor begins to wait; where it would sleep, that call stands
 * still on a stack of its own, and the survivor goes on as the stage. Each checker, a copy of it, lets the call go on
 * from there: it has slept, and no wake ever came. So it is the tick alone that ends the sleep.
 */
#ifndef TUTTI_TESTS_CRASH_SLEEPER_H
#define TUTTI_TESTS_CRASH_SLEEPER_H

#include "ring.h"

/* In the stage: begins a wait, which has to sleep. */
void sleeper_begin(struct stage *stage, tutti_err (*wait)(struct stage *stage));

/* In a checker: what the wait answers in the end. */
tutti_err sleeper_end(void);

#endif
