/* SPDX-License-Identifier: MIT */
/* The policy of waiting, seen through a faked clock and futex: when it spins, when it sleeps, whom it wakes. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena/wait.h"
#include "os/os.h"
#include "support.h"

/* The faked world: a clock that goes on by 100 ns with each look, sleeps that take no time. */
static struct {
	int64_t now;
	unsigned looks, sleeps, wakes;
	int64_t last_deadline;
	uint32_t last_expected;
	int answer; /* of the next sleeps */
	int woken; /* what futex_wake answers */
	int64_t woken_at; /* when it was called last */
	struct tutti__wait_hints *kept_meanwhile; /* the woken one looks before the waker goes on; NULL: it does not */
	unsigned ready_after_looks; /* is_ready becomes true then; 0: never */
	unsigned yields, cpus, ticks_found;
	int64_t yield_takes; /* ns */
	uint32_t successor; /* another spinner's stamp, which comes while ours looks; 0: none */
} fake;

static struct tutti__os_calls real;

static int64_t fake_clock(void) { return fake.now += 100; }

static int fake_wait(atomic_u32 *word, uint32_t expected, int64_t deadline)
{
	fake.sleeps++;
	fake.last_deadline = deadline;
	fake.last_expected = expected;
	if (load_relaxed(word) != expected)
		return 0;
	if (fake.answer == ETIMEDOUT && deadline != INT64_MAX)
		fake.now = deadline;
	return fake.answer;
}

static int fake_wake(atomic_u32 *word, int count)
{
	(void)word, (void)count;
	fake.wakes++;
	fake.woken_at = fake.now;
	if (fake.kept_meanwhile)
		tutti__promise_kept(fake.kept_meanwhile);
	return fake.woken;
}

static void fake_yield(void)
{
	fake.yields++;
	fake.now += fake.yield_takes;
}

static unsigned fake_cpus(void) { return fake.cpus; }

static void fake_tick_found(uint64_t object)
{
	assert_int_equal(object, 64);
	fake.ticks_found++;
}

static bool is_ready(void *context)
{
	struct tutti__wait_hints *hints = context;
	fake.looks++;
	if (fake.successor && hints && load_relaxed(&hints->spinner) != 0)
		store_relaxed(&hints->spinner, fake.successor);
	return fake.ready_after_looks && fake.looks >= fake.ready_after_looks;
}

static struct {
	tutti_arena *arena;
	struct tutti__patience patience;
	struct tutti__wait_point point;
	struct tutti__wait_hints hints;
	struct tutti__waiting waiting;
} scene;

/* Opens an arena, then replaces the world; on one CPU, so that "here" does not change meanwhile. */
static int begin(void **state)
{
	cpu_set_t one;
	support_setup(state);
	memset(&fake, 0, sizeof fake);
	memset(&scene, 0, sizeof scene);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);
	scene.arena = support_arena(0);
	scene.waiting = (struct tutti__waiting){.arena = scene.arena,
	                                        .patience = &scene.patience,
	                                        .hints = &scene.hints,
	                                        .object = 64,
	                                        .is_ready = is_ready,
	                                        .deadline = INT64_MAX};
	real = tutti__os;
	fake.now = real.clock_now();
	tutti__os.clock_now = fake_clock;
	tutti__os.futex_wait = fake_wait;
	tutti__os.futex_wake = fake_wake;
	tutti__os.yield = fake_yield;
	tutti__os.cpus_online = fake_cpus;
	tutti__os.tick_found = fake_tick_found;
	fake.cpus = 2;
	unsetenv("TUTTI_SPIN");
	tutti_wait_policy_set(NULL);
	return 0;
}

static int finish(void **state)
{
	tutti__os = real;
	tutti_arena_close(scene.arena);
	return support_teardown(state);
}

/* Stamps of this process, and of another one (whose bits are 0: no process has pid 0). */
static uint32_t here(void) { return tutti__stamp(); }
static uint32_t elsewhere(void) { return tutti__cpu() + 2; }
static uint32_t elsewhere_in_process(void) { return tutti__stamp() + 1; }

static bool spin(void)
{
	fake.looks = 0;
	return tutti__wait_spin(&scene.waiting, &scene.point.partner);
}

static void it_does_not_spin_for_a_partner_on_its_own_cpu(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, here());
	int64_t before = fake.now;
	assert_false(spin());
	assert_int_equal(fake.looks, 1);
	assert_int_equal(fake.yields, 1);
	assert_int_equal(fake.now, before + 200); /* a look at the clock before the yield, and one after it */
	/* Another process there: the same. */
	store_relaxed(&scene.point.partner, tutti__cpu() + 1);
	assert_false(spin());
	assert_int_equal(fake.looks, 1);
	assert_int_equal(fake.yields, 2);
}

/* A yield that gave the CPU to somebody else for a time slice is not tried again at once. */
static void it_yields_where_that_is_quick(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, here());
	fake.yield_takes = 3000000;
	assert_false(spin());
	assert_int_equal(fake.yields, 1);
	for (int i = 0; i < 255; i++)
		assert_false(spin());
	assert_int_equal(fake.yields, 1);
	fake.yield_takes = 1000;
	for (int i = 0; i < 3; i++)
		assert_false(spin());
	assert_int_equal(fake.yields, 4);
}

static void it_spins_for_a_partner_on_another_cpu(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	int64_t before = fake.now;
	assert_false(spin());
	assert_true(fake.looks > 50);
	assert_in_range(fake.now - before, 1000, 100000); /* never longer than a few wakes would cost */
	fake.ready_after_looks = 20;
	assert_true(spin());
	assert_int_equal(fake.looks, 20);
}

/* Each failure halves the time spent, until it spins no more but for a try now and then. */
static void in_vain_it_spins_less_and_less(void **state)
{
	unsigned last = 1000000, tries = 0;
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	for (int i = 0; i < 8; i++) {
		spin();
		assert_true(fake.looks < last || fake.looks == 0);
		last = fake.looks;
	}
	assert_int_equal(last, 0);
	for (int i = 0; i < 320; i++) {
		spin();
		tries += fake.looks > 0;
	}
	assert_in_range(tries, 5, 90);
}

static void a_success_makes_it_patient_again(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	for (int i = 0; i < 8; i++)
		spin();
	fake.ready_after_looks = 10;
	bool found = false;
	for (int i = 0; i < 100 && !found; i++)
		found = spin();
	assert_true(found);
	fake.ready_after_looks = 0;
	spin();
	assert_true(fake.looks > 10);
}

static void one_member_spins_at_a_time(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	store_relaxed(&scene.hints.spinner, (uint32_t)(fake.now / 1000) | 1);
	int64_t before = fake.now;
	assert_false(spin());
	assert_int_equal(fake.looks, 0); /* not even a quick look */
	assert_true(fake.now - before <= 1000);
	/* A spinner that was killed is forgotten after a moment. */
	fake.now += 5000000;
	before = fake.now;
	spin();
	assert_true(fake.now - before > 1000);
	assert_int_equal(load_relaxed(&scene.hints.spinner), 0);
}

/* One that lost its CPU for so long that another spins by now leaves that one's claim alone. */
static void a_late_spinner_gives_up_its_own_claim_only(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	scene.waiting.context = &scene.hints;
	fake.successor = 4711;
	assert_false(spin());
	assert_true(fake.looks > 64);
	assert_int_equal(load_relaxed(&scene.hints.spinner), 4711);
}

static void on_one_cpu_nobody_spins(void **state)
{
	(void)state;
	fake.cpus = 1;
	store_relaxed(&scene.point.partner, elsewhere());
	assert_false(spin());
	assert_int_equal(fake.looks, 0);
}

static int64_t spun(void)
{
	int64_t before = fake.now;
	scene.patience = (struct tutti__patience){0};
	spin();
	return fake.now - before;
}

static void the_environment_says_how_long_it_spins(void **state)
{
	static const struct {
		const char *text;
		int64_t longest;
	} cases[] = {{"off", 0},       {"0", 0},       {"3", 3000},
	             {"auto", 100000}, {"7x", 100000}, {"gibberish", 100000},
	             {"", 100000},     {"-4", 100000}, {"99999999999999999999", 1000000}};
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere());
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setenv("TUTTI_SPIN", cases[i].text, 1);
		tutti_wait_policy_set(NULL);
		tutti_wait_policy policy = tutti_wait_policy_get();
		assert_int_equal(policy.spin_max, cases[i].longest);
		assert_int_equal(policy.spin, cases[i].longest ? TUTTI_SPIN_AUTO : TUTTI_SPIN_OFF);
		assert_true(spun() <= cases[i].longest + 2000); /* a look at the clock takes 100 ns here */
		assert_true(cases[i].longest ? fake.looks > 0 : fake.looks == 0);
	}
	/* What the program sets counts before it. */
	setenv("TUTTI_SPIN", "off", 1);
	tutti_wait_policy_set(&(tutti_wait_policy){.spin_max = tutti_us(5)});
	assert_int_equal(tutti_wait_policy_get().spin_max, 5000);
	assert_in_range(spun(), 1000, 7000);
	unsetenv("TUTTI_SPIN");
	tutti_wait_policy_set(&(tutti_wait_policy){.spin = TUTTI_SPIN_OFF, .spin_max = tutti_us(5)});
	assert_int_equal(tutti_wait_policy_get().spin_max, 0);
}

/* Where threads exclude each other: one yield, then the sleep. */
static void it_can_be_told_not_to_spin_for_its_own_process(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, elsewhere_in_process());
	assert_false(spin());
	assert_true(fake.looks > 64);
	assert_int_equal(fake.yields, 0);
	tutti_wait_policy_set(&(tutti_wait_policy){.same_process_spin = TUTTI_SPIN_OFF});
	assert_false(spin());
	assert_int_equal(fake.looks, 1);
	assert_int_equal(fake.yields, 1);
	store_relaxed(&scene.point.partner, elsewhere());
	scene.patience = (struct tutti__patience){0};
	assert_false(spin());
	assert_true(fake.looks > 64);
}

/* A stamp names the process also after a fork. */
static void stamp_in_child(void *context)
{
	store_release((atomic_u32 *)context, 0);
	tutti__enter(scene.arena);
	store_release((atomic_u32 *)context, tutti__stamp() >> TUTTI__STAMP_PROCESS_SHIFT);
}

static void a_child_stamps_its_own_pid(void **state)
{
	(void)state;
	tutti__os = real;
	atomic_u32 *stamp = support_shared(sizeof *stamp);
	pid_t child = support_fork(stamp_in_child, stamp);
	support_join_child(child);
	assert_int_equal(load_acquire(stamp), (uint32_t)child & 0xfffff);
	assert_int_equal(tutti__stamp() >> TUTTI__STAMP_PROCESS_SHIFT, (uint32_t)getpid() & 0xfffff);
}

static void a_tick_that_finds_it_done_is_told(void **state)
{
	(void)state;
	fake.answer = ETIMEDOUT;
	store_relaxed(&scene.point.partner, here());
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_OK);
	assert_int_equal(fake.ticks_found, 0);
	fake.looks = 0;
	fake.ready_after_looks = 3; /* after the yield, after the mark, then: after the sleep */
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_OK);
	assert_int_equal(fake.ticks_found, 1);
}

/* What a dead member had promised is void, and who sleeps in reliance on it is woken. */
static void a_promise_ends_with_its_member(void **state)
{
	(void)state;
	store_relaxed(&scene.point.word, 5);
	store_relaxed(&scene.hints.promise, (uint32_t)(fake.now / 1000) | 1);
	store_relaxed(&scene.hints.spinner, (uint32_t)(fake.now / 1000) | 1);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 0);
	tutti__wait_recover(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 1);
	store_relaxed(&scene.point.word, 7);
	fake.woken = 1;
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 2);
}

/* For a descriptor: nobody knows where its partner runs, so it is learned from what came of earlier waits. */
static void a_spin_for_anything_learns_whether_it_pays(void **state)
{
	tutti_patience patience = {0};
	unsigned spins = 0;
	(void)state;
	fake.ready_after_looks = 50;
	for (int i = 0; i < 3; i++, fake.looks = 0)
		assert_true(tutti_spin_until(&patience, is_ready, NULL));
	fake.ready_after_looks = 0;
	for (int i = 0; i < 20; i++, fake.looks = 0)
		assert_false(tutti_spin_until(&patience, is_ready, NULL));
	for (int i = 0; i < 3 * 1024; i++, fake.looks = 0) {
		assert_false(tutti_spin_until(&patience, is_ready, NULL));
		spins += fake.looks > 0;
	}
	assert_in_range(spins, 2, 3); /* a probe now and then, and none behind it */
	fake.ready_after_looks = 50;
	for (spins = 0; !tutti_spin_until(&patience, is_ready, NULL); spins++)
		assert_true(spins <= 1024);
	fake.looks = 0;
	assert_true(tutti_spin_until(&patience, is_ready, NULL));
}

static void a_spin_for_anything_follows_the_policy(void **state)
{
	tutti_patience patience = {0};
	(void)state;
	fake.cpus = 1;
	assert_false(tutti_spin_until(&patience, is_ready, NULL));
	fake.cpus = 2;
	tutti_wait_policy_set(&(tutti_wait_policy){.spin = TUTTI_SPIN_OFF});
	assert_false(tutti_spin_until(&patience, is_ready, NULL));
	assert_int_equal(fake.looks, 0);
}

static void it_sleeps_no_longer_than_its_tick(void **state)
{
	(void)state;
	fake.answer = ETIMEDOUT;
	store_relaxed(&scene.point.partner, here());
	int64_t start = fake.now;
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_OK);
	assert_int_equal(fake.sleeps, 1);
	assert_in_range(fake.last_deadline - start, 240000000, 260000000); /* at most four a second, at least one */
	assert_int_equal(fake.last_expected & 1, 1);
}

static void a_deadline_before_the_tick_ends_it(void **state)
{
	(void)state;
	fake.answer = ETIMEDOUT;
	store_relaxed(&scene.point.partner, here());
	scene.waiting.deadline = fake.now + 30000000;
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_ETIMEDOUT);
	assert_int_equal(fake.last_deadline, scene.waiting.deadline);
}

/* The waker may have died between its store and its wake. */
static void before_giving_up_it_looks_once_more(void **state)
{
	(void)state;
	fake.answer = ETIMEDOUT;
	store_relaxed(&scene.point.partner, here());
	scene.waiting.deadline = fake.now + 30000000;
	fake.ready_after_looks = 3; /* after the yield, after the mark, then: after the sleep */
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_OK);
	assert_int_equal(fake.sleeps, 1);
}

static void it_marks_before_its_last_look(void **state)
{
	(void)state;
	store_relaxed(&scene.point.partner, here());
	fake.ready_after_looks = 2;
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_OK);
	assert_int_equal(fake.sleeps, 0);
	assert_int_equal(load_relaxed(&scene.point.word) & 1, 1);
}

static void a_signal_is_passed_on(void **state)
{
	(void)state;
	fake.answer = EINTR;
	store_relaxed(&scene.point.partner, here());
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_EINTR);
}

/* Whoever leaves while something is there hands the wake that may have been his to another. */
static void who_leaves_passes_the_wake_on(void **state)
{
	(void)state;
	fake.answer = EINTR;
	fake.woken = 1;
	store_relaxed(&scene.point.partner, here());
	fake.ready_after_looks = 3;
	assert_int_equal(tutti__wait_at(&scene.waiting, &scene.point), TUTTI_EINTR);
	assert_int_equal(fake.wakes, 1);
}

static void without_sleepers_a_wake_costs_no_call(void **state)
{
	(void)state;
	tutti__wake_one(&scene.point, &scene.hints);
	tutti__wake_all(&scene.point);
	assert_int_equal(fake.wakes, 0);
	/* A mark that nobody stands for is taken away by the first wake in vain. */
	store_relaxed(&scene.point.word, 1);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_in_range(fake.wakes, 1, 2); /* the second for one that fell asleep meanwhile */
	assert_int_equal(load_relaxed(&scene.point.word) & 1, 0);
	unsigned wakes = fake.wakes;
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, wakes);
}

static void one_wake_serves_a_burst(void **state)
{
	(void)state;
	fake.woken = 1;
	store_relaxed(&scene.point.word, 1);
	for (int i = 0; i < 5; i++)
		tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 1);
	/* The woken one was killed, or is slow: its promise runs out. */
	fake.now += 5000000;
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 2);
	/* It has looked: the next wake is a new one. */
	tutti__promise_kept(&scene.hints);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 3);
}

/* Where its page has left the caches, reading it takes a microsecond. */
static void a_wake_does_not_wait_for_the_clock(void **state)
{
	(void)state;
	int64_t before = fake.now;
	fake.woken = 1;
	store_relaxed(&scene.point.word, 1);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 1);
	assert_int_equal(fake.woken_at, before);
}

/* The waker was killed between its promise and the wake: nobody relies on it. */
static void a_promise_without_a_time_holds_nobody_back(void **state)
{
	(void)state;
	fake.woken = 1;
	store_relaxed(&scene.point.word, 1);
	store_relaxed(&scene.hints.promise, TUTTI__PROMISE_BEGUN);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 1);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 1);
}

/* Else the next message would find a promise that nobody keeps any more. */
static void a_promise_kept_at_once_is_not_made_again(void **state)
{
	(void)state;
	fake.woken = 1;
	fake.kept_meanwhile = &scene.hints;
	store_relaxed(&scene.point.word, 1);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(load_relaxed(&scene.hints.promise), 0);
	tutti__wake_one(&scene.point, &scene.hints);
	assert_int_equal(fake.wakes, 2);
}

static void waking_all_moves_the_count_on(void **state)
{
	(void)state;
	store_relaxed(&scene.point.word, 5);
	tutti__wake_all(&scene.point);
	assert_int_equal(fake.wakes, 1);
	assert_int_equal(load_relaxed(&scene.point.word), 6); /* a late sleeper with 5 does not sleep */
}

static void a_sleeper_shows_what_it_waits_for(void **state)
{
	(void)state;
	struct tutti__slot *slot = tutti__slot_of(scene.arena, load_relaxed(&scene.arena->local->id));
	fake.answer = ETIMEDOUT;
	assert_int_equal(tutti__wait_sleep(&scene.waiting, &scene.point.word, 0), TUTTI_OK);
	assert_int_not_equal(load_relaxed(&slot->waiting_since), 0);
	assert_int_equal(load_relaxed(&slot->waiting_for), 0);
}

#define FAKED(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(int argc, char **argv)
{
	const struct CMUnitTest wait[] = {
		FAKED(it_does_not_spin_for_a_partner_on_its_own_cpu),
		FAKED(it_yields_where_that_is_quick),
		FAKED(it_spins_for_a_partner_on_another_cpu),
		FAKED(in_vain_it_spins_less_and_less),
		FAKED(a_success_makes_it_patient_again),
		FAKED(one_member_spins_at_a_time),
		FAKED(a_late_spinner_gives_up_its_own_claim_only),
		FAKED(on_one_cpu_nobody_spins),
		FAKED(the_environment_says_how_long_it_spins),
		FAKED(it_can_be_told_not_to_spin_for_its_own_process),
		FAKED(a_child_stamps_its_own_pid),
		FAKED(a_tick_that_finds_it_done_is_told),
		FAKED(a_promise_ends_with_its_member),
		FAKED(a_spin_for_anything_learns_whether_it_pays),
		FAKED(a_spin_for_anything_follows_the_policy),
		FAKED(it_sleeps_no_longer_than_its_tick),
		FAKED(a_deadline_before_the_tick_ends_it),
		FAKED(before_giving_up_it_looks_once_more),
		FAKED(it_marks_before_its_last_look),
		FAKED(a_signal_is_passed_on),
		FAKED(who_leaves_passes_the_wake_on),
		FAKED(without_sleepers_a_wake_costs_no_call),
		FAKED(one_wake_serves_a_burst),
		FAKED(a_wake_does_not_wait_for_the_clock),
		FAKED(a_promise_without_a_time_holds_nobody_back),
		FAKED(a_promise_kept_at_once_is_not_made_again),
		FAKED(waking_all_moves_the_count_on),
		FAKED(a_sleeper_shows_what_it_waits_for),
	};
	return RUN_TESTS(wait);
}
