# SPDX-License-Identifier: MIT
"""Row 15: after Ctrl-C every worker prints a traceback of its own, between those of the others."""

import os
import signal
import subprocess
import sys
import time

from pain import Hurts, library, main

WORKERS = 4
ITEMS = 200


def work(number):
    time.sleep(0.3)
    return number


def run(mp):
    with mp.Pool(WORKERS) as pool:
        results = pool.imap(work, range(ITEMS))
        next(results)
        print("ready", flush=True)
        list(results)


def show(_mp):
    program = subprocess.Popen([sys.executable, __file__, sys.argv[1], "run"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    program.stdout.readline()
    begun = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)  # all of it, as a terminal does
    try:
        said = program.communicate(timeout=10)[1]
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
        raise Hurts("the program hangs after Ctrl-C") from None
    tracebacks = said.count("Traceback (most recent call last)")
    if tracebacks != 1 or "KeyboardInterrupt" not in said:
        raise Hurts(f"{tracebacks} tracebacks of {len(said.splitlines())} lines after one Ctrl-C")
    return f"one traceback, and the program has ended {time.monotonic() - begun:.1f} s later"


if __name__ == "__main__":
    if sys.argv[2:] == ["run"]:
        run(library(sys.argv[1]))
    else:
        main(show)
