# SPDX-License-Identifier: MIT
"""Programs that know multiprocessing only, run on Tutti: by tutti.install(), by python -m tutti, by TUTTI_INSTALL=1."""

import multiprocessing
import os
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).with_name("install_children.py")
METHODS = multiprocessing.get_all_start_methods()


def run(*arguments, cwd=None, **variables):
    """What the program prints, line by line."""
    command, environment = [sys.executable, *map(str, arguments)], {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment)
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


@pytest.mark.parametrize("method", METHODS)
def test_the_variable(method):
    """Also what is imported from multiprocessing first is Tutti's, as it was there at the interpreter's start."""
    assert run(PROGRAM, method, TUTTI_INSTALL="1") == expected(method)


@pytest.mark.parametrize("value", ["", "0"])
def test_the_variable_says_no(value):
    assert run("-c", "import sys; print('tutti' in sys.modules)", TUTTI_INSTALL=value) == ["False"]


def test_without_the_variable_nothing_is_imported():
    script = "import sys; print([name for name in sys.modules if 'tutti' in name or 'multiprocessing' in name])"
    environment = {name: value for name, value in os.environ.items() if name != "TUTTI_INSTALL"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_tutti_that_does_not_import_breaks_no_interpreter(tmp_path):
    (tmp_path / "tutti.py").write_text("raise ImportError('not for this machine')")
    command = [sys.executable, "-c", "print('ran')"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TUTTI_INSTALL": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr == "TUTTI_INSTALL: ImportError: not for this machine; this program runs without Tutti\n"


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
