/* SPDX-License-Identifier: MIT */
/*
 * A recursive lock: a function that holds it calls another that takes it too.
 *
 *     rlock
 */
#include <stdio.h>
#include <tutti/tutti.h>

static tutti_rlock *tree;

/* Takes it for every level, on the way down as well as at the top. */
static tutti_err walk(unsigned level)
{
	tutti_err err = tutti_rlock_acquire(tree, TUTTI_FOREVER);
	if (err)
		return err;
	printf("level %u: held %u times\n", level, tutti_rlock_depth(tree));
	if (level < 3)
		err = walk(level + 1);
	tutti_err released = tutti_rlock_release(tree);
	return err ? err : released;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_err err = tutti_rlock_open(&tree, &(tutti_rlock_options){.name = "tree"});
	if (!err)
		err = walk(1);
	if (err)
		return tutti_fatal(err);
	printf("afterwards: held %u times\n", tutti_rlock_depth(tree));
	tutti_rlock_close(tree);
	return 0;
}
