# SPDX-License-Identifier: MIT
"""The examples of locks and their friends, of a pool and of a window print what they promise."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import shutil
import subprocess
import sys

import pytest

import tutti

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"

EXPECTED = {
    "barrier": "50 steps by 3 processes: the same as by one\n",
    "condition": "taken: [5, 10, 15] left: 0\n",
    "event": "3 of 3 workers stopped when the event was set\n",
    "joinable_queue": "5 nodes, 31 in all\n",
    "rlock": "30 looks, each at 500\n",
    "semaphore": "5 of 6 were served, never more than 2\nkilled: 1\n",
    "word_count": "2.txt: not counted, killed by signal 9\nbe 3, to 3, a 1\n",
}


def run_example(program, python=sys.executable, **environment):
    return subprocess.run(
        [python, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name):
    done = run_example(EXAMPLES / f"{name}.py")
    assert (done.returncode, done.stdout) == (0, EXPECTED[name])


@pytest.mark.parametrize("library", [(), ("-m", "tutti")], ids=["standard", "tutti"])
def test_a_program_that_knows_multiprocessing_only(library, tmp_path):
    names = []
    for number, text in enumerate([b"to be or not to be", b"", b"be\0 \xff not\x01 \n\n\ttwo\vtogether\n"] * 30):
        names.append(tmp_path / f"{number}.txt")
        names[-1].write_bytes(text)
    (tmp_path / "list").write_bytes(b"".join(bytes(name) + b"\0" for name in names))
    wc = subprocess.run(["wc", "-w", *names], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=60)
    program = [sys.executable, *library, str(EXAMPLES / "standard_word_count.py")]
    for arguments in (["-j", "2", *names], ["--files0-from", str(tmp_path / "list")]):
        done = subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip() == wc.stdout.split()[-2] == "300"


# --- the window ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def display():
    """A display that nobody sees."""
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert select.select([server.stdout], [], [], 30)[0], "Xvfb does not say which display it has"
        yield ":" + server.stdout.readline().decode().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def python_with_gtk(path):
    """A Python that has PyGObject, and can import this very package by PYTHONPATH; or why there is none."""
    question = "import gi; gi.require_version('Gtk', '3.0'); import tutti._tutti"
    answers = []
    for python in (sys.executable, "/usr/bin/python3"):
        if not os.path.exists(python):
            continue
        done = subprocess.run(
            [python, "-c", question], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True, timeout=60
        )
        if done.returncode == 0:
            return python
        answers.append(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    pytest.skip("no Python here has GTK 3 (python3-gi, gir1.2-gtk-3.0) and tutti: " + "; ".join(answers))


@pytest.fixture
def show(tmp_path):
    """Runs a program with a window, to its end."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb (package xvfb) is not installed")
    # The package alone: the rest of our site-packages is for our interpreter.
    (tmp_path / "tutti").symlink_to(pathlib.Path(tutti.__file__).parent)
    python = python_with_gtk(str(tmp_path))

    def run(program):
        with display() as name:
            return run_example(program, python, DISPLAY=name, PYTHONPATH=str(tmp_path), NO_AT_BRIDGE="1")

    return run


def test_a_window_whose_loop_reads_a_queue(show):
    done = show(EXAMPLES / "gtk_queue.py")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["100 messages; shown in the end: finished"]), done.stdout


def test_what_the_window_prints_is_what_it_showed(show, tmp_path):
    """Nobody says that it is finished: the last message stays there, until the time is over."""
    source = (EXAMPLES / "gtk_queue.py").read_text()
    changed = source.replace("COUNT, LIMIT = 100, 20", "COUNT, LIMIT = 100, 2").replace("    progress.shutdown()\n", "")
    (tmp_path / "changed.py").write_text(changed)
    done = show(tmp_path / "changed.py")
    assert done.returncode == 1 and "the window shows '100 of 100 done' after 2 s" in done.stdout
