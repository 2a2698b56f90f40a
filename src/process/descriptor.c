/* SPDX-License-Identifier: MIT */
/*
 * Handing descriptors over.
 *
 * The giver parks a duplicate under a ticket. While something is parked, a thread of the giver serves a
 * socket (os/handoff.h) whose name, chosen by the kernel, stands in the value that travels. The taker
 * connects, each side makes sure who the other is (SO_PEERCRED: the same user; the taker also that it
 * is the member's process and not a later one under the same name), and gets the descriptor by
 * SCM_RIGHTS. pidfd_getfd would need no thread, but the permission to trace a sibling, which
 * many systems refuse.
 *
 * Once: under the mutex the server finds the ticket, sends, and only if the message is in the taker's
 * socket forgets the ticket. A taker whose time runs out first shuts its receiving side, after which the send
 * fails, then looks a last time: so it has the descriptor, or the giver still has.
 *
 * Death: the giver's closes the socket and what is parked: a waiting taker sees the end, a later one that the
 * member is dead. The taker's closes what it had got. Nothing of it lies in the arena.
 *
 * The thread ends with the last ticket. A forked child closes its copies of all of it, so that neither the
 * parked files nor the socket live on in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <tutti/descriptor.h>

#include "arena/arena.h"
#include "arena/member.h"
#include "os/handoff.h"

enum {
	MAGIC = 0x54544644, /* "TTFD" */
	CLIENT_PATIENCE = 100 * 1000000, /* ns: a taker that is stopped holds up the others no longer */
	TICK = 250 * 1000000, /* ns between the taker's looks whether the giver lives */
	GRACE = 10 * 1000000, /* ns for a take that is not to wait */
};

struct request {
	uint32_t magic, arena, member, ticket;
};

enum verdict { GONE, FOUND, REFUSED };

struct answer {
	uint32_t magic, verdict;
};

struct parked {
	tutti_descriptor name;
	int fd;
	struct parked *next;
};

/* The thread's own; only listener and client are looked at by others, in a forked child. */
struct server {
	int listener, client;
	uint32_t address;
	pthread_t thread;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below; nothing is waited for under it */
static struct parked *parked;
static struct server *server; /* NULL while nothing is parked */
static uint32_t last_ticket;

static void before_fork(void) { pthread_mutex_lock(&mutex); }
static void after_fork(void) { pthread_mutex_unlock(&mutex); }

static void after_fork_in_child(void)
{
	for (struct parked *next; parked; parked = next) {
		next = parked->next;
		close(parked->fd);
		free(parked);
	}
	if (server) {
		close(server->listener);
		if (server->client >= 0)
			close(server->client);
		free(server);
	}
	server = NULL;
	after_fork();
}

static void prepare_fork(void) { pthread_atfork(before_fork, after_fork, after_fork_in_child); }

static bool is_trusted(const struct ucred *peer) { return peer->uid == geteuid() || peer->uid == 0; }

static struct parked **find(uint32_t arena, uint32_t member, uint32_t ticket)
{
	for (struct parked **link = &parked; *link; link = &(*link)->next)
		if ((*link)->name.ticket == ticket && (*link)->name.member == member && (*link)->name.arena == arena)
			return link;
	return NULL;
}

/* With the mutex: forgets the ticket; the descriptor is the caller's. */
static int unpark(struct parked **link)
{
	struct parked *gone = *link;
	int fd = gone->fd;
	*link = gone->next;
	free(gone);
	return fd;
}

static void answer_request(int client, const struct request *request, bool trusted)
{
	struct answer answer = {.magic = MAGIC};
	pthread_mutex_lock(&mutex);
	struct parked **link = trusted ? find(request->arena, request->member, request->ticket) : NULL;
	answer.verdict = link ? FOUND : trusted ? GONE : REFUSED;
	if (tutti__handoff_send(client, &answer, sizeof answer, link ? (*link)->fd : -1) && link)
		close(unpark(link));
	pthread_mutex_unlock(&mutex);
}

static void serve_client(int client)
{
	struct ucred peer;
	struct request request;
	if (!tutti__handoff_peer(client, &peer))
		return;
	ssize_t size = tutti__handoff_receive(client, &request, sizeof request, NULL, 0);
	if (size == (ssize_t)sizeof request && request.magic == MAGIC)
		answer_request(client, &request, is_trusted(&peer));
}

static void set_client(struct server *self, int client)
{
	pthread_mutex_lock(&mutex);
	self->client = client;
	pthread_mutex_unlock(&mutex);
}

/* True if the caller, whose server is still the one, is to end: nothing is left to give. */
static bool is_idle(struct server *self)
{
	pthread_mutex_lock(&mutex);
	bool idle = server == self && parked == NULL;
	if (idle) {
		server = NULL;
		close(self->listener);
		self->listener = -1;
		pthread_detach(self->thread);
	}
	pthread_mutex_unlock(&mutex);
	return idle;
}

/* Under the mutex: who ended it has looked at it under the mutex. */
static void end_server(struct server *self)
{
	pthread_mutex_lock(&mutex);
	if (self->listener >= 0)
		close(self->listener);
	free(self);
	pthread_mutex_unlock(&mutex);
}

static void *serve(void *context)
{
	struct server *self = context;
	while (!is_idle(self)) {
		int client = tutti__handoff_accept(self->listener, CLIENT_PATIENCE);
		if (client < 0 && errno == EINVAL)
			break; /* shut down by take_back() */
		if (client < 0) {
			poll(NULL, 0, 10); /* no descriptor is left, perhaps; the taker waits */
			continue;
		}
		set_client(self, client);
		serve_client(client);
		set_client(self, -1);
		close(client);
	}
	end_server(self);
	return NULL;
}

static tutti_err start_thread(struct server *self)
{
	sigset_t all, old;
	sigfillset(&all); /* the program's signals go to the program's threads */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&self->thread, NULL, serve, self);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? tutti__fail_system(rc, "cannot start the thread that hands descriptors over") : TUTTI_OK;
}

/* With the mutex; something is parked already, so that the thread does not end at once. */
static tutti_err need_server(void)
{
	if (server)
		return TUTTI_OK;
	struct server *self = calloc(1, sizeof *self);
	if (!self)
		return tutti__fail(TUTTI_ENOMEM, "no memory to hand a descriptor over");
	self->client = -1;
	self->listener = tutti__handoff_listen(&self->address);
	tutti_err err =
		self->listener < 0 ? tutti__fail_system(errno, "cannot make a socket to hand a descriptor over") : TUTTI_OK;
	if (!err)
		err = start_thread(self);
	if (!err) {
		server = self;
		return TUTTI_OK;
	}
	if (self->listener >= 0)
		close(self->listener);
	free(self);
	return err;
}

static tutti_err duplicate(int fd, int *result)
{
	*result = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*result >= 0)
		return TUTTI_OK;
	if (errno == EBADF)
		return tutti__fail(TUTTI_EINVAL, "descriptor %d is not open: it cannot be handed over.", fd);
	return tutti__fail_system(errno, "cannot hand a descriptor over");
}

/* With the mutex: `entry` has a descriptor; it gets its name. */
static tutti_err park(struct parked *entry, tutti_arena *arena, uint32_t member)
{
	entry->next = parked;
	parked = entry;
	tutti_err err = need_server();
	if (err) {
		parked = entry->next;
		return err;
	}
	entry->name = (tutti_descriptor){.arena = arena->header->arena_id,
	                                 .member = member,
	                                 .address = server->address,
	                                 .ticket = ++last_ticket};
	return TUTTI_OK;
}

tutti_err tutti_descriptor_give(tutti_arena *given, int fd, tutti_descriptor *descriptor)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	tutti_arena *arena;
	tutti_err err = tutti__arena_or_default(given, &arena);
	uint32_t member = err ? 0 : tutti__enter(arena);
	if (member == 0)
		return err ? err : TUTTI_EMEMBERS;
	pthread_once(&once, prepare_fork);
	struct parked *entry = calloc(1, sizeof *entry);
	if (!entry)
		return tutti__fail(TUTTI_ENOMEM, "no memory to hand a descriptor over");
	pthread_mutex_lock(&mutex); /* before it is duplicated: a fork in between would copy one that nobody closes */
	err = duplicate(fd, &entry->fd);
	if (!err && (err = park(entry, arena, member)) != TUTTI_OK)
		close(entry->fd);
	if (!err)
		*descriptor = entry->name;
	pthread_mutex_unlock(&mutex);
	if (err)
		free(entry);
	return err;
}

/* Takes back what this process gives; -1: it has it no more. With the last one the server ends. */
static int take_back(tutti_descriptor name)
{
	struct server *ended = NULL;
	pthread_t thread;
	pthread_mutex_lock(&mutex);
	struct parked **link = find(name.arena, name.member, name.ticket);
	int fd = link ? unpark(link) : -1;
	if (fd >= 0 && !parked) {
		ended = server;
		server = NULL;
		thread = ended->thread;
		shutdown(ended->listener, SHUT_RDWR); /* wakes it; it frees itself */
	}
	pthread_mutex_unlock(&mutex);
	if (ended)
		tutti__thread_join(thread);
	return fd;
}

static tutti_err fail_gone(void)
{
	/* A process that is being killed closes its socket a moment before it counts as dead. */
	return tutti__fail(TUTTI_ESTALE,
	                   "this descriptor was taken or dropped before (it can be taken once), or the process "
	                   "that gave it has ended. Give it again.");
}

static tutti_err fail_dead(void)
{
	return tutti__fail(TUTTI_ESTALE, "the process that gave this descriptor has ended, and what it gave is closed.");
}

static tutti_err fail_late(tutti_arena *arena, uint32_t member, tutti_time timeout)
{
	return tutti__fail(timeout <= 0 ? TUTTI_EBUSY : TUTTI_ETIMEDOUT,
	                   "pid %d, which gives this descriptor, does not answer. It may be stopped; wait longer.",
	                   tutti__member_pid(arena, member));
}

static tutti_err fail_other_user(void)
{
	return tutti__fail(TUTTI_EPERM, "giver and taker of this descriptor are of different users. It passes within one.");
}

/* The name of a socket whose server has ended may be another one's by now. */
static tutti_err check_server(int connection, tutti_arena *arena, uint32_t member)
{
	struct ucred peer;
	const struct tutti__identity *identity = &tutti__slot_of(arena, member)->identity;
	if (!tutti__handoff_peer(connection, &peer))
		return tutti__fail_system(errno, "cannot see who gives a descriptor");
	if (identity->pid_namespace == tutti__pid_namespace() && peer.pid != identity->pid)
		return fail_gone();
	return is_trusted(&peer) ? TUTTI_OK : fail_other_user();
}

static tutti_err connect_to(tutti_arena *arena, tutti_descriptor name, int64_t deadline, int *connection)
{
	for (;;) {
		int64_t left = deadline - tutti__os.clock_now();
		if (tutti__member_is_dead(arena, name.member))
			return fail_dead();
		if (left <= 0)
			return TUTTI_ETIMEDOUT;
		*connection = tutti__handoff_connect(name.address, left < TICK ? left : TICK);
		if (*connection >= 0)
			return check_server(*connection, arena, name.member);
		if (errno == ECONNREFUSED || errno == ENOENT)
			return fail_gone();
		if (errno != EAGAIN && errno != EINTR)
			return tutti__fail_system(errno, "cannot reach the giver of a descriptor");
	}
}

/* TUTTI_EINTR: the server hung up without an answer (it was not asked in time): ask again. */
static tutti_err read_answer(int connection, int flags, int *fd)
{
	struct answer answer;
	ssize_t size = tutti__handoff_receive(connection, &answer, sizeof answer, fd, flags);
	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? TUTTI_ETIMEDOUT : TUTTI_EINTR;
	if (size != (ssize_t)sizeof answer || answer.magic != MAGIC)
		return TUTTI_EINTR;
	if (answer.verdict == REFUSED)
		return fail_other_user();
	if (answer.verdict == GONE)
		return fail_gone();
	return *fd >= 0 ? TUTTI_OK : tutti__fail_system(EMFILE, "cannot take a descriptor");
}

static tutti_err wait_for_answer(tutti_arena *arena, int connection, uint32_t member, int64_t deadline, int *fd)
{
	tutti_err err;
	do {
		err = read_answer(connection, 0, fd);
		if (err == TUTTI_ETIMEDOUT && tutti__member_is_dead(arena, member))
			return fail_dead();
	} while (err == TUTTI_ETIMEDOUT && tutti__os.clock_now() < deadline);
	if (err != TUTTI_ETIMEDOUT)
		return err;
	shutdown(connection, SHUT_RD); /* from here on the giver cannot send: what is not there now will not come */
	err = read_answer(connection, MSG_DONTWAIT, fd);
	return err == TUTTI_EINTR ? TUTTI_ETIMEDOUT : err;
}

static tutti_err ask(tutti_arena *arena, int connection, tutti_descriptor name, int64_t deadline, int *fd)
{
	int reserve;
	struct request request = {.magic = MAGIC, .arena = name.arena, .member = name.member, .ticket = name.ticket};
	/* Is there room for one more? Without it the kernel would drop it on the way. */
	tutti_err err = duplicate(connection, &reserve);
	if (err)
		return err;
	if (!tutti__handoff_send(connection, &request, sizeof request, -1)) {
		close(reserve);
		return TUTTI_EINTR;
	}
	close(reserve);
	return wait_for_answer(arena, connection, name.member, deadline, fd);
}

static tutti_err take_from(tutti_arena *arena, tutti_descriptor name, int *fd, tutti_time timeout)
{
	int64_t deadline = tutti__deadline(timeout > 0 ? timeout : GRACE);
	tutti_err err;
	do {
		int connection = -1;
		err = connect_to(arena, name, deadline, &connection);
		if (!err)
			err = ask(arena, connection, name, deadline, fd);
		if (connection >= 0)
			close(connection);
	} while (err == TUTTI_EINTR);
	return err == TUTTI_ETIMEDOUT ? fail_late(arena, name.member, timeout) : err;
}

static tutti_err open_name(tutti_arena *given, tutti_descriptor name, tutti_arena **arena, uint32_t *member)
{
	tutti_err err = tutti__arena_or_default(given, arena);
	if (err)
		return err;
	*member = tutti__enter(*arena);
	if (*member == 0)
		return TUTTI_EMEMBERS;
	if (name.arena != (*arena)->header->arena_id)
		return tutti__fail(TUTTI_EFOREIGN, "this descriptor was given in arena %08x, not in \"%s\" (%08x).", name.arena,
		                   (*arena)->header->name, (*arena)->header->arena_id);
	return TUTTI_OK;
}

tutti_err tutti_descriptor_take(tutti_arena *given, tutti_descriptor descriptor, int *fd, tutti_time timeout)
{
	tutti_arena *arena;
	uint32_t member;
	tutti_err err = open_name(given, descriptor, &arena, &member);
	*fd = -1;
	if (err)
		return err;
	if (descriptor.member != member)
		return take_from(arena, descriptor, fd, timeout);
	*fd = take_back(descriptor);
	return *fd >= 0 ? TUTTI_OK : fail_gone();
}

tutti_err tutti_descriptor_drop(tutti_arena *given, tutti_descriptor descriptor)
{
	tutti_arena *arena;
	uint32_t member;
	tutti_err err = open_name(given, descriptor, &arena, &member);
	if (err)
		return err;
	if (descriptor.member != member)
		return tutti__fail(TUTTI_EPERM, "only the process that gave this descriptor can drop it: pid %d.",
		                   tutti__member_pid(arena, descriptor.member));
	int fd = take_back(descriptor);
	if (fd < 0)
		return fail_gone();
	close(fd);
	return TUTTI_OK;
}
