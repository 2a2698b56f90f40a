/* SPDX-License-Identifier: MIT */
/*
 * A started process ends with the one that started it.
 *
 * The kernel's parent-death signal follows the forking thread, not the process, so it
 * is only taken as a hint: the handler looks whether the parent is gone. If it is not
 * (that thread alone has ended), a timer looks four times a second from then on.
 */
#ifndef TUTTI_PROCESS_PARENT_H
#define TUTTI_PROCESS_PARENT_H

#include <sys/types.h>

/* In the child, first thing: follows process `parent`; ends at once if that has ended already. */
void tutti__follow_parent(pid_t parent);

#endif
