/* SPDX-License-Identifier: MIT */
/*
 * Escorts: members without a process of their own, which stand for one that is being started.
 *
 * What is pickled for it, or named on its command line, must live until it has opened it; but it is no member
 * before that, and whoever sent it may close it at once. So an escort holds it, by holder words as any member's. Its
 * slot has the identity of its maker first, then of the process (tutti_escort_follow): if that is killed before it has
 * opened anything, whoever looks for dead members finds the escort, and recovers it.
 *
 * Follow and close may come at once, from two processes: both claim the slot as a recovery does.
 *
 * Kill: a maker before it follows: the escort goes with it. In the middle of following: the state has the new pid
 * already, which is enough (member.c). Who closes: the recovery is begun anew by the next one.
 */
#include "arena/arena.h"
#include "arena/member.h"
#include "arena/object.h"
#include "arena/recover.h"

enum { PATIENCE = 1000 }; /* looks, of 1 ms */

static tutti_arena *arena_of(tutti_escort escort)
{
	tutti_arena *arena = tutti_arena_of((tutti_handle){.arena = escort.arena});
	return arena && tutti__enter(arena) ? arena : NULL;
}

tutti_err tutti_escort_open(tutti_escort *escort, tutti_arena *arena)
{
	uint32_t id = tutti__enter(arena) ? tutti__member_join(arena) : 0;
	*escort = (tutti_escort){.arena = arena->header->arena_id, .member = id};
	return id ? TUTTI_OK : TUTTI_EMEMBERS;
}

tutti_err tutti_escort_take(tutti_escort escort, tutti_handle handle)
{
	tutti_arena *arena = arena_of(escort);
	if (!arena || !tutti__member_is_in(arena, escort.member))
		return tutti__fail(TUTTI_ESTALE, "this escort is closed, or its process has ended. Open one for each start.");
	tutti_err err = tutti__object_check(arena, handle);
	return err ? err : tutti__object_hold(arena, handle, escort.member);
}

/*
 * One step of a loop that ends when the escort is gone, or when somebody has kept it for a second (a stopped process):
 * then it ends with its process.
 */
static bool may_try(tutti_arena *arena, tutti_escort escort, int step)
{
	static atomic_u32 nobody;
	if (step > 0)
		tutti__os.futex_wait(&nobody, 0, tutti__deadline(1000000));
	return step < PATIENCE && tutti__member_is_in(arena, escort.member);
}

void tutti_escort_follow(tutti_escort escort, int pid)
{
	struct tutti__identity identity;
	tutti_arena *arena = arena_of(escort);
	if (!arena)
		return;
	if (!tutti__identity_of(&identity, pid)) {
		tutti_escort_close(escort);
		return;
	}
	for (int step = 0; may_try(arena, escort, step); step++) {
		if (!tutti__recover_claim(arena, escort.member))
			continue;
		tutti__member_replace(arena, escort.member, &identity);
		tutti__recover_unclaim(arena, escort.member);
		return;
	}
}

void tutti_escort_close(tutti_escort escort)
{
	tutti_arena *arena = arena_of(escort);
	for (int step = 0; arena && may_try(arena, escort, step); step++)
		if (tutti__recover(arena, escort.member, true))
			return;
}
