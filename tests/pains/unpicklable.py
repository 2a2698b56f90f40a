# SPDX-License-Identifier: MIT
"""Row 8: what cannot be pickled fails in a thread of the queue; the caller never hears of it."""

import queue as errors

from pain import Hurts, main


class Job:
    def __init__(self):
        self.callback = lambda: 0


def show(mp):
    queue = mp.Queue()
    try:
        queue.put([1, {"job": Job()}])
    except Exception as error:  # which class is the library's affair
        if "callback" not in str(error):
            raise Hurts(f"the error does not say what cannot be sent: {error}") from error
        return f"raised in the caller: {error}"
    try:
        queue.get(timeout=1)
    except errors.Empty:
        raise Hurts("put said nothing, and get waits for a message that never comes") from None
    raise Hurts("a lambda came out of the queue")


if __name__ == "__main__":
    main(show)
