# SPDX-License-Identifier: MIT
"""Results in asyncio. Cancelling the await cancels the work, also what runs.

asyncio is imported by the first who awaits a result: each spawned worker imports this module.
"""

from __future__ import annotations

from multiprocessing.context import TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

_STEP = 0.25  # seconds after which a thread that waits for a result nobody wants any more lets go


async def outcome(result: Any, callbacks: Any) -> Any:
    """What the result's get() gives, once it is there: the thread that calls callbacks tells the loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def set_done() -> None:
        if not done.done():
            done.set_result(None)

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(set_done)
        except RuntimeError:  # the loop is closed: nobody waits
            pass

    callbacks.call_when_done(result, tell)
    try:
        await done
    except asyncio.CancelledError:
        result.cancel(running=True)
        raise
    return result.get()


async def next_of(stream: Any) -> Any:
    """The stream's next result. StopAsyncIteration at the end."""
    import asyncio

    loop = asyncio.get_running_loop()
    while True:
        try:
            while not await loop.run_in_executor(None, stream._wait, _STEP):
                pass
        except asyncio.CancelledError:
            stream._cancel(True)
            raise
        try:
            pair = stream._next_pair(0)
            break
        except TimeoutError:  # another task of the loop has taken what was there
            pass
    if pair is None:
        raise StopAsyncIteration
    if pair[1] is not None:
        raise pair[1]
    return pair[0]
