# SPDX-License-Identifier: MIT
"""Row 16: a program is killed; its executor's workers live on and wait for ever for a call."""

import os
import signal
import subprocess
import sys
import time

from pain import Hurts, executor_of, library, main

WORKERS = 2


def keep(barrier):
    global all_workers
    all_workers = barrier


def pid_of(_):
    all_workers.wait(30)  # for a call in each of the others
    return os.getpid()


def run(mp):
    executor = executor_of(mp)(WORKERS, initializer=keep, initargs=(mp.Barrier(WORKERS),))
    print(*executor.map(pid_of, range(WORKERS)), flush=True)
    signal.pause()


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def show(_mp):
    program = subprocess.Popen([sys.executable, __file__, sys.argv[1], "run"], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in program.stdout.readline().split()]
    program.kill()
    program.wait()
    begun = time.monotonic()
    while any(map(lives, workers)) and time.monotonic() - begun < 5:
        time.sleep(0.01)
    left = [pid for pid in workers if lives(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        raise Hurts(f"{len(left)} of {len(workers)} workers are still there 5 s after their owner was killed")
    return f"its {len(workers)} workers ended within {time.monotonic() - begun:.1f} s"


if __name__ == "__main__":
    if sys.argv[2:] == ["run"]:
        run(library(sys.argv[1]))
    else:
        main(show)
