# SPDX-License-Identifier: MIT
"""The pool of an executor: its workers start when there are calls for them, and fail as concurrent.futures has it."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import process as standard

from tutti import _failures, _tutti
from tutti.context import _Objects
from tutti.pool import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

_GLANCE = 0.002  # seconds between looks at whether a call has started

# Standard executors that fork either do it for each call that finds no idle worker, or, since they found that they have
# threads by then, for all workers at the first call. To see a worker in one and not in the other would be a difference.
_FORKS_AT_ONCE = hasattr(standard.ProcessPoolExecutor, "_launch_processes")


def refuse_fork(context: Any) -> None:
    """As the standard executor does it, for its own contexts: with Tutti's a forked worker can be replaced."""
    if not isinstance(context, _Objects) and context.get_start_method(allow_none=False) == "fork":
        raise ValueError(
            "max_tasks_per_child is incompatible with the 'fork' start method of multiprocessing: "
            "give a context of tutti, or another start method, as mp_context"
        )


class ExecutorPool(Pool):
    """A pool that grows up to its size, a worker for each call that finds no idle one."""

    _manner = _failures.OfExecutors
    _unsent = 0  # calls that could not be pickled: nothing came of them, but a worker was started for each
    _first: Any = None  # the first call, while somebody waits for it

    def _first_count(self) -> int:
        forks = self._ctx.get_start_method(allow_none=False) == "fork"
        return self._processes if forks and _FORKS_AT_ONCE else 0

    def _make_room(self, calls: int) -> None:
        """Sees to it that workers are there for so many calls more, before they are submitted."""
        crew = self._crew
        if crew.wanted < self._processes:
            wanted = self._unfinished() + self._unsent + calls
            if wanted > crew.wanted:
                crew.grow(self, wanted)

    def _submit(self, function: Any, arguments: Any, keywords: Any, options: dict[str, Any]) -> Any:
        self._make_room(1)
        try:
            task = self.apply_async(function, arguments, keywords, **options)
        except BaseException:
            self._unsent += 1
            raise
        if self._first is None:
            self._first = weakref.ref(task)
        return task

    def _cancel(self) -> None:
        """Cancels what has not started, but for the first call: the first worker was started to run that."""
        while not self._first_is_under_way():
            time.sleep(_GLANCE)
        self._cancel_waiting()

    def _first_is_under_way(self) -> bool:
        task = self._first and self._first()
        return task is None or task._has_started() or task.ready() or self._why_broken() is not None

    def _why_broken(self) -> str | None:
        try:
            self._tend()
        except (OSError, _tutti.Error):  # no worker can be started: whoever waits for a result is told
            return "no worker can be started"
        return self._crew.broken
