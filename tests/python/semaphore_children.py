# SPDX-License-Identifier: MIT
"""What started processes run in the tests of semaphores: without pytest, which each would import."""

import os
import signal


def take(semaphore, times=1):
    for _ in range(times):
        semaphore.acquire()


def take_and_die(semaphore, times):
    take(semaphore, times)
    os.kill(os.getpid(), signal.SIGKILL)


def give(semaphore, times):
    for _ in range(times):
        semaphore.release()
