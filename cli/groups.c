/* SPDX-License-Identifier: MIT */
#include "groups.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Four times the most workers of a pool: dead workers keep their line until somebody needs it. */
enum { SLOTS = 1024 };

struct group_table {
	pid_t owner;
	_Atomic int stop;
	struct halt halt;
	_Atomic uint64_t done, failed;
	struct group_slot slots[SLOTS];
};

static struct group_table *table;

bool groups_open(void)
{
	void *memory = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	table = memory;
	table->owner = getpid();
	return true;
}

void groups_set_halt(const struct halt *halt) { table->halt = *halt; }

/* A share of all jobs is for the main process to judge: only it knows how many there are. */
void groups_count(bool failed)
{
	if (table->halt.level == STOP_NOT || table->halt.percent)
		return;
	struct counts counts = {.done = atomic_fetch_add(&table->done, 1) + 1};
	counts.failed = atomic_fetch_add(&table->failed, failed) + failed;
	if (halt_reached(&table->halt, &counts))
		groups_stop(STOP_SOON);
}

pid_t groups_owner(void) { return table->owner; }

static void kill_group(struct group_slot *slot, int signal_number)
{
	pid_t group = atomic_load(&slot->group);
	if (group > 1)
		kill(-group, signal_number);
}

/* A zombie is gone too: its descriptor is readable. */
static bool is_gone(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH;
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	bool gone = poll(&ended, 1, 0) == 1;
	close(fd);
	return gone;
}

static bool take_slot(struct group_slot *slot)
{
	pid_t worker = atomic_load(&slot->worker);
	if (worker != 0 && !is_gone(worker))
		return false;
	if (!atomic_compare_exchange_strong(&slot->worker, &worker, getpid()))
		return false;
	kill_group(slot, SIGKILL);
	atomic_store(&slot->group, 0);
	return true;
}

struct group_slot *groups_enter(unsigned *number)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (take_slot(&table->slots[i])) {
			*number = i + 1;
			return &table->slots[i];
		}
	return NULL;
}

void groups_kill_job(uint64_t job, const struct group_slot *own)
{
	for (struct group_slot *slot = table->slots; slot < table->slots + SLOTS && atomic_load(&slot->worker); slot++) {
		if (slot == own || atomic_load(&slot->job) != job)
			continue;
		kill_group(slot, SIGKILL);
		atomic_store(&slot->group, 0);
	}
}

unsigned groups_signal(int signal_number)
{
	unsigned count = 0;
	for (struct group_slot *slot = table->slots; slot < table->slots + SLOTS && atomic_load(&slot->worker); slot++)
		if (atomic_load(&slot->group) > 1) {
			kill_group(slot, signal_number);
			count++;
		}
	return count;
}

void groups_stop(enum stop_level level)
{
	if (atomic_load(&table->stop) < (int)level)
		atomic_store(&table->stop, (int)level);
}

enum stop_level groups_stop_level(void) { return (enum stop_level)atomic_load(&table->stop); }
