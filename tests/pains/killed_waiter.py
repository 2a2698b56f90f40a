# SPDX-License-Identifier: MIT
"""Row 3: a process is killed while it waits for a condition; whoever notifies then hangs."""

import time

from pain import main, within


def wait_on(condition, waits):
    with condition:
        waits.set()
        condition.wait()


def show(mp):
    condition, waits = mp.Condition(), mp.Event()
    waiter = mp.Process(target=wait_on, args=(condition, waits))
    waiter.start()
    waits.wait()
    with condition:  # so it has let go of the lock: it waits
        pass
    time.sleep(0.2)
    waiter.kill()
    waiter.join()

    def notify_all():
        with condition:
            condition.notify_all()

    within(3, notify_all)
    return "notify_all returned at once"


if __name__ == "__main__":
    main(show)
