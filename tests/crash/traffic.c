/* SPDX-License-Identifier: MIT */
/*
 * A quiet survivor never meets the races of compare-and-swap. Here members put, get, lock and
 * sweep all the time; a random one is stopped wherever it is, stepped a random number of
 * instructions, and killed; often so the one that was about to recover the last dead.
 */
#include "traffic.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena/member.h"
#include "check.h"
#include "ledger.h"
#include "messages.h"
#include "step.h"
#include "world.h"

const char traffic_name[] = "random kills amid live traffic";

enum {
	MANY_STEPS = 2000,
	RECOVERY_STEPS = 15000,
	LONGEST_SILENCE = 4, /* s without progress of a member that is left alone */
	END_LIMIT = 10, /* s for everybody to end */
	TIME_SLICE = 2 * 1000000, /* ns between two kills */
};

struct seat {
	enum role role;
	pid_t pid;
	uint32_t life;
	uint32_t progress;
	int64_t progressed_at;
};

static struct {
	tutti_arena *arena;
	tutti_queue *queues[QUEUES];
	tutti_lock *lock;
	tutti_rlock *rlock;
	tutti_semaphore *semaphore; /* of one */
	tutti_rwlock *rwlock;
	struct seat seats[SEATS];
	unsigned lives;
	uint64_t random;
	cpu_set_t all, one; /* CPUs of the members, and of the one that kills */
} traffic;

static uint32_t choose(uint32_t below)
{
	traffic.random = traffic.random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(traffic.random >> 33) % below;
}

static bool is_nothing(tutti_err err)
{
	return err == TUTTI_EEMPTY || err == TUTTI_EFULL || err == TUTTI_EBUSY || err == TUTTI_EINTR ||
	       err == TUTTI_ETIMEDOUT;
}

static void expect(tutti_err err, const char *what)
{
	if (err != TUTTI_OK && !is_nothing(err))
		fail(TORN, "K1: amid live traffic %s answers %s: %s", what, tutti_error_name(err), tutti_last_error());
}

static void put_on(uint32_t life)
{
	static unsigned char bytes[BUFFER];
	struct life *self = &ledger->lives[life];
	for (uint32_t sequence = 1; sequence < SEQUENCES && load_acquire(&ledger->is_closing) == 0; sequence++) {
		uint32_t queue = sequence % QUEUES;
		size_t size = ledger_write(bytes, life, sequence, queue);
		tutti_err err;
		store_release(&self->begun, sequence);
		do {
			err = tutti_queue_put(traffic.queues[queue], bytes, size, tutti_ms(20));
			expect(err, "put");
			fetch_add_relaxed(&self->progress, 1);
		} while (err != TUTTI_OK);
		store_release(&self->returned, sequence);
	}
}

/* In order, per putter and queue. */
static void check_order(struct letter_head head)
{
	static uint32_t last[QUEUES][LIVES];
	if (head.sequence <= last[head.queue][head.life])
		fail(TORN, "K2: message %u of putter %u comes out after its message %u", head.sequence, head.life,
		     last[head.queue][head.life]);
	last[head.queue][head.life] = head.sequence;
}

static tutti_err get_one(uint32_t life, unsigned queue, tutti_time timeout)
{
	size_t size;
	unsigned char *hand = ledger->hands[life];
	tutti_err err = tutti_queue_get_into(traffic.queues[queue], hand, BUFFER, &size, timeout);
	expect(err, "get");
	if (err == TUTTI_OK)
		check_order(ledger_receive(hand, size));
	fetch_add_relaxed(&ledger->lives[life].progress, 1);
	return err;
}

/* Until all queues, one after the other, were found empty when nobody put any more. */
static void get_on(uint32_t life)
{
	unsigned empty = 0;
	for (unsigned queue = 0; empty < QUEUES; queue = (queue + 1) % QUEUES) {
		bool is_closed = load_acquire(&ledger->is_closing) == 2; /* before the get */
		tutti_err err = get_one(life, queue, tutti_ms(2));
		empty = err == TUTTI_EEMPTY && is_closed ? empty + 1 : 0;
	}
}

/* Everything that the lock guards, changed in several steps: whoever was killed between them left it torn. */
static void change_guarded(struct guarded *guarded, uint32_t life, bool told)
{
	if (!told && (guarded->holder != 0 || guarded->a != guarded->b))
		fail(TORN, "K3: the lock was acquired as if nothing had happened, but %u was killed with it or still holds it",
		     guarded->holder - 1);
	if (told && guarded->holder != 0 && !ledger->lives[guarded->holder - 1].was_killed)
		fail(TORN, "K3: the lock's holder is reported dead, but %u lives", guarded->holder - 1);
	guarded->holder = life + 1;
	guarded->a = guarded->b + 1;
	guarded->b = guarded->a;
	if (guarded->holder != life + 1)
		fail(TORN, "K3: %u has the lock while %u has it", guarded->holder - 1, life);
	guarded->holder = 0;
}

static tutti_err acquire(unsigned number, tutti_time timeout)
{
	switch (number) {
	case 0:
		return tutti_lock_acquire(traffic.lock, timeout);
	case 1:
		return tutti_rlock_acquire(traffic.rlock, timeout);
	case 2:
		return tutti_semaphore_acquire(traffic.semaphore, timeout);
	default:
		return tutti_rwlock_acquire_write(traffic.rwlock, timeout);
	}
}

static tutti_err release(unsigned number)
{
	switch (number) {
	case 0:
		return tutti_lock_release(traffic.lock);
	case 1:
		return tutti_rlock_release(traffic.rlock);
	case 2:
		return tutti_semaphore_release(traffic.semaphore, 1);
	default:
		return tutti_rwlock_release_write(traffic.rwlock);
	}
}

/* A reader finds what is guarded whole, or is told. */
static void read_guarded(void)
{
	const struct guarded *guarded = &ledger->guarded[LOCKS - 1];
	tutti_err err = tutti_rwlock_acquire_read(traffic.rwlock, tutti_ms(50));
	if (err == TUTTI_OK && (guarded->holder != 0 || guarded->a != guarded->b))
		fail(TORN, "K3: a reader finds writer %u at work", guarded->holder - 1);
	if (err != TUTTI_EOWNERDEAD)
		expect(err, "acquire for reading");
	if (err == TUTTI_OK || err == TUTTI_EOWNERDEAD)
		expect(tutti_rwlock_release_read(traffic.rwlock), "release of a read");
}

static void lock_on(uint32_t life)
{
	for (unsigned number = 0; load_acquire(&ledger->is_closing) == 0; number = (number + 1) % LOCKS) {
		tutti_err err = acquire(number, tutti_ms(50));
		if (err == TUTTI_EOWNERDEAD)
			fetch_add_relaxed(&ledger->told, 1);
		else
			expect(err, "acquire");
		if (err == TUTTI_OK || err == TUTTI_EOWNERDEAD) {
			change_guarded(&ledger->guarded[number], life, err == TUTTI_EOWNERDEAD);
			expect(release(number), "release");
		}
		read_guarded();
		fetch_add_relaxed(&ledger->lives[life].progress, 1);
	}
}

static void sweep_on(uint32_t life)
{
	while (load_acquire(&ledger->is_closing) == 0) {
		tutti_arena_sweep(traffic.arena);
		fetch_add_relaxed(&ledger->lives[life].progress, 1);
	}
}

static void (*const work[ROLES])(uint32_t life) = {put_on, get_on, lock_on, sweep_on};

static void take_seat(struct seat *seat)
{
	seat->life = traffic.lives++;
	ledger->lives[seat->life].role = seat->role;
	seat->progress = 0;
	seat->progressed_at = tutti__os.clock_now();
	pid_t driver = getpid();
	seat->pid = fork();
	if (seat->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != driver)
			_exit(0); /* the driver ended before this asked for the signal */
		sched_setaffinity(0, sizeof traffic.all, &traffic.all);
		work[seat->role](seat->life);
		_exit(0);
	}
}

/* True if the member has ended, and how. One that ended by itself while it was being seized was reaped by that. */
static bool has_ended(const struct seat *seat, int *status)
{
	*status = 0;
	pid_t reaped = waitpid(seat->pid, status, WNOHANG);
	return reaped == seat->pid || (reaped < 0 && errno == ECHILD);
}

static void look_after_seat(struct seat *seat)
{
	int status;
	struct life *life = &ledger->lives[seat->life];
	if (has_ended(seat, &status)) {
		if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
			_exit(3); /* it has written its finding */
		if (WIFSIGNALED(status))
			fail(TORN, "K1: a %s crashed: %s", seat->role == PUTTER ? "putter" : "member", strsignal(WTERMSIG(status)));
		take_seat(seat);
		return;
	}
	int64_t now = tutti__os.clock_now();
	if (load_relaxed(&life->progress) != seat->progress) {
		seat->progress = load_relaxed(&life->progress);
		seat->progressed_at = now;
	} else if (now - seat->progressed_at > LONGEST_SILENCE * INT64_C(1000000000)) {
		static const char *const names[ROLES] = {"putter", "getter", "locker", "sweeper"};
		fail(HUNG, "K1: %s %u has done nothing for %d s", names[seat->role], seat->life, LONGEST_SILENCE);
	}
}

/* Whoever is stepped is alive and is waited for, for seconds on a busy machine: that is nobody's silence. */
static void step_some(struct seat *seat, uint32_t count)
{
	int64_t begin = tutti__os.clock_now();
	while (count-- > 0 && step(seat->pid))
		board->instructions++;
	int64_t spent = tutti__os.clock_now() - begin;
	for (unsigned i = 0; i < SEATS; i++)
		traffic.seats[i].progressed_at += spent;
}

static void kill_seat(struct seat *seat)
{
	ledger->lives[seat->life].was_killed = true;
	step_kill(seat->pid, choose(2));
	waitpid(seat->pid, NULL, WNOHANG | __WALL);
	board->kills++;
	take_seat(seat);
}

/* A step is quick only if both run on one CPU. */
static bool seize(struct seat *seat)
{
	return step_seize(seat->pid) && sched_setaffinity(seat->pid, sizeof traffic.one, &traffic.one) == 0;
}

/* Kills one, and often the one that recovers it: the sweeper is stopped meanwhile. */
static void kill_somebody(void)
{
	struct seat *victim = &traffic.seats[choose(SEATS)], *sweeper = &traffic.seats[SEATS - 1];
	bool both = victim != sweeper && choose(3) == 0;
	if (both && !seize(sweeper))
		return;
	if (!seize(victim)) {
		if (both)
			kill_seat(sweeper);
		return;
	}
	step_some(victim, choose(3) ? choose(100) : choose(MANY_STEPS));
	kill_seat(victim);
	if (both) {
		step_some(sweeper, choose(RECOVERY_STEPS));
		kill_seat(sweeper);
	}
}

static void open_traffic(void)
{
	static const enum role roles[SEATS] = {PUTTER, PUTTER, GETTER, GETTER, LOCKER, LOCKER, SWEEPER};
	sched_getaffinity(0, sizeof traffic.all, &traffic.all);
	CPU_ZERO(&traffic.one);
	CPU_SET(sched_getcpu(), &traffic.one);
	sched_setaffinity(0, sizeof traffic.one, &traffic.one);
	ledger_open();
	world_bend_death();
	must(tutti_arena_open(&traffic.arena, &(tutti_arena_options){.name = "traffic", .size = 32 << 20}), "arena");
	for (unsigned i = 0; i < QUEUES; i++)
		must(tutti_queue_open(&traffic.queues[i],
		                      &(tutti_queue_options){.arena = traffic.arena, .max_items = 30 + i * 200}),
		     "queue");
	must(tutti_lock_open(&traffic.lock, &(tutti_lock_options){.arena = traffic.arena}), "lock");
	must(tutti_rlock_open(&traffic.rlock, &(tutti_rlock_options){.arena = traffic.arena}), "rlock");
	must(tutti_semaphore_open(&traffic.semaphore, 1, &(tutti_semaphore_options){.arena = traffic.arena}), "semaphore");
	must(tutti_rwlock_open(&traffic.rwlock, &(tutti_rwlock_options){.arena = traffic.arena}), "rwlock");
	for (unsigned i = 0; i < SEATS; i++) {
		traffic.seats[i].role = roles[i];
		take_seat(&traffic.seats[i]);
	}
}

static void pause_for(int64_t time)
{
	struct timespec rest = {0, time};
	nanosleep(&rest, NULL);
}

/* Everybody ends by itself: the putters first, then the getters when nothing is left. */
static void end_traffic(void)
{
	static const enum role order[] = {PUTTER, LOCKER, SWEEPER, GETTER};
	for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++) {
		int64_t deadline = tutti__os.clock_now() + END_LIMIT * INT64_C(1000000000);
		store_release(&ledger->is_closing, order[i] == GETTER ? 2 : 1);
		for (unsigned j = 0; j < SEATS; j++) {
			struct seat *seat = &traffic.seats[j];
			int status;
			if (seat->role != order[i])
				continue;
			while (!has_ended(seat, &status)) {
				if (tutti__os.clock_now() > deadline)
					fail(HUNG, "K1: a member does not end: it waits for something");
				pause_for(TIME_SLICE);
			}
			if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
				_exit(3);
			if (!WIFEXITED(status))
				fail(TORN, "K1: a member crashed at its end");
		}
	}
}

/* The survivor finds everything in order, and nothing is left. */
static void check_end(void)
{
	unsigned killed_lockers = 0;
	world_begin("the last sweep");
	tutti_arena_sweep(traffic.arena);
	world_end();
	check_arena(traffic.arena, 0, "after the traffic");
	ledger_balance(traffic.lives);
	for (unsigned i = 0; i < traffic.lives; i++)
		killed_lockers += ledger->lives[i].role == LOCKER && ledger->lives[i].was_killed;
	if (load_relaxed(&ledger->told) > killed_lockers)
		fail(TORN, "K3: a killed holder was reported %u times, but %u were killed", load_relaxed(&ledger->told),
		     killed_lockers);
	world_begin("using the queues");
	for (unsigned i = 0; i < QUEUES; i++)
		messages_use(traffic.queues[i]);
	world_end();
	for (unsigned i = 0; i < QUEUES; i++)
		tutti_queue_close(traffic.queues[i]);
	tutti_lock_close(traffic.lock);
	tutti_rlock_close(traffic.rlock);
	tutti_semaphore_close(traffic.semaphore);
	tutti_rwlock_close(traffic.rwlock);
	check_empty(traffic.arena);
}

_Noreturn static void be_traffic(unsigned seconds)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	traffic.random = (uint64_t)tutti__os.clock_now();
	open_traffic();
	int64_t end = tutti__os.clock_now() + seconds * INT64_C(1000000000);
	while (tutti__os.clock_now() < end && traffic.lives < LIVES - SEATS - 2) {
		for (unsigned i = 0; i < SEATS; i++)
			look_after_seat(&traffic.seats[i]);
		kill_somebody();
		pause_for(choose(TIME_SLICE));
	}
	end_traffic();
	check_end();
	_exit(0);
}

void traffic_run(unsigned seconds)
{
	int status;
	fflush(stdout);
	store_release(&board->is_failing, 0);
	pid_t pid = fork();
	if (pid == 0)
		be_traffic(seconds);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFSIGNALED(status)) {
		board->harm = TORN;
		snprintf(board->failure, sizeof board->failure, "K1: the survivor %s", strsignal(WTERMSIG(status)));
	} else if (WEXITSTATUS(status) != 3) {
		board->harm = HUNG;
		snprintf(board->failure, sizeof board->failure, "the run broke off");
	}
	board->harms[board->harm]++;
	snprintf(board->first_failure, sizeof board->first_failure, "%s", board->failure);
}
