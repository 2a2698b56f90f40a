# SPDX-License-Identifier: MIT
"""What the machine, and the control groups that this process is in, allow and count."""

from __future__ import annotations

import os

__all__: list[str] = []

_ROOT = "/sys/fs/cgroup"
_PART = 65536  # bytes of a file that are read at once
_MOST_WORKERS = 256  # of one pool: TUTTI__WORKERS_MAX


def default_count() -> int:
    """How many workers a pool has: as many as this process may use CPUs, by its affinity and its control groups' quotas."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in map(_quota, _control_groups()) if quota is not None]
    return max(1, min(count, _MOST_WORKERS, *quotas))


def _control_groups() -> list[str]:
    """The folders of this process's group and of those above it, each of which may have a limit."""
    groups = os.fsdecode(_text("/proc/self/cgroup")).splitlines()
    own = next((line[3:].strip() for line in groups if line.startswith("0::")), "/")
    parts = [part for part in own.split("/") if part and part != ".."]
    return ["/".join([_ROOT, *parts[:count]]) for count in range(len(parts), -1, -1)]


def _quota(group: str) -> int | None:
    """CPUs by the group's quota, rounded up; None: it has none, or it cannot be read."""
    try:
        with open(f"{group}/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return None


def count_memory_kills() -> int:
    """How often the out-of-memory killer has killed, by the system's count and our control group's."""
    return max(_counter("/proc/vmstat"), _counter(f"{_control_groups()[0]}/memory.events"))


def _counter(path: str) -> int:
    _, _, count = _text(path).partition(b"\noom_kill ")
    return int(count.split(None, 1)[0]) if count else 0


def _text(path: str) -> bytes:
    """All of a small file, empty if it cannot be read: less work than with a file object, for each new pool."""
    text = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return text
    try:
        while part := os.read(descriptor, _PART):
            text += part
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return text
