# SPDX-License-Identifier: MIT
"""Tasks and initializers that do what they should not. Imported by each worker, so without pytest."""

import os
import resource
import signal
import sys
import threading

hoard = []


def close_descriptors(_=None):
    os.closerange(0, 1 << 12)
    return "closed"


# --- forks ----------------------------------------------------------------------------------------------------


def fork_and_return(_=None):
    """Both the worker and its child come back from this."""
    os.fork()
    return os.getpid()


def fork_and_raise():
    if os.fork() == 0:
        raise RuntimeError("the child's")
    return os.getpid()


def fork_and_exit():
    if os.fork() == 0:
        sys.exit(0)
    return os.getpid()


def fork_at_first(path):
    """Once: the child that comes back dies in the first call that it gets."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        if os.getpid() != workers_pid:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()
    globals()["workers_pid"] = os.getpid()
    os.fork()
    return os.getpid()


workers_pid = 0


def leave_a_child(seconds):
    """The child lives on, with all that the worker has."""
    pid = os.fork()
    if pid == 0:
        threading.Event().wait(seconds)
        os._exit(0)
    return pid


# --- room -----------------------------------------------------------------------------------------------------


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fill(path):
    with open(path, "wb") as file:
        while True:
            file.write(bytes(1 << 16))


def limit_memory(more):
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def eat():
    while True:
        hoard.append(bytearray(1 << 20))


def enter_group(path):
    """From now on what this process uses counts for that control group."""
    with open(f"{path}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def eat_and_use():
    while True:
        hoard.append(b"x" * (1 << 20))


def eat_all():
    """Down to the last kilobyte, and keeps it."""
    size = 1 << 22
    while size >= 1 << 10:
        try:
            hoard.append(bytearray(size))
        except MemoryError:
            size //= 2
    return "full"


def give_back():
    hoard.clear()


def large(size):
    return bytes(size)


# --- values ---------------------------------------------------------------------------------------------------


def itself():
    return itself


def list_of_itself():
    found = [1]
    found.append(found)
    return found


def nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def exhaust_the_stack():
    sys.setrecursionlimit(1 << 30)

    def again(_=None):
        return sorted([1, 2], key=again)  # through C, whose stack ends before Python's limit

    return again()


# --- initializers and signals ---------------------------------------------------------------------------------


def hang(ready=None):
    if ready is not None:
        ready.release()
    threading.Event().wait()


def hang_if_first(turns):
    if turns.acquire(block=False):
        threading.Event().wait()


def ignore_sigterm_and_hang(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(ready)


def print_without_stdout():
    sys.stdout.close()
    print("nobody sees this")
