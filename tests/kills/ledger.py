# SPDX-License-Identifier: MIT
"""What really ran, as the tasks themselves have noted it, and who kills the processes that note it."""

import collections
import os
import signal
import threading
import time

from tasks import BEGUN, ENDED, RECORD


class Ledger:
    """The file of the tasks' notes, read as it grows."""

    def __init__(self, path):
        self.path = path
        self.begun = collections.Counter()  # by task
        self.ended = collections.Counter()
        self.ends = 0  # of all tasks
        self.last = {}  # by process: the task of its last note, and whether it was begun or ended
        self.grown = time.monotonic()  # when the last note was seen
        self._read = open(path, "w+b", buffering=0)
        self._lock = threading.Lock()

    def refresh(self):
        """Takes in what is new. How many tasks have run to their end up to now."""
        with self._lock:
            found = self._read.read()
            self.grown = time.monotonic() if found else self.grown
            for what, number, pid in RECORD.iter_unpack(found):
                (self.begun if what == BEGUN else self.ended)[number] += 1
                self.ends += what == ENDED
                self.last[pid] = number, what
            return self.ends

    def busy(self):
        """The processes that are in a task."""
        with self._lock:
            return [pid for pid, (_, what) in self.last.items() if what == BEGUN]

    def close(self):
        self._read.close()


def parent_of(pid):
    """0: there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in "ZX" else int(parent)


def descendants(of):
    """All processes that a process has started, and these, and so on."""
    parents = {int(entry): parent_of(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    found, more = set(), {of}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return found


class Killer(threading.Thread):
    """Kills workers at random moments, until it has killed so many.

    ``workers``: a function that names all of them, busy or not. Half of the victims are chosen from these, so that some
    die while they start, wait for a task or hand over a result; the others are in a task.
    """

    def __init__(self, ledger, kills, chance, workers=lambda: ()):
        super().__init__(daemon=True)
        self.killed = set()
        self.done = 0
        self._ledger = ledger
        self._kills = kills
        self._chance = chance
        self._workers = workers
        self._stop_asked = threading.Event()

    @property
    def is_through(self):
        return self.done >= self._kills

    def run(self):
        ended = 0
        while not self.is_through and not self._stop_asked.is_set():
            # Something has to come to its end between two kills: else a pool that starts slowly would never get to work.
            while self._ledger.refresh() == ended and not self._stop_asked.wait(0.001):
                pass
            self._stop_asked.wait(self._chance.uniform(0, 0.015))
            ended = self._ledger.refresh()
            self._kill_one()

    def _kill_one(self):
        ours = descendants(os.getpid())
        some = self._workers() if self._chance.random() < 0.5 else ()
        victims = sorted(ours.intersection(some or self._ledger.busy()) - self.killed)
        if victims:
            victim = self._chance.choice(victims)
            os.kill(victim, signal.SIGKILL)
            self.killed.add(victim)
            self.done += 1

    def stop(self):
        self._stop_asked.set()
        self.join()
