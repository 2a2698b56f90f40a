# SPDX-License-Identifier: MIT
"""What started processes run: in a module of its own, so that a spawned one can import it."""

import os
import signal


def echo(conn):
    conn.send(conn.recv())
    conn.close()


def answer(q, answers):
    """Sends back what it got, with its pid."""
    answers.put((os.getpid(), q.get()))


def use_alone(q, answers):
    q.put("alive")
    answers.put(q.get())


def put_and_die(q, count):
    for number in range(count):
        q.put(number)
    os.kill(os.getpid(), signal.SIGKILL)
