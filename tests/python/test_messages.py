# SPDX-License-Identifier: MIT
"""What objects become on their way: values, types and sharing as pickle keeps them; and damaged messages."""

import array
import copyreg
import pickle
import random
import sys
import threading
from multiprocessing import reduction

import hypothesis
import pytest
from hypothesis import strategies

from support import same_as_pickle, there_and_back
from tutti import _tutti

RAW, PICKLE, DIRECT, BUFFERS = 0, 2, 3, 4
GRAPHS = 20_000
DAMAGED = 20_000


def encoding(obj):
    return _tutti._encode(obj)[0]


# --- the direct form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "obj",
    [
        None, True, False, 0, -1, 127, 128, -128, -129, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63),
        0.0, -0.0, 1.5, float("inf"), "", "a", "é", "€uro", "\U0001f600" * 300, "\ud800", "\0", b"", b"a",
        bytes(range(256)), (), (1,), [], [[]], {}, {"a": {1: (2.5, None)}}, ("x" * 255, "y" * 256, b"z" * 70000),
        [b"q" * 20000] * 3, tuple(range(1000)),
    ],
    ids=lambda obj: repr(obj)[:30],
)
def test_built_in_types_travel_directly(obj):
    assert encoding(obj) == DIRECT
    assert same_as_pickle(obj)


def test_nan_stays_nan():
    assert there_and_back(float("nan")) != there_and_back(float("nan"))


class Text(str):
    pass


@pytest.mark.parametrize(
    "obj", [2**63, -(2**63) - 1, 2**4000, {1, 2}, frozenset("a"), 1j, Text("a"), bytearray(b"a"), object, range(3)],
    ids=lambda obj: repr(obj)[:30],
)
def test_other_types_are_pickled(obj):
    assert encoding(obj) == PICKLE
    back = there_and_back(obj)
    assert back == obj and type(back) is type(obj)
    assert there_and_back([obj, obj])[1] == obj


def test_recursive_structures_go_to_pickle():
    items = [1]
    items.append(items)
    assert encoding(items) == PICKLE
    back = there_and_back(items)
    assert back[1] is back
    table = {}
    table["self"] = (table,)
    back = there_and_back(table)
    assert back["self"][0] is back


def test_deep_structures():
    deep = None
    for _ in range(60):
        deep = [deep]
    assert encoding(deep) == DIRECT and there_and_back(deep) == deep
    for _ in range(100):
        deep = (deep,)
    assert encoding(deep) == PICKLE and there_and_back(deep) == deep
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        _tutti._encode(deep)
    while deep:  # not by recursion either
        deep = deep[0]


def test_sharing_is_kept():
    text, inner = "shared text", [1]
    back = there_and_back([text, text, inner, (inner, text), {text: inner}])
    assert back[0] is back[1] is back[3][1] and back[2] is back[3][0] is back[4][text]
    assert next(iter(back[4])) is back[0]


def test_more_shared_objects_than_the_memo_holds():
    objects = [[i] for i in range(100)]
    assert same_as_pickle([objects, list(objects)])


def graph(choose, made, depth=0):
    """A random object; sometimes one that was made before."""
    if made and choose.random() < 0.25:
        return choose.choice(made)
    kind = choose.randrange(10 if depth < 5 else 7)
    if kind == 0:
        return choose.choice([None, True, False])
    if kind == 1:
        return choose.choice([0, 1, -1, 255, 2**31, -(2**40), 2**63 - 1, choose.randrange(-(10**6), 10**6)])
    if kind == 2:
        return choose.uniform(-1e9, 1e9)
    if kind <= 4:
        alphabet = choose.choice(["ab", "aé", "a€", "a\U0001f600"])
        obj = "".join(choose.choice(alphabet) for _ in range(choose.choice([0, 1, 2, 5, 300])))
    elif kind <= 6:
        obj = bytes(choose.randrange(256) for _ in range(choose.choice([0, 1, 2, 9])))
    elif kind == 7:
        obj = tuple(graph(choose, made, depth + 1) for _ in range(choose.randrange(4)))
    elif kind == 8:
        obj = [graph(choose, made, depth + 1) for _ in range(choose.randrange(4))]
    else:
        obj = {choose.choice(["k", "key", 1, 2.5, b"b", None, (1, "t")]): graph(choose, made, depth + 1) for _ in range(3)}
    made.append(obj)
    return obj


def test_random_graphs_are_as_pickle_makes_them():
    choose, direct = random.Random(20), 0
    for number in range(GRAPHS):
        obj = graph(choose, [])
        direct += encoding(obj) == DIRECT
        assert same_as_pickle(obj), f"graph {number}: {obj!r}"
    assert direct > 0.95 * GRAPHS


atoms = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text() | strategies.binary()
keys = strategies.integers() | strategies.text() | strategies.binary() | strategies.tuples(strategies.text())


@hypothesis.settings(max_examples=500, deadline=None, database=None)
@hypothesis.given(
    strategies.recursive(
        atoms,
        lambda child: strategies.lists(child)
        | strategies.tuples(child, child)
        | strategies.dictionaries(keys, child)
        | child.map(lambda value: [value, value]),
        max_leaves=40,
    )
)
def test_anything_is_as_pickle_makes_it(obj):
    assert same_as_pickle(obj)


# --- damaged messages -----------------------------------------------------------------------------------------


def damaged(choose, data):
    """The bytes with something wrong in them."""
    data = bytearray(data)
    for _ in range(choose.randrange(1, 4)):
        way = choose.randrange(4)
        position = choose.randrange(len(data) + 1)
        if way == 0:
            del data[position:]
        elif way == 1:
            data[position:position] = bytes(choose.randrange(256) for _ in range(choose.randrange(1, 9)))
        elif way == 2 and data:
            data[position % len(data)] = choose.randrange(256)
        elif data:
            data[position % len(data)] ^= 1 << choose.randrange(8)
    return bytes(data)


def test_damaged_messages_raise_or_decode_to_something_sound():
    choose, refused = random.Random(7), 0
    for _ in range(DAMAGED):
        data = damaged(choose, _tutti._encode(graph(choose, []))[1])
        try:
            back = _tutti._decode(DIRECT, data)
        except (ValueError, TypeError):
            refused += 1
        else:
            repr(back)
            pickle.dumps(back)
    assert refused > DAMAGED / 4


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\x00", b"\x4d" + b"\xff" * 8, b"\x0d\xff", b"\x08\x00", b"\x8e\x01\x08\x00", b"\x0b\x01\xff\xff\xff\xff",
     b"\x01\x01", b"\x0f\x01\x0e\x00\x01", b"\x0e\x01" * 100 + b"\x01", b"\x4c" + b"\xff" * 8, b"\x89"],
    ids=lambda data: data[:4].hex() or "empty",
)
def test_particular_damage(data):
    with pytest.raises((ValueError, TypeError)):
        _tutti._decode(DIRECT, data)


def test_damaged_buffers_are_refused_or_sound():
    choose = random.Random(11)
    whole = _tutti._encode(pickle.PickleBuffer(bytearray(100_000)))[1]
    for _ in range(2000):
        data = bytearray(whole)
        position = choose.randrange(48)  # the head
        data[position] = choose.randrange(256)
        try:
            bytes(_tutti._decode(BUFFERS, bytes(data[: choose.choice([len(data), 40, 60])])))
        except Exception as error:
            assert not isinstance(error, SystemError), error


# --- the registry of reducers ---------------------------------------------------------------------------------


class Plain:
    def __init__(self, value=0):
        self.value = value


def test_registered_reducers_are_looked_up_when_needed():
    assert there_and_back(Plain(1)).value == 1
    reduction.register(Plain, lambda plain: (Plain, (plain.value + 10,)))
    try:
        assert there_and_back(Plain(1)).value == 11
        reduction.register(Plain, lambda plain: (Plain, (plain.value + 20,)))
        assert there_and_back(Plain(1)).value == 21
    finally:
        del reduction.ForkingPickler._extra_reducers[Plain]
    assert there_and_back(Plain(1)).value == 1


def test_copyreg_comes_after_the_registry():
    copyreg.pickle(Plain, lambda plain: (Plain, (plain.value + 100,)))
    try:
        assert there_and_back(Plain(1)).value == 101
    finally:
        del copyreg.dispatch_table[Plain]


def test_a_replaced_forking_pickler_does_the_work(monkeypatch):
    class Other(reduction.ForkingPickler):
        @classmethod
        def dumps(cls, obj, protocol=None):
            return pickle.dumps(("other", obj))

        @staticmethod
        def loads(data):
            return pickle.loads(data)[1], "by other"

    monkeypatch.setattr(reduction, "ForkingPickler", Other)
    assert there_and_back({1}) == ({1}, "by other")
    assert there_and_back(({1}, 2)) == (({1}, 2), "by other")


class Nested:
    """Encodes while it is being encoded."""

    def __reduce__(self):
        return Plain, (there_and_back({5}),)


def test_encoding_inside_reduce():
    assert there_and_back([Nested(), Nested()])[1].value == {5}


class FailsHalfWay:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("half way"), KeyboardInterrupt(), SystemExit(3), MemoryError()], ids=repr)
def test_objects_that_fail_half_way(error):
    for _ in range(20):
        with pytest.raises(type(error)):
            _tutti._encode([{1}, "text", FailsHalfWay(error)])
        assert there_and_back([{1}, {2}]) == [{1}, {2}]


def test_memory_of_pickling_does_not_pile_up():
    there_and_back([Plain(i) for i in range(50_000)])  # its pickler is dropped
    before = sys.getrefcount(Plain)
    for _ in range(100):
        there_and_back(Plain())
    assert sys.getrefcount(Plain) <= before + 1


def test_threads_that_pickle():
    failed = []

    def work(number):
        for i in range(300):
            obj = [Plain((number, i)), {number}, Nested()]
            if there_and_back(obj)[0].value != (number, i):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# --- what cannot be pickled says where ------------------------------------------------------------------------


class Job:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "obj, path",
    [
        ((1, Job(callback=lambda: 1)), "[1].callback"),
        (Job(args=(0, Job(callback=lambda: 1))), "args[1].callback"),
        ({"a": [{2}, threading.Lock()]}, "['a'][1]"),
        ([Job(deep=[Job(stream=sys.stderr)])], "[0].deep[0].stream"),
    ],
    ids=["instance", "path", "lock", "stream"],
)
def test_the_text_names_the_path(obj, path):
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
        _tutti._encode(obj)
    assert f"({path})" in str(caught.value), str(caught.value)
    assert caught.value.__cause__ is not None


def test_the_text_of_a_whole_object():
    with pytest.raises((AttributeError, pickle.PicklingError), match="cannot send <function .*top level of a module"):
        _tutti._encode(lambda: 1)


# --- buffers --------------------------------------------------------------------------------------------------


def test_large_buffers_travel_beside_the_pickle():
    data = bytearray(range(256)) * 1024
    assert encoding(pickle.PickleBuffer(data)) == BUFFERS
    back = memoryview(there_and_back(pickle.PickleBuffer(data)))
    assert bytes(back) == data and not back.readonly
    back[0] = 77
    assert back[0] == 77 and data[0] == 0


def test_read_only_buffers_arrive_read_only():
    back = memoryview(there_and_back(pickle.PickleBuffer(bytes(100_000))))
    assert back.readonly


def test_small_buffers_travel_inside():
    obj, data = _tutti._encode([pickle.PickleBuffer(bytearray(100_000)), pickle.PickleBuffer(bytearray(10))])
    assert obj == BUFFERS and len(_tutti._decode(obj, data)[1]) == 10


def test_bytes_and_bytearray_own_their_storage():
    assert encoding(bytearray(1_000_000)) == PICKLE
    back = there_and_back(bytearray(b"x") * 1_000_000)
    back.extend(b"y")  # not tied to anything
    assert there_and_back(b"x" * 5_000_000) == b"x" * 5_000_000


def test_a_received_block_can_be_sent_on():
    first = there_and_back(pickle.PickleBuffer(bytearray(b"z") * 100_000))
    assert encoding(first) == BUFFERS
    assert bytes(there_and_back(first)) == b"z" * 100_000
    assert bytes(pickle.loads(pickle.dumps(first))) == b"z" * 100_000


def test_arrays_of_the_array_module():
    numbers = array.array("d", range(1000))
    assert there_and_back(numbers) == numbers


def test_what_the_direct_form_gives_up_leaves_no_memory():
    obj = (b"x" * 20_000, array.array("i", [1]))  # first a part that is kept by reference, then one it does not know
    assert encoding(obj) == PICKLE
    before = sys.getallocatedblocks()
    for _ in range(2_000):
        _tutti._encode(obj)
    assert sys.getallocatedblocks() - before < 500


class Releasing:
    """Takes back a buffer that was handed over before."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce__(self):
        self.buffer.release()
        return int, ()


def test_a_buffer_that_is_released_meanwhile_is_an_error_with_a_text():
    buffer = pickle.PickleBuffer(bytearray(100_000))
    with pytest.raises(ValueError, match="released"):
        _tutti._encode([buffer, Releasing(buffer)])
    assert there_and_back([1, {"a": 2}]) == [1, {"a": 2}]
