/* SPDX-License-Identifier: MIT */
/*
 * A template is parsed once into words of pieces: literal text, or a place that is filled for
 * each job. In a line for the shell the whole line is one word.
 */
#include "template.h"

#include "quote.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum piece_kind { LITERAL, VALUE, NO_EXTENSION, BASE, FOLDER, BASE_NO_EXTENSION, NUMBER, SLOT };

struct piece {
	enum piece_kind kind;
	size_t position; /* which input, from 1; 0: all of them */
	const char *text; /* of a literal */
	size_t size;
};

struct word {
	struct piece *pieces;
	size_t count;
};

enum template_mode {
	SHELL_LINE, /* one word: a line for the shell */
	SPLIT_LINE, /* a line that needs no shell */
	ARGUMENTS, /* as given */
	INPUT_LINES /* the inputs are lines for the shell */
};

struct template
{
	enum template_mode mode;
	struct word *words;
	size_t count;
};

/* --- parsing --- */

static void add_piece(struct word *word, struct piece piece)
{
	if (piece.kind == LITERAL && piece.size == 0)
		return;
	word->pieces = reallocate(word->pieces, (word->count + 1) * sizeof piece);
	word->pieces[word->count++] = piece;
}

static struct word *add_word(struct template *template)
{
	template->words = reallocate(template->words, (template->count + 1) * sizeof *template->words);
	template->words[template->count] = (struct word){0};
	return &template->words[template->count++];
}

/* Reads a place such as {}, {/.} or {2.} at `text`. Its length, or 0: it is none. */
static size_t parse_place(const char *text, struct piece *piece)
{
	static const struct {
		const char *text;
		enum piece_kind kind;
	} kinds[] = {{"}", VALUE},   {".}", NO_EXTENSION}, {"/}", BASE}, {"//}", FOLDER}, {"/.}", BASE_NO_EXTENSION},
	             {"#}", NUMBER}, {"%}", SLOT}};
	const char *rest = text + 1;
	size_t position = 0;
	while (isdigit((unsigned char)*rest) && position < 100000)
		position = position * 10 + (size_t)(*rest++ - '0');
	if (rest > text + 1 && position == 0)
		return 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strncmp(rest, kinds[i].text, strlen(kinds[i].text)) == 0) {
			if (position && kinds[i].kind >= NUMBER)
				return 0;
			*piece = (struct piece){.kind = kinds[i].kind, .position = position};
			return (size_t)(rest - text) + strlen(kinds[i].text);
		}
	return 0;
}

static void parse_word(struct word *word, const char *text)
{
	const char *literal = text;
	for (const char *at = text; (at = strchr(at, '{'));) {
		struct piece place;
		size_t length = parse_place(at, &place);
		if (length == 0) {
			at++;
			continue;
		}
		add_piece(word, (struct piece){.kind = LITERAL, .text = literal, .size = (size_t)(at - literal)});
		add_piece(word, place);
		literal = at += length;
	}
	add_piece(word, (struct piece){.kind = LITERAL, .text = literal, .size = strlen(literal)});
}

static bool has_place(const struct template *template)
{
	for (size_t i = 0; i < template->count; i++)
		for (size_t j = 0; j < template->words[i].count; j++)
			if (template->words[i].pieces[j].kind != LITERAL)
				return true;
	return false;
}

static bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

static bool needs_shell(const struct word *line)
{
	for (size_t i = 0; i < line->count; i++)
		if (line->pieces[i].kind == SLOT || quote_needs_shell(line->pieces[i].text, line->pieces[i].size))
			return true;
	if (line->count == 0 || line->pieces[0].kind != LITERAL)
		return false;
	const char *first = line->pieces[0].text, *end = first + line->pieces[0].size;
	while (first < end && is_blank(*first))
		first++;
	const char *stop = first;
	while (stop < end && !is_blank(*stop))
		stop++;
	return stop == first || quote_is_shell_word(first, (size_t)(stop - first));
}

/* Cuts a literal at its blanks; `open` is the word that goes on, NULL between words. */
static struct word *split_literal(struct template *template, struct word *open, const struct piece *literal)
{
	const char *at = literal->text, *end = at + literal->size;
	while (at < end) {
		const char *start = at;
		while (at < end && !is_blank(*at))
			at++;
		if (at > start) {
			open = open ? open : add_word(template);
			add_piece(open, (struct piece){.kind = LITERAL, .text = start, .size = (size_t)(at - start)});
		}
		if (at < end)
			open = NULL;
		while (at < end && is_blank(*at))
			at++;
	}
	return open;
}

/* A line that means nothing special to a shell becomes the words that a shell would see. */
static void split_line(struct template *template)
{
	struct word line = template->words[0], *open = NULL;
	free(template->words);
	template->words = NULL;
	template->count = 0;
	template->mode = SPLIT_LINE;
	for (size_t i = 0; i < line.count; i++) {
		if (line.pieces[i].kind == LITERAL) {
			open = split_literal(template, open, &line.pieces[i]);
			continue;
		}
		open = open ? open : add_word(template);
		add_piece(open, line.pieces[i]);
	}
	free(line.pieces);
}

struct template *template_parse(char *const *arguments, size_t count)
{
	struct template *template = allocate(sizeof *template);
	if (count == 1 && strcmp(arguments[0], "{}") == 0)
		count = 0;
	*template = (struct template){.mode = count == 0 ? INPUT_LINES : count == 1 ? SHELL_LINE : ARGUMENTS};
	for (size_t i = 0; i < count; i++)
		parse_word(add_word(template), arguments[i]);
	if (count == 0)
		add_word(template);
	if (!has_place(template)) {
		if (count == 1)
			add_piece(&template->words[0], (struct piece){.kind = LITERAL, .text = " ", .size = 1});
		add_piece(count > 1 ? add_word(template) : &template->words[0], (struct piece){.kind = VALUE});
	}
	if (count == 1 && !needs_shell(&template->words[0]))
		split_line(template);
	return template;
}

void template_free(struct template *template)
{
	if (!template)
		return;
	for (size_t i = 0; i < template->count; i++)
		free(template->words[i].pieces);
	free(template->words);
	free(template);
}

const char *template_program(const struct template *template)
{
	static struct buffer name;
	bool direct = template->mode == SPLIT_LINE || template->mode == ARGUMENTS;
	if (!direct || template->words[0].count != 1 || template->words[0].pieces[0].kind != LITERAL)
		return NULL;
	name.size = 0;
	buffer_add(&name, template->words[0].pieces[0].text, template->words[0].pieces[0].size);
	buffer_add_byte(&name, '\0');
	return name.data;
}

/* --- filling --- */

/* The part of a path that a place stands for. */
struct part {
	const char *text;
	size_t size;
};

static struct part folder_of(const char *path)
{
	size_t size = strlen(path);
	while (size > 1 && path[size - 1] == '/')
		size--;
	while (size > 0 && path[size - 1] != '/')
		size--;
	if (size == 0)
		return (struct part){".", 1};
	while (size > 1 && path[size - 1] == '/')
		size--;
	return (struct part){path, size};
}

static struct part base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	return (struct part){base, strlen(base)};
}

static struct part without_extension(const char *path)
{
	const char *base = base_of(path).text;
	const char *dot = strrchr(base, '.');
	return (struct part){path, dot ? (size_t)(dot - path) : strlen(path)};
}

static struct part part_of(enum piece_kind kind, const char *value)
{
	if (kind == NO_EXTENSION)
		return without_extension(value);
	if (kind == FOLDER)
		return folder_of(value);
	if (kind == BASE)
		return base_of(value);
	if (kind == BASE_NO_EXTENSION)
		return without_extension(base_of(value).text);
	return (struct part){value, strlen(value)};
}

/* How the words of one job are put together. */
struct filling {
	const struct template *template;
	const struct inputs *inputs;
	struct buffer *out;
	bool quoted;
	char between; /* stands between several inputs of one place */
	uint32_t breaks; /* how often it did */
};

static void fill_values(struct filling *filling, const struct piece *piece)
{
	const struct inputs *inputs = filling->inputs;
	size_t first = piece->position ? piece->position - 1 : 0;
	size_t end = piece->position ? piece->position : inputs->count;
	for (size_t i = first; i < end && i < inputs->count; i++) {
		if (i > first) {
			buffer_add_byte(filling->out, filling->between);
			filling->breaks++;
		}
		struct part part = part_of(piece->kind, inputs->values[i]);
		if (filling->quoted)
			quote_add(filling->out, part.text, part.size);
		else
			buffer_add(filling->out, part.text, part.size);
	}
}

static void fill_word(struct filling *filling, const struct word *word)
{
	for (size_t i = 0; i < word->count; i++) {
		const struct piece *piece = &word->pieces[i];
		char number[24];
		if (piece->kind == LITERAL)
			buffer_add(filling->out, piece->text, piece->size);
		else if (piece->kind == SLOT)
			buffer_add_text(filling->out, "$TUTTI_SLOT"); /* only the worker knows it; digits need no quotes */
		else if (piece->kind != NUMBER)
			fill_values(filling, piece);
		else {
			snprintf(number, sizeof number, "%llu", (unsigned long long)filling->inputs->number);
			buffer_add_text(filling->out, number);
		}
	}
}

static bool is_only_place(const struct word *word) { return word->count == 1 && word->pieces[0].kind == VALUE; }

static uint32_t fill_shell(const struct template *template, const struct inputs *inputs, struct buffer *out)
{
	const char *shell = quote_shell();
	buffer_add(out, shell, strlen(shell) + 1);
	buffer_add(out, "-c", sizeof "-c");
	template_text(template, inputs, out);
	return 3;
}

uint32_t template_arguments(const struct template *template, const struct inputs *inputs, struct buffer *arguments)
{
	if (template->mode == SHELL_LINE || template->mode == INPUT_LINES)
		return fill_shell(template, inputs, arguments);
	uint32_t count = 0;
	for (size_t i = 0; i < template->count; i++) {
		bool spreads = template->mode == SPLIT_LINE || is_only_place(&template->words[i]);
		struct filling filling = {template, inputs, arguments, false, spreads ? '\0' : ' ', 0};
		fill_word(&filling, &template->words[i]);
		buffer_add_byte(arguments, '\0');
		count += 1 + (spreads ? filling.breaks : 0);
	}
	return count;
}

static void text_of_arguments(const struct template *template, const struct inputs *inputs, struct buffer *text)
{
	struct buffer arguments = {0};
	uint32_t count = template_arguments(template, inputs, &arguments);
	const char *argument = arguments.data;
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_add_byte(text, ' ');
		quote_add(text, argument, strlen(argument));
		argument += strlen(argument) + 1;
	}
	buffer_add_byte(text, '\0');
	buffer_free(&arguments);
}

void template_text(const struct template *template, const struct inputs *inputs, struct buffer *text)
{
	if (template->mode == SPLIT_LINE || template->mode == ARGUMENTS) {
		text_of_arguments(template, inputs, text);
		return;
	}
	struct filling filling = {template, inputs, text, template->mode == SHELL_LINE, ' ', 0};
	fill_word(&filling, &template->words[0]);
	buffer_add_byte(text, '\0');
}
