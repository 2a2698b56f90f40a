/* SPDX-License-Identifier: MIT */
/* The wait set: opening, adding, removing. How it is built: waitset.h; waiting: waitset_next.c. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "arena/arena.h"
#include "channel/waitset.h"

tutti_err tutti__waitset_check_own(const tutti_waitset *set)
{
	if (tutti__poller_is_own(&set->poller))
		return TUTTI_OK;
	return tutti__fail(TUTTI_EPERM, "this wait set belongs to the process that opened it. Open one in this process.");
}

void tutti__waitset_link(tutti_waitset *set, struct tutti__wait_entry *entry)
{
	if (entry->next)
		return;
	entry->previous = set->ready.previous;
	entry->next = &set->ready;
	entry->previous->next = entry->next->previous = entry;
	set->ready_count += entry != &set->turn;
}

void tutti__waitset_unlink(tutti_waitset *set, struct tutti__wait_entry *entry)
{
	if (!entry->next)
		return;
	entry->previous->next = entry->next;
	entry->next->previous = entry->previous;
	entry->previous = entry->next = NULL;
	set->ready_count -= entry != &set->turn;
}

tutti_err tutti_waitset_open(tutti_waitset **result, const tutti_waitset_options *options)
{
	tutti_arena *arena;
	tutti_err err = tutti__arena_or_default(options ? options->arena : NULL, &arena);
	if (err)
		return err;
	uint32_t member = tutti__enter(arena);
	if (member == 0)
		return TUTTI_EMEMBERS;
	tutti_waitset *set = calloc(1, sizeof *set);
	if (!set)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a wait set");
	err = tutti__poller_init(&set->poller, arena, member);
	if (err) {
		free(set);
		return err;
	}
	set->epoll = -1;
	set->ready.next = set->ready.previous = &set->ready;
	pthread_mutex_init(&set->change, NULL);
	*result = set;
	return TUTTI_OK;
}

/* With tutti__poll_mutex and the poller's. */
static void drop_object(struct tutti__wait_entry *entry)
{
	tutti__poller_remove(&entry->set->poller, &entry->source);
	tutti__waitset_unlink(entry->set, entry);
	free(entry);
}

/* With tutti__poll_mutex: the handle is closed, and has forgotten us. */
static void on_close(struct tutti__poll_source *source)
{
	struct tutti__wait_entry *entry = (struct tutti__wait_entry *)source;
	pthread_mutex_t *mutex = &entry->set->poller.mutex;
	pthread_mutex_lock(mutex);
	drop_object(entry);
	pthread_mutex_unlock(mutex);
}

static void on_ready(struct tutti__poll_source *source)
{
	struct tutti__wait_entry *entry = (struct tutti__wait_entry *)source;
	tutti__waitset_link(entry->set, entry);
}

/* With the poller's mutex. */
static void drop_descriptor(tutti_waitset *set, struct tutti__wait_entry *entry)
{
	set->by_fd[entry->item.fd] = NULL;
	tutti__waitset_unlink(set, entry);
	if (--set->descriptor_count == 0)
		tutti__waitset_unlink(set, &set->turn);
	free(entry);
}

void tutti_waitset_close(tutti_waitset *set)
{
	if (!set || !tutti__poller_is_own(&set->poller))
		return; /* a forked child leaves its copy alone */
	struct tutti__poller *poller = &set->poller;
	tutti__poll_list_close(&set->self);
	tutti__poll_lock();
	for (size_t i = 0; i < poller->bucket_count; i++)
		for (struct tutti__poll_source *source; (source = tutti__poller_pop(poller, i)) != NULL;) {
			tutti__poll_list_remove(source);
			free((struct tutti__wait_entry *)source);
		}
	pthread_mutex_unlock(&tutti__poll_mutex);
	for (size_t fd = 0; fd < set->fd_room; fd++)
		free(set->by_fd[fd]);
	free(set->by_fd);
	if (set->epoll >= 0)
		close(set->epoll);
	tutti__poller_fini(poller);
	pthread_mutex_destroy(&set->change);
	free(set);
}

tutti_err tutti__wait_item_watch(const tutti_wait_item *item, struct tutti__watch *watch,
                                 struct tutti__reference **reference)
{
	tutti_err err = TUTTI_OK;
	if (!item->object)
		return tutti__fail(TUTTI_EINVAL, "a thing to wait for has no handle (NULL).");
	*reference = item->object; /* the first member of every handle */
	if (tutti__use(*reference, &err) == 0)
		return err;
	const struct tutti__kind *kind = tutti__kinds[(*reference)->kind];
	if (!kind->watch)
		return tutti__fail(TUTTI_EINVAL, "a %s cannot be waited for in a wait set.", kind->name);
	return kind->watch(item->object, watch);
}

static tutti_err fail_again(void)
{
	return tutti__fail(TUTTI_EINVAL, "this is in the wait set already. Remove it first, or use another set.");
}

static tutti_err control(tutti_waitset *set, int operation, int fd, short events, uint64_t data)
{
	struct epoll_event event = {.events = (uint32_t)(unsigned short)events, .data.u64 = data};
	if (epoll_ctl(set->epoll, operation, fd, &event) == 0)
		return TUTTI_OK;
	if (errno == EEXIST)
		return fail_again();
	if (errno == EBADF)
		return tutti__fail(TUTTI_EINVAL, "descriptor %d is not open.", fd);
	if (errno == EPERM)
		return tutti__fail(TUTTI_EINVAL, "descriptor %d is of a file or folder, which is always ready.", fd);
	return tutti__fail_system(errno, "cannot wait for the descriptor");
}

static tutti_err need_epoll(tutti_waitset *set)
{
	if (set->epoll >= 0)
		return TUTTI_OK;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return tutti__fail_system(errno, "cannot make a descriptor for the wait set");
	pthread_mutex_lock(&set->poller.mutex);
	set->epoll = fd;
	pthread_mutex_unlock(&set->poller.mutex);
	return TUTTI_OK;
}

/* The helper's eventfd in the epoll descriptor stands for all objects. */
static tutti_err need_bell(tutti_waitset *set)
{
	int fd;
	struct tutti__watch watch = {&set->poller.station->pollable, tutti__waitset_is_ready, set, &set->self};
	if (load_relaxed(&set->self.descriptor))
		return TUTTI_OK;
	tutti_err err = tutti__poll_fd(set->poller.arena, &watch, true, &fd);
	if (!err)
		err = control(set, EPOLL_CTL_ADD, fd, EPOLLIN, TUTTI__WAITSET_MARK);
	if (err)
		tutti__poll_list_close(&set->self);
	return err;
}

static struct tutti__wait_entry *new_entry(tutti_waitset *set, const tutti_wait_item *item)
{
	struct tutti__wait_entry *entry = calloc(1, sizeof *entry);
	if (!entry) {
		tutti__fail(TUTTI_ENOMEM, "no memory for a member of a wait set");
		return NULL;
	}
	entry->set = set;
	entry->item = *item;
	return entry;
}

/* With tutti__poll_mutex: the set's entry for a handle. */
static struct tutti__wait_entry *find_object(tutti_waitset *set, const struct tutti__watch *watch)
{
	for (struct tutti__poll_source *source = watch->list->sources; source; source = source->next_of_handle)
		if (source->poller == &set->poller)
			return (struct tutti__wait_entry *)source;
	return NULL;
}

static tutti_err insert_object(tutti_waitset *set, const tutti_wait_item *item, const struct tutti__watch *watch,
                               bool again)
{
	struct tutti__wait_entry *entry = new_entry(set, item);
	if (!entry)
		return TUTTI_ENOMEM;
	entry->source = (struct tutti__poll_source){.watch = *watch, .on_ready = on_ready, .on_close = on_close};
	tutti__poll_lock();
	bool is_in = find_object(set, watch) != NULL;
	if (!is_in) {
		pthread_mutex_lock(&set->poller.mutex);
		tutti__poller_add(&set->poller, &entry->source);
		pthread_mutex_unlock(&set->poller.mutex);
		tutti__poll_list_add(&entry->source);
	}
	pthread_mutex_unlock(&tutti__poll_mutex);
	if (!is_in)
		return TUTTI_OK;
	free(entry);
	return again ? TUTTI_OK : fail_again();
}

static tutti_err add_object(tutti_waitset *set, const tutti_wait_item *item, bool again)
{
	struct tutti__watch watch;
	struct tutti__reference *reference;
	tutti_err err = tutti__wait_item_watch(item, &watch, &reference);
	if (err)
		return err;
	if (reference->arena->base != set->poller.arena->base)
		return tutti__fail(TUTTI_EFOREIGN,
		                   "a %s of another arena than the wait set's, \"%s\". Open a set for each arena.",
		                   tutti__kinds[reference->kind]->name, set->poller.arena->header->name);
	if (set->epoll >= 0)
		err = need_bell(set);
	return err ? err : insert_object(set, item, &watch, again);
}

/* Room for an entry of that descriptor. With the poller's mutex. */
static tutti_err need_room(tutti_waitset *set, int fd)
{
	size_t room = set->fd_room ? set->fd_room : 16;
	while (room <= (size_t)fd)
		room *= 2;
	if (room == set->fd_room)
		return TUTTI_OK;
	struct tutti__wait_entry **table = realloc(set->by_fd, room * sizeof(struct tutti__wait_entry *));
	if (!table)
		return tutti__fail(TUTTI_ENOMEM, "no memory for a member of a wait set");
	for (size_t i = set->fd_room; i < room; i++)
		table[i] = NULL;
	set->by_fd = table;
	set->fd_room = room;
	return TUTTI_OK;
}

/* With the poller's mutex. */
static tutti_err insert_descriptor(tutti_waitset *set, struct tutti__wait_entry *entry, bool again)
{
	int fd = entry->item.fd;
	tutti_err err = need_room(set, fd);
	if (err)
		return err;
	struct tutti__wait_entry *old = set->by_fd[fd];
	if (old && again) {
		old->item.events = (short)(old->item.events | entry->item.events);
		err = control(set, EPOLL_CTL_MOD, fd, old->item.events, (uint64_t)fd);
		if (!err)
			free(entry);
		return err;
	}
	err = control(set, EPOLL_CTL_ADD, fd, entry->item.events, (uint64_t)fd);
	if (err)
		return err;
	if (old)
		drop_descriptor(set, old); /* that one was closed, and its number used again */
	set->by_fd[fd] = entry;
	if (set->descriptor_count++ == 0)
		tutti__waitset_link(set, &set->turn);
	return TUTTI_OK;
}

static tutti_err add_descriptor(tutti_waitset *set, const tutti_wait_item *item, bool again)
{
	if (item->fd < 0 || (item->events & (POLLIN | POLLOUT | POLLPRI)) == 0)
		return tutti__fail(TUTTI_EINVAL,
		                   "descriptor %d with events %#x: give an open one, and POLLIN, POLLOUT or both.", item->fd,
		                   (unsigned)item->events);
	tutti_err err = need_epoll(set);
	if (!err && set->poller.source_count)
		err = need_bell(set);
	if (err)
		return err;
	struct tutti__wait_entry *entry = new_entry(set, item);
	if (!entry)
		return TUTTI_ENOMEM;
	pthread_mutex_lock(&set->poller.mutex);
	err = insert_descriptor(set, entry, again);
	pthread_mutex_unlock(&set->poller.mutex);
	if (err)
		free(entry);
	return err;
}

tutti_err tutti__waitset_add(tutti_waitset *set, const tutti_wait_item *item, bool again)
{
	tutti_err err = tutti__waitset_check_own(set);
	if (err)
		return err;
	pthread_mutex_lock(&set->change);
	if (tutti__wait_item_is_object(item))
		err = add_object(set, item, again);
	else if (tutti__wait_item_is_descriptor(item))
		err = add_descriptor(set, item, again);
	else
		err = tutti__fail(TUTTI_EINVAL, "a thing of kind %d cannot be waited for.", (int)item->kind);
	pthread_mutex_unlock(&set->change);
	if (!err)
		tutti__station_poke(set->poller.arena, set->poller.station); /* who waits in it looks at the new one */
	return err;
}

tutti_err tutti_waitset_add(tutti_waitset *set, tutti_wait_item item) { return tutti__waitset_add(set, &item, false); }

static bool remove_object(tutti_waitset *set, const struct tutti__watch *watch)
{
	tutti__poll_lock();
	struct tutti__wait_entry *entry = find_object(set, watch);
	if (entry) {
		tutti__poll_list_remove(&entry->source);
		on_close(&entry->source);
	}
	pthread_mutex_unlock(&tutti__poll_mutex);
	return entry != NULL;
}

static bool remove_descriptor(tutti_waitset *set, const tutti_wait_item *item)
{
	pthread_mutex_lock(&set->poller.mutex);
	bool has_number = item->fd >= 0 && (size_t)item->fd < set->fd_room;
	struct tutti__wait_entry *entry = has_number ? set->by_fd[item->fd] : NULL;
	if (entry) {
		epoll_ctl(set->epoll, EPOLL_CTL_DEL, item->fd, NULL); /* fails if it was closed: then it is out already */
		drop_descriptor(set, entry);
	}
	pthread_mutex_unlock(&set->poller.mutex);
	return entry != NULL;
}

tutti_err tutti_waitset_remove(tutti_waitset *set, tutti_wait_item item)
{
	struct tutti__watch watch;
	struct tutti__reference *reference;
	bool was_in = false;
	tutti_err err = tutti__waitset_check_own(set);
	if (!err && tutti__wait_item_is_object(&item))
		err = tutti__wait_item_watch(&item, &watch, &reference);
	if (err)
		return err;
	pthread_mutex_lock(&set->change);
	if (tutti__wait_item_is_object(&item))
		was_in = remove_object(set, &watch);
	else if (tutti__wait_item_is_descriptor(&item))
		was_in = remove_descriptor(set, &item);
	pthread_mutex_unlock(&set->change);
	return was_in ? TUTTI_OK : tutti__fail(TUTTI_ENOENT, "this is not in the wait set.");
}

size_t tutti_waitset_count(tutti_waitset *set)
{
	if (!tutti__poller_is_own(&set->poller))
		return 0;
	pthread_mutex_lock(&set->poller.mutex);
	size_t count = set->poller.source_count + set->descriptor_count;
	pthread_mutex_unlock(&set->poller.mutex);
	return count;
}

tutti_err tutti_waitset_fd(tutti_waitset *set, int *fd)
{
	tutti_err err = tutti__waitset_check_own(set);
	*fd = -1;
	if (err)
		return err;
	pthread_mutex_lock(&set->change);
	err = need_epoll(set);
	if (!err)
		err = need_bell(set);
	pthread_mutex_unlock(&set->change);
	if (!err)
		*fd = set->epoll;
	return err;
}
