# SPDX-License-Identifier: MIT
"""mpire's pool: maps with state, shared objects, limits of time and exceptions, by each start method."""

import time

from mpire import WorkerPool


def scale(factor, number):
    return factor * number


def count(state, number):
    state["calls"] = state.get("calls", 0) + 1
    return number + 1


def calls_of(state):
    return state.get("calls", 0)


def refuse(number):
    raise ValueError(f"no {number}")


def work_too_long(number):
    time.sleep(60)


def failure(pool, function, **limits):
    try:
        pool.map(function, range(4), **limits)
    except (ValueError, TimeoutError) as error:
        return type(error).__name__


def maps(method):
    with WorkerPool(n_jobs=2, shared_objects=10, start_method=method) as pool:
        print(method, sum(pool.map(scale, range(100))), list(pool.imap(scale, range(5))))
        print(method, sorted(pool.imap_unordered(scale, range(5), chunk_size=2)))
    with WorkerPool(n_jobs=2, use_worker_state=True, start_method=method) as pool:
        print(method, sum(pool.map(count, range(50), worker_exit=calls_of)), sum(pool.get_exit_results()))


def main():
    for method in ("fork", "forkserver", "spawn"):
        maps(method)
    with WorkerPool(n_jobs=2) as pool:
        print(failure(pool, refuse), failure(pool, work_too_long, task_timeout=0.5))
    with WorkerPool(n_jobs=2, keep_alive=True, enable_insights=True) as pool:
        for _ in range(3):
            print(pool.apply(pow, (2, 10)))


if __name__ == "__main__":
    main()
