# SPDX-License-Identifier: MIT
"""Of the calls that wait, those with the highest priority start first."""

from __future__ import annotations

import concurrent.futures

import pool_children as children
import pytest
from support import SOON, still_works, until

import tutti

pytestmark = pytest.mark.timeout(60)

PRIORITIES = [0, 1, -1, 5, 0, -1, 1, 10, -10, 0]
ORDER = "7316049258"  # their places, from the highest to the lowest, of one priority in the order of submission


@pytest.fixture
def busy(go):
    """A pool of one worker, which is held up by a call."""
    with tutti.get_context("fork").Pool(1) as pool:
        first = pool.apply_async(children.wait_for, (go,))
        until(first._has_started)
        yield pool


def test_the_highest_starts_first(busy, go, tmp_path):
    path = tmp_path / "order"
    results = [
        busy.apply_async(children.append, (str(path), str(place)), priority=priority)
        for place, priority in enumerate(PRIORITIES)
    ]
    go.set()
    for result in results:
        result.get(SOON)
    assert path.read_text() == ORDER


def test_of_maps_and_streams(busy, go, tmp_path):
    path = str(tmp_path / "order")
    low = busy.starmap_async(children.append, [(path, "l")] * 3, 1, priority=-1)
    plain = busy.starmap_async(children.append, [(path, "p")] * 3, 1)
    high = busy.imap(children.append_to_both, [(path, "h")] * 3, priority=2)
    go.set()
    assert len(list(high)) == len(plain.get(SOON)) == len(low.get(SOON)) == 3
    assert (tmp_path / "order").read_text() == "hhhppplll"


def test_callbacks_come_as_the_calls_end(busy, go):
    called = []
    results = [
        busy.apply_async(children.same, (place,), callback=called.append, priority=priority)
        for place, priority in enumerate(PRIORITIES * 20)
    ]
    go.set()
    for result in results:
        result.get(SOON)
    assert sorted(called) == list(range(len(PRIORITIES) * 20))


def test_the_callback_of_an_urgent_call_waits_for_no_other(busy, go):
    called, later = [], children.Gate(tutti.get_context("fork").Event())
    others = [busy.apply_async(children.wait_for, (later,), callback=called.append) for _ in range(200)]
    urgent = busy.apply_async(children.same, ("urgent",), callback=called.append, priority=1)
    go.set()
    urgent.get(SOON)
    assert called == ["urgent"]
    later.set()
    for other in others:
        other.get(SOON)


def test_an_executor_has_it_as_an_option(go, tmp_path):
    path = tmp_path / "order"
    with tutti.ProcessPoolExecutor(1, mp_context=tutti.get_context("fork")) as executor:
        first = executor.submit(children.wait_for, go)
        until(first.running)
        futures = [
            executor.options(priority=priority).submit(children.append, str(path), str(place))
            for place, priority in enumerate(PRIORITIES)
        ]
        go.set()
        done = concurrent.futures.wait(futures, SOON)[0]
        assert len(done) == len(futures)
    assert path.read_text() == ORDER


def test_a_further_run_keeps_it(busy, go, tmp_path):
    path = tmp_path / "order"
    low = busy.apply_async(children.append, (str(path), "l"))
    urgent = busy.apply_async(children.die_then_append, (str(path), "u"), retries=1, priority=3)
    go.set()
    urgent.get(SOON)
    low.get(SOON)
    assert path.read_text() == "ul"


def test_many_of_all_priorities_beside_deaths():
    with tutti.get_context("fork").Pool(2) as pool:
        results = [
            pool.apply_async(children.die_now_and_then, (number,), priority=number % 21 - 10, retries=50)
            for number in range(400)
        ]
        assert [result.get(SOON) for result in results] == list(range(400))
        assert still_works(pool)


@pytest.mark.parametrize("wrong", [11, -11, 1 << 40, -(1 << 80)])
def test_other_numbers_are_refused(pool, executor, wrong):
    for call in (
        lambda: pool.apply(children.same, priority=wrong),
        lambda: pool.map(children.same, [1], priority=wrong),
        lambda: pool.imap(children.same, [1], priority=wrong),
        lambda: executor.options(priority=wrong).submit(children.same).result(SOON),
    ):
        with pytest.raises(ValueError, match="from -10 to 10"):
            call()
    with pytest.raises(TypeError):
        pool.apply(children.same, priority="high")
    assert still_works(pool)
