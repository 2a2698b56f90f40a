/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arena/block.h"
#include "process/task.h"

static tutti_task_entry *table;

void tutti_task_register(tutti_task_entry *entry)
{
	for (tutti_task_entry *known = table; known; known = known->next)
		if (known == entry)
			return;
	entry->next = table;
	table = entry;
}

uint64_t tutti__task_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
	return hash;
}

const tutti_task_entry *tutti__task_find(const char *name)
{
	for (const tutti_task_entry *entry = table; entry; entry = entry->next)
		if (strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

const tutti_task_entry *tutti__task_find_hash(uint64_t hash)
{
	for (const tutti_task_entry *entry = table; entry; entry = entry->next)
		if (tutti__task_hash(entry->name) == hash)
			return entry;
	return NULL;
}

tutti_err tutti__fail_no_task(const char *name)
{
	return tutti__fail(TUTTI_ENOENT, "program \"%s\" has no task \"%s\". Define it with TUTTI_TASK(%s).",
	                   tutti__program_name(), name, name);
}

tutti_view tutti_task_input(const tutti_task *task) { return task->input; }

unsigned tutti_task_attempt(const tutti_task *task) { return task->attempt; }

void tutti__task_reset(tutti_task *task)
{
	if (task->block)
		tutti__block_free(task->arena, task->block);
	task->block = 0;
	task->capacity = 0;
	task->size = 0;
	task->code = 0;
	task->err = TUTTI_OK;
}

tutti_err tutti_task_reserve(tutti_task *task, size_t size, void **data)
{
	tutti__task_reset(task);
	*data = task->small;
	if (size <= sizeof task->small)
		return TUTTI_OK;
	task->err = tutti__block_alloc(task->arena, TUTTI__KIND_RAW, size, INT64_MAX, &task->block);
	if (task->err)
		return task->err;
	task->capacity = size;
	*data = tutti__at(task->arena, task->block);
	return TUTTI_OK;
}

static bool is_reserved(const tutti_task *task, const void *data, size_t size)
{
	if (task->block)
		return data == tutti__at(task->arena, task->block) && size <= task->capacity;
	return data == task->small && size <= sizeof task->small;
}

tutti_err tutti_task_return(tutti_task *task, const void *data, size_t size)
{
	if (!is_reserved(task, data, size)) {
		void *to;
		tutti_err err = tutti_task_reserve(task, size, &to);
		if (err)
			return err;
		if (size)
			memcpy(to, data, size);
	}
	task->size = size;
	return TUTTI_OK;
}

tutti_err tutti_task_fail(tutti_task *task, int code, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (tutti_task_return(task, text, strlen(text) + 1) != TUTTI_OK) { /* no memory left: a shorter text */
		text[sizeof task->small - 1] = 0;
		tutti_task_return(task, text, strlen(text) + 1);
	}
	task->code = code;
	task->err = TUTTI_EFAILED;
	return TUTTI_EFAILED;
}

const void *tutti__task_result(const tutti_task *task)
{
	return task->block ? tutti__at(task->arena, task->block) : task->small;
}

void tutti__task_run(tutti_task *task, const tutti_task_entry *entry)
{
	tutti_err err = entry->function(task);
	/* It may return what a call of ours gave it, with that call's text. */
	if (err && task->err != TUTTI_EFAILED)
		tutti_task_fail(task, (int)err, "%s", *tutti_last_error() ? tutti_last_error() : tutti_error_text(err));
}
