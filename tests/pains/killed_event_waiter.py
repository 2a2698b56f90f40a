# SPDX-License-Identifier: MIT
"""Row 3: a process is killed while it waits for an event; setting the event then hangs."""

import time

from pain import main, within


def wait_for(event, waits):
    waits.set()
    event.wait()


def show(mp):
    event, waits = mp.Event(), mp.Event()
    waiter = mp.Process(target=wait_for, args=(event, waits))
    waiter.start()
    waits.wait()
    time.sleep(0.3)
    waiter.kill()
    waiter.join()
    within(3, event.set)
    return "set returned at once"


if __name__ == "__main__":
    main(show)
