# SPDX-License-Identifier: MIT
"""Says which part of an object cannot be pickled.

``explain(object, error)`` is called by the extension after pickling failed. It pickles the parts one by
one, from the outside in, and names the path to the innermost part that fails: ``args[1].callback``.
"""

from __future__ import annotations

import copyreg
import pickle
from multiprocessing.reduction import ForkingPickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional

_TRIES = 500  # parts that are tried before the search gives up
_DEPTH = 20

_EXPLAINED = (TypeError, AttributeError, pickle.PicklingError)


class _Search:
    def __init__(self) -> None:
        self.tries = _TRIES

    def fails(self, part: Any) -> Optional[Exception]:
        self.tries -= 1
        try:
            ForkingPickler.dumps(part)
        except Exception as error:
            return error
        return None

    def innermost(self, part: Any, path: str, depth: int) -> tuple[Any, str]:
        """The innermost part that fails, and its path."""
        for name, child in _children(part):
            if self.tries <= 0 or depth == 0:
                break
            if self.fails(child) is not None:
                return self.innermost(child, path + name, depth - 1)
        return part, path


def _reduced(part: Any) -> Any:
    """What pickle would make of an instance: a tuple, or None if that fails."""
    registered: Any = ForkingPickler
    reducer = registered._extra_reducers.get(type(part)) or copyreg.dispatch_table.get(type(part))
    try:
        value = reducer(part) if reducer else part.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
    except Exception:
        return None
    return value if isinstance(value, tuple) else None


def _children(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict) and type(part) is dict:
        for key, value in part.items():
            yield f"[{key!r:.60}]", value
        for key in part:
            yield f"<key {key!r:.60}>", key
    elif type(part) in (list, tuple, set, frozenset):
        for index, value in enumerate(part):
            yield f"[{index}]", value
    elif not isinstance(part, type) and not callable(part):
        yield from _children_of_instance(part)


def _children_of_instance(part: Any) -> Iterator[tuple[str, Any]]:
    reduced = _reduced(part)
    if reduced is None:
        return
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        yield from ((f".{name}", value) for name, value in state[1].items())  # __slots__
        state = state[0]
    if isinstance(state, dict):
        yield from ((f".{name}", value) for name, value in state.items())
    if isinstance(reduced[1], tuple):
        yield from ((f".args[{index}]", value) for index, value in enumerate(reduced[1]))


def explain(obj: Any, error: Exception) -> Exception:
    """The exception to raise instead of `error`; `error` itself where nothing can be added."""
    kind = type(error)
    if kind not in _EXPLAINED:
        return error
    search = _Search()
    part, path = search.innermost(obj, "", _DEPTH)
    try:
        shown = f"{part!r:.120}"
    except Exception:
        shown = f"a {type(part).__name__}"
    where = f" ({path.lstrip('.')})" if path else ""
    advice = "" if not callable(part) else " Use a function or class at the top level of a module."
    better: Exception = kind(f"cannot send {shown}: it cannot be pickled{where}: {error}.{advice}")
    better.__cause__ = error
    return better
