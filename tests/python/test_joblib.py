# SPDX-License-Identifier: MIT
"""joblib.Parallel on Tutti: the backend "tutti", with workers that all these tests share."""

import multiprocessing
import operator
import os

import joblib_children as children
import numpy
import pytest
from joblib import Parallel, delayed
from joblib_children import SQUARES, parallel, squares

import tutti.joblib


@pytest.fixture(autouse=True, scope="module")
def workers(helpers):
    tutti.joblib.register()
    parallel()(squares())
    yield
    tutti.joblib.shutdown()


def test_calls():
    assert parallel()(squares()) == SQUARES
    assert parallel(batch_size=7, pre_dispatch="all")(squares()) == SQUARES
    assert parallel(batch_size=1)(delayed(operator.neg)(number) for number in range(5)) == [0, -1, -2, -3, -4]


def test_generators():
    assert list(parallel(return_as="generator")(squares())) == SQUARES
    assert sorted(parallel(return_as="generator_unordered")(squares())) == SQUARES


def test_the_workers_are_kept_for_the_next_call():
    kept = {process.pid for process in multiprocessing.active_children()}
    assert set(parallel(batch_size=1)(delayed(os.getpid)() for _ in range(20))) <= kept
    with parallel() as managed:
        for _ in range(2):
            assert set(managed(delayed(os.getpid)() for _ in range(20))) <= kept
    assert {process.pid for process in multiprocessing.active_children()} == kept


def test_what_is_pickled_by_value():
    seen = []

    class Local:
        def __init__(self, number):
            self.number = number

    def double(local):
        seen.append(local)  # its own copy, each time
        return Local(2 * local.number + len(seen))

    assert parallel(batch_size=1)(delayed(lambda number: number + 1)(number) for number in range(3)) == [1, 2, 3]
    results = parallel(batch_size=1)(delayed(double)(Local(number)) for number in range(3))
    assert [result.number for result in results] == [1, 3, 5]
    assert all(type(result) is Local for result in results)
    assert seen == []
    assert parallel(batch_size=1)(delayed(children.call)(lambda number=number: number) for number in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("size", [10, 100_000])
def test_arrays(size):
    results = parallel()(delayed(children.add_in_place)(numpy.full(size, float(number))) for number in range(4))
    assert [result["sum"] for result in results] == [size * number for number in (1, 2, 3, 4)]
    assert [result["array"][-1] for result in results] == [1, 2, 3, 4]


def test_nested():
    assert parallel()(delayed(children.nested)(3) for _ in range(3)) == [(5, "ThreadingBackend")] * 3


def test_number_of_workers():
    backend = tutti.joblib.Backend(nesting_level=0)
    assert [backend.effective_n_jobs(count) for count in (None, 1, 3, -1000)] == [1, 1, 3, 1]
    assert backend.effective_n_jobs(-1) >= 1
    with pytest.raises(ValueError, match="no meaning"):
        backend.effective_n_jobs(0)
