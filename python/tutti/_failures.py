# SPDX-License-Identifier: MIT
"""How a worker tells of what went wrong, as exceptions: in the way of multiprocessing.pool, or of concurrent.futures.

A class each, which the worker's owner names: what is ``caught`` becomes the call's outcome, anything else ends the
worker; a ``failure`` is an exception as it travels, with the text of its traceback, which becomes its cause;
``unsendable`` is for a result that cannot be pickled. What only a failure needs is imported by the first one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []


class OfPools:
    caught: type[BaseException] = Exception

    @staticmethod
    def failure(error: BaseException) -> Any:
        if error.__traceback__ is None:
            return error
        from multiprocessing import pool as standard

        return standard.ExceptionWithTraceback(error, error.__traceback__)  # type: ignore[attr-defined]

    @staticmethod
    def unsendable(error: BaseException, value: object) -> BaseException:
        from multiprocessing import pool as standard

        try:
            return standard.MaybeEncodingError(error, value)  # type: ignore[attr-defined, no-any-return]
        except Exception:  # its own repr() may raise
            return standard.MaybeEncodingError(error, f"<{type(value).__name__}>")  # type: ignore[attr-defined, no-any-return]

    @staticmethod
    def report_initializer(error: Exception) -> None:
        import traceback

        traceback.print_exc()


class OfExecutors:
    caught: type[BaseException] = BaseException

    @staticmethod
    def failure(error: BaseException) -> Any:
        from concurrent.futures import process

        if error.__traceback__ is None:
            return error
        return process._ExceptionWithTraceback(error, error.__traceback__)

    @staticmethod
    def unsendable(error: BaseException, value: object) -> BaseException:
        return error

    @staticmethod
    def report_initializer(error: Exception) -> None:
        from concurrent.futures import _base

        _base.LOGGER.critical("Exception in initializer:", exc_info=True)
