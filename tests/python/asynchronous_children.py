# SPDX-License-Identifier: MIT
"""What started processes run in the tests of the awaitable forms: without pytest, which each would import."""

import os
import signal

from support import until

SOON = 30


def take_over(q, answers):
    q.close()  # the parent's task is none of ours
    answers.put("closed")


def get_some(q, answers):
    answers.put([q.get(timeout=SOON) for _ in range(100)])


def work_off(q):
    for _ in range(10):
        q.get(timeout=SOON)
        q.task_done()


def get_and_die(q, gone):
    q.get()
    gone.set()
    os.kill(os.getpid(), signal.SIGKILL)


def hold(lock, held, let_go):
    with lock:
        held.set()
        let_go.wait(SOON)


def notify_when_all_wait(condition, count):
    until(lambda: condition._waiters() == count)
    with condition:
        condition.notify(1)
    until(lambda: condition._waiters() == count - 1)
    with condition:
        condition.notify_all()


def meet(barrier, indexes, rounds):
    for _ in range(rounds):
        indexes.put(barrier.wait(SOON))


def wait_at(barrier):
    barrier.wait(SOON)
