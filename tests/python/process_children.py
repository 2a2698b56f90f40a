# SPDX-License-Identifier: MIT
"""What started processes run in the tests of contexts and processes: without pytest, which each would import."""

import multiprocessing
import os
import pickle
import threading

from support import until

import tutti


def nothing():
    pass


def tell(told, expected_method):
    assert tutti.get_start_method() == expected_method
    assert multiprocessing.current_process() is tutti.current_process()
    told.set()


class Subclass(tutti.Process):
    def __init__(self, event):
        super().__init__(name="mine")
        self.event = event

    def run(self):
        assert tutti.current_process().name == "mine"
        self.event.set()


def count_descriptors(counts, index, barrier):
    barrier.wait(30)
    counts[index] = len(os.listdir("/proc/self/fd"))
    barrier.wait(30)


def start_another(ctx, lock, event, pid):
    process = ctx.Process(target=outlive, args=(lock, event, pid), daemon=False)
    process.start()
    pid.value = process.pid
    os._exit(0)


def outlive(lock, event, pid):
    until(lambda: os.getppid() != pid.value and not os.path.exists(f"/proc/{pid.value}/never"))
    with lock:
        event.set()


def with_arguments(*shared):
    for one in shared:
        pickle.loads(pickle.dumps(one))
    shared[0].set()


def take_and_exit(lock):
    lock.acquire()


def take_in_a_thread(lock, go):
    thread = threading.Thread(target=lambda: (go.wait(), threading.Event().wait(0.3), lock.acquire()))
    thread.start()
    go.set()


def wait_for_ever(ready):
    ready.set()
    threading.Event().wait()
