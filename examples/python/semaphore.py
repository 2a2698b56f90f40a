# SPDX-License-Identifier: MIT
"""At most two of six processes use a thing at a time. One is killed while it does, and its place is free again."""

import os
import signal
import warnings

import tutti


def use(slots, inside, most, dies):
    warnings.simplefilter("ignore")  # who gets the killed one's place is told by a RuntimeWarning
    with slots:
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        with inside.get_lock(), most.get_lock():
            inside.value += 1
            most.value = max(most.value, inside.value)
        with inside.get_lock():
            inside.value -= 1


if __name__ == "__main__":
    slots = tutti.BoundedSemaphore(2, name="slots")
    inside, most = tutti.Value("i", 0), tutti.Value("i", 0)
    users = [tutti.Process(target=use, args=(slots, inside, most, number == 0)) for number in range(6)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    killed = sum(user.exitcode == -signal.SIGKILL for user in users)
    print(f"{len(users) - killed} of {len(users)} were served,", "never more than 2" if most.value <= 2 else "too many")
    print("killed:", killed)
