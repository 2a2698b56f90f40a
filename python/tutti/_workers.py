# SPDX-License-Identifier: MIT
"""The processes of a pool, as their owner keeps so many of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from multiprocessing import connection, forkserver, resource_tracker

from tutti import _deaths, _fork_server, _machine, _popen, _sharing, _tutti, _worker
from tutti import context as tutti_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

__all__: list[str] = []

_MOMENT = 1.0  # seconds for another thread to have started a worker
_SERVERS = 3  # fork servers that are asked for a worker, if each ends before it answers
_PATIENCE = 5.0  # seconds that a worker has to end after SIGTERM
# Seconds between looks at that, at first and later.
_GLANCE, _LONG_GLANCE = 0.0002, 0.01


def _helpers(worker: Any) -> Any:
    """Starts what is started once along with a process, and would have Ctrl-C held back for ever."""
    method = getattr(worker, "_start_method", None)
    if method == "forkserver" and isinstance(worker, tutti_context.ForkServerProcess):
        _fork_server.server.ensure_running()
        return _fork_server.several()
    if method in ("spawn", "forkserver"):
        resource_tracker.ensure_running()
    if method == "forkserver":
        forkserver.ensure_running()
    return contextlib.nullcontext()


def _start(worker: Any) -> None:
    """With Ctrl-C held back until it has said that it does not want it."""
    held = _tutti._hold_interrupts()
    try:
        worker.start()
    finally:
        if not held:
            _tutti._release_interrupts()


def _exit_code(worker: Any) -> int | None:
    """None: it runs. A program that waits for all its children, or ignores SIGCHLD, has taken it away from us."""
    code: int | None = worker.exitcode
    if code is None and getattr(worker._popen, "method", None) in ("fork", "spawn"):  # a child of this process
        try:
            os.kill(worker.pid, 0)
        except ProcessLookupError:
            return _popen.UNKNOWN if worker.exitcode is None else worker.exitcode
    return code


def _doze(worker: Any, seconds: float) -> None:
    """Lets so much time pass, or less if it ends."""
    if getattr(worker._popen, "method", None) == "forkserver":
        connection.wait([worker.sentinel], seconds)  # the server's to close
    else:  # a child of its may hold its sentinel open, and a worker that has closed its descriptors has closed it, too
        _tutti._await_end(worker.pid, seconds)


class Crew:
    """The workers of one pool, started, watched and replaced. ``wanted``: how many there are to be, of the places."""

    def __init__(self, context: Any, count: int, task: tuple[Any, ...], daemon: bool, wanted: int) -> None:
        self.processes: list[Any] = [None] * count
        self.wanted = wanted
        self.broken: str | None = None  # why nobody is started any more
        self._context = context
        self._task = task  # the manner, initializer, its arguments, tasks for each worker, whether results may travel by value
        self._daemon = {"daemon": True} if daemon else {}
        self._condemned: set[int] = set()
        self._watches: list[Any] = [None] * count
        self._memory_kills = 0
        self._tending = threading.Lock()
        self._ending = False

    def start(self, pool: Any) -> None:
        with self._tending:
            # Before the first fork, after which each page that it writes to would be copied.
            self._memory_kills = _machine.count_memory_kills()
            self._start_all(pool, range(self.wanted))

    def _start_all(self, pool: Any, places: Iterable[int]) -> None:
        """Starts workers. ChildProcessError: one fork server after the other has ended instead."""
        missing = list(places)
        for _ in range(_SERVERS - 1):
            address, missing = self._start_each(pool, missing)
            if not missing:
                return
            _fork_server.server.await_end(address)
        if self._start_each(pool, missing)[1]:
            raise ChildProcessError(
                f"{_SERVERS} fork servers, one after the other, have ended without starting the workers that they were "
                "asked for. What was printed before may say why; other start methods need no server."
            )

    def _start_each(self, pool: Any, places: list[int]) -> tuple[str | None, list[int]]:
        """Starts workers, one right after the other. The fork server, and the places of those that it ended before.

        After each fork this process copies, one by one, the pages that it writes to, which are nearly all that it uses: so
        there is as little as possible between two.
        """
        workers = [(index, self._new(pool, index)) for index in places]
        started: list[int] = []
        untold: list[int] = []
        try:
            with _helpers(workers[0][1]) if workers else contextlib.nullcontext():
                for index, worker in workers:
                    self._begin(pool, index)
                    _start(worker)
                    self.processes[index] = worker
                    started.append(index)
        except _fork_server.Ended:
            pass
        finally:
            address = _fork_server.server.address  # if it has ended meanwhile, asking has started another
            untold = self._watch(started)
        return address, untold + places[len(started) :]

    def _begin(self, pool: Any, index: int) -> None:
        """Makes a place free. One whose pid was never told may have taken a task before it ended."""
        try:
            pool._worker_begin(index)
        except ValueError as error:
            deadline = time.monotonic() + _PATIENCE
            while not self._settle(pool, index, _popen.UNKNOWN):
                if time.monotonic() > deadline:
                    raise ChildProcessError("a worker of a fork server that has ended is still there") from error
                time.sleep(_LONG_GLANCE)
            pool._worker_begin(index)

    def _settle(self, pool: Any, index: int, code: int) -> bool:
        """Tells the pool of a worker's end. False: it cannot yet see what that leaves."""
        try:
            return bool(pool._worker_ended(index, code))
        except _tutti.Error as error:  # the pool is broken: who waits is told
            self._ending, self.broken = True, str(error)
            return True

    def _watch(self, places: list[int]) -> list[int]:
        """The places of those whose pid the fork server has not told before it ended."""
        untold = []
        for index in places:
            try:
                self._watches[index] = _deaths.Watch(self.processes[index].pid)
            except EOFError:
                self.processes[index].close()  # and so its pipe: one that was started all the same ends
                self.processes[index] = None
                untold.append(index)
        return untold

    def _new(self, pool: Any, index: int) -> Any:
        place = _sharing.TravellingHandle(pool._handle())
        worker = self._context.Process(target=_worker.run, args=(place, index, *self._task), **self._daemon)
        worker.name = worker.name.replace("Process", "PoolWorker")
        return worker

    def grow(self, pool: Any, wanted: int) -> None:
        """Has so many workers from now on, as far as there are places."""
        self.wanted = min(max(self.wanted, wanted), len(self.processes))
        if self._tending.acquire(timeout=_MOMENT):  # else they are started by whoever tends it next
            try:
                self._fill(pool)
            finally:
                self._tending.release()

    def end_condemned(self, pool: Any) -> None:
        """Kills those whose tasks were cancelled."""
        self.tend(pool, _MOMENT)  # else whoever tends it next does that

    def tend(self, pool: Any, patience: float = 0) -> None:
        """Tells the pool which workers have ended, and starts others. While another thread is at it: nothing.

        ``patience``: seconds to wait for that thread.
        """
        if not self._tending.acquire(timeout=patience):
            return
        try:
            for index, worker in enumerate(self.processes):
                if worker is not None:
                    self._tend_one(pool, index, worker)
            self._fill(pool)
        finally:
            self._tending.release()

    def _fill(self, pool: Any) -> None:
        """Starts what is missing. What cannot be started now is tried again; it is an error if there is no other."""
        missing = [index for index, worker in enumerate(self.processes[: self.wanted]) if worker is None]
        if missing and not self._ending:
            try:
                self._start_all(pool, missing)
            except OSError:
                if not any(self.processes):
                    raise

    def _note_death(self, index: int, worker: Any, code: int) -> None:
        """For the text of its task's failure, before that can be read."""
        by_memory_killer = False
        if code == -signal.SIGKILL and index not in self._condemned:
            kills = _machine.count_memory_kills()
            by_memory_killer = kills > self._memory_kills
            self._memory_kills += by_memory_killer  # the next one is for another worker
        _deaths.note(worker.pid, self._watches[index].peak, by_memory_killer)

    def _tend_one(self, pool: Any, index: int, worker: Any) -> None:
        if worker._popen.returncode is None:
            self._watches[index].look()
        code = _exit_code(worker)
        if code is None:
            if pool._worker_condemned(index):
                self._condemned.add(index)
                worker.kill()
            return
        if code != 0 and not self._watches[index].noted:
            self._watches[index].noted = True
            self._note_death(index, worker, code)
        if not self._settle(pool, index, code):
            return
        worker.join()
        self._condemned.discard(index)
        self.processes[index] = None

    def end(self) -> None:
        """Nobody is replaced any more."""
        with self._tending:
            self._ending = True

    def join(self, pool: Any) -> None:
        """Waits for those that end by themselves."""
        self.end()
        while True:
            worker = next((worker for worker in self.processes if worker is not None), None)
            if worker is None:
                return
            worker.join()
            self.tend(pool)

    def kill(self, pool: Any) -> None:
        """Ends them all, at once."""
        self.abandon()
        self.join(pool)

    def abandon(self) -> None:
        """The same for a pool that is gone."""
        self.end()
        running = [worker for worker in self.processes if worker is not None]
        for worker in running:
            if worker.exitcode is None:
                worker.terminate()
        deadline = time.monotonic() + _PATIENCE
        for worker in running:
            pause = _GLANCE
            while _exit_code(worker) is None and time.monotonic() < deadline:
                _doze(worker, pause)
                pause = min(2 * pause, _LONG_GLANCE)
            if _exit_code(worker) is None:
                worker.kill()
            worker.join()


def report(error: BaseException) -> None:
    """An exception that nobody waits for, such as a callback's."""
    arguments = threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    if sys.is_finalizing():
        return
    threading.excepthook(arguments)
