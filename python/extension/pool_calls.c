/* SPDX-License-Identifier: MIT */
/* One call: submitted, waited for, and its result. What the message is: pool.h. */
#include "errors.h"
#include "pool.h"
#include "wait.h"

/* ---- submitting ---- */

/* Its number; -1 without an exception if the catalogue is full, -2 with one. */
static Py_ssize_t publish(struct pool_object *pool, PyObject *function)
{
	struct outgoing out;
	uint32_t number = 0;
	PyObject *bytes = NULL;
	if (message_encode_plain(&pool->state->messages, function, &out) == 0)
		bytes = outgoing_bytes(&out);
	outgoing_clear(&out);
	if (!bytes)
		return -2;
	tutti_view view = {PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
	if (pool_check(pool) < 0) { /* pickling, or who makes the arguments, may have closed it */
		Py_DECREF(bytes);
		return -2;
	}
	tutti_err err = tutti_pool_publish(pool->pool, view, &number);
	Py_DECREF(bytes);
	if (err == TUTTI_EFULL)
		return -1;
	if (err) {
		py_raise(pool->state, err);
		return -2;
	}
	return functions_set(&pool->functions, pool->state, number, function) < 0 ? -2 : (Py_ssize_t)number;
}

/* What stands for it in a message: a new reference. A number is never the function itself. */
static PyObject *reference_of(struct pool_object *pool, PyObject *function)
{
	if (!PyCallable_Check(function)) {
		PyErr_Format(PyExc_TypeError, "'%.200s' object is not callable", Py_TYPE(function)->tp_name);
		return NULL;
	}
	Py_ssize_t number = functions_find(&pool->functions, function);
	if (number < 0 && functions_is_named(pool->state, function)) {
		number = publish(pool, function);
		if (number == -2)
			return NULL;
	}
	return number < 0 ? Py_NewRef(function) : PyLong_FromSsize_t(number);
}

/* A task that does not encode, for the exception that is set, in another form. */
static int encode_otherwise(struct pool_object *pool, PyObject *task, struct outgoing *out)
{
	PyObject *error = pool_caught();
	PyObject *replacement = PyObject_CallMethod((PyObject *)pool, "_by_value", "OO", task, error);
	return message_encode_instead(&pool->state->messages, replacement, error, out);
}

/* Encodes (function, arguments, form). 0, or -1 with an exception. Clear `out` in both cases. */
static int encode_task(struct pool_object *pool, PyObject *function, PyObject *arguments, PyObject *form,
                       struct outgoing *out)
{
	PyObject *reference = reference_of(pool, function);
	PyObject *task = reference ? PyTuple_Pack(3, reference, arguments, form) : NULL;
	int result = -1;
	if (task)
		result = message_encode(&pool->state->messages, task, out);
	else
		*out = (struct outgoing){0};
	if (task && result < 0 && PyErr_ExceptionMatches(PyExc_Exception))
		result = encode_otherwise(pool, task, out);
	Py_XDECREF(reference);
	Py_XDECREF(task);
	return result;
}

static PyObject *raise_object(PyObject *exception)
{
	if (exception && PyExceptionInstance_Check(exception))
		PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
	else if (exception)
		PyErr_Format(PyExc_TypeError, "a task failed with %R, which is no exception", exception);
	Py_XDECREF(exception);
	return NULL;
}

PyObject *pool_raise(struct pool_object *pool, tutti_err err)
{
	if (err != TUTTI_EFAILED)
		return py_raise(pool->state, err);
	PyObject *module = PyImport_ImportModule("tutti._outcomes");
	PyObject *broken = module ? PyObject_CallMethod(module, "broken", "N", py_text(tutti_last_error())) : NULL;
	Py_XDECREF(module);
	return raise_object(broken);
}

int pool_submit(struct pool_object *pool, PyObject *function, PyObject *arguments, PyObject *form,
                const struct task_options *options, tutti_future **future, size_t *size)
{
	struct outgoing out;
	tutti_task_options job = {.retries = options->retries, .timeout = options->timeout, .priority = options->priority};
	*size = 0;
	int result = encode_task(pool, function, arguments, form, &out);
	if (result == 0)
		*size = out.size;
	if (result == 0 && pool_check(pool) < 0) /* pickling runs foreign code, which may have closed it */
		result = -1;
	if (result == 0) {
		tutti_err err = tutti_pool_submit_message(pool->pool, future, out.parts, out.count, out.encoding, out.carried,
		                                          out.carried_count, &job);
		if (err) {
			pool_raise(pool, err);
			result = -1;
		}
	}
	outgoing_clear(&out);
	return result < 0 ? -1 : 0;
}

/* ---- waiting ---- */

struct wait_attempt {
	tutti_future *const *futures;
	size_t count, done;
	bool only_one; /* and none that tutti_pool_wake() ends */
	bool until_woken; /* it is over when _wake() was called */
};

static tutti_err try_wait(void *context, tutti_time timeout)
{
	struct wait_attempt *attempt = context;
	if (attempt->only_one)
		return tutti_future_wait(attempt->futures[0], timeout);
	return tutti_future_wait_any(attempt->futures, attempt->count, &attempt->done, timeout);
}

static int wait_with(struct pool_object *pool, struct wait_attempt *attempt, int64_t deadline)
{
	unsigned woken = pool->woken;
	if (pool->process != pool_process()) {
		PyErr_SetString(PyExc_ValueError, "this task belongs to the parent process, which alone may wait for it");
		return -1;
	}
	for (;;) {
		tutti_time left = py_time_left(deadline);
		int err = py_wait_with_limit(try_wait, attempt, left < pool->tend_interval ? left : pool->tend_interval);
		bool is_woken = !attempt->only_one && attempt->done == attempt->count;
		if (err == TUTTI_OK && !is_woken)
			return 1;
		if (attempt->until_woken && woken != pool->woken)
			return 0;
		if (err == TUTTI_OK)
			continue; /* somebody else's wake */
		if (err > 0 && !py_is_not_yet(err))
			pool_raise(pool, (tutti_err)err);
		if (err < 0 || !py_is_not_yet(err) || pool_tend(pool) < 0)
			return -1;
		if (left <= pool->tend_interval && py_time_left(deadline) <= 0)
			return 0;
	}
}

int pool_wait_any(struct pool_object *pool, tutti_future *const *futures, size_t count, size_t *done, int64_t deadline)
{
	struct wait_attempt attempt = {.futures = futures, .count = count};
	int answer = wait_with(pool, &attempt, deadline);
	*done = attempt.done;
	return answer;
}

int pool_wait_until_woken(struct pool_object *pool, tutti_future *const *futures, size_t count, int64_t deadline)
{
	struct wait_attempt attempt = {.futures = futures, .count = count, .until_woken = true};
	return wait_with(pool, &attempt, deadline);
}

int pool_wait(struct pool_object *pool, tutti_future *future, int64_t deadline)
{
	struct wait_attempt attempt = {.futures = &future, .count = 1, .only_one = true};
	return wait_with(pool, &attempt, deadline);
}

/* ---- results ---- */

PyObject *pool_caught(void)
{
	PyObject *type, *value, *traceback;
	PyErr_Fetch(&type, &value, &traceback);
	if (type) {
		PyErr_NormalizeException(&type, &value, &traceback);
		if (traceback)
			PyException_SetTraceback(value, traceback);
	}
	Py_XDECREF(type);
	Py_XDECREF(traceback);
	return value;
}

/* What the core says of a task, as the exception that Python makes of it. */
static PyObject *raise_outcome(const tutti_result *result, PyObject *function)
{
	PyObject *module = PyImport_ImportModule("tutti._outcomes");
	PyObject *exception = NULL;
	if (module && result->err == TUTTI_EWORKERDIED)
		exception = PyObject_CallMethod(module, "worker_died", "ONii", function, py_text(result->text), result->pid,
		                                result->code);
	else if (module)
		exception = PyObject_CallMethod(module, result->err == TUTTI_ECANCELLED ? "cancelled" : "failed", "N",
		                                py_text(result->text));
	Py_XDECREF(module);
	return raise_object(exception);
}

PyObject *pool_read(struct pool_object *pool, tutti_future *future, PyObject *function)
{
	tutti_result result;
	tutti_message message;
	PyObject *value = NULL;
	tutti_err err = tutti_future_get(future, &result, TUTTI_NOW);
	if (err)
		return py_raise(pool->state, err);
	bool is_message = result.err == TUTTI_OK || (result.err == TUTTI_EFAILED && result.encoding != TUTTI_RAW);
	if (is_message) {
		tutti_result_take(&result, &message);
		value = message_decode(&pool->state->messages, &message);
	}
	if (!is_message)
		raise_outcome(&result, function);
	else if (value && result.err == TUTTI_EFAILED)
		value = raise_object(value);
	tutti_result_release(&result);
	return value;
}

void pool_drop(struct pool_object *pool, tutti_future *future)
{
	if (future && pool->process == pool_process())
		tutti_future_close(future);
}
