# SPDX-License-Identifier: MIT
"""Queues and pipes in trouble: a full arena, kills in the middle, forks beside threads, handles of what is gone."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

import tutti
from tutti import connection, queues

SOON = 20


def run_program(source, **environment):
    done = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_full_arena_raises_and_can_be_drained():
    output = run_program(
        """
import tutti
q = tutti.Queue()
count = 0
try:
    while True:
        q.put(b"x" * 100_000)
        count += 1
except MemoryError as error:
    print("full:", error)
small = 0
try:
    while True:
        q.put(small)
        small += 1
except MemoryError:
    pass
assert q.qsize() == count + small
for _ in range(count):
    assert q.get() == b"x" * 100_000
for number in range(small):
    assert q.get() == number
for _ in range(100):
    q.put(b"y" * 1_000_000)
    assert q.get() == b"y" * 1_000_000
print("went on")
""",
        TUTTI_ARENA_MAX="16M",
    )
    assert "full: arena" in output and "went on" in output


def test_a_buffer_larger_than_the_arena():
    output = run_program(
        """
import pickle, tutti
q = tutti.Queue()
for obj in (bytes(50_000_000), bytearray(50_000_000), pickle.PickleBuffer(bytearray(50_000_000))):
    try:
        q.put(obj)
    except MemoryError as error:
        print("refused")
here, there = tutti.Pipe()
try:
    here.send_bytes(bytes(50_000_000))
except MemoryError:
    print("refused")
here.send("next")
print(there.recv())
""",
        TUTTI_ARENA_MAX="16M",
    )
    assert output == "refused\n" * 4 + "next\n"


@pytest.mark.parametrize("make", [queues.Queue, queues.JoinableQueue, queues.SimpleQueue, lambda: connection.Pipe()[0]])
def test_a_pickle_of_what_is_gone(make):
    shared = make()
    data = pickle.dumps(shared)
    shared.close()
    del shared
    with pytest.raises(tutti.StaleHandleError):
        pickle.loads(data)


def test_fork_while_another_thread_pickles():
    stop = threading.Event()
    q = queues.Queue()

    def work():
        busy = queues.Queue()
        while not stop.is_set():
            busy.put([{1, 2}, {"a": {3}}])
            busy.get()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for number in range(30):
            pid = os.fork()
            if pid == 0:
                q.put({number})
                os._exit(0)
            assert q.get(timeout=SOON) == {number}
            os.waitpid(pid, 0)
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def traffic(q, answers, seed):
    choose = random.Random(seed)
    while True:
        q.put((seed, {choose.random()}, b"x" * choose.choice([10, 5000, 100_000])))
        answers.put(q.get())
        answers.get()


def test_kills_amid_traffic_hold_nobody_up():
    q, answers = queues.Queue(50), queues.Queue()
    context = tutti.get_context("fork")
    choose = random.Random(3)
    for seed in range(25):
        processes = [context.Process(target=traffic, args=(q, answers, seed + number)) for number in range(2)]
        for process in processes:
            process.start()
        time.sleep(choose.uniform(0, 0.03))
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.join(SOON)
            process.close()
        deadline = time.monotonic() + SOON
        q.put("mine", timeout=SOON)
        while q.get(timeout=SOON) != "mine":
            assert time.monotonic() < deadline
    while not answers.empty():
        answers.get(timeout=SOON)


def test_kills_amid_pipes_end_in_end_of_file():
    context = tutti.get_context("fork")

    def send_for_ever(end):
        while True:
            end.send([{1}, b"x" * 3000])

    for pause in (0, 0.002, 0.01, 0.02) * 4:
        here, there = connection.Pipe()
        process = context.Process(target=send_for_ever, args=(there,))
        process.start()
        there.close()
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.join(SOON)
        process.close()
        with pytest.raises(EOFError):
            while True:
                assert here.recv() == [{1}, b"x" * 3000]


def test_a_stopped_process_holds_up_no_time_out():
    def put_for_ever(q):
        while True:
            q.put({1})
            q.get()

    q = queues.Queue()
    process = tutti.get_context("fork").Process(target=put_for_ever, args=(q,))
    process.start()
    q.get(timeout=SOON)
    q.put(1)
    try:
        for _ in range(10):
            os.kill(process.pid, signal.SIGSTOP)
            start = time.monotonic()
            try:
                q.put_nowait(1)
                q.get(timeout=0.05)
            except (queues.Empty, queues.Full):
                pass
            assert time.monotonic() - start < 2
            os.kill(process.pid, signal.SIGCONT)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
