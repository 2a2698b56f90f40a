# SPDX-License-Identifier: MIT
"""Row 10: the fork server does not keep the main module: every process imports it again, however long it takes."""

import time

from pain import Hurts, main

IMPORT = 0.4  # seconds that the main module takes to be imported, as with large libraries
PROCESSES = 8

if __name__ != "__main__":
    time.sleep(IMPORT)


def nothing():
    pass


def show(mp):
    context = mp.get_context("forkserver")
    begun = time.monotonic()
    run_one(context)
    first = time.monotonic() - begun
    begun = time.monotonic()
    for _ in range(PROCESSES):
        run_one(context)
    each = (time.monotonic() - begun) / PROCESSES
    said = f"the first process took {first:.2f} s, each further one {each:.3f} s"
    if each > IMPORT:
        raise Hurts(f"{said}: the {IMPORT} s of the main module's import are paid each time")
    return said


def run_one(context):
    process = context.Process(target=nothing)
    process.start()
    process.join()
    if process.exitcode != 0:
        raise Hurts(f"a process ended with {process.exitcode}")


if __name__ == "__main__":
    main(show)
