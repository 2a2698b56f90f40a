# SPDX-License-Identifier: MIT
"""Row 5: an executor whose workers end after some tasks waits for ever for one that it has not replaced."""

import concurrent.futures

from pain import Hurts, executor_of, main

TASKS = 8
LIMIT = 2  # tasks for each worker


def square(number):
    return number * number


def show(mp):
    executor = executor_of(mp)(1, mp_context=mp.get_context("forkserver"), max_tasks_per_child=LIMIT)
    futures = [executor.submit(square, number) for number in range(TASKS)]
    done, waiting = concurrent.futures.wait(futures, timeout=6)
    if waiting:
        raise Hurts(f"{len(waiting)} of {TASKS} calls never run: the worker ended after {LIMIT} and has no successor")
    if sorted(future.result() for future in done) != [number * number for number in range(TASKS)]:
        raise Hurts("other results came out")
    return f"{TASKS} calls were run by workers that end after {LIMIT}"


if __name__ == "__main__":
    main(show)
