# SPDX-License-Identifier: MIT
"""Workers go on until somebody sets an event: here a signal handler, as Ctrl-C would."""

import signal

import tutti


def work(stop, stopped):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who sets the event
    while not stop.wait(timeout=0.01):
        pass  # a piece of work
    stopped.release()


if __name__ == "__main__":
    stop, stopped = tutti.Event(name="stop"), tutti.Semaphore(0)
    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, lambda *_: stop.set())  # takes no lock: it may be called in a handler
    workers = [tutti.Process(target=work, args=(stop, stopped)) for _ in range(3)]
    for worker in workers:
        worker.start()
    signal.setitimer(signal.ITIMER_REAL, 0.1)  # when nobody is there to press Ctrl-C
    stop.wait()
    for worker in workers:
        worker.join()
    print(stopped.get_value(), "of", len(workers), "workers stopped when the event was set")
