/* SPDX-License-Identifier: MIT */
#include "sleeper.h"

#include <errno.h>
#include <ucontext.h>

#include "os/os.h"

enum { STACK_SIZE = 256 << 10 };

static struct {
	ucontext_t stage, call;
	struct stage *argument;
	tutti_err (*wait)(struct stage *stage);
	int (*futex_wait)(atomic_u32 *word, uint32_t expected, int64_t deadline); /* the real one */
	bool has_ended;
	tutti_err answer;
	unsigned char stack[STACK_SIZE];
} sleeper;

/*
 * The word may be changed by now; who sleeps in the kernel does not see that. In bent time the sleep lasts until its
 * deadline. In real time it is taken for over: a real one would cost a tick for each kill.
 */
static int stand_still(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	static atomic_u32 never_changed;
	(void)word, (void)expected;
	swapcontext(&sleeper.call, &sleeper.stage);
	return tutti__os.futex_wait == sleeper.futex_wait ? ETIMEDOUT : tutti__os.futex_wait(&never_changed, 0, deadline);
}

static void run(void)
{
	sleeper.answer = sleeper.wait(sleeper.argument);
	sleeper.has_ended = true;
}

void sleeper_begin(struct stage *stage, tutti_err (*wait)(struct stage *stage))
{
	sleeper.argument = stage;
	sleeper.wait = wait;
	sleeper.has_ended = false;
	sleeper.futex_wait = tutti__os.futex_wait;
	getcontext(&sleeper.call);
	sleeper.call.uc_stack = (stack_t){.ss_sp = sleeper.stack, .ss_size = STACK_SIZE};
	sleeper.call.uc_link = &sleeper.stage;
	makecontext(&sleeper.call, run, 0);
	tutti__os.futex_wait = stand_still;
	swapcontext(&sleeper.stage, &sleeper.call);
	tutti__os.futex_wait = sleeper.futex_wait;
	must(sleeper.has_ended ? TUTTI_EINVAL : TUTTI_OK, "a wait that has to sleep");
}

tutti_err sleeper_end(void)
{
	swapcontext(&sleeper.stage, &sleeper.call);
	return sleeper.answer;
}
