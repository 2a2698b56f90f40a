# SPDX-License-Identifier: MIT
"""Which interpreters are here, and Tutti's package for each of them."""

import functools
import glob
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from parts import MODULES
from tree import Python

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = [(3, minor) for minor in range(9, 14)]


def candidates():
    """Programs that may be an interpreter: on the path, and where pyenv keeps them."""
    names = ["python3"] + [f"python{major}.{minor}" for major, minor in VERSIONS]
    folders = os.environ.get("PATH", "").split(os.pathsep)
    yield from (found for folder in folders for name in names if (found := shutil.which(name, path=folder)))
    pyenv = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    yield from sorted(glob.glob(f"{pyenv}/versions/3.*/bin/python3"))


def every_python(programs=None):
    """One interpreter for each version from 3.9 to 3.13: the one that carries most of the suites."""
    found = {}
    for program in programs or candidates():
        try:
            python = Python(program)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue  # pyenv has a stub for each version, also for those that are not chosen
        known = found.get(python.minor)
        if python.minor in VERSIONS and (known is None or len(python.carries) > len(known.carries)):
            found[python.minor] = python
    return [found[minor] for minor in sorted(found)]


def hangs_by_itself(python):
    """Its executor joins a thread under the lock which that wants (cpython#125451): a test may hang with either library."""
    release = tuple(int(number) for number in re.findall(r"\d+", python.version)[:3])
    return (3, 12, 1) <= release < (3, 12, 8) or release == (3, 13, 0)


@functools.lru_cache
def default_pythons():
    """[(interpreter, suites)]: the python3 of the path; for suites that it lacks the newest that carries them, rather one
    that does not hang by itself.
    """
    first = Python(shutil.which("python3") or sys.executable)
    chosen = {first.program: (first, [])}
    for suite in MODULES:
        able = [first] if suite in first.carries and first.minor in VERSIONS else []
        able = able or sorted((python for python in every_python()[::-1] if suite in python.carries), key=hangs_by_itself)
        if able:
            chosen.setdefault(able[0].program, (able[0], []))[1].append(suite)
        else:
            chosen[first.program][1].append(suite)  # which says so
    return [(python, suites) for python, suites in chosen.values() if suites]


def package_for(python):
    """The folder of the package `tutti`, as scripts/venv builds and installs it for this interpreter."""
    is_default = python.program == Python(shutil.which("python3") or sys.executable).program
    version = "%d.%d" % python.minor
    venv = ROOT / "build" / ("venv" if is_default else f"venvs/{version}")
    subprocess.run([ROOT / "scripts" / "venv", "python3" if is_default else python.program, venv], check=True)
    return venv / "lib" / f"python{version}" / "site-packages" / "tutti"
