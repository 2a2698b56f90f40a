# SPDX-License-Identifier: MIT
"""Arrays through queues: one copy in, none out; what protocol 5 changes and what it does not."""

import gc
import os
import threading

import pytest

from tutti import _tutti, queues

numpy = pytest.importorskip("numpy")

BIG = 100_000  # bytes: over the size from which buffers travel beside the pickle


def through(obj):
    q = queues.Queue()
    q.put(obj)
    return q.get()


def live_blocks():
    gc.collect()
    return _tutti._arena_usage()["live_blocks"]


def test_large_arrays_live_in_the_arena():
    sent = numpy.arange(BIG)
    got = through(sent)
    assert (got == sent).all() and got.dtype == sent.dtype
    assert got.flags.writeable and not got.flags.owndata
    assert got.ctypes.data % 64 == 0
    got[0] = 7
    assert sent[0] == 0


def test_small_arrays_own_their_data_as_without_tutti():
    got = through(numpy.arange(100))
    assert got.flags.owndata and got.flags.writeable
    got.resize(200)
    read_only = numpy.arange(100)
    read_only.flags.writeable = False
    assert through(read_only).flags.writeable


def test_what_protocol_5_changes():
    """A message with a large buffer goes by protocol 5 as a whole: its small arrays change too."""
    small, large = through([numpy.arange(100), numpy.arange(BIG)])
    assert not small.flags.owndata and small.flags.writeable
    with pytest.raises(ValueError, match="resize"):
        small.resize(200)
    read_only = numpy.arange(BIG)
    read_only.flags.writeable = False
    assert not through(read_only).flags.writeable


@pytest.mark.parametrize(
    "make",
    [
        lambda: numpy.ones((400, 300), order="F"),
        lambda: numpy.arange(BIG)[::2],
        lambda: numpy.array([{"a": 1}, None] * 20_000, dtype=object),
        lambda: numpy.zeros(BIG, dtype=[("a", "i4"), ("b", "f8")]),
        lambda: numpy.array("text"),
        lambda: numpy.zeros((0, 5)),
        lambda: numpy.datetime64("2020-01-01") + numpy.arange(BIG),
    ],
    ids=["fortran", "strided", "objects", "records", "scalar", "empty", "dates"],
)
def test_arrays_of_all_kinds(make):
    sent = make()
    got = through(sent)
    assert got.dtype == sent.dtype and got.shape == sent.shape and (got == sent).all()
    assert got.flags.f_contiguous == sent.flags.f_contiguous or not sent.flags.c_contiguous


def test_memory_is_free_when_the_last_view_is_gone():
    before = live_blocks()
    got = through(numpy.arange(BIG))
    part = got[10:20]
    del got
    assert live_blocks() > before and part[0] == 10
    del part
    assert live_blocks() == before


def test_several_arrays_in_a_message():
    before = live_blocks()
    got = through({"a": numpy.full(BIG, 1.0), "b": numpy.full(BIG, 2.0), "text": "x"})
    first, second = got["a"], got["b"]
    del got
    del first
    assert (second == 2.0).all() and second.ctypes.data % 64 == 0
    del second
    assert live_blocks() == before


def test_arrays_travel_beside_queues():
    inner = queues.Queue()
    got = through([inner, numpy.arange(BIG)])
    inner.put("inside")
    assert got[0].get() == "inside" and got[1][5] == 5


def test_a_forked_child_keeps_what_it_inherited():
    """The parent frees and reuses the memory; the child's array stays as it was."""
    q = queues.Queue()
    got = through(numpy.arange(BIG))
    go, ready = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go[0], 1)
        os.write(ready[1], b"y" if (got == numpy.arange(BIG)).all() else b"n")
        os._exit(0)
    del got
    for _ in range(20):
        q.put(numpy.zeros(BIG))
        q.get()
    os.write(go[1], b"x")
    assert os.read(ready[0], 1) == b"y"
    os.waitpid(pid, 0)
    for fd in go + ready:
        os.close(fd)


def test_a_child_that_frees_what_it_inherited_frees_nothing_of_the_parents():
    got = through(numpy.arange(BIG))
    pid = os.fork()
    if pid == 0:
        del got
        through(numpy.zeros(BIG))
        os._exit(0)
    os.waitpid(pid, 0)
    through(numpy.zeros(BIG))
    assert (got == numpy.arange(BIG)).all()


def test_threads_share_a_received_array():
    got = through(numpy.arange(BIG))
    sums = []
    threads = [threading.Thread(target=lambda: sums.append(int(got.sum()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [int(numpy.arange(BIG).sum())] * 4


def test_a_received_array_is_sent_on():
    got = through(through(numpy.arange(BIG)))
    assert (got == numpy.arange(BIG)).all()
