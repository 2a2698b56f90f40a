# SPDX-License-Identifier: MIT
"""Programs that know multiprocessing only, run on Tutti: by tutti.install(), and by python -m tutti."""

import multiprocessing
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).with_name("install_children.py")
METHODS = multiprocessing.get_all_start_methods()


def run(*arguments, cwd=None):
    """What the program prints, line by line."""
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


def expected(*arguments):
    return [
        f"__main__ {list(arguments)}",
        "['tutti', 'tutti', 'tutti', 'tutti']",
        "[True, 285, 285, 285]",
        "['tutti', True, 1, True]",
    ]


@pytest.mark.parametrize("method", METHODS)
def test_install(method):
    assert run(PROGRAM, method, "installs") == expected(method, "installs")


@pytest.mark.parametrize("method", METHODS)
def test_a_script(method):
    assert run("-m", "tutti", PROGRAM, method) == [*expected(method)[:3], "['tutti', True, 1, True]"]


def test_a_module():
    assert run("-m", "tutti", "-m", PROGRAM.stem, "spawn", cwd=PROGRAM.parent) == expected("spawn")


def test_without_it_the_same_program_is_the_standard_librarys():
    """Else the tests above could not fail."""
    lines = run(PROGRAM, "fork")
    assert lines[1] == "['multiprocessing', 'multiprocessing', 'multiprocessing', 'multiprocessing']"


@pytest.mark.parametrize("arguments", [(), ("-m",)])
def test_usage(arguments):
    done = subprocess.run([sys.executable, "-m", "tutti", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "usage: python -m tutti" in done.stderr


def test_a_program_that_is_not_there():
    done = subprocess.run([sys.executable, "-m", "tutti", "nowhere.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "nowhere.py" in done.stderr
