# SPDX-License-Identifier: MIT
"""What becomes of a task that its worker tells nothing of, as exceptions: of a death, a cancellation, a broken pool."""

from __future__ import annotations

from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

from tutti import _deaths, _functions, _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["WorkerDied"]


class WorkerDied(BrokenProcessPool):
    """The process that ran a task ended before the task did.

    It is this task's failure alone: the pool goes on with another worker. ``task`` is the function's name, ``pid``
    the process; ``signal`` is what killed it, or None, and then ``exitcode`` is what it ended with; ``peak_memory``
    the most that it had in memory at once, in bytes, or None if that is not known.
    """

    def __init__(
        self, text: str, task: str, pid: int, signal: int | None, exitcode: int | None, peak_memory: int | None = None
    ) -> None:
        super().__init__(text)
        self.task = task
        self.pid = pid
        self.signal = signal
        self.exitcode = exitcode
        self.peak_memory = peak_memory

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.task, self.pid, self.signal, self.exitcode, self.peak_memory)


class BrokenPool(_tutti.Error, BrokenProcessPool):
    """The pool cannot work: its initializer failed, or its workers end before they are ready."""


def worker_died(function: object, text: str, pid: int, code: int) -> WorkerDied:
    """``text``: the core's account; ``code``: the signal, or minus the exit code."""
    name = _functions.name_of(function)
    how = text.partition(": ")[2] or text
    peak, by_memory_killer = _deaths.obituary(pid)
    if peak is not None:
        how = f"{how.rstrip('.')}. It had {peak / 1e6:.0f} MB in memory at most."
    if by_memory_killer:
        how += " It was probably the out-of-memory killer."
    return WorkerDied(f"task {name}(): {how}", name, pid, code if code > 0 else None, -code if code <= 0 else None, peak)


def cancelled(text: str) -> BaseException:
    return CancelledError(text)


def broken(text: str) -> BaseException:
    return BrokenPool(text)


def failed(text: str) -> BaseException:
    return _tutti.Error(text)
