/* SPDX-License-Identifier: MIT */
/*
 * Pools as Python has them: a pool of the core whose workers are Python processes (<tutti/worker.h>).
 *
 * A task is a message with the tuple (function, arguments, form):
 *
 *   function   a number of the pool's catalogue (functions.h), or the function itself
 *   form       None: function(*arguments); a dict: with these keywords;
 *              0: [function(a) for a in arguments]; 1: [function(*a) for a in arguments]
 *
 * Its result is a message with the value. Of the forms 0 and 1 it is a list; or, if some of them failed, the tuple
 * (list, {place: exception}). A task that failed as a whole has an exception in its place, and TUTTI_EFAILED.
 *
 * Nobody collects results: who wants one waits for that task. Who waits, and who submits, now and then calls the
 * Python method `_tend`, which replaces workers that have ended.
 */
#ifndef TUTTI_PYTHON_POOL_H
#define TUTTI_PYTHON_POOL_H

#include <tutti/worker.h>

#include "functions.h"
#include "state.h"

struct pool_object {
	PyObject_HEAD PyObject *dict;
	PyObject *weak_references;
	PyObject *module; /* the state stays valid until the last object is gone */
	struct py_state *state;
	tutti_pool *pool; /* NULL: closed, or not opened yet */
	struct functions functions; /* those that were published */
	PyObject *task_class, *stream_class; /* subclasses of ours, of which results are made */
	bool closing; /* takes no more tasks */
	unsigned long long submitted; /* single calls */
	unsigned woken; /* calls of _wake() */
	unsigned draining; /* threads that wait in it for its end */
	bool close_later; /* when they have left */
	int64_t tended; /* when _tend was last called */
	tutti_time tend_interval;
	unsigned calls; /* of pool_tend_now_and_then */
	unsigned process; /* a forked child's is another */
};

/* How the tasks of one call are to be run. */
struct task_options {
	unsigned retries;
	tutti_time timeout;
	int priority;
};

/* Changes in a forked child, which must leave its parent's pools alone. */
unsigned pool_process(void);

/* 0, or -1 with ValueError: closed, or a forked child's. */
int pool_check(struct pool_object *pool);

/* The same, also when it takes no more tasks. */
int pool_check_running(struct pool_object *pool);

/* As py_raise(), and for a broken pool what it is for Python: NULL. */
PyObject *pool_raise(struct pool_object *pool, tutti_err err);

/* Calls _tend if that was not done for a while. 0, or -1 with an exception. */
int pool_tend(struct pool_object *pool);

/* The same for what is called so often that the clock would cost too much. */
int pool_tend_now_and_then(struct pool_object *pool);

/*
 * Submits one message, of `*size` bytes. `form`: a new reference is not taken. 0, or -1 with an exception; with *size 0
 * if it is the message that does not go, and another one may.
 */
int pool_submit(struct pool_object *pool, PyObject *function, PyObject *arguments, PyObject *form,
                const struct task_options *options, tutti_future **future, size_t *size);

/*
 * Waits until a task is done. 1, 0 when the time is over, -1 with an exception (of a signal handler; the pool is
 * broken). The future must stay open meanwhile.
 */
int pool_wait(struct pool_object *pool, tutti_future *future, int64_t deadline);

/* The same for any of `count`; *done is its place. */
int pool_wait_any(struct pool_object *pool, tutti_future *const *futures, size_t count, size_t *done, int64_t deadline);

/* The same until somebody calls _wake(), which ends it with 0. */
int pool_wait_until_woken(struct pool_object *pool, tutti_future *const *futures, size_t count, int64_t deadline);

/*
 * The value of a task that is done, once, or NULL with its exception. For the texts of exceptions: the function.
 */
PyObject *pool_read(struct pool_object *pool, tutti_future *future, PyObject *function);

/* The keyword arguments retries, task_timeout and priority: 0, or -1 with an exception. */
int pool_task_options(PyObject *retries, PyObject *timeout, PyObject *priority, struct task_options *options);

/* A new object of a class of results (subclasses of ours), without calling __init__. */
PyObject *pool_new_result(PyObject *class);

/* Methods of the pool: task.c, stream.c. */
PyObject *pool_apply_async(PyObject *pool, PyObject *const *given, Py_ssize_t count, PyObject *keywords);
PyObject *pool_stream(PyObject *pool, PyObject *arguments);
PyObject *pool_wait_any_task(PyObject *pool, PyObject *arguments);

/* For the result objects' timeouts: multiprocessing.TimeoutError. NULL. */
PyObject *pool_raise_timeout(struct py_state *state);

/* The exception that is set, which is set no more; with its traceback. NULL: none is. */
PyObject *pool_caught(void);

/* Ends the workers of tasks that were cancelled while they ran. 0, or -1 with an exception. */
int pool_end_condemned(struct pool_object *pool);

/* Gives up a future without its result. */
void pool_drop(struct pool_object *pool, tutti_future *future);

#endif
