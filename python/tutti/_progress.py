# SPDX-License-Identifier: MIT
"""How far a call of map or imap has come: for ``progress=``."""

from __future__ import annotations

import importlib
import sys
import time
from multiprocessing.context import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

__all__: list[str] = []

_PAUSE = 0.1  # seconds between two updates of our line


class _Line:
    """A line on stderr that is written over, where tqdm is not installed. On a file: one line at the end."""

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._done = 0
        self._begun = self._shown = time.monotonic()

    def update(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown >= _PAUSE:
            self._shown = now
            self._show("\r")

    def close(self) -> None:
        self._show("\r" if sys.stderr.isatty() else "")
        sys.stderr.write("\n")
        sys.stderr.flush()

    def _show(self, start: str) -> None:
        seconds = max(time.monotonic() - self._begun, 1e-9)
        of_total = "" if self._total is None else f"/{self._total}"
        sys.stderr.write(f"{start}{self._done}{of_total} done, {self._done / seconds:.1f}/s")
        sys.stderr.flush()


class _Calls:
    """A callable that is told: (done, total)."""

    def __init__(self, call: Callable[[int, int | None], object], total: int | None) -> None:
        self._call = call
        self._total = total
        self._done = 0

    def update(self, count: int) -> None:
        self._done += count
        self._call(self._done, self._total)

    def close(self) -> None:
        pass


def reporter(progress: Any, total: int | None) -> Any:
    """An object with update() and close(), as tqdm's. TypeError."""
    if progress is True:
        try:
            progress = importlib.import_module("tqdm.auto").tqdm
        except ImportError:
            progress = _Line
    if isinstance(progress, type):
        return progress(total=total)
    if callable(progress):
        return _Calls(progress, total)
    raise TypeError(f"progress is True, a class such as tqdm, or a function of (done, total); not {progress!r}")


class Watched:
    """The results of a stream, each of which is reported."""

    def __init__(self, stream: Any, report: Any) -> None:
        self._stream = stream
        self._report: Any = report
        self._wait = stream._wait
        self._cancel = stream._cancel

    def _next_pair(self, timeout: float | None) -> Any:
        """As the stream's. The report ends with the results, or with what the inputs' iterator raises."""
        try:
            pair = self._stream._next_pair(timeout)
        except TimeoutError:
            raise
        except Exception:
            self._close()
            raise
        if pair is None:
            self._close()
        else:
            self._report.update(1)
        return pair

    def _close(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            report.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result. TimeoutError: not in time; ask again."""
        pair = self._next_pair(timeout)
        if pair is None:
            raise StopIteration
        if pair[1] is not None:
            raise pair[1]
        return pair[0]

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> Any:
        from tutti import _awaiting

        return await _awaiting.next_of(self)

    def all(self) -> list[Any]:
        """All results. The first exception is raised, when all have ended."""
        values, errors = [], []
        while (pair := self._next_pair(None)) is not None:
            values.append(pair[0])
            if pair[1] is not None:
                errors.append(pair[1])
        if errors:
            raise errors[0]
        return values
