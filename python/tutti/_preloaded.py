# SPDX-License-Identifier: MIT
"""Imported by the fork server, before it starts processes: what these would import one by one."""

from __future__ import annotations

import gc
import multiprocessing.resource_sharer

import tutti.pool
from tutti import _fork_server, connection, context, queues, synchronize

__all__: list[str] = []

context._force_start_method("forkserver")  # for what the main module starts, if it starts something

_fork_server.preload_main()
gc.collect()
gc.freeze()  # so that a child that collects does not write into, and so copy, what it shares with the server
