# SPDX-License-Identifier: MIT
"""What pickle finds nowhere by name: lambdas, local functions, local classes. By cloudpickle, where it is installed."""

from __future__ import annotations

import sys
from multiprocessing import pool as standard

import pool_children as children
import pytest
from support import SOON, script, still_works

import tutti

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def without_cloudpickle(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)


def test_lambdas_and_closures(pool):
    factor = 3
    assert pool.apply(lambda: factor) == 3
    assert pool.map(lambda x: factor * x, range(5)) == [0, 3, 6, 9, 12]
    assert pool.map(lambda x: factor * x, range(5), 2) == [0, 3, 6, 9, 12]
    assert pool.starmap(lambda a, b: a - b, [(3, 1), (5, 5)]) == [2, 0]
    assert list(pool.imap(lambda x: -x, iter(range(3)))) == [0, -1, -2]
    assert pool.apply_async(lambda **named: named, (), {"a": 1}).get(SOON) == {"a": 1}


def test_an_executor(executor):
    offset = 10
    assert executor.submit(lambda x: x + offset, 1).result(SOON) == 11
    assert list(executor.map(lambda x: x + offset, range(3))) == [10, 11, 12]


def test_a_closure_is_what_it_is_when_it_is_submitted(pool):
    value = [1]
    read = lambda: value[0]  # noqa: E731
    assert pool.apply(read) == 1
    value[0] = 2
    assert pool.apply(read) == 2


def test_arguments(pool):
    assert pool.apply(children.call_it, (lambda: 5,)) == 5
    assert pool.apply(children.same, (), {"value": (1, lambda: 5)})[1]() == 5
    assert pool.map(children.call_it, [lambda: 1, lambda: 2]) == [1, 2]


def test_results(pool):
    assert pool.apply(children.local_function, (4,))(5) == 9
    assert pool.apply(children.local_class).value == 7


def test_what_cannot_travel_at_all(pool):
    with pytest.raises(TypeError, match="generator"):
        pool.apply(children.same, ((x for x in range(3)),))
    with pytest.raises(TypeError, match="lock"):
        pool.apply(children.same, (__import__("threading").Lock(),))
    with pytest.raises(standard.MaybeEncodingError):
        pool.apply(children.not_sendable)
    assert still_works(pool)


def test_without_cloudpickle_the_remedy_is_named(pool, without_cloudpickle):
    with pytest.raises((AttributeError, TypeError, tutti.Error), match=r"\[0\].*With cloudpickle installed"):
        pool.apply(lambda: 1)
    with pytest.raises((AttributeError, TypeError), match=r"args\[1\]|\[1\].*With cloudpickle installed"):
        pool.apply(children.same, ((1, {"key": lambda: 1}),))
    with pytest.raises((AttributeError, TypeError), match="With cloudpickle installed"):
        pool.map(lambda x: x, range(3))
    assert still_works(pool)


PROCESS = """
import tutti
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        queue, offset = tutti.SimpleQueue(), 3
        process = tutti.get_context(method).Process(target=lambda x: queue.put(x + offset), args=(4,), name="mine")
        process.start()
        print(queue.get(), process.name)
        process.join(30)
        print(process.exitcode)
"""


def test_processes(tmp_path):
    assert script(tmp_path, PROCESS) == "7 mine\n0\n" * 2


def test_processes_without_cloudpickle(tmp_path):
    output = script(
        tmp_path,
        """
        import sys, tutti
        sys.modules["cloudpickle"] = None
        if __name__ == "__main__":
            try:
                tutti.get_context("spawn").Process(target=lambda: 1).start()
            except Exception as error:
                print("With cloudpickle installed" in str(error))
        """,
    )
    assert output == "True\n"


INSTALLED = """
import multiprocessing, tutti
if __name__ == "__main__":
    tutti.install()
    with multiprocessing.Pool(1) as pool:
        try:
            pool.apply(lambda: 1)
        except Exception as error:
            print("by value" in str(error), "pickle" in str(error))
"""


def test_to_the_letter_pickle_refuses(tmp_path):
    assert script(tmp_path, INSTALLED) == "False True\n"
