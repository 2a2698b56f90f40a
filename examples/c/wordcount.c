/* SPDX-License-Identifier: MIT */
/*
 * Counts the words of many files in several processes. If one is killed, its file is counted again.
 *
 *     wordcount [-j WORKERS] [--files0-from LIST | PATH...]
 *
 * A folder stands for all regular files in it. LIST has names that end with a zero byte (find -print0); - is stdin.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tutti/tutti.h>
#include <unistd.h>

static char **paths;
static size_t path_count, failures;

/* As `LC_ALL=C wc -w`: a word lies between blanks and has a printable byte in it. */
static uint64_t count_in(const unsigned char *data, size_t size, bool *in_word)
{
	uint64_t words = 0;
	for (size_t i = 0; i < size; i++) {
		bool blank = data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r');
		bool printable = data[i] > ' ' && data[i] < 127;
		words += printable && !*in_word;
		*in_word = printable || (*in_word && !blank);
	}
	return words;
}

TUTTI_TASK(count_words) /* runs in a worker */
{
	static unsigned char buffer[256 << 10];
	tutti_view path = tutti_task_input(task);
	char *name = strndup(path.data, path.size);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	uint64_t words = 0;
	ssize_t size = fd; /* -1 if it cannot be opened */
	for (bool in_word = false; fd >= 0 && (size = read(fd, buffer, sizeof buffer)) > 0;)
		words += count_in(buffer, (size_t)size, &in_word);
	tutti_err err = size < 0 ? tutti_task_fail(task, errno, "cannot read %s: %s", name, strerror(errno))
	                         : tutti_task_return(task, &words, sizeof words);
	close(fd);
	free(name);
	return err;
}

static void complain(const char *path, int error)
{
	failures += fprintf(stderr, "wordcount: cannot read %s: %s\n", path, strerror(error)) > 0;
}

static void add_path(const char *path)
{
	if ((path_count & (path_count - 1)) == 0) /* a power of two: the array is full */
		paths = realloc(paths, (path_count ? path_count * 2 : 1) * sizeof *paths);
	if (!paths || !(paths[path_count++] = strdup(path)))
		abort();
}

static int visit(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)where;
	if (type == FTW_F && S_ISREG(status->st_mode))
		add_path(path);
	else if (type == FTW_DNR || type == FTW_NS)
		complain(path, errno);
	return 0;
}

static void add_list(const char *list)
{
	FILE *file = strcmp(list, "-") == 0 ? stdin : fopen(list, "re");
	char *name = NULL;
	size_t capacity = 0;
	while (file && getdelim(&name, &capacity, '\0', file) > 0)
		add_path(name);
	free(name);
	if (!file || ferror(file))
		complain(list, errno);
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv); /* in a spawned worker this runs the worker and does not return */
	tutti_pool_options options = {.retries = 3};
	static const struct option names[] = {{"files0-from", required_argument, NULL, 'f'}, {0}};
	for (int option; (option = getopt_long(argc, argv, "j:", names, NULL)) != -1;)
		if (option == 'f')
			add_list(optarg);
		else if (option != 'j' || (options.workers = (unsigned)strtoul(optarg, NULL, 10)) == 0)
			return fprintf(stderr, "usage: wordcount [-j WORKERS] [--files0-from LIST | PATH...]\n"), 2;
	for (int i = optind; i < argc; i++)
		if (nftw(argv[i], visit, 64, FTW_PHYS))
			complain(argv[i], errno);

	tutti_pool *pool = NULL;
	tutti_stream *counts = NULL;
	uint64_t total = 0;
	tutti_err err = tutti_pool_open(&pool, &options);
	if (!err)
		err = tutti_pool_map(pool, &counts, "count_words", tutti_strings(paths, path_count), NULL);
	if (err)
		return tutti_fatal(err);
	for (tutti_result r; (err = tutti_stream_next(counts, &r, TUTTI_FOREVER)) == TUTTI_OK; tutti_result_release(&r))
		if (r.err)
			failures += fprintf(stderr, "wordcount: %s\n", r.text) > 0;
		else
			total += *(const uint64_t *)r.view.data;
	tutti_stream_close(counts);
	tutti_pool_close(pool);
	printf("%ju total\n", (uintmax_t)total);
	return err != TUTTI_EOF ? tutti_fatal(err) : failures > 0;
}
