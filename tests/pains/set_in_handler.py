# SPDX-License-Identifier: MIT
"""Row 3: a signal handler sets an event that the same process is looking at: it hangs in its own lock."""

import signal
import time

from pain import Hurts, main

SIGNALS = 2000


def look(event):
    handled = []

    def handle(*_):
        event.set()
        handled.append(1)
        signal.setitimer(signal.ITIMER_REAL, 0.0002)  # the next one, only when this one is through

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
    while len(handled) < SIGNALS:
        event.is_set()
    signal.setitimer(signal.ITIMER_REAL, 0)


def show(mp):
    process = mp.Process(target=look, args=(mp.Event(),))
    begun = time.monotonic()
    process.start()
    process.join(6)
    if process.is_alive():
        raise Hurts("the process hangs in its signal handler")
    if process.exitcode != 0:
        raise AssertionError(f"the process ended with {process.exitcode}")
    return f"{SIGNALS} signals in {time.monotonic() - begun:.1f} s"


if __name__ == "__main__":
    main(show)
