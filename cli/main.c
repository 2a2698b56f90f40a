/* SPDX-License-Identifier: MIT */
/* tutti: the command. Its first argument says which of its parts to run. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <tutti/tutti.h>
#include <unistd.h>

int map_main(int argc, char **argv);

static const struct part {
	const char *name, *summary;
	int (*main)(int argc, char **argv);
} parts[] = {
	{"map", "run a command for each input, several at a time", map_main},
};

enum { PARTS = sizeof parts / sizeof *parts, USAGE = 255 };

static void print_help(FILE *file)
{
	fputs("Usage: tutti COMMAND [options] ...\n\nCommands\n", file);
	for (size_t i = 0; i < PARTS; i++)
		fprintf(file, "  %-8s %s\n", parts[i].name, parts[i].summary);
	fputs("\n  tutti COMMAND --help   what a command can do\n  tutti --version        the version\n", file);
}

/* A file opened by us must not become somebody's standard output. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

static int run_part(int argc, char **argv)
{
	for (size_t i = 0; i < PARTS; i++)
		if (strcmp(argv[1], parts[i].name) == 0)
			return parts[i].main(argc - 1, argv + 1);
	fprintf(stderr, "tutti: there is no command '%s'; see tutti --help\n", argv[1]);
	return USAGE;
}

int main(int argc, char **argv)
{
	tutti_init(&argc, &argv);
	fill_standard_descriptors();
	if (argc < 2) {
		print_help(stderr);
		return USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		print_help(stdout);
	else if (strcmp(argv[1], "--version") == 0)
		printf("tutti %s\n", tutti_version());
	else
		return run_part(argc, argv);
	return fflush(stdout) ? USAGE : 0;
}
