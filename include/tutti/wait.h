/* SPDX-License-Identifier: MIT */
/*
 * How this process waits. Whatever waits in Tutti first looks for a moment whether the awaited
 * thing happens at once (it spins), for a time that it learns, and then sleeps. This is for
 * programs that know better: those that would rather sleep at once, and language bindings
 * whose threads cannot run beside each other.
 *
 * Threads: any; it counts for the waits that begin afterwards. Fork: inherited. Signals: not in handlers.
 */
#ifndef TUTTI_WAIT_H
#define TUTTI_WAIT_H

#include <tutti/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tutti_spin {
	TUTTI_SPIN_AUTO, /* where it pays: learned, never for a partner that was last seen on the same CPU */
	TUTTI_SPIN_OFF, /* never */
} tutti_spin;

typedef struct tutti_wait_policy {
	tutti_spin spin; /* TUTTI_SPIN=off|auto; default: auto */
	tutti_time spin_max; /* longest spin; TUTTI_SPIN=MICROSECONDS; default: 100 us; at most 1 ms */
	tutti_spin same_process_spin; /* for a partner in this process; off where threads exclude each other */
} tutti_wait_policy;

/* Sets it for this process; NULL or zero: the environment's, else the default. */
TUTTI_API void tutti_wait_policy_set(const tutti_wait_policy *policy);

/* What holds now, with nothing left to a default. */
TUTTI_API tutti_wait_policy tutti_wait_policy_get(void);

/* What was learned about waiting for one thing. Zero in the beginning; any threads may share it. */
typedef struct tutti_patience {
	uint32_t budget, skipped, no_yields; /* Tutti's */
} tutti_patience;

/*
 * For what is no object of Tutti's, a descriptor say: calls `is_ready` again and again as long as that has paid
 * before, at most `spin_max`. True: it is ready. False: sleep, as poll() does. `is_ready` changes nothing; it
 * may run on any number of threads at a time. Threads: any. Signals: not in handlers. Kill: leaves nothing.
 */
TUTTI_API bool tutti_spin_until(tutti_patience *patience, bool (*is_ready)(void *context), void *context);

/*
 * For a language whose threads share one lock: what a thread gives up while it sleeps in Tutti, wherever that is,
 * and takes again. Each may be NULL. They are called in the thread that sleeps, which holds nothing of an arena's then.
 */
typedef struct tutti_wait_hooks {
	void *(*before)(void); /* it is about to sleep, or to yield; what this returns goes to `after` */
	void (*after)(void *given); /* it has */
	bool (*interrupt)(
		void); /* at each tick of a wait, 250 ms at most: true ends it with TUTTI_EINTR, as a signal does */
} tutti_wait_hooks;

/* Sets them for this process, for sleeps that begin afterwards. They must stay where they are. NULL: none. */
TUTTI_API void tutti_wait_hooks_set(const tutti_wait_hooks *hooks);

#ifdef __cplusplus
}
#endif

#endif
