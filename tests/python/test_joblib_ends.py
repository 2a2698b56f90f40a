# SPDX-License-Identifier: MIT
"""What ends the workers of joblib's backend "tutti"; and what they must not import."""

import multiprocessing
import subprocess
import sys
import time

import joblib_children as children
import pytest
from joblib import Parallel, delayed, parallel_config
from joblib_children import SQUARES, parallel, squares
from support import SOON, until

import tutti.joblib
from tutti.pool import WorkerDied


@pytest.fixture(autouse=True)
def registered():
    tutti.joblib.register()
    yield
    tutti.joblib.shutdown()


def test_an_exception_comes_with_its_traceback():
    with pytest.raises(ValueError, match="no 1") as caught:
        parallel(batch_size=1)(delayed(children.refuse)(1) for _ in range(20))
    assert "joblib_children.py" in str(caught.value.__cause__)
    assert parallel()(squares()) == SQUARES

    class Own(Exception):
        pass

    def refuse():
        raise Own("mine")

    with pytest.raises(Own, match="mine"):
        parallel()(delayed(refuse)() for _ in range(3))


def test_a_worker_that_dies():
    with pytest.raises(WorkerDied):
        parallel(batch_size=1)(delayed(children.die)(number) for number in range(4))
    assert parallel()(squares()) == SQUARES


def test_a_worker_that_dies_costs_its_batch_alone(tmp_path):
    calls = (delayed(children.die_once)(str(tmp_path / str(number))) for number in range(4))
    assert len(parallel(batch_size=1, retries=1)(calls)) == 4


def test_timeout():
    begun = time.monotonic()
    with pytest.raises((TimeoutError, multiprocessing.TimeoutError)):
        parallel(timeout=0.5)(delayed(children.wait)(number) for number in range(2))
    assert time.monotonic() - begun < SOON
    assert parallel()(squares()) == SQUARES


def test_task_timeout():
    with pytest.raises(WorkerDied):
        parallel(task_timeout=0.5)(delayed(children.wait)(number) for number in range(2))


def test_a_generator_that_is_dropped_ends_its_calls():
    generator = parallel(return_as="generator", batch_size=1)(
        delayed(children.wait if number else children.square)(number) for number in range(10)
    )
    assert next(generator) == 0
    with pytest.warns(UserWarning, match="cancelled"):
        generator.close()
    until(lambda: not multiprocessing.active_children(), SOON)


def test_workers_are_kept_for_their_time_only():
    assert parallel(idle_worker_timeout=0.1)(squares()) == SQUARES
    until(lambda: not multiprocessing.active_children(), SOON)


def test_workers_of_workers():
    assert parallel()(delayed(children.nested_by_name)(3) for _ in range(2)) == [[0, 1, 4]] * 2


def test_threads_of_the_libraries_in_workers():
    with parallel_config(backend="tutti", n_jobs=2, inner_max_num_threads=3):
        assert Parallel()(delayed(children.threads_of_blas)(number) for number in range(2)) == ["3", "3"]


SCRIPT = """
import os, sys
import tutti.joblib
from joblib import Parallel, delayed, parallel_config

tutti.joblib.register()
print("begins")

class Point:
    def __init__(self, x):
        self.x = x

def move(point):
    return Point(point.x + 1)

with parallel_config(backend="tutti", n_jobs=2):
    print([point.x for point in Parallel()(delayed(move)(Point(x)) for x in range(3))])
    def later(point):
        return move(point).x
    print(Parallel()(delayed(later)(Point(x)) for x in range(3)))
"""


def test_a_script_without_a_guard(tmp_path):
    """Its workers do not import it, and what it defines after their start goes to them all the same."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True, text=True, timeout=120)
    assert (done.stdout.splitlines(), done.stderr) == (["begins", "[1, 2, 3]", "[1, 2, 3]"], "")
