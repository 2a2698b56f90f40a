/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <ctype.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: tutti map [options] COMMAND [ARGUMENT...] [::: INPUT...]\n"
	"Runs a command for each input, several at a time. Inputs are the words behind ':::', or else lines\n"
	"of standard input.\n"
	"\n"
	"One COMMAND argument is a line for the shell: what replaces {} is quoted, and without {} the input is\n"
	"appended. Several arguments are executed as they are, without a shell.\n"
	"\n"
	"  {}  the input      {.}  without extension      {/}   its last part    {//}  its folder\n"
	"  {#} job number     {%}  worker number          {/.}  last part without extension\n"
	"  {2} {2.} {2/} ...  the second input of the job (with -n)\n"
	"\n"
	"Inputs\n"
	"  -a, --arg-file FILE   read inputs from FILE\n"
	"  -0, --null            inputs end with a zero byte instead of a newline\n"
	"  -n, --max-args N      N inputs per command (default 1)\n"
	"Running\n"
	"  -j, --jobs N          N commands at a time: 4, 200% of the CPUs, +1, -1 (default: one per CPU)\n"
	"      --timeout TIME    kill a command that runs longer: 30, 1.5, 30s, 5m, 2h\n"
	"      --retries N       run a failing command up to N times\n"
	"      --halt WHEN       stop early: now or soon, then fail, success or done, then =N or =N%;\n"
	"                        for example now,fail=1\n"
	"      --dry-run         print the commands instead of running them\n"
	"Output\n"
	"  -k, --keep-order      print in the order of the inputs\n"
	"      --tag             start each line with its input and a tab\n"
	"      --joblog FILE     note each ended job in FILE\n"
	"      --resume          skip the jobs that FILE has already; --resume-failed: but not failed ones\n"
	"      --progress, --no-progress   show a progress bar (default: if standard error is a terminal)\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit status: 0 all succeeded, 1 to 100 so many failed, 101 more failed, 126 or 127 the command cannot\n"
	"be run, 255 another error; with --halt, the status of the job that stopped it. More: man tutti-map\n";

enum long_option {
	OPTION_TIMEOUT = 1000,
	OPTION_RETRIES,
	OPTION_HALT,
	OPTION_DRY_RUN,
	OPTION_TAG,
	OPTION_JOBLOG,
	OPTION_RESUME,
	OPTION_RESUME_FAILED,
	OPTION_PROGRESS,
	OPTION_NO_PROGRESS
};

static const struct option long_options[] = {
	{"arg-file", required_argument, NULL, 'a'},
	{"null", no_argument, NULL, '0'},
	{"max-args", required_argument, NULL, 'n'},
	{"jobs", required_argument, NULL, 'j'},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"retries", required_argument, NULL, OPTION_RETRIES},
	{"halt", required_argument, NULL, OPTION_HALT},
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
	{"keep-order", no_argument, NULL, 'k'},
	{"tag", no_argument, NULL, OPTION_TAG},
	{"joblog", required_argument, NULL, OPTION_JOBLOG},
	{"resume", no_argument, NULL, OPTION_RESUME},
	{"resume-failed", no_argument, NULL, OPTION_RESUME_FAILED},
	{"progress", no_argument, NULL, OPTION_PROGRESS},
	{"no-progress", no_argument, NULL, OPTION_NO_PROGRESS},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool complain(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("tutti map: ", stderr);
	vfprintf(stderr, format, arguments);
	fputs("\n", stderr);
	va_end(arguments);
	return false;
}

/* --- values --- */

static unsigned cpus(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
	return count > 0 ? (unsigned)count : 1;
}

/* A whole number and nothing behind it. */
static bool parse_count(const char *text, uint64_t most, uint64_t *count)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	unsigned long long number = strtoull(text, &end, 10);
	*count = number;
	return *end == '\0' && number <= most;
}

/* "4", "200%", "+1" or "-1", of the CPUs; 0 is as many as can be. */
static bool parse_jobs(struct options *options, const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);
	bool relative = *text == '+' || *text == '-';
	bool percent = *end == '%' && !relative;
	if (end == text || end[percent] != '\0' || number > 100000 || number < -100000)
		return complain("-j %s is not a number of jobs; examples: -j 4, -j 200%%, -j +1", text);
	long jobs = percent ? (long)cpus() * number / 100 : relative ? (long)cpus() + number : number;
	if (jobs > MOST_JOBS)
		return complain("-j %s is %ld jobs at a time; %d is the most", text, jobs, MOST_JOBS);
	if (jobs == 0 && !percent && !relative)
		jobs = MOST_JOBS;
	options->jobs = jobs > 0 ? (unsigned)jobs : 1;
	return true;
}

static bool parse_timeout(struct options *options, const char *text)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end = "";
	bool number = isdigit((unsigned char)*text) || *text == '.';
	double value = number ? strtod(text, &end) : 0;
	for (size_t i = 0; value > 0 && i < sizeof units / sizeof *units; i++)
		if (strcmp(end, units[i].unit) == 0 && value * units[i].seconds < 1e9) {
			options->timeout = tutti_seconds(value * units[i].seconds);
			return true;
		}
	return complain("--timeout %s is not a length of time; examples: 30, 1.5, 30s, 5m, 2h", text);
}

static bool parse_per_job(struct options *options, const char *text)
{
	uint64_t count;
	if (!parse_count(text, 1000000, &count) || count == 0)
		return complain("-n %s is not a number of inputs from 1 to 1000000", text);
	options->per_job = (size_t)count;
	return true;
}

static bool parse_retries(struct options *options, const char *text)
{
	uint64_t count;
	if (!parse_count(text, UINT32_MAX, &count))
		return complain("--retries %s is not a number of runs; example: --retries 3", text);
	options->runs = count > 0 ? (uint32_t)count : 1;
	return true;
}

static bool parse_halt(struct options *options, const char *text)
{
	options->halt_text = text;
	return halt_parse(&options->halt, text) ||
	       complain("--halt %s is not understood; examples: now,fail=1 (stop at the first failure), soon,fail=10%%, "
	                "now,success=1, never",
	                text);
}

/* --- the line --- */

static bool take_option(struct options *options, int option)
{
	switch (option) {
	case 'a':
		options->input_file = optarg;
		return true;
	case '0':
		options->separator = '\0';
		return true;
	case 'n':
		return parse_per_job(options, optarg);
	case 'j':
	case 'P':
		return parse_jobs(options, optarg);
	case 'k':
		options->keep_order = true;
		return true;
	case OPTION_TIMEOUT:
		return parse_timeout(options, optarg);
	case OPTION_RETRIES:
		return parse_retries(options, optarg);
	case OPTION_HALT:
		return parse_halt(options, optarg);
	case OPTION_DRY_RUN:
		options->dry_run = true;
		return true;
	case OPTION_TAG:
		options->tag = true;
		return true;
	case OPTION_JOBLOG:
		options->joblog = optarg;
		return true;
	case OPTION_RESUME:
		options->resume = options->resume ? options->resume : RESUME_UNSEEN;
		return true;
	case OPTION_RESUME_FAILED:
		options->resume = RESUME_FAILED;
		return true;
	case OPTION_PROGRESS:
		options->progress = PROGRESS_ON;
		return true;
	default:
		options->progress = PROGRESS_OFF;
		return true;
	}
}

static bool reject_option(int option, char *const *argv)
{
	const char *word = argv[optind - 1];
	if (option == ':')
		return complain("option %s needs a value; see tutti map --help", word);
	if (optopt && optopt < 1000)
		return complain("unknown option -%c; see tutti map --help", optopt);
	return complain("unknown or ambiguous option %s; see tutti map --help", word);
}

/* What follows the options: the command up to ":::", then inputs. */
static bool take_words(struct options *options, char *const *words, size_t count)
{
	size_t end = 0;
	while (end < count && strcmp(words[end], ":::") != 0)
		end++;
	options->command = words;
	options->command_count = end;
	if (end == count)
		return true;
	options->values = words + end + 1;
	options->value_count = count - end - 1;
	for (size_t i = 0; i < options->value_count; i++)
		if (strcmp(options->values[i], ":::") == 0)
			return complain("a second ':::' is not supported; give all inputs behind one, with -n for pairs");
	return options->input_file ? complain("inputs come from -a %s or from ':::', not from both", options->input_file)
	                           : true;
}

static void set_defaults(struct options *options)
{
	uint64_t workers;
	const char *wish = getenv("TUTTI_WORKERS");
	bool usable = wish && parse_count(wish, MOST_JOBS, &workers) && workers > 0;
	unsigned count = usable ? (unsigned)workers : cpus();
	*options = (struct options){.jobs = count < MOST_JOBS ? count : MOST_JOBS,
	                            .per_job = 1,
	                            .runs = 1,
	                            .timeout = TUTTI_FOREVER,
	                            .separator = '\n'};
}

bool options_read(struct options *options, int argc, char **argv, int *status)
{
	set_defaults(options);
	*status = EXIT_USAGE;
	opterr = 0;
	for (int option; (option = getopt_long(argc, argv, "+:a:0n:j:P:kh", long_options, NULL)) != -1;) {
		if (option == 'h') {
			*status = fputs(help, stdout) < 0 || fflush(stdout) ? EXIT_USAGE : 0;
			return false;
		}
		if (option == '?' || option == ':')
			return reject_option(option, argv);
		if (!take_option(options, option))
			return false;
	}
	if (options->resume && !options->joblog)
		return complain("--resume needs --joblog FILE: the log of the run to go on with");
	return take_words(options, argv + optind, (size_t)(argc - optind));
}
