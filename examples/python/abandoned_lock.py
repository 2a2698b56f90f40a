# SPDX-License-Identifier: MIT
"""A process is killed in the middle of a transfer; the next one is told, and repairs what the lock guards."""

import os
import signal

import tutti


def transfer_and_die(lock, accounts):
    with lock:
        accounts[0] -= 30
        os.kill(os.getpid(), signal.SIGKILL)  # before accounts[1] += 30


if __name__ == "__main__":
    lock, accounts = tutti.Lock(name="accounts"), tutti.RawArray("i", [100, 0])
    process = tutti.Process(target=transfer_and_die, args=(lock, accounts))
    process.start()
    process.join()

    try:
        with lock:
            print("never reached")
    except tutti.AbandonedLockError as error:
        print(error)

    with lock.repairing() as died:
        if died is not None:
            print(f"found {accounts[0]} + {accounts[1]}")
            accounts[1] = 100 - accounts[0]
    with lock:
        print(f"repaired to {accounts[0]} + {accounts[1]}")
