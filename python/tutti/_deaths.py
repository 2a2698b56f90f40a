# SPDX-License-Identifier: MIT
"""What is known of a process that was killed, beyond what the arena knows: its signal, if it was our child."""

from __future__ import annotations

import re
import signal
from multiprocessing import process
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
