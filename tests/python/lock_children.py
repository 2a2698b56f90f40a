# SPDX-License-Identifier: MIT
"""What started processes run in the tests of locks: without pytest, which each would import."""

import os
import signal
import threading


def take(lock):
    lock.acquire()


def take_and_wait(lock, held):
    lock.acquire()
    held.set()
    threading.Event().wait()


def take_and_die(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def release(lock):
    lock.release()


def count_up(lock, value, times):
    for _ in range(times):
        with lock:
            value.value += 1


def raise_while_holding(lock):
    lock.acquire()
    raise SystemExit(3)


def hold_argument(lock, go):
    assert go.wait(30)
    with lock:
        pass
