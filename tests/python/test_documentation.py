# SPDX-License-Identifier: MIT
"""Every snippet runs, every example prints what it promises, every test that differences.md names exists."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "reference" / "python").glob("*.md"))


def run_program(path):
    done = subprocess.run(
        [sys.executable, "-I", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page, tmp_path):
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)):
        path = tmp_path / f"snippet_{number}.py"
        path.write_text(snippet)
        run_program(path)


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "differences.md").read_text())
    assert len(named) > 20
    for file, function in named:
        assert f"\ndef {function}(" in (ROOT / "tests" / "python" / file).read_text(), f"{file}::{function}"


def test_abandoned_lock_example():
    output = run_program(ROOT / "examples" / "python" / "abandoned_lock.py").splitlines()
    assert re.fullmatch(r'lock "accounts" was held by pid \d+ .* killed by signal 9 \(SIGKILL\)\. Nobody .*', output[0])
    assert output[1:] == ["found 70 + 0", "repaired to 70 + 30"]


README = (ROOT / "README.md").read_text(encoding="utf-8")


def console(command):
    """What README.md shows below a command."""
    return re.search(rf"^\$ {re.escape(command)}\n(.*?)^(?:\$|```)", README, re.M | re.S).group(1)


def test_the_session_of_the_readme(tmp_path):
    program = tmp_path / "words.py"
    program.write_text(re.search(r"^```python\n(import sys.*?)^```$", README, re.M | re.S).group(1))
    arguments = "GPL-2 GPL-3 nope"
    done = subprocess.run(
        [sys.executable, "-u", program, *arguments.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        cwd="/usr/share/common-licenses",
    )
    assert done.stdout == console(f"python ~/words.py {arguments}")
