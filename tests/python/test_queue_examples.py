# SPDX-License-Identifier: MIT
"""The examples of queues and pipes print what they promise."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"

EXPECTED = {
    "queue_workers": "1 poison (given back once)\n4 that is the question\n6 to be or not to be\n"
    "6 whether tis nobler in the mind\nkilled: 1\n",
    "pipe_echo": "echo one\necho two\necho three\nthe other end is gone\n",
    "numpy_queue": "".join(f"(1000, 1000) {value} in shared memory\n" for value in (0.0, 1.0, 4.0)),
    "asyncio_queue": "0 doubled is 0\n1 doubled is 2\n2 doubled is 4\n",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name):
    if name == "numpy_queue" and importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, EXPECTED[name])
