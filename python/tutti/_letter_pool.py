# SPDX-License-Identifier: MIT
"""multiprocessing.pool.Pool, to the letter: what stands in its place.

Programs derive from Pool and replace its inside (its queues, its worker's function). That inside is the standard
library's: a class that was derived has it. So has a pool with a context that is none.
"""

from __future__ import annotations

from multiprocessing import context as standard_context
from multiprocessing import pool as standard

from tutti import pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Pool"]


class _CorePool(pool.Pool):
    _daemonic = True
    _travels_by_value = False


class _EitherPool(type):
    """isinstance() holds for both kinds."""

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or (cls is Pool and isinstance(instance, _CorePool))


class Pool(standard.Pool, metaclass=_EitherPool):
    """Class which supports an async version of applying functions to arguments."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        context = keywords.get("context", arguments[4] if len(arguments) > 4 else None)
        if cls is not Pool or not isinstance(context, (standard_context.BaseContext, type(None))):
            return super().__new__(cls)
        keywords["context"] = context or standard_context._default_context.get_context()
        return _CorePool(*arguments[:4], **keywords)
