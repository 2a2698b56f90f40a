# SPDX-License-Identifier: MIT
"""What the tests call: processes that never outlive them, waiting with a deadline, and what became of an object."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
import time

from tutti import _tutti

SOON = 30  # seconds within which everything must have happened


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


def there_and_back(obj):
    """What a receiver gets."""
    return _tutti._decode(*_tutti._encode(obj))


def shape(obj):
    """Type, value and identity of everything in it, in order: equal for two objects that share the same way.

    Numbers, and strings of up to one character or byte, of which the interpreter may keep one each, have no identity.
    """
    numbers, result, todo = {}, [], [obj]
    keep = []  # so that no address is used twice
    while todo:
        part = todo.pop()
        keep.append(part)
        kind = type(part)
        if kind in (int, float, bool, type(None)) or kind in (str, bytes) and len(part) <= 1:
            result.append((kind, repr(part)))
            continue
        known = id(part) in numbers
        result.append((kind, numbers.setdefault(id(part), len(numbers)), known))
        if known:
            continue
        if kind in (str, bytes):
            result.append(part)
        elif kind is dict:
            todo += [piece for item in part.items() for piece in item]
        elif kind in (tuple, list):
            todo += list(part)
        else:
            todo += [piece for item in vars(part).items() for piece in item]
    return result


def same_as_pickle(obj) -> bool:
    """Whether a receiver gets what pickle would make of it."""
    return shape(there_and_back(obj)) == shape(pickle.loads(pickle.dumps(obj)))


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


def still_works(pool) -> bool:
    """Whether a pool, after what was done to it, runs a call."""
    return pool.apply_async(abs, (-9,)).get(SOON) == 9
