# SPDX-License-Identifier: MIT
"""Connection in C: the standard library's, to the letter and to the byte."""

import multiprocessing
import os
import pathlib
import pickle
import signal
import socket
import struct
import sys
import threading
from multiprocessing import connection as standard
from multiprocessing import resource_sharer

import pytest

from tutti import connection

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import queue_children  # noqa: E402

SOON = 20
SIZES = [0, 1, 16384, 16385, 65536, 1 << 20]


def pair(ours_first=True, ours_second=True):
    first, second = socket.socketpair()
    return [
        (connection if ours else standard).Connection(end.detach())
        for ours, end in ((ours_first, first), (ours_second, second))
    ]


def beside(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


@pytest.mark.parametrize("ours", [(True, True), (True, False), (False, True)], ids=repr)
@pytest.mark.parametrize("size", SIZES)
def test_either_end_may_be_the_standard_library(ours, size):
    first, second = pair(*ours)
    data = os.urandom(size)
    for send, receive, value in (
        (first.send_bytes, second.recv_bytes, data),
        (first.send, second.recv, {"data": data, "more": [1, 2.5]}),
    ):
        sender = beside(send, value)
        assert receive() == value
        sender.join(SOON)
    buffer = bytearray(size + 3)
    sender = beside(first.send_bytes, data)
    assert second.recv_bytes_into(buffer, 3) == size and buffer[3:] == data
    sender.join(SOON)


def test_the_bytes_on_the_wire():
    raw, end = socket.socketpair()
    ours = connection.Connection(end.detach())
    ours.send_bytes(b"abc")
    assert raw.recv(100) == b"\0\0\0\3abc"
    ours.send({1: "a"})
    assert raw.recv(100)[4:] == pickle.dumps({1: "a"})
    raw.sendall(struct.pack("!iQ", -1, 5) + b"12345")  # the long form
    assert ours.recv_bytes() == b"12345"
    raw.sendall(struct.pack("!i", -2))
    with pytest.raises(OSError, match="bad message length"):
        ours.recv_bytes()
    raw.close()


@pytest.mark.parametrize("cls", [connection.Connection, standard.Connection], ids=["ours", "standard"])
def test_errors_are_those_of_the_standard_library(cls):
    for arguments, error, text in (
        ((-1,), ValueError, "invalid handle"),
        ((0, False, False), ValueError, "at least one of"),
        (("0",), (TypeError, AttributeError), None),
    ):
        with pytest.raises(error, match=text):
            cls(*arguments)
    reader, writer = os.pipe()
    reader, writer = cls(reader, writable=False), cls(writer, readable=False)
    with pytest.raises(OSError, match="write-only"):
        writer.recv()
    with pytest.raises(OSError, match="read-only"):
        reader.send(1)
    writer.send_bytes(b"12345")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(4)
    assert reader.closed  # it cannot go on: it only reads
    writer.close()
    for attempt in (writer.fileno, reader.recv, lambda: writer.send(1), reader.poll):
        with pytest.raises(OSError, match="handle is closed"):
            attempt()


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "standard"])
def test_the_end_of_file(ours):
    raw, end = socket.socketpair()
    conn = (connection if ours else standard).Connection(end.detach())
    raw.sendall(struct.pack("!i", 10) + b"half")
    raw.close()
    with pytest.raises(OSError, match="got end of file during message"):
        conn.recv_bytes()
    with pytest.raises(EOFError):
        conn.recv_bytes()
    assert conn.poll()
    with pytest.raises(BrokenPipeError):
        conn.send(1)
        conn.send(2)


def test_handle_given_away():
    first, second = pair()
    handle = first._handle
    assert first.fileno() == handle
    first._handle = None
    assert first.closed
    del first
    os.write(handle, struct.pack("!i", 1) + b"x")  # it was not closed
    assert second.recv_bytes() == b"x"
    os.close(handle)


def test_collected_connections_close_their_descriptor():
    first, second = pair()
    del first
    with pytest.raises(EOFError):
        second.recv()


def test_is_a_connection_of_the_standard_library():
    first, _ = pair()
    assert isinstance(first, standard.Connection)
    first._send_bytes(memoryview(b"private"))  # who reaches into it finds what was there
    assert _._recv_bytes().getvalue() == b"private"


def test_poll_consumes_nothing_and_waits():
    first, second = pair()
    assert not second.poll() and not second.poll(0.01) and not second.poll(-3)
    first.send_bytes(b"1")
    first.send_bytes(b"2")
    assert second.poll() and second.poll(None)
    assert [second.recv_bytes(), second.recv_bytes()] == [b"1", b"2"]
    assert not second.poll()


def test_more_parts_than_one_call_takes():
    first, second = pair()
    value = [b"x" * 70_000 for _ in range(1)] + [{i: str(i)} for i in range(30_000)]
    sender = beside(first.send, value)
    assert second.recv() == value
    sender.join(SOON)


def test_a_signal_handler_may_end_a_wait():
    class Interrupted(Exception):
        pass

    def handler(*_):
        raise Interrupted

    _, second = pair()
    old = signal.signal(signal.SIGALRM, handler)
    try:
        for wait in (second.recv, lambda: second.poll(None), lambda: connection.wait([second])):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupted):
                wait()
    finally:
        signal.signal(signal.SIGALRM, old)


# --- wait -----------------------------------------------------------------------------------------------------


def test_wait():
    first, second = pair()
    assert connection.wait([first, second], 0) == [] == connection.wait([first], timeout=0.01)
    first.send(1)
    assert connection.wait([first, second]) == [second]
    assert connection.wait((each for each in [second.fileno(), second])) == [second.fileno(), second]
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    assert connection.wait([process.sentinel], SOON) == [process.sentinel]
    process.join()


@pytest.mark.parametrize("wait", [connection.wait, standard.wait], ids=["ours", "standard"])
def test_wait_refuses_what_has_no_descriptor(wait):
    for wrong, text in (([object()], "Invalid file object"), ([-1], "Invalid file descriptor"), (["a"], "Invalid file object")):
        with pytest.raises(ValueError, match=text):
            wait(wrong, 0)
    first, _ = pair()
    first.close()
    with pytest.raises(OSError, match="handle is closed"):
        wait([first], 0)
    assert wait([], 0) == []


# --- travelling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_as_an_argument_of_a_process(method):
    here, there = connection.descriptor_pipe()
    process = multiprocessing.get_context(method).Process(target=queue_children.echo, args=(there,))
    process.start()
    there.close()
    here.send(("round", 1))
    assert here.recv() == ("round", 1)
    process.join(SOON)
    with pytest.raises(EOFError):
        here.recv()


def test_through_a_connection():
    here, there = connection.descriptor_pipe()
    carrier = pair()
    carrier[0].send(there)
    arrived = carrier[1].recv()
    there.close()
    arrived.send("handed over")
    assert here.recv() == "handed over"
    resource_sharer.stop()  # its thread


def test_one_way():
    reader, writer = connection.descriptor_pipe(False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    writer.send(1)
    assert reader.recv() == 1
