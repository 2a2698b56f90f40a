/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void place_name(uint64_t address, char *text, size_t size)
{
	Dl_info info;
	char command[4200], function[100] = "", line[200] = "", program[4000];
	snprintf(text, size, "%#llx", (unsigned long long)address);
	if (dladdr((void *)(uintptr_t)address, &info) == 0)
		return;
	snprintf(text, size, "offset %#llx", (unsigned long long)(address - (uint64_t)(uintptr_t)info.dli_fbase));
	ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
	if (length < 0)
		return;
	program[length] = 0;
	snprintf(command, sizeof command, "addr2line -f -e '%s' %#llx 2>/dev/null", program,
	         (unsigned long long)(address - (uint64_t)(uintptr_t)info.dli_fbase));
	FILE *output = popen(command, "re");
	if (output && fgets(function, sizeof function, output) && fgets(line, sizeof line, output) && line[0] != '?') {
		char *file = strrchr(line, '/');
		function[strcspn(function, "\n")] = line[strcspn(line, "\n")] = 0;
		snprintf(text, size, "%s, %s", function, file ? file + 1 : line);
	}
	if (output)
		pclose(output);
}
