# SPDX-License-Identifier: MIT
"""The workers of the joblib backend: how they start, and what they run.

They are fresh interpreters that never import the main module, as joblib's own: a script needs no guard, and functions
and classes of its main module travel by value. This module imports no joblib, and so no numpy, which a worker may do only
after its environment is set.
"""

from __future__ import annotations

import os
import pickle
import types
from multiprocessing import pool as standard
from multiprocessing import popen_spawn_posix, spawn
from typing import Any, List, Sequence, Tuple, Union

from tutti import _fork_server, _popen, context

__all__: list[str] = []

_LARGE = 1 << 16  # bytes of an array that travels beside the pickle, and is copied once


# --- how they start -------------------------------------------------------------------------------------------


def _data_without_main(name: str) -> dict[str, Any]:
    data = spawn.get_preparation_data(name)
    data.pop("init_main_from_name", None)
    data.pop("init_main_from_path", None)
    return data


class _WithoutMain(popen_spawn_posix.Popen):
    _launch: Any = _fork_server.with_others(
        popen_spawn_posix.Popen,
        "_launch",
        popen_spawn_posix,
        spawn=types.SimpleNamespace(**{**vars(spawn), "get_preparation_data": _data_without_main}),
    )


class _Popen(_popen._Pickling, _WithoutMain):
    pass


class Process(context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return context._start(_Popen, process_obj)


class Context(context.SpawnContext):
    Process = Process


# --- what travels ---------------------------------------------------------------------------------------------

PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))  # is the same by value and by cloudpickle

# A list of what is plain, or what else it was, as cloudpickle has it, with its large buffers.
Packed = Union[List[Any], Tuple[bytes, Sequence[Any]]]


def cloudpickle() -> Any:
    """The one that joblib uses: some versions bring their own."""
    try:
        import cloudpickle
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle


def pack(value: Any) -> Packed:
    """By value what loky sends by value; what is large stands beside it, and is copied once."""
    beside: list[pickle.PickleBuffer] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _LARGE:
            return True
        beside.append(buffer)
        return False

    return cloudpickle().dumps(value, protocol=5, buffer_callback=keep_inside), beside


def unpack(packed: Packed) -> Any:
    return packed if isinstance(packed, list) else pickle.loads(packed[0], buffers=packed[1])


# --- what they run --------------------------------------------------------------------------------------------


def begin(environment: dict[str, str], initializer: Packed) -> None:
    """The first that a worker does. ``initializer``: the user's, with its arguments."""
    os.environ.update(environment)
    function, arguments = unpack(initializer)
    if function is not None:
        function(*arguments)


_backends: dict[int, Any] = {}


def _backend(nesting_level: int) -> Any:
    """The one that the calls come from."""
    if nesting_level not in _backends:
        from tutti import joblib

        joblib.register()
        _backends[nesting_level] = joblib.Backend(nesting_level=nesting_level)
    return _backends[nesting_level]


def run(calls: Packed, nesting_level: int) -> Packed:
    """The results of a batch of calls; or the exception that one of them raised."""
    from joblib.parallel import BatchedCalls

    nested = _backend(nesting_level).get_nested_backend()
    try:
        results = BatchedCalls(unpack(calls), nested)()
        return results if all(type(result) in PLAIN for result in results) else pack(results)
    except Exception as error:
        return pack(standard.ExceptionWithTraceback(error, error.__traceback__))  # type: ignore[attr-defined]
