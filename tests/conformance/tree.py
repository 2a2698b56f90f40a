# SPDX-License-Identifier: MIT
"""Makes trees: a copy of an interpreter's prefix in which the files of the standard library may be replaced.

Only a copy of the prefix holds under -I, -E and -S, with which the suite starts some of its children: PYTHONPATH,
.pth files and site-packages are out of reach there. So the package goes beside the standard library. Files are
hard links where that is possible, and therefore never written to: what differs is unlinked first.
"""

import os
import shutil
import subprocess
from pathlib import Path

from parts import EXECUTOR, METHODS, MODULES, TUTTI

DRIVER = """\
import unittest
from test._test_multiprocessing import install_tests_in_module_dict

install_tests_in_module_dict(globals(), "{method}")

if __name__ == "__main__":
    unittest.main()
"""
HERE = Path(__file__).parent

# What is imported at the end of a package of the standard library, in the trees of which side.
OVERLAYS = (
    ("multiprocessing", "in_place", (TUTTI, EXECUTOR)),
    ("concurrent/futures", "executor_in_place", (EXECUTOR,)),
)

ASK = """
import importlib.util, os, sys
carried = [name for name in sys.argv[1:] if importlib.util.find_spec("test") and importlib.util.find_spec(name)]
print(sys.version.split()[0], sys.base_prefix, os.path.dirname(os.__file__), os.path.realpath(sys.executable), *carried)
"""


class Python:
    """An interpreter that was found: what it says of itself."""

    def __init__(self, program):
        asked = subprocess.run([program, "-I", "-c", ASK, *MODULES.values()],
                               capture_output=True, text=True, check=True, timeout=30)
        self.version, prefix, library, self.program, *carried = asked.stdout.split()
        self.prefix, self.library = Path(prefix), Path(library)
        self.carries = {suite for suite, module in MODULES.items() if module in carried}

    @property
    def minor(self):
        return tuple(map(int, self.version.split(".")[:2]))


def link(source, target):
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def replace(path, text):
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def make_tree(python, place, side, package=None):
    """The interpreter of a tree below `place` with the drivers; and with the package laid over, but for the standard side."""
    library = place / python.library.relative_to(python.prefix)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(python.library, library, symlinks=True, copy_function=link,
                    ignore=shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__"))
    (library / "site-packages").mkdir()
    program = place / "bin" / Path(python.program).name
    program.parent.mkdir(parents=True)
    link(python.program, program)
    for method in METHODS:
        # From 3.12 on the driver is a package; the suite has the fork server load it by this name.
        driver = library / "test" / f"test_multiprocessing_{method}"
        shutil.rmtree(driver, ignore_errors=True)
        replace(driver.with_suffix(".py"), DRIVER.format(method=method))
    if package:
        shutil.copytree(package, library / "tutti")
    for folder, module, sides in OVERLAYS:
        if side in sides:
            lay_over(library, folder, module)
    return program


def lay_over(library, folder, module):
    link(HERE / f"{module}.py", library / f"tutti_{module}.py")
    path = library / folder / "__init__.py"
    replace(path, path.read_text(encoding="utf-8") + f"\n\nimport tutti_{module}\n")
