# SPDX-License-Identifier: MIT
"""What started processes run in the tests of what they are given: without pytest, which each would import."""

import os
import signal


def get_one(q):
    assert q.get() == "one"


def send_and_wait(end):
    end.send("hello")
    assert end.recv() == "go"


def close_and_wait(end, event):
    end.close()
    assert event.wait(60)


def kill_yourself():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Kills the process that unpickles it."""

    def __reduce__(self):
        return kill_yourself, ()
