# SPDX-License-Identifier: MIT
"""What is known of a process that was killed, beyond what the arena knows: its signal, its memory, why perhaps."""

from __future__ import annotations

import re
import signal
from collections import OrderedDict
from multiprocessing import process

from tutti import _tutti

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HELD = "You hold it now; the data it guards may be half changed: repair it, then go on."
_NOT_HELD = (
    "Nobody holds it now; the data it guards may be half changed. "
    "Enter by 'with lock.repairing() as died:', and repair it."
)


def explained(text: str, held: bool) -> str:
    """A text that names a killed process by its pid, with the signal if that is known."""
    if not held:
        text = text.replace(_HELD, _NOT_HELD)
    found = re.search(r"\bpid (\d+)\b", text)
    exitcode = _exitcode(int(found.group(1))) if found else None
    if exitcode is None or exitcode >= 0:
        return text
    try:
        by = f"killed by signal {-exitcode} ({signal.Signals(-exitcode).name})"
    except ValueError:
        by = f"killed by signal {-exitcode}"
    return text.replace("killed", by, 1)


def _exitcode(pid: int) -> int | None:
    # All that the program still has an object of, joined or not.
    children: Any = list(process._dangling)  # type: ignore[attr-defined]
    for child in children:
        popen = child._popen
        if popen is not None and popen.pid == pid:
            return popen.poll()  # type: ignore[no-any-return]
    return None


# --- memory ---------------------------------------------------------------------------------------------------

_KEPT = 256  # deaths that are remembered
_obituaries: OrderedDict[int, tuple[int, bool]] = OrderedDict()


class Watch:
    """Follows the memory of one process, whoever its parent is."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak = 0  # bytes; 0: not known
        self.noted = False  # its death was

    def look(self) -> None:
        """Asked now and then, and last before it is reaped. Of a child that has ended the system knows it exactly."""
        ended = _tutti._peak_of_ended(self._pid)
        if ended is None:  # not our child
            self.peak = max(self.peak, _peak_of_running(self._pid))
        elif ended > 0:
            self.peak = ended


def _peak_of_running(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def note(pid: int, peak: int, by_memory_killer: bool) -> None:
    """What will be asked for when the task of a dead worker is read."""
    _obituaries[pid] = (peak, by_memory_killer)
    while len(_obituaries) > _KEPT:
        _obituaries.popitem(last=False)


def obituary(pid: int) -> tuple[int | None, bool]:
    """Its highest use of memory in bytes, or None; and whether the out-of-memory killer was probably it."""
    peak, by_memory_killer = _obituaries.get(pid, (0, False))
    return peak or None, by_memory_killer
