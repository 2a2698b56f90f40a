# SPDX-License-Identifier: MIT
"""Pools where memory and disk are really used up: limits that the system keeps."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import hostile_children as hostile
import pytest
from support import SOON, still_works, until
from test_pool_hostile import outcome

import tutti

pytestmark = pytest.mark.timeout(60)
GROUPS = pathlib.Path("/sys/fs/cgroup")
LIMIT = 128 << 20
# Where the groups are that count memory, and the file with their limit, by the controllers of a line of /proc/self/cgroup.
HOMES = {"memory": (GROUPS / "memory", "memory.limit_in_bytes"), "": (GROUPS, "memory.max")}


def limited_group():
    """A new control group whose members have LIMIT bytes together: in this process's own, or one above it. None: nowhere."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        root, limit = HOMES.get(controllers, (None, None))
        parent = root and root / path.lstrip("/")
        while parent and parent.is_relative_to(root):
            if (parent / "cgroup.procs").exists():  # else it is no group, and nothing is to be made in it
                made = parent / f"tutti-test-{os.getpid()}"
                with contextlib.suppress(OSError):
                    made.mkdir()
                    try:
                        (made / limit).write_text(str(LIMIT))
                        return made
                    except OSError:
                        made.rmdir()
            parent = parent.parent
    return None


@pytest.fixture
def group():
    made = limited_group()
    if made is None:
        pytest.skip("no control group with a limit of memory can be made here: that needs root, and a mounted controller")
    if (made / "memory.swap.max").exists():
        (made / "memory.swap.max").write_text("0")
    yield made
    until(lambda: not (made / "cgroup.procs").read_text())
    made.rmdir()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_memory_killer_costs_one_task(group, method):
    with tutti.get_context(method).Pool(2, hostile.enter_group, (str(group),)) as pool:
        error = outcome(pool, hostile.eat_and_use)
        assert isinstance(error, tutti.WorkerDied) and error.signal == 9
        assert "probably the out-of-memory killer" in str(error)
        assert pool.map(abs, range(100)) == list(range(100))
        assert still_works(pool)


def test_a_pool_needs_no_disk(tmp_path):
    """Where nothing more can be written, temporary files included, its tasks are told so, and all else works."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import os, sys
            sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
            import hostile_children as hostile
            import tutti

            if __name__ == "__main__":
                for method in "fork", "spawn":
                    with tutti.get_context(method).Pool(2) as pool:
                        before = pool.map_async(abs, range(1000))
                        try:
                            pool.apply(hostile.fill, (os.environ["TMPDIR"] + "/full",))
                        except OSError as error:
                            print(error.strerror)
                        print(before.get({SOON}) == pool.map(abs, range(1000)), len(pool.apply(hostile.large, (20 << 20,))))
            """
        )
    )
    small = tmp_path / "small"
    small.mkdir()
    unshare = ["unshare", "--map-root-user", "--mount"]  # of a user's own, so that it needs no root
    words = f"mount -t tmpfs -o size=64k none {small} && exec {sys.executable} -B {program}"
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: the system gives users no namespace of their own")
    found = subprocess.run(
        [*unshare, "sh", "-c", words], env={**os.environ, "TMPDIR": str(small)}, capture_output=True, text=True
    )
    assert found.stderr == ""
    assert found.stdout.splitlines() == ["No space left on device", f"True {20 << 20}"] * 2
