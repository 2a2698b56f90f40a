/* SPDX-License-Identifier: MIT */
/*
 * Once: a word that knows its holder (holder.h) and is held by the one who does it; and
 * a flag that it is done.
 *
 * The flag is set before the word is let go, so whoever gets the word afterwards sees it.
 * Once set it never changes, and the word is held for moments only, by those who waited.
 *
 * What a death leaves: the word with the dead id; it becomes ABANDONED, also after a clean
 * exit: a member that ended without tutti_once_end() will not do it any more, and all
 * others would wait for ever. If the dead had set the flag, nobody asks for the word.
 */
#include <limits.h>

#include <tutti/once.h>

#include "sync/handle.h"
#include "sync/holder.h"
#include "sync/kinds.h"
#include "os/seeded_bug.h"

struct once {
	struct tutti__object object;
	struct tutti__holder holder;
	atomic_u32 done;
};

struct tutti_once {
	struct tutti__reference reference;
	struct tutti__patience patience;
};

static struct once *shared_of(const tutti_once *once) { return (struct once *)once->reference.object; }

tutti_err tutti_once_open(tutti_once **once, const tutti_once_options *options)
{
	static const tutti_once_options defaults;
	struct tutti__reference *handle;
	options = options ? options : &defaults;
	tutti_err err = tutti__handle_make(options->arena, TUTTI__KIND_ONCE, sizeof **once, sizeof(struct once),
	                                   options->name, &handle);
	if (err)
		return err;
	*once = (tutti_once *)handle;
	tutti__handle_publish(handle);
	return TUTTI_OK;
}

tutti_err tutti_once_at(tutti_once **once, tutti_arena *arena, tutti_handle handle)
{
	struct tutti__reference *found;
	tutti_err err = tutti__handle_find(arena, TUTTI__KIND_ONCE, sizeof **once, handle, &found);
	if (!err)
		*once = (tutti_once *)found;
	return err;
}

void tutti_once_close(tutti_once *once) { tutti__handle_close((struct tutti__reference *)once); }

tutti_handle tutti_once_handle(const tutti_once *once) { return tutti__reference_handle(&once->reference); }

/* Acquire: pairs with the release in tutti_once_end; makes visible what was done. */
bool tutti_once_is_done(const tutti_once *once) { return load_acquire(&shared_of(once)->done) != 0; }

tutti_err tutti_once_begin(tutti_once *once, bool *mine, tutti_time timeout)
{
	tutti_err err;
	struct once *shared = shared_of(once);
	uint32_t id = tutti__use(&once->reference, &err);
	*mine = false;
	if (id == 0)
		return err;
	if (likely(tutti_once_is_done(once)))
		return TUTTI_OK;
	struct tutti__claim claim = {.reference = &once->reference,
	                             .holder = &shared->holder,
	                             .patience = &once->patience,
	                             .heeds_signals = true};
	err = tutti__holder_take(&shared->holder, id) ? TUTTI_OK : tutti__holder_wait(&claim, id, timeout);
	if (err && err != TUTTI_EOWNERDEAD)
		return tutti_once_is_done(once) ? TUTTI_OK : err;
	if (tutti_once_is_done(once)) {
		tutti__holder_let_go(&once->reference, &shared->holder);
		return TUTTI_OK;
	}
	*mine = true;
	return err;
}

tutti_err tutti_once_end(tutti_once *once, bool done)
{
	tutti_err err;
	struct once *shared = shared_of(once);
	uint32_t id = tutti__use(&once->reference, &err);
	if (id == 0)
		return err;
	if (tutti__holder_id(&shared->holder) != id || tutti_once_is_done(once))
		return tutti__fail(TUTTI_EPERM, "once \"%s\" was not begun by this process. Call tutti_once_begin() first.",
		                   shared->object.name);
	if (TUTTI__BUG(22))
		tutti__holder_let_go(&once->reference, &shared->holder);
	/* Release: pairs with tutti_once_is_done; makes visible what was done. Before the word: see above. */
	if (done)
		store_release(&shared->done, 1);
	if (!TUTTI__BUG(22))
		tutti__holder_let_go(&once->reference, &shared->holder);
	if (done)
		tutti__os.futex_wake(&shared->holder.word, INT_MAX); /* all may go on at once */
	return TUTTI_OK;
}

tutti_err tutti_once_run(tutti_once *once, bool (*function)(void *context), void *context, tutti_time timeout)
{
	bool mine;
	tutti_err begun = tutti_once_begin(once, &mine, timeout);
	if (!mine)
		return begun;
	bool done = function(context);
	tutti_err err = tutti_once_end(once, done);
	if (err)
		return err;
	return done ? begun
	            : tutti__fail(TUTTI_EFAILED, "what once \"%s\" stands for failed. The next one who asks is to do it.",
	                          once->reference.object->name);
}

static void recover(tutti_arena *arena, uint64_t offset, uint32_t owner, uint32_t dead, bool clean)
{
	(void)owner, (void)clean;
	struct once *shared = tutti__at(arena, offset);
	tutti__holder_recover(arena, &shared->object, &shared->holder, dead, false);
}

const struct tutti__kind tutti__once_kind = {.name = "once", .is_object = true, .recover = recover};
