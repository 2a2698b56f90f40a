# SPDX-License-Identifier: MIT
from multiprocessing import (
    Array as Array,
    AuthenticationError as AuthenticationError,
    BufferTooShort as BufferTooShort,
    Manager as Manager,
    ProcessError as ProcessError,
    RawArray as RawArray,
    RawValue as RawValue,
    TimeoutError as TimeoutError,
    Value as Value,
    active_children as active_children,
    allow_connection_pickling as allow_connection_pickling,
    cpu_count as cpu_count,
    current_process as current_process,
    freeze_support as freeze_support,
    get_logger as get_logger,
    log_to_stderr as log_to_stderr,
    parent_process as parent_process,
    reducer as reducer,
    set_executable as set_executable,
    set_forkserver_preload as set_forkserver_preload,
)
from typing import Any, Callable, Literal, overload

from tutti import context as context
from tutti import synchronize as synchronize
from tutti._tutti import (
    AbandonedLockError as AbandonedLockError,
    Error as Error,
    ShutDown as ShutDown,
    StaleHandleError as StaleHandleError,
    __version__ as __version__,
)
from tutti.connection import PipeEnd
from tutti.context import Process as Process
from tutti.futures import ProcessPoolExecutor as ProcessPoolExecutor, WorkerDied as WorkerDied
from tutti.pool import Pool as _Pool
from tutti.queues import JoinableQueue as JoinableQueue, Queue as Queue, SimpleQueue as SimpleQueue
from tutti.synchronize import (
    Barrier as Barrier,
    BoundedSemaphore as BoundedSemaphore,
    Condition as Condition,
    Event as Event,
    Lock as Lock,
    RLock as RLock,
    Semaphore as Semaphore,
)

__all__ = [
    "AbandonedLockError",
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Error",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "ProcessPoolExecutor",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "ShutDown",
    "SimpleQueue",
    "StaleHandleError",
    "TimeoutError",
    "Value",
    "WorkerDied",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

def Pool(
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Any = (),
    maxtasksperchild: int | None = None,
    *,
    name: str | None = None,
) -> _Pool: ...
def install() -> None: ...
def Pipe(duplex: bool = True, *, name: str | None = None) -> tuple[PipeEnd, PipeEnd]: ...

SUBDEBUG: int
SUBWARNING: int

@overload
def get_context(method: None = None) -> context.DefaultContext: ...
@overload
def get_context(method: Literal["fork"]) -> context.ForkContext: ...
@overload
def get_context(method: Literal["spawn"]) -> context.SpawnContext: ...
@overload
def get_context(method: Literal["forkserver"]) -> context.ForkServerContext: ...
@overload
def get_context(method: str) -> context.BaseContext: ...
def get_all_start_methods() -> list[str]: ...
@overload
def get_start_method(allow_none: Literal[False] = False) -> str: ...
@overload
def get_start_method(allow_none: bool) -> str | None: ...
def set_start_method(method: str | None, force: bool = False) -> None: ...
