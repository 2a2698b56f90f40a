/* SPDX-License-Identifier: MIT */
/*
 * The descriptor of a queue, for foreign event loops.
 *
 * It is an eventfd of the polling process alone: nothing has to cross to the putters,
 * who may have been spawned and know no descriptor of ours. A putter that finds
 * queue.polled set rings the doorbells (a futex word in each polling member's slot); a
 * helper thread of the polling process sleeps there and lights the eventfds of the
 * queues that have something. A get that finds its queue empty puts its eventfd out
 * and arms the bell again. Pollers never read it, so none is lost between two of them.
 *
 * While nobody polls, a put pays one load for this. While an eventfd is lit, no bell is
 * armed for it and no put pays a system call.
 *
 * Death: a putter killed between its commit and the ring is covered by the helper's
 * tick (250 ms), also if the poller is the only member left. A killed poller's id is
 * cleared from the queue by recovery. With more than eight polling members on one
 * queue the further ones live by the tick alone.
 *
 * Fork: the child has no helper and shares the parent's eventfd, so it makes a source of
 * its own when it first asks for a descriptor.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channel/queue.h"

struct poller;

struct tutti__poll_source {
	tutti_queue *queue;
	struct poller *poller;
	uint32_t member; /* whose it is: a forked child's copy is not the child's */
	int fd;
	bool lit; /* guarded by the poller's mutex */
	struct tutti__poll_source *next;
};

/* One for each member that polls: its helper thread and its sources. */
struct poller {
	tutti_arena *arena;
	uint32_t member;
	pthread_t thread;
	pthread_mutex_t mutex;
	struct tutti__poll_source *sources;
	atomic_bool stop;
	struct poller *next;
};

static struct poller *pollers;
static pthread_mutex_t pollers_mutex = PTHREAD_MUTEX_INITIALIZER;

/* A child has no helper threads; what it inherits of them is left alone. */
static void before_fork(void) { pthread_mutex_lock(&pollers_mutex); }
static void after_fork(void) { pthread_mutex_unlock(&pollers_mutex); }
static void after_fork_in_child(void)
{
	pollers = NULL;
	after_fork();
}
static void prepare_fork(void) { pthread_atfork(before_fork, after_fork, after_fork_in_child); }

static void arm(struct tutti__queue *shared, uint32_t member)
{
	bool listed = false;
	for (int i = 0; i < TUTTI__POLLERS && !listed; i++)
		listed = load_relaxed(&shared->pollers[i]) == member;
	for (int i = 0; i < TUTTI__POLLERS && !listed; i++)
		listed = cas_u32(&shared->pollers[i], 0, member);
	store_release(&shared->polled, 1);
	fence_seq_cst(); /* the caller looks again; the putter commits, then looks at `polled` */
}

void tutti__queue_ring(tutti_arena *arena, struct tutti__queue *shared)
{
	if (exchange_acq_rel(&shared->polled, 0) == 0)
		return;
	for (int i = 0; i < TUTTI__POLLERS; i++) {
		uint32_t member = exchange_acq_rel(&shared->pollers[i], 0);
		if (member == 0)
			continue;
		struct tutti__slot *slot = tutti__slot_of(arena, member);
		fetch_add_relaxed(&slot->doorbell, 1);
		tutti__os.futex_wake(&slot->doorbell, 1);
	}
}

/* With the poller's mutex: lights the descriptor if something is there, else arms the bell and looks again. */
static void refresh(struct tutti__poll_source *source)
{
	tutti_arena *arena = source->poller->arena;
	struct tutti__queue *shared = source->queue->shared;
	uint64_t one = 1;
	if (source->lit)
		return;
	bool ready = tutti__queue_is_ready(arena, shared);
	if (!ready) {
		arm(shared, source->member);
		ready = tutti__queue_is_ready(arena, shared);
	}
	if (ready)
		source->lit = write(source->fd, &one, sizeof one) == (ssize_t)sizeof one;
}

static void *help(void *context)
{
	struct poller *poller = context;
	struct tutti__slot *slot = tutti__slot_of(poller->arena, poller->member);
	while (!atomic_load(&poller->stop)) {
		uint32_t bell = load_acquire(&slot->doorbell);
		pthread_mutex_lock(&poller->mutex);
		for (struct tutti__poll_source *source = poller->sources; source; source = source->next)
			refresh(source);
		pthread_mutex_unlock(&poller->mutex);
		if (tutti__os.futex_wait(&slot->doorbell, bell, tutti__deadline(TUTTI__IDLE_TICK)) == ETIMEDOUT)
			tutti__look_after_the_dead(poller->arena);
	}
	return NULL;
}

static tutti_err start_helper(struct poller *poller)
{
	sigset_t all, old;
	sigfillset(&all); /* the program's signals go to the program's threads */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&poller->thread, NULL, help, poller);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? tutti__fail_system(rc, "cannot start the polling helper thread") : TUTTI_OK;
}

/* With pollers_mutex: the calling member's poller, made if need be. */
static tutti_err find_poller(tutti_arena *arena, uint32_t member, struct poller **result)
{
	for (struct poller *poller = pollers; poller; poller = poller->next)
		if (poller->arena == arena && poller->member == member) {
			*result = poller;
			return TUTTI_OK;
		}
	struct poller *poller = calloc(1, sizeof *poller);
	if (!poller)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a polling helper");
	poller->arena = arena;
	poller->member = member;
	pthread_mutex_init(&poller->mutex, NULL);
	tutti_err err = start_helper(poller);
	if (err) {
		free(poller);
		return err;
	}
	poller->next = pollers;
	pollers = poller;
	*result = poller;
	return TUTTI_OK;
}

static tutti_err open_source(tutti_queue *queue, uint32_t member)
{
	struct poller *poller = NULL;
	struct tutti__poll_source *source = calloc(1, sizeof *source);
	if (!source)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a queue's descriptor");
	source->queue = queue;
	source->member = member;
	source->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	tutti_err err = source->fd < 0 ? tutti__fail_system(errno, "cannot make a descriptor for the queue") : TUTTI_OK;
	if (!err)
		err = find_poller(queue->reference.arena, member, &poller);
	if (err) {
		if (source->fd >= 0)
			close(source->fd);
		free(source);
		return err;
	}
	source->poller = poller;
	pthread_mutex_lock(&poller->mutex);
	source->next = poller->sources;
	poller->sources = source;
	refresh(source);
	pthread_mutex_unlock(&poller->mutex);
	queue->source = source;
	return TUTTI_OK;
}

tutti_err tutti_queue_fd(tutti_queue *queue, int *fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	tutti_err err = TUTTI_OK;
	uint32_t member = tutti__use(&queue->reference, &err);
	if (member == 0)
		return err;
	pthread_once(&once, prepare_fork);
	pthread_mutex_lock(&pollers_mutex);
	if (queue->source && queue->source->member != member)
		queue->source = NULL; /* inherited by fork: the parent's; the copy is left alone */
	if (!queue->source)
		err = open_source(queue, member);
	pthread_mutex_unlock(&pollers_mutex);
	*fd = err ? -1 : queue->source->fd;
	return err;
}

void tutti__poll_source_clear(struct tutti__poll_source *source)
{
	uint64_t count;
	if (source->member != load_relaxed(&source->queue->reference.arena->local->id))
		return;
	pthread_mutex_lock(&source->poller->mutex);
	if (source->lit) {
		source->lit = read(source->fd, &count, sizeof count) < 0 && errno != EAGAIN;
		refresh(source);
	}
	pthread_mutex_unlock(&source->poller->mutex);
}

/* With pollers_mutex: ends the helper of a poller without sources. */
static void stop_poller(struct poller *poller)
{
	struct tutti__slot *slot = tutti__slot_of(poller->arena, poller->member);
	for (struct poller **link = &pollers; *link; link = &(*link)->next)
		if (*link == poller) {
			*link = poller->next;
			break;
		}
	atomic_store(&poller->stop, true);
	fetch_add_relaxed(&slot->doorbell, 1);
	tutti__os.futex_wake(&slot->doorbell, 1);
	pthread_join(poller->thread, NULL);
	pthread_mutex_destroy(&poller->mutex);
	free(poller);
}

void tutti__poll_source_close(struct tutti__poll_source *source)
{
	struct poller *poller = source->poller;
	if (source->member != load_relaxed(&source->queue->reference.arena->local->id))
		return; /* the parent's */
	pthread_mutex_lock(&pollers_mutex);
	pthread_mutex_lock(&poller->mutex);
	for (struct tutti__poll_source **link = &poller->sources; *link; link = &(*link)->next)
		if (*link == source) {
			*link = source->next;
			break;
		}
	bool last = poller->sources == NULL;
	pthread_mutex_unlock(&poller->mutex);
	if (last)
		stop_poller(poller);
	pthread_mutex_unlock(&pollers_mutex);
	close(source->fd);
	free(source);
}
