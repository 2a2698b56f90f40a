/* SPDX-License-Identifier: MIT */
/*
 * Tutti: parallel and concurrent computing on one shared-memory arena.
 *
 * This header includes all the others; each of them describes one concept.
 */
#ifndef TUTTI_TUTTI_H
#define TUTTI_TUTTI_H

#include <tutti/arena.h>
#include <tutti/barrier.h>
#include <tutti/block.h>
#include <tutti/base.h>
#include <tutti/condition.h>
#include <tutti/descriptor.h>
#include <tutti/error.h>
#include <tutti/event.h>
#include <tutti/lock.h>
#include <tutti/once.h>
#include <tutti/pipe.h>
#include <tutti/pool.h>
#include <tutti/process.h>
#include <tutti/queue.h>
#include <tutti/rlock.h>
#include <tutti/rwlock.h>
#include <tutti/semaphore.h>
#include <tutti/task.h>
#include <tutti/wait.h>
#include <tutti/waitset.h>
#include <tutti/worker.h>

#endif
