# SPDX-License-Identifier: MIT
"""The installed package as such: where it comes from, and which version it says it is."""

import importlib.metadata
import pathlib
import sys

import pytest
from support import script

import tutti
from tutti import _tutti


def test_is_the_installed_one():
    source = pathlib.Path(__file__).resolve().parents[2] / "python"
    assert source not in pathlib.Path(tutti.__file__).resolve().parents


def test_version_stands_in_one_place():
    assert tutti.__version__ == importlib.metadata.version("tutti")


ISOLATED = """
import pytest

import tutti
from tutti import _tutti
lock, event, condition = tutti.Lock(), tutti.Event(), tutti.Condition()
with lock:
    assert lock.acquire(False) is False
event.set()
assert event.wait()
with condition:
    assert condition.wait(0.01) is False
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="isolated subinterpreters came with 3.12")
def test_isolated_subinterpreters():
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters

        created = [interpreters.create("isolated") for _ in range(2)]
    else:
        import _xxsubinterpreters as interpreters

        created = [interpreters.create(isolated=True) for _ in range(2)]
    for identity in created:
        error = interpreters.run_string(identity, ISOLATED)
        assert error is None
        interpreters.destroy(identity)


def test_many_imports_of_the_extension():
    import importlib.machinery
    import importlib.util

    spec = importlib.util.spec_from_file_location("tutti._tutti", _tutti.__file__)
    for _ in range(3):
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.Lock is not _tutti.Lock
        lock = module.Lock()
        assert lock.acquire()
        lock.release()


def test_what_each_spawned_process_does_not_import(tmp_path):
    """asyncio and concurrent.futures take as long as all the rest, typing 4 ms: whoever needs them imports them.

    On Python 3.9 multiprocessing itself imports typing.
    """
    text = """
        import sys
        import tutti, tutti._letter_pool, tutti.pool

        heavy = ["asyncio", "concurrent.futures"] + ["typing"] * (sys.version_info >= (3, 10))
        print([name for name in heavy if name in sys.modules])
        assert issubclass(tutti.pool.WorkerDied, sys.modules["concurrent.futures.process"].BrokenProcessPool)
    """
    assert script(tmp_path, text) == "[]\n"
