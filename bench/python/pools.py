# SPDX-License-Identifier: MIT
"""Calls a second of a pool of two: pools.py LIBRARY WHAT [METHOD]. What: see WORK. Where each runs is the kernel's."""

import multiprocessing
import os
import sys
import time

from support import CPUS, QUICK, median, report, seconds

TASKS, SUBMITS, TRIVIAL = (2000, 1000, 10000) if QUICK else (20000, 10000, 100000)


def same(value):
    return value


def work_for(milliseconds):
    end = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < end:
        pass


def library(side):
    import tutti  # both sides import it: its import must not be what differs

    return tutti if side == "tutti" else multiprocessing


def executor_of(side):
    import concurrent.futures

    kind = library(side).ProcessPoolExecutor if side == "tutti" else concurrent.futures.ProcessPoolExecutor
    return kind(2, mp_context=multiprocessing.get_context("fork"))


# --- what is done once: each gets the pool or executor, and says how many calls it made ----------------------


def one_map(pool):
    pool.map(same, range(TASKS), 1)
    return TASKS


def one_imap(pool):
    for _ in pool.imap(same, range(TASKS)):
        pass
    return TASKS


def one_imap_unordered(pool):
    for _ in pool.imap_unordered(same, range(TASKS)):
        pass
    return TASKS


def many_async(pool):
    for result in [pool.apply_async(same, (number,)) for number in range(TASKS)]:
        result.get()
    return TASKS


def round_trips(pool):
    for _ in range(200):
        pool.apply(same, (1,))
    return 200


def one_round_trip(pool):
    pool.apply(same, (1,))
    return 1


def trivial(pool):
    pool.map(same, range(TRIVIAL))
    return TRIVIAL


def uneven(pool):
    """Times that vary a thousandfold, the long ones side by side."""
    times = [10.0] * 6 + [0.01] * 600
    pool.map(work_for, times)
    return len(times)


def submits(executor):
    for future in [executor.submit(same, number) for number in range(SUBMITS)]:
        future.result()
    return SUBMITS


def submit_and_result(executor):
    for _ in range(100):
        executor.submit(same, 1).result()
    return 100


def array(pool):
    import numpy

    global big
    if "big" not in globals():
        big = numpy.ones(100_000_000, numpy.uint8)
    pool.apply(same, (big,))
    return 1


WORK = {"map": one_map, "imap": one_imap, "imap_unordered": one_imap_unordered, "async": many_async,
        "apply": round_trips, "apply_one": round_trips, "asleep": one_round_trip, "trivial": trivial, "uneven": uneven,
        "submit": submits, "result": submit_and_result, "result_one": submit_and_result, "array": array}
OF_EXECUTORS = ("submit", "result", "result_one")


def rate(work, context):
    """The median of its repetitions, after one that is not counted. Before a single call the workers fall asleep."""
    work(context)
    rates, end = [], time.perf_counter() + seconds(1.0)
    while time.perf_counter() < end or len(rates) < 3:
        if work is one_round_trip:
            time.sleep(0.005)
        begun = time.perf_counter()
        calls = work(context)
        rates.append(calls / (time.perf_counter() - begun))
    return median(rates)


def one_pool(side, method):
    pool = library(side).get_context(method).Pool(2)
    pool.apply(same, (1,))
    pool.terminate()
    pool.join()


def answer(calls, answers):
    os.write(answers, os.read(calls, 1))
    os.read(calls, 1)  # what ends it is a signal


def two_processes(_side, method):
    """What the processes of a pool cost by themselves: the standard library's, with a byte there and back."""
    calls, answers = os.pipe(), os.pipe()
    ends = calls[0], answers[1]
    processes = [multiprocessing.get_context(method).Process(target=answer, args=ends) for _ in range(2)]
    for process in processes:
        process.start()
    os.write(calls[1], b"1")
    os.read(answers[0], 1)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    for end in (*calls, *answers):
        os.close(end)


def lives(side, method):
    """Pools a second: started, one call, ended."""
    import tutti.pool  # the forks of all sides copy the same

    one, times = two_processes if side == "processes" else one_pool, []
    for _ in range(2 if QUICK else 6):
        begun = time.perf_counter()
        one(side, method)
        times.append(time.perf_counter() - begun)
    return 1 / median(times[1:])  # the first starts the fork server


def main(side, what, method="fork"):
    os.sched_setaffinity(0, CPUS[:1] if what.endswith("_one") else CPUS)
    if what == "life":
        report(rate=lives(side, method))
    elif what in OF_EXECUTORS:
        with executor_of(side) as executor:
            report(rate=rate(WORK[what], executor))
    else:
        with library(side).get_context(method).Pool(2) as pool:
            report(rate=rate(WORK[what], pool))


if __name__ == "__main__":
    main(*sys.argv[1:])
