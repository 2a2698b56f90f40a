/* SPDX-License-Identifier: MIT */
/* Waiting until everything that was put into a joinable queue is done. What is counted: joinable.h. */
#include "channel/joinable.h"

/* Exactly: under put_latch every message that can be got is counted. */
static tutti_err count_unfinished(tutti_queue *queue, uint32_t id, int64_t deadline, uint64_t *count)
{
	struct tutti__queue *shared = queue->shared;
	tutti_err err = tutti__latch_acquire(queue->reference.arena, &shared->put_latch, id, deadline);
	if (err)
		return err;
	*count = load_relaxed(&shared->put.count) - load_acquire(&shared->done_count);
	tutti__latch_release(&shared->put_latch);
	return TUTTI_OK;
}

bool tutti__queue_may_be_done(void *context)
{
	struct tutti__queue *shared = context;
	return tutti__queue_seems_done(shared) ||
	       (load_acquire(&shared->is_shut) == TUTTI__IS_DROPPED && load_acquire(&shared->given_back));
}

static tutti_err wait_until_done(tutti_queue *queue, int64_t deadline, uint64_t unfinished)
{
	struct tutti__waiting waiting = {.arena = queue->reference.arena,
	                                 .patience = &queue->done_patience,
	                                 .hints = &queue->shared->done_hints,
	                                 .object = queue->reference.offset,
	                                 .is_ready = tutti__queue_may_be_done,
	                                 .context = queue->shared,
	                                 .deadline = deadline};
	const char *name = queue->shared->object.name;
	tutti_err err = deadline <= 0 ? TUTTI_ETIMEDOUT : tutti__wait_at(&waiting, &queue->shared->done);
	if (err == TUTTI_ETIMEDOUT) {
		tutti__poll_refresh(&queue->done_polls);
		tutti__look_after_the_dead(queue->reference.arena);
	}
	if (err == TUTTI_EINTR)
		return tutti__fail(err, "a signal handler ran while joining queue \"%s\". Join again.", name);
	if (err == TUTTI_ETIMEDOUT)
		return tutti__fail(err, "%llu of the messages of queue \"%s\" are not done. Wait longer, or start a getter.",
		                   (unsigned long long)unfinished, name);
	return err;
}

tutti_err tutti_queue_join(tutti_queue *queue, tutti_time timeout)
{
	uint32_t id;
	uint64_t unfinished = 0;
	tutti_err err = tutti__use_joinable(queue, &id);
	int64_t deadline = timeout == TUTTI_FOREVER ? INT64_MAX : timeout <= 0 ? 0 : tutti__deadline(timeout);
	while (!err) {
		struct tutti__queue *shared = queue->shared;
		if (load_acquire(&shared->is_shut) == TUTTI__IS_DROPPED) {
			store_release(&shared->given_back, 0); /* a hint here: each look drops what there is */
			err = tutti__drop_given_back(queue, id);
		}
		if (!err)
			err = count_unfinished(queue, id, deadline, &unfinished);
		if (err || unfinished == 0)
			return err;
		err = wait_until_done(queue, deadline, unfinished);
	}
	return err;
}
