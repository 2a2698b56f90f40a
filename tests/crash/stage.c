/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/object.h"
#include "channel/queue.h"
#include "check.h"
#include "messages.h"
#include "place.h"
#include "poison.h"
#include "sleeper.h"
#include "snapshot.h"
#include "step.h"
#include "world.h"

enum {
	RUN_LIMIT = 120, /* s that one run may take */
	PAYLOADS = 200, /* states in which nothing but payload differs, of which one is checked */
};

static const char *const harm_names[HARM_COUNT] = {"hung", "torn", "lost", "leaked"};

static void open_objects(struct stage *stage)
{
	must(tutti_arena_open(&stage->arena, &(tutti_arena_options){.name = "crash",
	                                                            .size = 4 << 20,
	                                                            .max_bytes = 16 << 20,
	                                                            .member_name = "survivor"}),
	     "arena");
	must(tutti_lock_open(&stage->lock, &(tutti_lock_options){.arena = stage->arena}), "lock");
	must(tutti_queue_open(&stage->queue, &(tutti_queue_options){.arena = stage->arena}), "queue");
}

static void fill_queue(struct stage *stage, const struct operation *operation)
{
	for (unsigned id = 0; id < operation->queued; id++)
		must(message_put(stage->queue, operation->size, id, TUTTI_NOW), "put");
	const struct operation *own = stage->operation; /* of a recovery: the corpse's is arranged */
	stage->operation = operation;
	if (operation->arrange)
		operation->arrange(stage);
	stage->operation = own;
}

/* Gives the victim a cache with free blocks of a size: then its operation does not go to the heap. */
static void warm_cache(tutti_arena *arena, size_t size)
{
	uint64_t block;
	must(tutti__block_alloc(arena, TUTTI__KIND_RAW, size, INT64_MAX, &block), "alloc");
	tutti__block_free(arena, block);
}

static void take_some(tutti_queue *queue, unsigned count)
{
	static unsigned char buffer[LARGEST];
	size_t size;
	for (unsigned i = 0; i < count; i++)
		must(tutti_queue_get_into(queue, buffer, sizeof buffer, &size, TUTTI_NOW), "get");
}

/* Joins, and takes references of its own for what it has inherited. */
static void settle_in(struct stage *stage)
{
	void *handles[] = {stage->lock,      stage->queue,  stage->event, stage->own_lock,  stage->rlock,
	                   stage->semaphore, stage->rwlock, stage->once,  stage->condition, stage->barrier};
	for (unsigned i = 0; i < sizeof handles / sizeof handles[0]; i++) {
		tutti_err err = TUTTI_OK;
		if (handles[i] && tutti__use(handles[i], &err) == 0) /* a handle begins with its reference */
			must(err, "an inherited handle");
	}
}

_Noreturn static void be_victim(struct stage *stage, const struct operation *operation)
{
	sigset_t children;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL); /* a signal would be a stop for the tracer */
	step_offer();
	if (stage->trusts_board)
		world_trust_board();
	stage->operation = operation;
	if (!operation->is_first)
		settle_in(stage);
	if (operation->warm)
		warm_cache(stage->arena, operation->warm);
	take_some(stage->queue, operation->gone);
	for (unsigned i = 0; i < operation->adds; i++)
		message_write(stage->bytes[i], operation->size, operation->queued + i);
	if (operation->prepare)
		operation->prepare(stage);
	step_begin_here();
	operation->operate(stage);
	store_release(&board->is_over, 1);
	for (;;)
		pause();
}

static pid_t start_victim(struct stage *stage, const struct operation *operation)
{
	store_release(&board->is_over, 0);
	pid_t pid = fork();
	if (pid == 0)
		be_victim(stage, operation);
	if (pid < 0 || !step_wait_begin(pid)) {
		fprintf(stderr, "crash_ring: %s: the victim did not come to its operation\n", operation->name);
		_exit(4);
	}
	if (operation->wait)
		sleeper_begin(stage, operation->wait);
	stage->get_position = load_acquire(&stage->queue->shared->got.position);
	return pid;
}

static void sweep(struct stage *stage)
{
	world_begin("a sweep");
	tutti_arena_sweep(stage->arena);
	world_end();
}

/* The survivors go on as if nothing had happened. */
static void use_everything(struct stage *stage)
{
	world_begin("using lock and queue");
	for (int i = 0; i < 2; i++) {
		tutti_err err = tutti_lock_acquire(stage->lock, TUTTI_NOW);
		if (err != TUTTI_OK)
			fail(err == TUTTI_EOWNERDEAD ? TORN : HUNG, "K3: a free lock answers %s: %s", tutti_error_name(err),
			     tutti_last_error());
		if (tutti_lock_release(stage->lock) != TUTTI_OK)
			fail(TORN, "K3: releasing it answers: %s", tutti_last_error());
	}
	messages_use(stage->queue);
	world_end();
}

/* The checker closes what it has inherited, and the survivor is dead too: nothing may be left. */
static void end_everything(struct stage *stage)
{
	tutti_arena *arena = stage->arena;
	world_begin("closing everything");
	tutti_lock_close(stage->lock);
	tutti_queue_close(stage->queue);
	tutti_event_close(stage->event);
	tutti_rlock_close(stage->rlock);
	tutti_semaphore_close(stage->semaphore);
	tutti_rwlock_close(stage->rwlock);
	tutti_once_close(stage->once);
	tutti_condition_close(stage->condition);
	tutti_barrier_close(stage->barrier);
	world_declare_dead(getppid());
	world_end();
	sweep(stage);
	check_empty(arena);
}

_Noreturn static void be_checker(struct stage *stage, const struct operation *operation, bool on_snapshot)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (on_snapshot) {
		snapshot_make_private(stage->arena);
		poison_free_memory(stage->arena);
		world_bend_time();
	}
	stage->operation = operation;
	check_note_ids(stage->arena, stage->victim);
	if (operation->look)
		operation->look(stage);
	world_begin("the first use of inherited handles");
	settle_in(stage);
	world_end();
	if (stage->way == SWEEP_FIRST) {
		sweep(stage);
		check_arena(stage->arena, stage->held_blocks, "after the recovery");
	}
	world_begin("the survivor's operation");
	operation->check(stage);
	world_end();
	if (stage->way != SWEEP_FIRST)
		sweep(stage);
	check_ids_retired(stage->arena);
	check_arena(stage->arena, stage->held_blocks, "when a survivor has used it");
	use_everything(stage);
	check_arena(stage->arena, stage->held_blocks, "after further use");
	end_everything(stage);
	_exit(0);
}

/* Notes on the board what a checker found. True if it found nothing. */
static bool judge(const struct plan *plan, enum way way, int status, uint64_t instruction, uint64_t address)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	enum harm harm = board->harm;
	if (WIFSIGNALED(status)) {
		harm = WTERMSIG(status) == SIGALRM ? HUNG : TORN;
		snprintf(board->failure, sizeof board->failure, "K1: a survivor %s",
		         harm == HUNG ? "waits for the dead" : strsignal(WTERMSIG(status)));
	} else if (WEXITSTATUS(status) != 3) {
		_exit(4);
	}
	board->harms[harm]++;
	if (board->first_failure[0] == 0) {
		static const char *const ways[WAYS] = {"", ", the survivor puts first", ", the survivor gets first"};
		char place[200], corpse[100] = "";
		place_name(address, place, sizeof place);
		if (plan->corpse)
			snprintf(corpse, sizeof corpse, " \"%s\", in its state %u", plan->corpse->name, plan->corpse_state);
		snprintf(board->first_failure, sizeof board->first_failure,
		         "%s: %s%s: %s after instruction %llu (next: %s)%s: %s", harm_names[harm], plan->operation->name,
		         corpse, plan->is_linear ? "declared dead" : "really killed", (unsigned long long)instruction, place,
		         ways[way], board->failure);
	}
	return false;
}

static int run_checker(struct stage *stage, const struct operation *operation, bool on_snapshot)
{
	int status;
	store_release(&board->is_failing, 0);
	board->outcome = -1;
	/* Of one who died before it is known already. */
	if (operation == stage->operation)
		board->has_returned = load_acquire(&board->is_over);
	pid_t pid = fork();
	if (pid == 0)
		be_checker(stage, operation, on_snapshot);
	waitpid(pid, &status, 0);
	return status;
}

/* Whose effects are checked: the victim's, or those of the corpse that the victim recovers. */
static const struct operation *subject_of(const struct plan *plan)
{
	return plan->corpse ? plan->corpse : plan->operation;
}

/* What takes effect by one store is there from then on. */
static bool outcome_is_steady(const struct plan *plan, enum way way, int64_t *last, uint64_t instruction,
                              uint64_t address)
{
	int64_t before = *last;
	*last = board->outcome;
	if (board->outcome >= before && (!plan->corpse || before == -1 || board->outcome == before))
		return true;
	board->harm = LOST;
	snprintf(board->failure, sizeof board->failure, "K2: the operation had taken effect by %lld, now by %lld",
	         (long long)before, (long long)board->outcome);
	return judge(plan, way, 3 << 8, instruction, address);
}

/* The ways that a survivor may go, on snapshots. */
static bool check_state(struct stage *stage, const struct plan *plan, uint64_t instruction, int64_t *outcome)
{
	bool good = true;
	uint64_t address = step_place(stage->victim);
	const struct operation *subject = subject_of(plan);
	bool has_messages = subject->queued + subject->adds > 0;
	uint32_t dead_before = load_relaxed(&board->dead_count);
	board->states++;
	world_declare_dead(stage->victim);
	for (stage->way = 0; stage->way < (has_messages ? WAYS : GET_FIRST) && good; stage->way++) {
		uint32_t dead_count = load_relaxed(&board->dead_count);
		int status = run_checker(stage, subject, true);
		store_release(&board->dead_count, dead_count);
		good = judge(plan, stage->way, status, instruction, address) &&
		       outcome_is_steady(plan, stage->way, outcome, instruction, address);
	}
	store_release(&board->dead_count, dead_before);
	return good;
}

/*
 * Payload on its way: in a block that only the victim can reach, or one round of a string
 * instruction. Such states differ in bytes that nobody else looks at; a few of them will do.
 */
static bool is_payload(const struct stage *stage, const struct snapshot *snapshot)
{
	uint64_t offset = snapshot_change(snapshot);
	if (step_is_repeating(stage->victim))
		return true;
	if (offset >> TUTTI__UNIT_SHIFT < stage->arena->header->first_unit)
		return false;
	uint32_t owner = load_acquire(tutti__block_owner(stage->arena, offset));
	return owner != 0 && owner != TUTTI__SHARED;
}

/* The checked states are those that differ; after a failure there is no use in going on. */
static bool run_linear(struct stage *stage, const struct plan *plan)
{
	int64_t outcome = -1;
	uint64_t instruction = 0, payloads = 0;
	struct snapshot *snapshot = snapshot_take(stage->arena);
	bool good = check_state(stage, plan, 0, &outcome);
	while (good && !load_acquire(&board->is_over) && step(stage->victim)) {
		instruction++;
		if (!snapshot_has_changed(snapshot) || (is_payload(stage, snapshot) && payloads++ % PAYLOADS != 0))
			continue;
		good = check_state(stage, plan, instruction, &outcome);
	}
	if (good && !load_acquire(&board->is_over)) {
		fprintf(stderr, "crash_ring: %s: the victim ended before its operation did\n", plan->operation->name);
		_exit(4);
	}
	board->instructions = instruction > board->instructions ? instruction : board->instructions;
	good = good && check_state(stage, plan, instruction, &outcome);
	step_kill(stage->victim, false);
	return good;
}

static bool run_kill(struct stage *stage, const struct plan *plan)
{
	uint64_t done = 0;
	while (done < plan->kill_after && !load_acquire(&board->is_over) && step(stage->victim))
		done++;
	uint64_t address = step_place(stage->victim);
	step_kill(stage->victim, plan->leaves_zombie);
	board->kills++;
	stage->way = plan->way;
	return judge(plan, plan->way, run_checker(stage, subject_of(plan), false), done, address);
}

/* Everything up to the victim. */
static void open_stage(struct stage *stage, const struct plan *plan)
{
	stage->operation = plan->operation;
	alarm(RUN_LIMIT);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	world_bend_death();
	world_forget_dead();
	open_objects(stage);
	fill_queue(stage, subject_of(plan));
}

/*
 * Somebody dies in an operation, in the given one of the states it goes through, and nobody recovers it yet. Of the rounds
 * of a string instruction only some count: a copy of some thousand bytes would be all that is tried.
 */
static unsigned make_corpse(struct stage *stage, const struct operation *operation, unsigned until)
{
	unsigned state = 0, rounds = 0;
	pid_t pid = start_victim(stage, operation);
	struct snapshot *snapshot = snapshot_take(stage->arena);
	while (state < until && !load_acquire(&board->is_over) && step(pid))
		if (snapshot_has_changed(snapshot) && (!step_is_repeating(pid) || rounds++ % PAYLOADS == 0))
			state++;
	board->has_returned = load_acquire(&board->is_over);
	step_kill(pid, false);
	world_declare_dead(pid);
	return state;
}

_Noreturn static void be_stage(const struct plan *plan)
{
	static struct stage stage;
	open_stage(&stage, plan);
	if (plan->corpse)
		make_corpse(&stage, plan->corpse, plan->corpse_state);
	uint64_t get_position = stage.get_position;
	stage.trusts_board = plan->corpse && plan->is_linear;
	stage.victim = start_victim(&stage, plan->operation);
	if (plan->corpse)
		stage.get_position = get_position;
	_exit((plan->is_linear ? run_linear : run_kill)(&stage, plan) ? 0 : 1);
}

unsigned stage_count_states(const struct operation *operation)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct plan plan = {.operation = operation};
		static struct stage stage;
		open_stage(&stage, &plan);
		board->states = make_corpse(&stage, operation, UINT_MAX);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	unsigned count = (unsigned)board->states;
	board->states = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? count : 0;
}

bool stage_run(const struct plan *plan)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		be_stage(plan);
	waitpid(pid, &status, 0);
	if (board->helper)
		kill(board->helper, SIGKILL);
	board->helper = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		return WEXITSTATUS(status) == 0;
	board->harms[HUNG]++;
	if (board->first_failure[0] == 0)
		snprintf(board->first_failure, sizeof board->first_failure, "%s: the run broke off (%s %d)",
		         plan->operation->name, WIFSIGNALED(status) ? "signal" : "status",
		         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}
