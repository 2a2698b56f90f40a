# SPDX-License-Identifier: MIT
"""What started processes run in the tests of conditions: without pytest, which each would import."""

import os
import signal

from support import until


def sleep_on(condition, woken, timeout=None):
    with condition:
        if condition.wait(timeout):
            woken.release()


def waiters(condition):
    return condition._sleeping_count.get_value() - condition._woken_count.get_value()


def hold_and_die(condition, ready):
    with condition:
        ready.set()
        os.kill(os.getpid(), signal.SIGKILL)


def notify_and_die(condition):
    until(lambda: waiters(condition) == 1)
    with condition:
        condition.notify()
        os.kill(os.getpid(), signal.SIGKILL)
