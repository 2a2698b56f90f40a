/* SPDX-License-Identifier: MIT */
#include "quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_plain(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
	       (byte && strchr("_-./:,+%@", byte));
}

void quote_add(struct buffer *line, const char *value, size_t size)
{
	size_t plain = 0;
	while (plain < size && is_plain(value[plain]))
		plain++;
	if (size && plain == size) {
		buffer_add(line, value, size);
		return;
	}
	buffer_add_byte(line, '\'');
	for (size_t i = 0; i < size; i++)
		if (value[i] == '\'')
			buffer_add_text(line, "'\\''");
		else
			buffer_add_byte(line, value[i]);
	buffer_add_byte(line, '\'');
}

/* Functions that bash was told to export stand in the environment. */
static bool is_exported_function(const char *word, size_t size)
{
	char name[256];
	int length = snprintf(name, sizeof name, "BASH_FUNC_%.*s%%%%", (int)size, word);
	return length > 0 && (size_t)length < sizeof name && getenv(name);
}

bool quote_is_shell_word(const char *word, size_t size)
{
	static const char *const words[] = {
		".",       "!",        ":",       "alias",   "bg",        "break",    "builtin", "case",   "cd",
		"command", "continue", "declare", "dirs",    "disown",    "do",       "done",    "elif",   "else",
		"enable",  "esac",     "eval",    "exec",    "exit",      "export",   "fc",      "fg",     "fi",
		"for",     "function", "getopts", "hash",    "if",        "in",       "jobs",    "let",    "local",
		"mapfile", "popd",     "pushd",   "read",    "readarray", "readonly", "return",  "select", "set",
		"shift",   "shopt",    "source",  "suspend", "then",      "time",     "times",   "trap",   "type",
		"typeset", "ulimit",   "umask",   "unalias", "unset",     "until",    "wait",    "while",
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
			return true;
	return is_exported_function(word, size) || memchr(word, '=', size);
}

bool quote_needs_shell(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] && strchr("|&;<>()$`\\\"'*?[]#~{}\n", text[i]))
			return true;
	return false;
}

static bool is_usual_shell(const char *path)
{
	static const char *const shells[] = {"bash", "zsh", "dash", "sh", "ksh", "mksh", "ksh93", "yash"};
	const char *name = strrchr(path, '/');
	for (size_t i = 0; name && i < sizeof shells / sizeof *shells; i++)
		if (strcmp(name + 1, shells[i]) == 0)
			return access(path, X_OK) == 0;
	return false;
}

/* The shell that called, so that a line means what it would have meant there. */
static const char *calling_shell(void)
{
	static char path[512];
	char link[64];
	snprintf(link, sizeof link, "/proc/%d/exe", (int)getppid());
	ssize_t size = readlink(link, path, sizeof path - 1);
	path[size > 0 ? size : 0] = '\0';
	return is_usual_shell(path) ? path : NULL;
}

const char *quote_shell(void)
{
	static const char *shell;
	if (!shell)
		shell = getenv("TUTTI_SHELL");
	if (!shell || !*shell)
		shell = calling_shell();
	if (!shell)
		shell = "/bin/sh";
	return shell;
}
