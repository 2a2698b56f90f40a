# SPDX-License-Identifier: MIT
"""Row 24: several threads join one process; for some of them it has ended and has no exit code."""

import sys
import threading
import time

from pain import Hurts, main

ROUNDS = 150
THREADS = 8
CODE = 7


def end_with(code):
    time.sleep(0.002)
    sys.exit(code)


def one_round(mp):
    process, seen = mp.Process(target=end_with, args=(CODE,)), []

    def join():
        try:
            process.join()
            seen.append(process.exitcode)
        except Exception as error:  # whatever it is, it is not the exit code
            seen.append(type(error).__name__)

    process.start()
    threads = [threading.Thread(target=join) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [code for code in seen if code != CODE] + ["hangs"] * (THREADS - len(seen))


def show(mp):
    wrong = [code for _ in range(ROUNDS) for code in one_round(mp)]
    if wrong:
        raise Hurts(f"{len(wrong)} of {ROUNDS * THREADS} joins saw the exit code {wrong[0]}, which was {CODE}")
    return f"{ROUNDS * THREADS} joins saw the exit code"


if __name__ == "__main__":
    main(show)
