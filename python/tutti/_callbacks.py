# SPDX-License-Identifier: MIT
"""Calls that are made when a result is there: those of the user, and those of futures and of asyncio."""

from __future__ import annotations

import bisect
import functools
import itertools
import threading
import time

from tutti import _tutti, _workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Tuple

    # In the order of submission, in which calls start: its number, a serial number, the result, what is to be called.
    _Entry = Tuple[int, int, Any, Callable[[], object]]

__all__: list[str] = []

_PAUSE = 0.01  # seconds between looks of the thread that makes the calls
_LONG_PAUSE = 0.2  # the same where it is woken by what it waits for, but for what comes to that


def _call_back(result: Any, callback: Any, error_callback: Any) -> None:
    """Calls what belongs to a result, and only then lets those go on who wait for it."""
    try:
        error = result._error
        if error is None and callback is not None:
            callback(result._value)
        elif isinstance(error, Exception) and error_callback is not None:
            error_callback(error)
    finally:
        result._called.set()


def _report_errors(call: Callable[[], object]) -> None:
    """What a callback raises is printed, and the others are called all the same."""
    try:
        call()
    except BaseException as error:
        _workers.report(error)


class Callbacks:
    """Calls what is to be called when a result is there, in a thread that lives while there is such a result."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._waiting: list[_Entry] = []
        self._serial = itertools.count()
        self._in_order = True  # calls start in the order of their submission: none of those that wait has a priority
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, result: Any, callback: Any, error_callback: Any) -> None:
        """Who waits for the result waits until these were called."""
        result._called = threading.Event()
        try:
            self.call_when_done(result, functools.partial(_call_back, result, callback, error_callback))
        except BaseException:
            result._called = None
            raise

    def call_when_done(self, result: Any, call: Callable[[], object]) -> None:
        """Nobody waits for this call. RuntimeError: the system has no thread left."""
        entry = (getattr(result, "_number", 0), next(self._serial), result, call)
        with self._lock:
            self._in_order = self._in_order and not getattr(result, "_priority", 0)
            bisect.insort(self._waiting, entry)
            if self._thread is None:
                self._start(entry)
                return
            is_awake = threading.get_ident() == self._thread.ident  # a callback that submits
        if not is_awake:
            self._pool._wake()  # it waits for others only

    def _start(self, entry: _Entry) -> None:
        """With the lock."""
        thread = threading.Thread(target=self._run, name="tutti-callbacks", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._waiting.remove(entry)
            raise
        self._thread = thread

    def watch(self, future: Any) -> None:
        """Has the ``_finish`` of a future called when its task is done."""
        self.call_when_done(future._task, future._finish)

    def _first(self) -> list[_Entry]:
        """The oldest ones, or all if a later one may be done before them. Empty: the thread ends."""
        with self._lock:
            if not self._waiting:
                self._thread = None
                self._in_order = True
            return self._waiting[: self._pool._processes + 64 if self._in_order else None]

    def _run(self) -> None:
        while True:
            try:
                if not self._run_some():
                    return
            except ReferenceError:  # the pool is gone, and so is all that waited
                return
            except Exception:  # a worker that cannot be started, a broken pool: the results say so
                time.sleep(_PAUSE)

    def _run_some(self) -> bool:
        """False: nothing is waited for any more."""
        woken = self._pool._woken  # before the look at what is waited for
        entries = self._first()
        if entries:
            done = [entry for entry in entries if entry[2]._is_done()]
            for entry in done:
                with self._lock:
                    self._waiting.remove(entry)
                _report_errors(entry[3])
            if not done:
                self._wait(entries, woken)
        return bool(entries)

    def _wait(self, entries: list[_Entry], woken: int) -> None:
        tasks = [entry[2] for entry in entries if isinstance(entry[2], _tutti.Task)]
        others = len(tasks) < len(entries)
        if tasks:
            self._pool._wait_any(tasks, _PAUSE if others else _LONG_PAUSE, woken)
        else:
            entries[0][2]._collect(_PAUSE)

    def join(self) -> None:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
