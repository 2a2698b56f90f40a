# SPDX-License-Identifier: MIT
"""Contexts, processes, and how they share one arena."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading

import pytest
from process_children import (
    Subclass,
    count_descriptors,
    start_another,
    take_and_exit,
    take_in_a_thread,
    tell,
    wait_for_ever,
    with_arguments,
)
from support import run, script, started, until

import tutti
from tutti import _tutti


# --- names ----------------------------------------------------------------------------------------------------


def test_exports_all_that_multiprocessing_does():
    assert set(multiprocessing.__all__) <= set(tutti.__all__)
    assert all(hasattr(tutti, name) for name in tutti.__all__)


def test_submodules():
    import tutti.managers
    import tutti.shared_memory

    assert tutti.managers.BaseManager is multiprocessing.managers.BaseManager
    assert tutti.shared_memory.SharedMemory


def test_contexts(ctx):
    method = ctx.get_start_method()
    assert type(ctx).__name__.lower().startswith(method)
    assert ctx.Process.__name__.lower().startswith(method)
    assert isinstance(ctx, multiprocessing.context.BaseContext)
    assert issubclass(ctx.Process, multiprocessing.process.BaseProcess)
    assert ctx.get_context() is ctx and ctx.get_context("fork") is tutti.get_context("fork")
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"):
        assert type(getattr(ctx, name)()) is getattr(tutti, name)
    assert type(ctx.Barrier(2)) is tutti.Barrier
    with pytest.raises(ValueError, match="cannot find context for 'thread'"):
        ctx.get_context("thread")


def test_default_context_can_be_set_once(tmp_path):
    output = script(
        tmp_path,
        """
        import multiprocessing, tutti

        def tell():
            print(tutti.get_start_method(), type(tutti.current_process()).__name__, flush=True)

        if __name__ == "__main__":
            tutti.set_start_method("spawn")
            try:
                tutti.set_start_method("fork")
            except RuntimeError as error:
                print(error, flush=True)
            process = tutti.Process(target=tell)
            process.start()
            process.join()
            print(process.exitcode, multiprocessing.get_start_method(), flush=True)
        """,
    )
    default = multiprocessing.get_start_method()
    assert output == f"context has already been set\nspawn Process\n0 {default}\n"


# --- a process ------------------------------------------------------------------------------------------------


def test_a_process_knows_its_method(ctx):
    told = ctx.Event()
    run(ctx, tell, told, ctx.get_start_method())
    assert told.is_set()


def test_subclass_of_process():
    event = tutti.Event()
    process = Subclass(event)
    process.start()
    process.join()
    assert process.exitcode == 0 and event.is_set()
    process.close()


def test_descriptors_are_equal_in_all_siblings(ctx):
    counts, barrier = ctx.RawArray("i", 5), ctx.Barrier(5)
    kept = [ctx.Lock() for _ in range(100)]
    processes = [ctx.Process(target=count_descriptors, args=(counts, i, barrier)) for i in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
        process.close()
    if ctx.get_start_method() != "fork":
        assert len(set(counts)) == 1
    assert max(counts) < 60 and len(kept) == 100  # none for each lock


def test_a_grandchild_whose_parent_is_gone(ctx):
    lock, event, pid = ctx.Lock(), ctx.Event(), ctx.RawValue("i", 0)
    with lock:
        process = ctx.Process(target=start_another, args=(ctx, lock, event, pid))
        process.start()
        process.join()
        process.close()
    try:
        assert event.wait(30)
    finally:
        until(lambda: not is_running(pid.value))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_everything_travels(ctx):
    shared = [ctx.Event(), ctx.Lock(), ctx.RLock(), ctx.Semaphore(), ctx.BoundedSemaphore(), ctx.Condition(), ctx.Barrier(2)]
    run(ctx, with_arguments, *shared)
    assert shared[0].is_set()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_into_processes_of_the_standard_library(method):
    standard = multiprocessing.get_context(method)
    event, lock = tutti.Event(), tutti.Lock()
    run(standard, with_arguments, event, lock)
    assert event.is_set()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_clean_exit_of_a_process_of_the_standard_library_is_no_death(method):
    lock = tutti.Lock()
    run(multiprocessing.get_context(method), take_and_exit, lock)
    assert lock.acquire(timeout=0.2) is False
    lock.release()


def test_threads_that_end_after_the_target_belong_to_a_clean_exit(ctx):
    lock, go = ctx.Lock(), ctx.Event()
    run(ctx, take_in_a_thread, lock, go)
    assert lock.locked()
    assert lock.acquire(timeout=0.2) is False
    lock.release()


def test_into_a_process_that_is_no_child_of_ours(tmp_path):
    lock = tutti.Lock(name="far")
    lock.acquire()
    text = pickle.dumps(lock).hex()
    output = script(
        tmp_path,
        f"""
        import pickle
        lock = pickle.loads(bytes.fromhex("{text}"))
        print(lock.locked(), lock.acquire(False))
        lock.release()
        import tutti
        print(tutti._tutti._is_member(tutti.Lock()._handle()))
        """,
    )
    assert output == "True False\nTrue\n"
    assert not lock.locked()


def test_an_arena_that_is_gone(tmp_path):
    text = script(
        tmp_path,
        """
        import pickle, tutti
        print(pickle.dumps(tutti.Lock()).hex())
        """,
    )
    with pytest.raises(FileNotFoundError, match="no running process"):
        pickle.loads(bytes.fromhex(text))


MAIN_MODULE = """
import sys
{prologue}
import tutti

lock = tutti.Lock()  # made again by each child's import of the main module

def look(other):
    with lock, other:
        maps = open("/proc/self/maps").read()
        arenas = {{line.split()[4] for line in maps.splitlines() if "/memfd:tutti" in line}}
        print(len(arenas), flush=True)

if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        process = tutti.get_context(method).Process(target=look, args=(lock,))
        process.start()
        process.join()
        process.close()
"""


def test_the_main_module_of_a_child_makes_its_objects_in_the_same_arena(tmp_path):
    assert script(tmp_path, MAIN_MODULE.format(prologue="")) == "1\n1\n"


def test_a_child_that_cannot_import_tutti_before_its_path_is_set(tmp_path):
    packages = os.path.dirname(os.path.dirname(tutti.__file__))
    output = script(tmp_path, MAIN_MODULE.format(prologue=f"sys.path.insert(0, {packages!r})"), "-S")
    assert output in ("1\n1\n", "2\n2\n", "2\n1\n")


def test_a_plain_fork_leaves_its_parents_locks(ctx):
    lock = tutti.RLock()
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        os._exit(lock._is_mine() or lock.acquire(False) or repr(lock) != "<RLock(SomeOtherProcess, nonzero)>")
    assert os.waitpid(pid, 0)[1] == 0
    lock.release()


def test_a_fork_beside_a_thread_that_waits():
    lock = tutti.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    pid = os.fork()
    if pid == 0:
        lock.release()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    thread.join(20)
    assert not thread.is_alive()
    lock.release()


def test_killed_children_leave_nothing(ctx):
    before = _tutti._arena_usage()["live_blocks"]
    for _ in range(3):
        ready = ctx.Event()
        with started(ctx, wait_for_ever, ready) as process:
            assert ready.wait(30)
            os.kill(process.pid, signal.SIGKILL)
        del ready, process
    until(lambda: (_tutti._arena_sweep(), _tutti._settle_forks(), _tutti._arena_usage()["live_blocks"])[2] == before)
