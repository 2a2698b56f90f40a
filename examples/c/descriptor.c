/* SPDX-License-Identifier: MIT */
/*
 * An open file goes to another process: this one opens a temporary file that has no name any more, and a worker,
 * who could not open it by itself, writes into it.
 *
 *     descriptor
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <tutti/tutti.h>

TUTTI_TASK(write_into_file)
{
	tutti_handle handle;
	tutti_queue *files = NULL;
	tutti_descriptor file;
	int fd = -1;
	memcpy(&handle, tutti_task_input(task).data, sizeof handle);
	tutti_err err = tutti_queue_at(&files, NULL, handle);
	if (!err)
		err = tutti_queue_get_into(files, &file, sizeof file, NULL, tutti_seconds(10));
	if (!err)
		err = tutti_descriptor_take(NULL, file, &fd, tutti_seconds(10));
	if (!err && dprintf(fd, "written by another process\n") < 0)
		err = TUTTI_ESYSTEM;
	if (fd >= 0)
		close(fd);
	tutti_queue_close(files);
	return err;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	tutti_queue *files = NULL;
	tutti_process *worker = NULL;
	tutti_descriptor file;
	char line[64] = "";
	FILE *temporary = tmpfile();
	tutti_err err = tutti_queue_open(&files, NULL);
	if (!err && temporary)
		err = tutti_descriptor_give(NULL, fileno(temporary), &file);
	if (!err)
		err = tutti_queue_put(files, &file, sizeof file, TUTTI_FOREVER);
	tutti_handle handle = err ? (tutti_handle){0} : tutti_queue_handle(files);
	if (!err)
		err = tutti_process_start(&worker, "write_into_file",
		                          &(tutti_process_options){.start = TUTTI_SPAWN, .input = {&handle, sizeof handle}});
	if (!err)
		err = tutti_process_wait(worker, NULL, tutti_seconds(10));
	if (!err && temporary) {
		rewind(temporary);
		if (fgets(line, sizeof line, temporary))
			printf("the file: %s", line);
		fclose(temporary);
	}
	tutti_process_close(worker);
	tutti_queue_close(files);
	return err ? tutti_fatal(err) : line[0] == 0;
}
