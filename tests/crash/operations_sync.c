/* SPDX-License-Identifier: MIT */
/*
 * Recursive lock, semaphore, read-write lock, once, and the lock with handover: K3, after a death at any
 * instruction of taking and releasing.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "arena/context.h"
#include "ring.h"
#include "world.h"

enum { PERMITS = 2, MANY = 300000, FULL = 6 };

static void expect(tutti_err got, tutti_err wanted, const char *what)
{
	if (got != wanted)
		fail(wanted == TUTTI_EOWNERDEAD || got == TUTTI_EOWNERDEAD ? TORN : HUNG,
		     "K3: %s answers %s, where %s is due: %s", what, tutti_error_name(got), tutti_error_name(wanted),
		     tutti_last_error());
}

/* What has returned has taken effect; what took effect is noted, so that it stays so. */
static void note_outcome(bool has_effect)
{
	if (board->has_returned && !has_effect)
		fail(LOST, "K3: the operation had returned, but has no effect");
	board->outcome = has_effect;
}

/* --- semaphore ------------------------------------------------------------------------------------------------- */

static void open_semaphore(struct stage *stage)
{
	must(tutti_semaphore_open(&stage->semaphore, PERMITS, &(tutti_semaphore_options){.arena = stage->arena}),
	     "semaphore");
}

static void acquire_permit(struct stage *stage)
{
	must(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), "acquire");
}
static void release_permit(struct stage *stage) { must(tutti_semaphore_release(stage->semaphore, 1), "release"); }

static void use_permit(struct stage *stage)
{
	acquire_permit(stage);
	release_permit(stage);
}

/* The word names the survivor when the victim comes. */
static void open_used_semaphore(struct stage *stage)
{
	open_semaphore(stage);
	use_permit(stage);
}

/* Takes all there are. How many of them the dead had is `told`. */
static unsigned take_all(struct stage *stage, unsigned *told)
{
	unsigned count = 0;
	tutti_err err;
	*told = 0;
	while ((err = tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW)) == TUTTI_OK || err == TUTTI_EOWNERDEAD) {
		count++;
		*told += err == TUTTI_EOWNERDEAD;
	}
	expect(err, TUTTI_EBUSY, "an acquire without a permit");
	return count;
}

/* None is lost, none is new, and who gets what the dead had is told; then all is as in the beginning. */
static unsigned check_permits(struct stage *stage, unsigned due)
{
	unsigned told, again;
	unsigned count = take_all(stage, &told);
	if (count != due)
		fail(LOST, "K3: of %u permits %u can be had (%u after the dead)", due, count, told);
	if (told > PERMITS)
		fail(TORN, "K3: %u permits come from the dead, who had %u at most", told, PERMITS);
	expect(tutti_semaphore_release(stage->semaphore, due), TUTTI_OK, "the release of all");
	if (take_all(stage, &again) != due || again)
		fail(TORN, "K3: the second time %u permits come from the dead", again);
	expect(tutti_semaphore_release(stage->semaphore, due), TUTTI_OK, "the second release");
	return told;
}

static void check_permit_taken(struct stage *stage) { note_outcome(check_permits(stage, PERMITS) == 1); }
static void check_permit_released(struct stage *stage) { note_outcome(check_permits(stage, PERMITS) == 0); }

static void release_many(struct stage *stage) { must(tutti_semaphore_release(stage->semaphore, MANY), "release"); }

/* A surplus is kept. Taken down to the two, so that the rest can be counted. */
static void check_many_released(struct stage *stage)
{
	uint32_t value = tutti_semaphore_value(stage->semaphore);
	if (value != PERMITS && value != PERMITS + MANY)
		fail(TORN, "K3: a cut-off release of %u permits leaves %u", MANY, value);
	for (; value > PERMITS; value--)
		expect(tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW), TUTTI_OK, "an acquire of the surplus");
	note_outcome(value == PERMITS && check_permits(stage, PERMITS) == 0);
}

static void die_with_permits(struct stage *stage)
{
	open_used_semaphore(stage);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < PERMITS; i++)
			acquire_permit(stage);
		_exit(0); /* not exit(): nobody is told */
	}
	waitpid(pid, NULL, 0);
}

static void adopt_permit(struct stage *stage)
{
	if (tutti_semaphore_acquire(stage->semaphore, TUTTI_NOW) != TUTTI_EOWNERDEAD)
		must(TUTTI_EINVAL, "a permit of the dead");
}

static void check_adopted(struct stage *stage)
{
	if (check_permits(stage, PERMITS) != PERMITS)
		fail(TORN, "K3: permits of the dead are given without a word");
}

static void abandon_permit(struct stage *stage) { must(tutti_semaphore_abandon(stage->semaphore), "abandon"); }

/* Whether the victim's death comes before or after: the one permit is told of, the other not. */
static void check_abandoned(struct stage *stage)
{
	if (check_permits(stage, PERMITS) != 1)
		fail(TORN, "K3: an abandoned permit is given without a word, or another one with");
}

static void fill_shares(struct stage *stage)
{
	open_semaphore(stage);
	for (int i = 0; i < FULL; i++) {
		tutti_arena *member;
		tutti_semaphore *semaphore;
		must(tutti_arena_join_fd(&member, tutti_arena_fd(stage->arena), NULL), "join");
		must(tutti_semaphore_at(&semaphore, member, tutti_semaphore_handle(stage->semaphore)), "at");
		must(tutti_semaphore_acquire(semaphore, TUTTI_NOW), "acquire");
		must(tutti_semaphore_release(semaphore, 1), "release");
	}
}

static void close_semaphore(struct stage *stage)
{
	tutti_semaphore_close(stage->semaphore);
	stage->semaphore = NULL;
}

/* --- recursive lock -------------------------------------------------------------------------------------------- */

static void open_rlock(struct stage *stage)
{
	must(tutti_rlock_open(&stage->rlock, &(tutti_rlock_options){.arena = stage->arena}), "rlock");
}

static void acquire_rlock(struct stage *stage) { must(tutti_rlock_acquire(stage->rlock, TUTTI_FOREVER), "acquire"); }
static void release_rlock(struct stage *stage) { must(tutti_rlock_release(stage->rlock), "release"); }

static void acquire_rlock_twice(struct stage *stage)
{
	acquire_rlock(stage);
	acquire_rlock(stage);
}

static void release_rlock_twice(struct stage *stage)
{
	release_rlock(stage);
	release_rlock(stage);
}

static void look_at_rlock(struct stage *stage) { stage->victim_held_lock = tutti_rlock_holder(stage->rlock) == -1; }

static void check_rlock(struct stage *stage)
{
	expect(tutti_rlock_acquire(stage->rlock, stage->way == SWEEP_FIRST ? TUTTI_NOW : TUTTI_FOREVER),
	       stage->victim_held_lock ? TUTTI_EOWNERDEAD : TUTTI_OK, "the first acquire");
	expect(tutti_rlock_acquire(stage->rlock, TUTTI_NOW), TUTTI_OK, "the same thread's second acquire");
	if (tutti_rlock_depth(stage->rlock) != 2)
		fail(TORN, "K3: a recursive lock taken twice has depth %u", tutti_rlock_depth(stage->rlock));
	release_rlock_twice(stage);
	expect(tutti_rlock_release(stage->rlock), TUTTI_EPERM, "a third release");
	expect(tutti_rlock_acquire(stage->rlock, TUTTI_NOW), TUTTI_OK, "an acquire after it was repaired");
	expect(tutti_rlock_release(stage->rlock), TUTTI_OK, "its release");
}

static void check_rlock_taken(struct stage *stage)
{
	note_outcome(stage->victim_held_lock);
	check_rlock(stage);
}

static void check_rlock_released(struct stage *stage)
{
	note_outcome(!stage->victim_held_lock);
	check_rlock(stage);
}

/* --- read-write lock ------------------------------------------------------------------------------------------- */

static void open_rwlock(struct stage *stage)
{
	must(tutti_rwlock_open(&stage->rwlock, &(tutti_rwlock_options){.arena = stage->arena}), "rwlock");
}

static void acquire_read(struct stage *stage) { must(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), "read"); }
static void release_read(struct stage *stage) { must(tutti_rwlock_release_read(stage->rwlock), "release read"); }
static void acquire_write(struct stage *stage) { must(tutti_rwlock_acquire_write(stage->rwlock, TUTTI_NOW), "write"); }
static void release_write(struct stage *stage) { must(tutti_rwlock_release_write(stage->rwlock), "release write"); }

static void open_read_rwlock(struct stage *stage)
{
	open_rwlock(stage);
	acquire_read(stage);
}

static void open_written_rwlock(struct stage *stage)
{
	open_rwlock(stage);
	acquire_write(stage);
}

static void read_once(struct stage *stage)
{
	acquire_read(stage);
	release_read(stage);
}

static void look_at_rwlock(struct stage *stage) { stage->victim_held_lock = tutti_rwlock_writer(stage->rwlock) == -1; }

/* Told, reading and writing, until a writer has released. */
static void check_rwlock(struct stage *stage)
{
	tutti_time timeout = stage->way == SWEEP_FIRST ? TUTTI_NOW : TUTTI_FOREVER;
	tutti_err due = stage->victim_held_lock ? TUTTI_EOWNERDEAD : TUTTI_OK;
	expect(tutti_rwlock_acquire_read(stage->rwlock, timeout), due, "the first read");
	expect(tutti_rwlock_acquire_write(stage->rwlock, tutti_ms(5)), TUTTI_ETIMEDOUT, "a write beside a reader");
	expect(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), due, "a second read");
	expect(tutti_rwlock_release_read(stage->rwlock), TUTTI_OK, "the release of one read");
	expect(tutti_rwlock_release_read(stage->rwlock), TUTTI_OK, "the release of the other");
	expect(tutti_rwlock_acquire_write(stage->rwlock, timeout), due, "the first write");
	expect(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), TUTTI_EBUSY, "a read beside a writer");
	expect(tutti_rwlock_release_write(stage->rwlock), TUTTI_OK, "the release of the write");
	expect(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), TUTTI_OK, "a read after the repair");
	expect(tutti_rwlock_release_read(stage->rwlock), TUTTI_OK, "its release");
}

/* A dead reader is dropped: a writer goes first, and is told of nothing. */
static void check_reader_dropped(struct stage *stage)
{
	expect(tutti_rwlock_acquire_write(stage->rwlock, stage->way == SWEEP_FIRST ? TUTTI_NOW : TUTTI_FOREVER), TUTTI_OK,
	       "a write after a reader's death");
	release_write(stage);
	if (tutti_rwlock_readers(stage->rwlock))
		fail(LEAKED, "K5: %u reads are left, and nobody reads", tutti_rwlock_readers(stage->rwlock));
	check_rwlock(stage);
}

static void check_written(struct stage *stage)
{
	note_outcome(stage->victim_held_lock);
	check_rwlock(stage);
}

static void check_unwritten(struct stage *stage)
{
	note_outcome(!stage->victim_held_lock);
	check_rwlock(stage);
}

static void write_in_vain(struct stage *stage)
{
	if (tutti_rwlock_acquire_write(stage->rwlock, tutti_ms(1)) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a write beside the survivor's read");
}

static void read_in_vain(struct stage *stage)
{
	if (tutti_rwlock_acquire_read(stage->rwlock, tutti_ms(1)) != TUTTI_ETIMEDOUT)
		must(TUTTI_EINVAL, "a read beside the survivor's write");
}

/* The survivor's own process, which reads, is dead as well: a killed waiting writer keeps no reader out. */
static void check_claim_withdrawn(struct stage *stage)
{
	expect(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), TUTTI_OK, "a read after a waiting writer's death");
	release_read(stage);
	world_declare_dead(getppid());
	check_rwlock(stage);
}

static void check_written_by_survivor(struct stage *stage)
{
	expect(tutti_rwlock_acquire_read(stage->rwlock, TUTTI_NOW), TUTTI_EBUSY, "a read beside the survivor's write");
	world_declare_dead(getppid());
	stage->victim_held_lock = true;
	check_rwlock(stage);
}

static void die_writing(struct stage *stage)
{
	open_rwlock(stage);
	pid_t pid = fork();
	if (pid == 0) {
		acquire_write(stage);
		_exit(0); /* not exit(): nobody is told */
	}
	waitpid(pid, NULL, 0);
}

static void write_tainted(struct stage *stage)
{
	if (tutti_rwlock_acquire_write(stage->rwlock, TUTTI_NOW) != TUTTI_EOWNERDEAD)
		must(TUTTI_EINVAL, "a write after a writer's death");
}

static void check_still_tainted(struct stage *stage)
{
	if (!stage->victim_held_lock)
		fail(TORN, "K3: a writer's death is forgotten before a writer has repaired");
	check_rwlock(stage);
}

/* --- once ------------------------------------------------------------------------------------------------------ */

static void open_once(struct stage *stage)
{
	must(tutti_once_open(&stage->once, &(tutti_once_options){.arena = stage->arena}), "once");
}

static void begin_once(struct stage *stage)
{
	bool mine;
	must(tutti_once_begin(stage->once, &mine, TUTTI_NOW), "begin");
	if (!mine)
		must(TUTTI_EINVAL, "once, which nobody has begun");
}

static void end_once(struct stage *stage) { must(tutti_once_end(stage->once, true), "end"); }

static void check_done(struct stage *stage)
{
	bool mine;
	if (!tutti_once_is_done(stage->once))
		fail(TORN, "K3: once is not done");
	expect(tutti_once_begin(stage->once, &mine, TUTTI_NOW), TUTTI_OK, "begin when it is done");
	if (mine)
		fail(TORN, "K3: once is to be done a second time");
}

static void check_begun(struct stage *stage)
{
	bool mine;
	tutti_err err = tutti_once_begin(stage->once, &mine, stage->way == SWEEP_FIRST ? TUTTI_NOW : TUTTI_FOREVER);
	note_outcome(err == TUTTI_EOWNERDEAD);
	if (!mine || (err && err != TUTTI_EOWNERDEAD))
		fail(HUNG, "K3: begin answers %s after a death: %s", tutti_error_name(err), tutti_last_error());
	end_once(stage);
	check_done(stage);
}

static void check_ended(struct stage *stage)
{
	note_outcome(tutti_once_is_done(stage->once));
	if (!board->outcome) {
		bool mine;
		expect(tutti_once_begin(stage->once, &mine, TUTTI_FOREVER), TUTTI_EOWNERDEAD, "begin after a cut-off end");
		end_once(stage);
	}
	check_done(stage);
}

/* --- handover -------------------------------------------------------------------------------------------------- */

static void open_baton(struct stage *stage)
{
	must(tutti_lock_open(&stage->own_lock, &(tutti_lock_options){.arena = stage->arena, .handover = true}), "lock");
	must(tutti_lock_acquire(stage->own_lock, TUTTI_NOW), "acquire");
}

static void hand_over(struct stage *stage) { must(tutti_lock_release(stage->own_lock), "release"); }

/* The survivor holds it, or nobody; the victim's death is nobody's affair. */
static void check_handed_over(struct stage *stage)
{
	bool is_free = tutti_lock_holder(stage->own_lock) == 0;
	note_outcome(is_free);
	expect(tutti_lock_acquire(stage->own_lock, TUTTI_NOW), is_free ? TUTTI_OK : TUTTI_EBUSY, "an acquire");
	expect(tutti_lock_release(stage->own_lock), TUTTI_OK, "a release");
	expect(tutti_lock_release(stage->own_lock), TUTTI_EBOUND, "a release too often");
	tutti_lock_close(stage->own_lock);
}

const struct operation sync_operations[] = {
	{.name = "semaphore acquire, first",
     .arrange = open_semaphore,
     .operate = acquire_permit,
     .check = check_permit_taken},
	{.name = "semaphore acquire",
     .is_short = true,
     .arrange = open_semaphore,
     .prepare = use_permit,
     .operate = acquire_permit,
     .check = check_permit_taken},
	{.name = "semaphore acquire, after another",
     .arrange = open_used_semaphore,
     .operate = acquire_permit,
     .check = check_permit_taken},
	{.name = "semaphore release",
     .is_short = true,
     .arrange = open_used_semaphore,
     .prepare = acquire_permit,
     .operate = release_permit,
     .check = check_permit_released},
	{.name = "semaphore release of many",
     .arrange = open_used_semaphore,
     .operate = release_many,
     .check = check_many_released},
	{.name = "semaphore acquire, from the dead",
     .arrange = die_with_permits,
     .operate = adopt_permit,
     .check = check_adopted},
	{.name = "semaphore abandon",
     .arrange = open_used_semaphore,
     .prepare = acquire_permit,
     .operate = abandon_permit,
     .check = check_abandoned},
	{.name = "semaphore acquire, one more member",
     .arrange = fill_shares,
     .operate = acquire_permit,
     .check = check_permit_taken},
	{.name = "semaphore close", .prepare = open_semaphore, .operate = close_semaphore, .check = close_semaphore},
	{.name = "rlock acquire",
     .is_short = true,
     .arrange = open_rlock,
     .operate = acquire_rlock_twice,
     .look = look_at_rlock,
     .check = check_rlock_taken},
	{.name = "rlock release",
     .is_short = true,
     .arrange = open_rlock,
     .prepare = acquire_rlock_twice,
     .operate = release_rlock_twice,
     .look = look_at_rlock,
     .check = check_rlock_released},
	{.name = "rwlock read, first", .arrange = open_rwlock, .operate = acquire_read, .check = check_reader_dropped},
	{.name = "rwlock read",
     .is_short = true,
     .arrange = open_rwlock,
     .prepare = read_once,
     .operate = acquire_read,
     .check = check_reader_dropped},
	{.name = "rwlock release read",
     .is_short = true,
     .arrange = open_rwlock,
     .prepare = acquire_read,
     .operate = release_read,
     .check = check_reader_dropped},
	{.name = "rwlock write",
     .is_short = true,
     .arrange = open_rwlock,
     .operate = acquire_write,
     .look = look_at_rwlock,
     .check = check_written},
	{.name = "rwlock release write",
     .is_short = true,
     .arrange = open_rwlock,
     .prepare = acquire_write,
     .operate = release_write,
     .look = look_at_rwlock,
     .check = check_unwritten},
	{.name = "rwlock write, timed out",
     .arrange = open_read_rwlock,
     .operate = write_in_vain,
     .check = check_claim_withdrawn},
	{.name = "rwlock read, timed out",
     .arrange = open_written_rwlock,
     .operate = read_in_vain,
     .check = check_written_by_survivor},
	{.name = "rwlock write, after a dead writer",
     .arrange = die_writing,
     .operate = write_tainted,
     .look = look_at_rwlock,
     .check = check_still_tainted},
	{.name = "once begin", .is_short = true, .arrange = open_once, .operate = begin_once, .check = check_begun},
	{.name = "once end",
     .is_short = true,
     .arrange = open_once,
     .prepare = begin_once,
     .operate = end_once,
     .check = check_ended},
	{.name = "lock release by another",
     .is_short = true,
     .arrange = open_baton,
     .operate = hand_over,
     .check = check_handed_over},
	{.name = NULL},
};
