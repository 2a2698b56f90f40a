/* SPDX-License-Identifier: MIT */
/*
 * A program of a user, as C and as C++: the library is the one that the headers describe, and a message goes
 * through a queue. Prints the version.
 */
#include <stdio.h>
#include <string.h>

#include <tutti/tutti.h>

static tutti_err round_trip(tutti_queue *queue)
{
	char text[16];
	size_t size = 0;
	tutti_err err = tutti_queue_put(queue, "all together", 13, TUTTI_NOW);
	if (err == TUTTI_OK)
		err = tutti_queue_get_into(queue, text, sizeof text, &size, tutti_ms(1000));
	if (err == TUTTI_OK && (size != 13 || strcmp(text, "all together") != 0)) {
		fprintf(stderr, "consumer: %zu bytes came back, and they are not those that were put\n", size);
		err = TUTTI_ECORRUPT;
	}
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	if (strcmp(tutti_version(), TUTTI_VERSION_TEXT) != 0) {
		fprintf(stderr, "consumer: headers %s, library %s\n", TUTTI_VERSION_TEXT, tutti_version());
		return 1;
	}
	tutti_queue *queue = NULL;
	tutti_err err = tutti_queue_open(&queue, NULL);
	if (err == TUTTI_OK)
		err = round_trip(queue);
	tutti_queue_close(queue);
	if (err == TUTTI_OK)
		puts(tutti_version());
	return tutti_fatal(err);
}
