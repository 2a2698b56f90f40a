# SPDX-License-Identifier: MIT
"""``python -m tutti SCRIPT [ARGUMENTS...]`` and ``python -m tutti -m MODULE [ARGUMENTS...]``: runs a program as it is, with
Tutti in the place of multiprocessing.
"""

from __future__ import annotations

import os
import runpy
import sys

from tutti._install import install

_USAGE = "usage: python -m tutti SCRIPT [ARGUMENT...]\n       python -m tutti -m MODULE [ARGUMENT...]"


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stderr if not arguments else sys.stdout)
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "-m" and len(arguments) == 1:
        print(_USAGE, file=sys.stderr)
        raise SystemExit(2)
    install()
    # What runpy runs is __main__ as the interpreter would have it, for children that import it again.
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        _run_script(arguments[0])


def _run_script(path: str) -> None:
    """In the module __main__ itself: run_path would take it away at the end, when children may still need it."""
    module = sys.modules["__main__"]
    if os.path.isdir(path):
        runpy.run_path(path, run_name="__main__")
        return
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    module.__dict__.update(__file__=path, __spec__=None, __package__=None, __doc__=None, __loader__=None)
    for name in ("os", "runpy", "sys", "annotations", "install", "main", "_run_script", "_USAGE"):
        module.__dict__.pop(name, None)
    exec(code, module.__dict__)


if __name__ == "__main__":
    main()
