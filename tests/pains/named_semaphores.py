# SPDX-License-Identifier: MIT
"""Row 12: locks are files in /dev/shm, which a killed program leaves there for ever."""

import os
import signal
import subprocess
import sys
import time

from private_shm import inside
from pain import Hurts, library, main

LOCKS = 20


def hold(side):
    """A program with its locks, in a process group of its own: it says when they are there."""
    context = library(side).get_context("spawn")
    locks = [context.Lock() for _ in range(LOCKS)]
    print("ready", flush=True)
    time.sleep(60)
    return locks


def show(_mp):
    program = subprocess.Popen([sys.executable, __file__, sys.argv[1], "hold"], stdout=subprocess.PIPE,
                               start_new_session=True)
    program.stdout.readline()
    os.killpg(program.pid, signal.SIGKILL)  # all of it, as the out-of-memory killer or a container's end does
    program.wait()
    left = os.listdir("/dev/shm")
    if left:
        raise Hurts(f"{len(left)} files are left in /dev/shm")
    return "nothing is left in /dev/shm"


if __name__ == "__main__":
    if sys.argv[2:] == ["hold"]:
        hold(sys.argv[1])
    inside("rw")
    main(show)
