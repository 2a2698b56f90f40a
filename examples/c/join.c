/* SPDX-License-Identifier: MIT */
/*
 * Joining by name: a program that was started on its own joins the arena of another one
 * and puts a message into its queue. Both must run as the same user.
 *
 *     join                        prints how to reach it, waits for one message, shows it
 *     join ARENA HANDLE MESSAGE   sends it
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tutti/tutti.h>
#include <unistd.h>

#define HANDLE_FORMAT "%" PRIx32 ":%" PRIx32 ":%" PRIx64

/* What HANDLE_FORMAT wrote. */
static bool read_handle(const char *text, tutti_handle *handle)
{
	uint64_t numbers[3];
	for (int i = 0; i < 3; i++) {
		char *end;
		numbers[i] = strtoull(text, &end, 16);
		if (end == text || *end != (i < 2 ? ':' : 0))
			return false;
		text = end + 1;
	}
	*handle = (tutti_handle){(uint32_t)numbers[0], (uint32_t)numbers[1], numbers[2]};
	return true;
}

static tutti_err receive(void)
{
	char name[32];
	tutti_arena *arena = NULL;
	tutti_queue *letters = NULL;
	tutti_message letter;
	snprintf(name, sizeof name, "letters-%d", (int)getpid());
	tutti_err err = tutti_arena_open(&arena, &(tutti_arena_options){.name = name});
	if (!err)
		err = tutti_queue_open(&letters, &(tutti_queue_options){.arena = arena, .name = "letters"});
	if (err)
		return err;
	tutti_handle handle = tutti_queue_handle(letters);
	printf("join %s " HANDLE_FORMAT "\n", name, handle.arena, handle.generation, handle.offset);
	fflush(stdout);
	err = tutti_queue_get(letters, &letter, tutti_seconds(60));
	if (!err) {
		printf("got: %.*s\n", (int)letter.view.size, (const char *)letter.view.data);
		tutti_message_release(&letter);
	}
	tutti_queue_close(letters);
	tutti_arena_close(arena);
	return err;
}

static tutti_err send(const char *name, tutti_handle handle, const char *text)
{
	tutti_arena *arena = NULL;
	tutti_queue *letters = NULL;
	tutti_err err = tutti_arena_join_name(&arena, name, NULL);
	if (!err)
		err = tutti_queue_at(&letters, arena, handle);
	if (!err)
		err = tutti_queue_put(letters, text, strlen(text), TUTTI_NOW);
	tutti_queue_close(letters);
	tutti_arena_close(arena);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_handle handle;
	if (argc == 1)
		return tutti_fatal(receive());
	if (argc != 4 || !read_handle(argv[2], &handle))
		return fprintf(stderr, "usage: join [ARENA HANDLE MESSAGE]\n"), 2;
	return tutti_fatal(send(argv[1], handle, argv[3]));
}
