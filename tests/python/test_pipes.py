# SPDX-License-Identifier: MIT
"""tutti.Pipe: ends in the arena."""

import asyncio
import multiprocessing
import os
import pickle
import select
import signal
import threading

import pytest

import tutti
from tutti import connection, queues

fork = multiprocessing.get_context("fork")
SOON = 20


def test_both_ways():
    first, second = connection.Pipe()
    first.send({"a": 1})
    second.send([2])
    assert second.recv() == {"a": 1} and first.recv() == [2]
    assert first.readable and first.writable and second.readable and second.writable


def test_one_way():
    reader, writer = connection.Pipe(False)
    writer.send(1)
    assert reader.recv() == 1
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    with pytest.raises(OSError, match="read-only"):
        reader.send(1)
    for attempt in (writer.recv, writer.poll, writer.recv_bytes, lambda: writer.recv_bytes_into(bytearray(1))):
        with pytest.raises(OSError, match="write-only"):
            attempt()


def test_bytes():
    first, second = connection.Pipe()
    for size in (0, 1, 4096, 4097, 100_000, 3_000_000):
        data = os.urandom(size)
        first.send_bytes(data)
        assert second.recv_bytes() == data
    first.send_bytes(b"0123456789", 2)
    first.send_bytes(memoryview(b"0123456789"), 2, 3)
    assert second.recv_bytes() == b"23456789" and second.recv_bytes() == b"234"
    for arguments, text in (((b"a", -1), "offset is negative"), ((b"a", 2), "length < offset"), ((b"a", 0, -1), "size is negative"),
                            ((b"a", 0, 2), r"length < offset \+ size")):
        with pytest.raises(ValueError, match=text):
            first.send_bytes(*arguments)
    with pytest.raises(BufferError):
        first.send_bytes(memoryview(b"0123")[::2])
    with pytest.raises(TypeError):
        first.send_bytes("text")


def test_bytes_into():
    first, second = connection.Pipe()
    buffer = bytearray(6)
    first.send_bytes(b"abc")
    assert second.recv_bytes_into(buffer, 2) == 3 and buffer == b"\0\0abc\0"
    first.send_bytes(b"too long")
    with pytest.raises(multiprocessing.BufferTooShort) as caught:
        second.recv_bytes_into(buffer)
    assert caught.value.args[0] == b"too long"
    first.send_bytes(b"")
    assert second.recv_bytes_into(buffer) == 0
    for offset in (-1, 7):
        with pytest.raises(ValueError, match="offset"):
            second.recv_bytes_into(buffer, offset)
    with pytest.raises((TypeError, BufferError)):
        second.recv_bytes_into(b"read-only")


def test_a_longest_length():
    first, second = connection.Pipe()
    first.send_bytes(b"12345")
    first.send_bytes(b"")
    with pytest.raises(OSError, match="bad message length"):
        second.recv_bytes(4)
    assert second.recv_bytes(5) == b"12345"  # it stayed
    assert second.recv_bytes(0) == b""
    with pytest.raises(ValueError, match="negative"):
        second.recv_bytes(-1)


def test_objects_and_bytes_mix_as_in_multiprocessing():
    first, second = connection.Pipe()
    first.send_bytes(pickle.dumps({"a": 1}))
    first.send(("a", {2}))
    first.send((1, "direct"))
    assert second.recv() == {"a": 1}
    assert pickle.loads(second.recv_bytes()) == ("a", {2})
    assert pickle.loads(second.recv_bytes()) == (1, "direct")


def test_poll():
    first, second = connection.Pipe()
    assert not second.poll() and not second.poll(0.01) and not second.poll(-1)
    first.send(1)
    assert second.poll() and second.poll(None) and second.poll(1)
    second.recv()
    first.close()
    assert second.poll()  # the end can be received
    with pytest.raises(EOFError):
        second.recv()


def test_the_end():
    first, second = connection.Pipe()
    first.send("last")
    first.close()
    assert second.recv() == "last"
    for receive in (second.recv, second.recv_bytes, lambda: second.recv_bytes_into(bytearray(9))):
        with pytest.raises(EOFError):
            receive()
    with pytest.raises(BrokenPipeError):
        second.send(1)
    assert not second.closed and first.closed


def test_use_after_close():
    with connection.Pipe()[0] as end:
        pass
    end.close()
    for attempt in (end.recv, end.fileno, end.poll, lambda: end.send(1), lambda: end.send_bytes(b""), end.recv_bytes):
        with pytest.raises(OSError, match="is closed"):
            attempt()


@pytest.mark.parametrize("way", ["exit", "kill"])
def test_the_end_of_a_process_is_the_end(way):
    def child(end):
        end.send("hello")
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    here, there = connection.Pipe()
    process = fork.Process(target=child, args=(there,))
    process.start()
    there.close()
    assert here.recv() == "hello"
    process.join(SOON)
    with pytest.raises(EOFError):
        here.recv()


def test_ends_travel():
    q = queues.Queue()
    here, there = connection.Pipe()
    q.put({"end": there})
    there.close()  # the message holds it
    end = q.get()["end"]
    end.send("through it")
    assert here.recv() == "through it"


def test_sending_waits_for_room():
    first, second = connection.Pipe(max_bytes=100_000)
    received = []

    def receive():
        for _ in range(50):
            received.append(len(second.recv_bytes()))

    receiver = threading.Thread(target=receive)
    receiver.start()
    for _ in range(50):
        first.send_bytes(bytes(60_000))
    receiver.join(SOON)
    assert received == [60_000] * 50


def carrying(data):
    return [tutti.Lock(), data]


@pytest.mark.parametrize("wrap", [bytes, carrying])
def test_a_large_object_is_copied_when_there_is_room(wrap):
    def touched():
        return tutti._tutti._arena_usage()["touched_bytes"]

    first, second = connection.Pipe(max_bytes=100_000)
    first.send_bytes(b"x" * 90_000)
    obj = wrap(bytes(50_000_000))
    before = touched()
    thread = threading.Thread(target=first.send, args=(obj,))
    thread.start()
    thread.join(0.4)
    assert thread.is_alive() and touched() < before + 50_000_000  # though it has tried several times
    assert second.recv_bytes() == b"x" * 90_000
    got = second.recv()
    assert (got if wrap is bytes else got[1]) == bytes(50_000_000)
    thread.join()


def test_descriptor():
    first, second = connection.Pipe()
    assert select.select([second], [], [], 0)[0] == []
    first.send(1)
    assert select.select([second], [], [], SOON)[0] == [second]
    assert connection.wait([first, second], SOON) == [second]
    second.recv()
    first.close()
    assert select.select([second], [], [], SOON)[0] == [second]


def test_asyncio():
    async def main():
        first, second = connection.Pipe()
        wait = asyncio.create_task(second.recv_async())
        await asyncio.sleep(0.01)
        first.send("awaited")
        return await wait

    assert asyncio.run(main()) == "awaited"


def test_unpicklable():
    first, second = connection.Pipe()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        first.send(lambda: 1)
    first.send("next")
    assert second.recv() == "next"


def test_an_end_cannot_be_made_of_nothing():
    with pytest.raises(TypeError, match="cannot create"):
        connection.PipeEnd()
