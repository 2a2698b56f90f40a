# SPDX-License-Identifier: MIT
"""Functions as they travel to a worker, and what runs around them there."""

from __future__ import annotations

import importlib
import pickle
import resource
from multiprocessing.reduction import ForkingPickler
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

__all__: list[str] = []

UNPICKLABLE = (TypeError, AttributeError, pickle.PicklingError)
_REMEDY = " With cloudpickle installed, lambdas, local functions and local classes travel by value."


def name_of(function: object) -> str:
    """For texts."""
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__name__


# --- by value -------------------------------------------------------------------------------------------------


class ByValue:
    """Something that pickle finds nowhere by name: it travels as what it consists of, and arrives as itself."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self.__qualname__ = name_of(value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._value(*arguments, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (_cloudpickle().dumps(self._value),)


class _Frozen(ByValue):
    """The same for many calls at once: it is what it was at the first."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self._reduced = super().__reduce__()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def _cloudpickle() -> Any:
    return importlib.import_module("cloudpickle")


def of_many_calls(function: Any) -> Any:
    """A lambda or local function for a call of map; another function as it is."""
    if not isinstance(function, FunctionType) or "<" not in function.__qualname__:
        return function
    try:
        return _Frozen(function)
    except Exception:  # no cloudpickle, or it cannot either: the usual way says what is wrong
        return function


def _portable(value: Any) -> Any:
    try:
        ForkingPickler.dumps(value)
    except UNPICKLABLE:
        return ByValue(value)
    return value


def call_by_value(call: tuple[Any, Any, Any], error: Exception) -> tuple[Any, Any, Any]:
    """For a call (function, arguments, form) that pickle refuses, by `error`: the same with what it refuses by value."""
    function, arguments, form = call
    _check_remedy(error)
    if isinstance(form, dict):
        form = {name: _portable(value) for name, value in form.items()}
    return _portable(function), tuple(_portable(value) for value in arguments), form


def by_value(value: Any, error: Exception) -> ByValue:
    """For one object that pickle refuses."""
    _check_remedy(error)
    return ByValue(value)


def _check_remedy(error: Exception) -> None:
    """Raises the error where there is none."""
    if not isinstance(error, UNPICKLABLE):
        raise error
    try:
        _cloudpickle()
    except ImportError:
        raise _with_remedy(error) from error.__cause__


def _with_remedy(error: Exception) -> Exception:
    return type(error)(str(error) + _REMEDY)


# --- with options ---------------------------------------------------------------------------------------------


class _Around:
    """A function with something around it. For texts it has the function's name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__qualname__ = name_of(function)


class _Retried(_Around):
    """Called again when it raises certain exceptions, as often as its retries allow."""

    def __init__(self, function: Callable[..., Any], retries: int, retry_on: Any) -> None:
        super().__init__(function)
        self._retries = retries
        self._retry_on = retry_on

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        from tutti import _worker

        left = self._retries - _worker.deaths_before()
        while True:
            try:
                return self._function(*arguments, **keywords)
            except self._retry_on:
                if left <= 0:
                    raise
                left -= 1


class _Limited(_Around):
    """May add so many bytes to what its process has allocated."""

    def __init__(self, function: Callable[..., Any], memory: int) -> None:
        super().__init__(function)
        self._memory = memory

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        most = _private_bytes() + self._memory
        if before[0] != resource.RLIM_INFINITY:
            most = min(most, before[0])
        resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
        try:
            return self._function(*arguments, **keywords)
        except MemoryError as error:
            raise MemoryError(f"{self.__qualname__}() needed more than its memory={self._memory} bytes") from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _private_bytes() -> int:
    """What RLIMIT_DATA counts: the heap and private writable mappings. Shared memory, as the arena, is none."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def with_options(function: Any, retries: int, retry_on: Any, memory: Any) -> Any:
    """A function that is run with `retry_on` and `memory`, where they are not None. TypeError, ValueError."""
    if memory is not None:
        if not isinstance(memory, int) or memory < 1:
            raise ValueError(f"memory is a number of bytes above 0, or None; not {memory!r}")
        function = _Limited(function, memory)
    if retry_on is not None:
        kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise TypeError(f"retry_on is a class of exceptions, or a tuple of such classes; not {retry_on!r}")
        function = _Retried(function, retries, kinds)
    return function
