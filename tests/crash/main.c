/* SPDX-License-Identifier: MIT */
/* The driver: every operation with the linear method, the short ones with real kills too; then live traffic. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "stage.h"
#include "step.h"
#include "traffic.h"

enum { ZOMBIE_EVERY = 2, USE_EVERY = 32 };

static struct {
	bool linear_only, traffic_only, stop_at_first, quick;
	const char *operation; /* only those whose name contains it */
	unsigned effort; /* how much is tried */
	unsigned seconds; /* of live traffic */
	unsigned passed, failed;
	cpu_set_t cpus; /* on which all of it may run */
} ring = {.effort = 1, .seconds = 15};

static const char usage[] =
	"usage: crash_ring [--long] [--operation NAME] [--linear-only] [--quick] [--traffic-only]\n"
	"                  [--stop-at-first] [--seconds N]\n"
	"\n"
	"Kills members of an arena in the middle of what they do and checks what their death leaves.\n"
	"\n"
	"  --long            more real kills, more live traffic\n"
	"  --operation NAME  only operations with NAME in their name\n"
	"  --linear-only     no real kills, no live traffic: each operation is stepped once\n"
	"  --quick           the same, with fewer recoveries of others\n"
	"  --traffic-only    only random kills amid live traffic\n"
	"  --stop-at-first   end with the first failure\n"
	"  --seconds N       length of the live traffic\n";

/*
 * A step hands the CPU to the victim and back: that is fastest on one CPU. On which one the scheduler may decide anew
 * for each operation: where others work, too, an unlucky choice would last.
 */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;
	sched_setaffinity(0, sizeof ring.cpus, &ring.cpus);
	sched_yield();
	int cpu = sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void reset_board(void)
{
	memset(board->harms, 0, sizeof board->harms);
	board->instructions = board->states = board->kills = 0;
	board->first_failure[0] = 0;
}

static void report(const char *name)
{
	bool good = board->first_failure[0] == 0;
	printf("%-64s %8llu %7llu %7llu %6u %5u %5u %7u\n", name, (unsigned long long)board->instructions,
	       (unsigned long long)board->states, (unsigned long long)board->kills, board->harms[HUNG], board->harms[TORN],
	       board->harms[LOST], board->harms[LEAKED]);
	if (!good)
		printf("    FAILED %s\n", board->first_failure);
	fflush(stdout);
	ring.passed += good;
	ring.failed += !good;
	if (!good && ring.stop_at_first) {
		printf("%u passed, %u failed\n", ring.passed, ring.failed);
		exit(1);
	}
}

/* Really killed after each instruction, or after evenly chosen ones. */
static void kill_everywhere(struct plan plan, uint64_t kills)
{
	uint64_t count = board->instructions;
	plan.is_linear = false;
	for (uint64_t i = 0; i < kills && board->first_failure[0] == 0; i++) {
		plan.kill_after = kills > count ? i : (2 * i + 1) * count / (2 * kills);
		plan.leaves_zombie = i % ZOMBIE_EVERY == 1;
		plan.way = i % USE_EVERY != 0 ? SWEEP_FIRST : i / USE_EVERY % 2 ? GET_FIRST : PUT_FIRST;
		stage_run(&plan);
	}
}

/* So many that they take about as long whatever the operation. */
static uint64_t count_kills(const struct operation *operation)
{
	uint64_t count = board->instructions + 1;
	uint64_t kills = ring.effort * 50000 / count;
	if (operation->is_short || kills > count)
		return count;
	return kills < ring.effort * 4 ? ring.effort * 4 : kills > ring.effort * 30 ? ring.effort * 30 : kills;
}

static bool is_wanted(const char *name) { return !ring.operation || strstr(name, ring.operation); }

static void run_table(const struct operation *table)
{
	for (; table->name; table++) {
		struct plan plan = {.operation = table, .is_linear = true};
		if (!is_wanted(table->name))
			continue;
		reset_board();
		stay_on_one_cpu();
		if (stage_run(&plan) && !ring.linear_only)
			kill_everywhere(plan, count_kills(table));
		report(table->name);
	}
}

static const struct operation *find_operation(const char *name)
{
	const struct operation *tables[] = {lock_operations,  sync_operations,    condition_operations,  barrier_operations,
	                                    queue_operations, channel_operations, pipe_operations,       poll_operations,
	                                    arena_operations, pool_operations,    own_worker_operations, settle_operations};
	for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++)
		for (const struct operation *operation = tables[i]; operation->name; operation++)
			if (strcmp(operation->name, name) == 0)
				return operation;
	fprintf(stderr, "crash_ring: there is no operation \"%s\" to die in\n", name);
	exit(2);
}

/* Somebody died in each of some states of an operation; the one who recovers him is stepped, and killed as well. */
static void run_recovery(const char *corpse)
{
	char name[100];
	struct plan plan = {.operation = &recovery, .corpse = find_operation(corpse), .is_linear = true};
	snprintf(name, sizeof name, "%s \"%s\"", recovery.name, corpse);
	if (!is_wanted(name))
		return;
	reset_board();
	stay_on_one_cpu();
	unsigned count = stage_count_states(plan.corpse);
	/* A put that was cut off has the most to repair: there every state. --long: everywhere. */
	bool every = ring.effort > 1 || strcmp(corpse, "put of a draft, a block") == 0;
	unsigned tries = every ? count : ring.quick ? 2 : 4;
	tries = tries < count ? tries : count;
	for (unsigned i = 0; i < tries && board->first_failure[0] == 0; i++) {
		plan.corpse_state = 1 + (2 * i + 1) * count / (2 * tries);
		if (stage_run(&plan) && !ring.linear_only && i % (1 + tries / 4) == 0)
			kill_everywhere(plan, ring.effort * 2);
	}
	report(name);
}

static bool parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;
		if (strcmp(argv[i], "--long") == 0) {
			ring.effort = 12;
			ring.seconds = 180;
		} else if (strcmp(argv[i], "--linear-only") == 0)
			ring.linear_only = true;
		else if (strcmp(argv[i], "--quick") == 0)
			ring.quick = ring.linear_only = true;
		else if (strcmp(argv[i], "--traffic-only") == 0)
			ring.traffic_only = true;
		else if (strcmp(argv[i], "--stop-at-first") == 0)
			ring.stop_at_first = true;
		else if (strcmp(argv[i], "--operation") == 0 && has_value)
			ring.operation = argv[++i];
		else if (strcmp(argv[i], "--seconds") == 0 && has_value)
			ring.seconds = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			return false;
	}
	return true;
}

static void run_all(void)
{
	sched_getaffinity(0, sizeof ring.cpus, &ring.cpus);
	printf("%-64s %8s %7s %7s %6s %5s %5s %7s\n", "operation", "instr.", "states", "kills", "hung", "torn", "lost",
	       "leaked");
	if (!ring.traffic_only) {
		run_table(lock_operations);
		run_table(sync_operations);
		run_table(queue_operations);
		run_table(channel_operations);
		run_table(pipe_operations);
		run_table(poll_operations);
		run_table(arena_operations);
		run_table(pool_operations);
		run_table(own_worker_operations);
		run_table(settle_operations);
		run_table(condition_operations);
		run_table(barrier_operations);
		run_table(sleep_operations);
		for (unsigned i = 0; corpses[i]; i++)
			run_recovery(corpses[i]);
		sched_setaffinity(0, sizeof ring.cpus, &ring.cpus);
	}
	if (!ring.linear_only && is_wanted(traffic_name)) {
		reset_board();
		traffic_run(ring.seconds);
		report(traffic_name);
	}
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!step_is_possible()) {
		printf("skipped: single steps of another process (ptrace, x86-64) are not possible here\n");
		printf("0 passed, 0 failed, 1 skipped\n");
		return 0;
	}
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 2;
	run_all();
	printf("%u passed, %u failed\n", ring.passed, ring.failed);
	return ring.failed ? 1 : 0;
}
