# SPDX-License-Identifier: MIT
"""What the workers run: a task that leaves its begin and its end in the ledger. Imported by every worker of every pool."""

import os
import struct
import time

RECORD = struct.Struct("<iii")  # what, which task, in which process
BEGUN, ENDED = 1, 2
LARGE = 10  # every so many-th result is large: a worker is then killed in the middle of handing it over


def note(ledger, what, number):
    """One write at the end of the file: it is there as a whole, or not at all."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, RECORD.pack(what, number, os.getpid()))
    os.close(descriptor)


def expected(number):
    return number * number, bytes(200_000 if number % LARGE == 0 else 10)


def task(ledger, number):
    note(ledger, BEGUN, number)
    until = time.monotonic() + (number % 4) / 1000
    while time.monotonic() < until:
        pass
    result = expected(number)
    note(ledger, ENDED, number)
    return result


def task_of(both):
    return task(*both)
