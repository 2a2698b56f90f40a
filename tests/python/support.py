# SPDX-License-Identifier: MIT
"""What the tests call: processes that never outlive them, and waiting for a condition with a deadline."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time


def until(condition, timeout: float = 20.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.002)


def run(ctx, target, *args, exitcode: int | None = 0):
    """Runs a process to its end, and returns its exit code."""
    process = ctx.Process(target=target, args=args)
    process.start()
    process.join(30)
    assert not process.is_alive(), "did not end"
    code = process.exitcode
    process.close()
    if exitcode is not None:
        assert code == exitcode
    return code


class started:
    """``with started(ctx, target, *args) as process``: killed and joined in the end."""

    def __init__(self, ctx, target, *args):
        self.process = ctx.Process(target=target, args=args)

    def __enter__(self):
        self.process.start()
        return self.process

    def __exit__(self, *args):
        self.process.kill()
        self.process.join()
        self.process.close()


def script(tmp_path, text, *options):
    """Runs a program of its own; what it printed."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-I", *options, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
