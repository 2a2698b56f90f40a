/* SPDX-License-Identifier: MIT */
#include "halt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Moves past `word` if the text goes on with it. */
static bool skip(const char **text, const char *word)
{
	size_t size = strlen(word);
	if (strncmp(*text, word, size) != 0)
		return false;
	*text += size;
	return true;
}

static bool parse_number(struct halt *halt, const char *text)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	halt->number = strtoull(text, &end, 10);
	halt->percent = *end == '%';
	return end[halt->percent] == '\0' && halt->number > 0 && !(halt->percent && halt->number > 100);
}

static bool parse_short(struct halt *halt, const char *text)
{
	static const struct {
		const char *text;
		enum stop_level level;
	} forms[] = {{"never", STOP_NOT}, {"0", STOP_NOT}, {"1", STOP_SOON}, {"2", STOP_NOW}};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (strcmp(text, forms[i].text) == 0) {
			*halt = (struct halt){.level = forms[i].level, .number = 1};
			return true;
		}
	return false;
}

bool halt_parse(struct halt *halt, const char *text)
{
	if (parse_short(halt, text))
		return true;
	*halt = (struct halt){.number = 1};
	if (skip(&text, "now,"))
		halt->level = STOP_NOW;
	else if (skip(&text, "soon,"))
		halt->level = STOP_SOON;
	else
		return false;
	if (skip(&text, "fail"))
		halt->what = HALT_FAIL;
	else if (skip(&text, "success"))
		halt->what = HALT_SUCCESS;
	else if (skip(&text, "done"))
		halt->what = HALT_DONE;
	else
		return false;
	return *text == '\0' || ((*text == '=' || *text == ',') && parse_number(halt, text + 1));
}

bool halt_reached(const struct halt *halt, const struct counts *counts)
{
	uint64_t number = halt->what == HALT_FAIL      ? counts->failed
	                  : halt->what == HALT_SUCCESS ? counts->done - counts->failed
	                                               : counts->done;
	if (halt->level == STOP_NOT || number == 0)
		return false;
	if (!halt->percent)
		return number >= halt->number;
	/* While more inputs may come, the share of a few jobs says little. */
	uint64_t whole = counts->total_is_known ? counts->total : counts->done;
	if (!counts->total_is_known && counts->done < 3)
		return false;
	return number * 100 >= halt->number * whole;
}
