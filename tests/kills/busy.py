# SPDX-License-Identifier: MIT
"""One busy pool whose workers are killed: balances what its callers were told against what ran.

usage: busy.py KIND KILLS SEED METHOD     prints one line of JSON
"""

import collections
import faulthandler
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "pains"))

from ledger import Killer, Ledger
from private_shm import inside
from tasks import expected

HANG = 20  # seconds in which nothing happens
SLICE = 2
BATCH = 24  # tasks that are given at a time
DEPTH = 3  # batches under way

HUNG = []  # what hangs is not let go: its end may hang as well

Job = collections.namedtuple("Job", "number get retries share")


class Balance:
    """What became of each task."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.given = {}
        self.results = set()
        self.failed = {}
        self.wrong = []

    def take(self, job):
        """Waits for the outcome of a task. TimeoutError: it hangs."""
        begun = time.monotonic()
        while not self._take_in_time(job):
            self.ledger.refresh()
            if time.monotonic() - max(begun, self.ledger.grown) > HANG:
                raise TimeoutError

    def _take_in_time(self, job):
        try:
            value = job.get(SLICE)
        except Exception as error:
            if type(error).__name__ == "TimeoutError":  # each library has its own
                return False
            self.failed[job.number] = error
            return True
        self.results.add(job.number)
        if value != expected(job.number):
            self.wrong.append(job.number)
        return True


def keep_busy(pool, ledger, killer, balance):
    """Gives tasks until the killer is through, and takes all outcomes. Returns what stopped it, or nothing."""
    under_way = collections.deque()
    while not killer.is_through or under_way:
        try:
            while len(under_way) < DEPTH * BATCH and not killer.is_through:
                first = len(balance.given)
                jobs = [Job(*parts) for parts in pool.start(ledger.path, range(first, first + BATCH))]
                balance.given.update((job.number, job) for job in jobs)
                under_way.extend(jobs)
        except Exception as error:
            return f"refuses further tasks: {type(error).__name__}", under_way
        try:
            balance.take(under_way[0])
        except TimeoutError:
            return "hangs", under_way
        under_way.popleft()
    return "", under_way


def settle(under_way, balance):
    """After a pool has refused more: what becomes of the rest. Whether it hangs."""
    while under_way:
        try:
            balance.take(under_way[0])
        except TimeoutError:
            return True
        under_way.popleft()
    return False


# --- judging --------------------------------------------------------------------------------------------------


def is_hit(job, error, ledger, killed):
    """Whether the worker of a task that failed was killed in it, by all that can be known."""
    if getattr(error, "pid", None) in killed:
        return True
    return any(ledger.last.get(pid, (None,))[0] == job.number for pid in killed)


def audit(ledger, killer, balance, lost):
    """The counts of the table, and what contradicts a promise."""
    ledger.refresh()
    jobs = balance.given
    unhit = [number for number, error in balance.failed.items() if not is_hit(jobs[number], error, ledger, killer.killed)]
    over = [number for number, job in jobs.items() if job.retries is not None and ledger.begun[number] > job.retries + 1]
    twice = [number for number, job in jobs.items() if ledger.ended[number] > 1]
    unrun = [number for number in balance.results if not ledger.ended[number]]
    shares = {jobs[number].share for number in balance.failed}
    broken = {
        "wrong results": balance.wrong,
        "results of tasks that have not run": unrun,
        "begun more often than allowed": over,
        "ran to their end twice without retries": [number for number in twice if jobs[number].retries == 0],
        "without an outcome": sorted(lost),
        "with two outcomes or none": sorted(set(jobs) - set(lost) - (balance.results ^ set(balance.failed))),
        "failed beside the killed ones": unhit,
        "more losses than kills": sorted(shares, key=str) if len(shares) > killer.done else [],
    }
    counts = {"kills": killer.done, "tasks": len(jobs), "results": len(balance.results), "failed": len(balance.failed),
              "beside": len(unhit), "lost": len(lost), "twice": len(twice),
              "errors": sorted({type(error).__name__ for error in balance.failed.values()})}
    return counts, {what: numbers[:10] for what, numbers in broken.items() if numbers}


class Belongings:
    """What this process has: threads, descriptors of memory and sockets, files of its own /dev/shm."""

    def __init__(self):
        gc.collect()
        self.threads = len(os.listdir("/proc/self/task"))
        links = [self._target(entry) for entry in os.listdir("/proc/self/fd")]
        self.descriptors = sum("memfd:" in link or "socket:" in link for link in links)
        self.files = len(os.listdir("/dev/shm"))
        self.blocks = self._blocks()

    @staticmethod
    def _target(entry):
        try:
            return os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            return ""

    @staticmethod
    def _blocks():
        extension = sys.modules.get("tutti._tutti")
        if extension is None:
            return 0
        extension._settle_forks()
        extension._arena_sweep()
        return extension._arena_usage()["live_blocks"]

    def more_than(self, before):
        return {name: value - getattr(before, name) for name, value in vars(self).items() if value > getattr(before, name)}


def what_is_left(before):
    """After what is on its way has arrived."""
    deadline = time.monotonic() + 10
    while (left := Belongings().more_than(before)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return left


# --- the run --------------------------------------------------------------------------------------------------


def opened(kind, method, workers):
    if kind.startswith("tutti."):
        from pools import KINDS
        return KINDS[kind](method, workers)
    from peers import KINDS
    return KINDS[kind](workers)


def warm_up(kind, method, ledger):
    """What a library starts once and keeps is there before anything is counted."""
    pool = opened(kind, method, 2)
    for job in pool.start(ledger.path, range(2)):
        job[1](HANG)
    pool.close()


def one_pool(kind, kills, seed, method, ledger):
    """Not a line of it is left when it returns: no result keeps anything alive."""
    chance = random.Random(seed)
    balance = Balance(ledger)
    pool = opened(kind, method, chance.randint(2, 4))
    killer = Killer(ledger, kills, chance, pool.workers)
    begun = time.monotonic()
    killer.start()
    stopped, under_way = keep_busy(pool, ledger, killer, balance)
    killer.stop()
    if stopped and stopped != "hangs" and settle(under_way, balance):
        stopped += ", and hangs"
    if "hangs" in stopped:
        faulthandler.dump_traceback()
        HUNG.append((pool, under_way))
    else:
        closer = threading.Thread(target=pool.close, daemon=True)
        closer.start()
        closer.join(HANG)
        stopped += "hangs when it is closed" if closer.is_alive() else ""
    counts, broken = audit(ledger, killer, balance, [job.number for job in under_way])
    return {"kind": kind, "seconds": round(time.monotonic() - begun, 1), "stopped": stopped, **counts, "broken": broken}


def main(kind, kills, seed, method):
    inside("rw")
    with tempfile.TemporaryDirectory() as folder:
        if kind.startswith("tutti."):
            ledger = Ledger(f"{folder}/first")
            warm_up(kind, method, ledger)
            ledger.close()
        before = Belongings()
        ledger = Ledger(f"{folder}/ledger")
        said = one_pool(kind, int(kills), int(seed), method, ledger)
        ledger.close()
        said["left"] = {} if said["stopped"] else what_is_left(before)
    print(json.dumps(said), flush=True)
    sys.stderr.flush()
    os._exit(0)  # what hangs is no longer needed


if __name__ == "__main__":
    main(*sys.argv[1:])
