/* SPDX-License-Identifier: MIT */
/* The hooks of <tutti/wait.h>: what a thread gives up while it sleeps. */
#include <errno.h>

#include <tutti/wait.h>

#include "os/os.h"

static const tutti_wait_hooks *hooks; /* NULL: none */

/* Acquire and release: who finds them finds their fields written. */
void tutti_wait_hooks_set(const tutti_wait_hooks *given) { __atomic_store_n(&hooks, given, __ATOMIC_RELEASE); }

static const tutti_wait_hooks *current(void) { return __atomic_load_n(&hooks, __ATOMIC_ACQUIRE); }

struct tutti__sleep tutti__sleep_begin(void)
{
	const tutti_wait_hooks *found = current();
	return (struct tutti__sleep){found, found && found->before ? found->before() : NULL};
}

void tutti__sleep_end_with(struct tutti__sleep sleep)
{
	int error_number = errno;
	if (sleep.hooks->after)
		sleep.hooks->after(sleep.given);
	errno = error_number;
}

bool tutti__wait_is_interrupted(void)
{
	const tutti_wait_hooks *found = current();
	return found && found->interrupt && found->interrupt();
}

/* Never held while the thread waits for what it gave up: others wait for both, and at its program's end it may not return. */
void tutti__mutex_lock(pthread_mutex_t *mutex)
{
	while (unlikely(pthread_mutex_trylock(mutex) != 0)) {
		struct tutti__sleep sleep = tutti__sleep_begin();
		pthread_mutex_lock(mutex);
		pthread_mutex_unlock(mutex);
		tutti__sleep_end(sleep);
	}
}

void tutti__thread_join(pthread_t thread)
{
	struct tutti__sleep sleep = tutti__sleep_begin();
	pthread_join(thread, NULL);
	tutti__sleep_end(sleep);
}
