# SPDX-License-Identifier: MIT
"""What the programs in this folder share: each shows one pain, with the library that it is given.

A program is run as `NAME.py standard` or `NAME.py tutti` and says in its last line `hurts: ...` or `fine: ...`.
"""

import concurrent.futures
import multiprocessing
import os
import sys
import threading


def library(side):
    """`multiprocessing`, or Tutti under the same names."""
    if side == "standard":
        return multiprocessing
    import tutti
    return tutti


def executor_of(mp):
    """The library's executor of processes."""
    if mp is multiprocessing:
        return concurrent.futures.ProcessPoolExecutor
    return mp.ProcessPoolExecutor


def only_tutti(mp, **options):
    """Options of a call that the standard library does not have."""
    return {} if mp is multiprocessing else options


class Hurts(Exception):
    """The pain is there; the text says what was seen."""


def within(seconds, work, *arguments):
    """The result of a call that may hang: Hurts if it does. The thread that hangs ends with the program."""
    found = []

    def run():
        try:
            found.append((work(*arguments), None))
        except Exception as error:  # handed on to whoever asked
            found.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise Hurts(f"{work.__name__} hangs (more than {seconds} s)")
    result, error = found[0]
    if error:
        raise error
    return result


def main(show):
    """Runs `show(mp)`, which returns what it is glad about or raises Hurts."""
    try:
        said = "fine: " + show(library(sys.argv[1]))
    except Hurts as pain:
        said = f"hurts: {pain}"
    print(said, flush=True)
    for child in multiprocessing.active_children():
        child.kill()
    sys.stderr.flush()
    # What hangs in a thread or in a finalizer is no longer needed.
    os._exit(0)
