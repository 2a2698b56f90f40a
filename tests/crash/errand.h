/* SPDX-License-Identifier: MIT */
/* One job of a pool whose workers its owner starts himself: submitted, run, run again, and what became of it. */
#ifndef TUTTI_TESTS_CRASH_ERRAND_H
#define TUTTI_TESTS_CRASH_ERRAND_H

#include <tutti/worker.h>

#include "pool/pool.h"
#include "ring.h"

enum { ERRAND_LARGE = 5000 };

/* The job that it is about. Its bytes are those of messages (messages.h). */
struct errand {
	size_t input, result; /* bytes, up to ERRAND_LARGE */
	unsigned retries;
	tutti_time timeout;
	bool carries; /* the only handle of a queue, there and back */
	int priority;
	bool is_unwanted; /* its future is closed before anybody takes it */
};

extern struct errand errand;
extern tutti_future *errand_future;
extern tutti_worker *errand_worker; /* the victim's */

/* What is sent next, written before: its writing is nothing to step through. */
extern unsigned char errand_bytes[ERRAND_LARGE];
void errand_write_result(void);

/* Opens the pool, in which somebody is worker 0 and may be worker 1. */
void errand_open_pool(struct stage *stage);
/* What it carries; before it is submitted. */
void errand_open_carried(struct stage *stage);
void errand_submit(struct stage *stage);
/* All of that. */
void errand_arrange(struct stage *stage, struct errand job);

/* The caller becomes worker 0; then it runs the job, with a result that is written. */
void errand_become_worker(struct stage *stage);
void errand_serve(struct stage *stage);

/* The job, NULL: there is none. More than one is a finding. */
struct tutti__job *errand_find(tutti_arena *arena);

/* The message is the errand's (its input, its result), and what it carries lives; else that is a finding. */
void errand_check_input(struct stage *stage, const tutti_message *message);
void errand_check_result(struct stage *stage, const tutti_message *message);

/* Worker 0 was killed: tells the pool so. */
void errand_tell_death(struct stage *stage);
/* Runs it to its end in `worker`, which must be given it. */
void errand_run_in(struct stage *stage, tutti_worker *worker);
/* The same in worker 1, which has nothing else to do. */
void errand_run_again(struct stage *stage);

#endif
