# SPDX-License-Identifier: MIT
"""What started processes run in the tests of letter mode's locks: without pytest, which each would import."""

import multiprocessing

from support import run


def use_all(lock, rlock, semaphore, bounded, condition, event, barrier):
    for one in (lock, rlock, semaphore, bounded, condition):
        with one:
            pass
    with condition:
        condition.notify_all()
    event.set()
    assert barrier.wait(5) == 0


def pass_on(method, *shared):
    run(multiprocessing.get_context(method), use_all, *shared)
