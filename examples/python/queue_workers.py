# SPDX-License-Identifier: MIT
"""Workers count words; one of them is killed in the middle, and its job is given to another."""

import os
import signal

import tutti

TEXTS = ["to be or not to be", "that is the question", "poison", "whether tis nobler in the mind"]


def work(jobs, results):
    while True:
        try:
            text = jobs.get()
        except tutti.ShutDown:
            return
        if text == "poison" and not jobs.redelivered:
            os.kill(os.getpid(), signal.SIGKILL)
        results.put((text, len(text.split()), jobs.redelivered))
        jobs.task_done()


if __name__ == "__main__":
    jobs, results = tutti.JoinableQueue(name="jobs"), tutti.Queue()
    workers = [tutti.Process(target=work, args=(jobs, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    jobs.put_many(TEXTS)
    jobs.join()  # also the killed worker's job is done
    jobs.shutdown()
    for worker in workers:
        worker.join()
    for text, count, redelivered in sorted(results.get_many(10)):
        print(f"{count} {text}{' (given back once)' if redelivered else ''}")
    print("killed:", sum(worker.exitcode == -signal.SIGKILL for worker in workers))
