# SPDX-License-Identifier: MIT
"""Instances of plain classes travel in the direct form, exactly as pickle would make them; all others by pickle."""

import abc
import collections
import copyreg
import dataclasses
import enum
import gc
import pickle
import random
import subprocess
import sys
import types
import weakref
from multiprocessing import reduction

import pytest

from support import same_as_pickle, there_and_back
from tutti import _tutti

PICKLE, DIRECT = 2, 3
DAMAGED = 20_000


def encoding(obj):
    return _tutti._encode(obj)[0]


class Empty:
    pass


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


class Base:
    kind = "base"

    def __init__(self):
        self.of_base = [1]


class Mixin:
    @property
    def shadow(self):
        return "of the class"


class Derived(Base, Mixin):
    def __init__(self, name="a name"):
        super().__init__()
        self.name = name
        self.__dict__["shadow"] = 3  # pickle restores the dict, whatever the class has under that name

    def __del__(self):
        pass


@dataclasses.dataclass
class Record:
    number: int
    words: list
    inner: object = None


MANY = [type(f"Many{i}", (), {"__module__": __name__}) for i in range(12)]
globals().update({kind.__name__: kind for kind in MANY})


def shared():
    point = Point(1, "one")
    return [point, point, point.__dict__, point.__dict__, (point,)]


@pytest.mark.parametrize(
    "obj",
    [
        Empty(), Point(1, 2.5), Point("a" * 300, [None]), Derived(), Record(1, ["a", "b"], Record(2, [])),
        [Point(i, str(i)) for i in range(100)], {"p": Point(0, 0)}, shared(), tuple(kind() for kind in MANY[:8]),
        Point(Point(Point(1, 2), Empty()), Base()), Point(1, "y"),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_plain_instances_travel_directly(obj):
    assert encoding(obj) == DIRECT
    assert same_as_pickle(obj)


def test_a_restored_instance_is_a_usable_one():
    back = there_and_back(Derived("x"))
    assert (back.kind, back.name, back.of_base, vars(back)["shadow"]) == ("base", "x", [1], 3)
    back.more = 1
    assert list(vars(back)) == ["of_base", "name", "shadow", "more"]
    assert weakref.ref(back)() is back
    assert there_and_back(Record(1, [2])) == Record(1, [2])


def test_names_of_attributes_are_interned():
    obj = Empty()
    vars(obj)["some_name_that_the_class_has_seen"] = 1
    form, data = _tutti._encode(obj)
    (name,) = vars(_tutti._decode(form, data.replace(b"has_seen", b"not_seen")))
    assert form == DIRECT and name is sys.intern("some_name_that_the_class_" + "not_seen")


# --- what is left to pickle ---------------------------------------------------------------------------------------


class Reduces(Point):
    def __reduce__(self):
        return Point, (7, 8)


class ReducesEx(Point):
    def __reduce_ex__(self, protocol):
        return Point, (7, "reduced")


class HasState(Point):
    def __getstate__(self):
        return {"x": -1, "y": -2}


class SetsState(Point):
    def __setstate__(self, state):
        self.x = self.y = "set"


class NewArguments(Point):
    def __new__(cls, *args):
        return super().__new__(cls)

    def __getnewargs__(self):
        return (self.x,)


class Slotted:
    __slots__ = ("x", "__dict__")


class Substitutes(Point):
    def __getattr__(self, name):
        if name == "__setstate__":
            return lambda state: self.__dict__.update(x="substituted")
        raise AttributeError(name)


class Abstract(abc.ABC):
    pass


class Colour(enum.Enum):
    RED = 1


class Trouble(Exception):
    pass


class Table(dict):
    pass


class Outer:
    class Inner:
        pass


Pair = collections.namedtuple("Pair", "a b")


def with_attribute(name, value):
    obj = Point(1, 2)
    vars(obj)[name] = value
    return obj


@pytest.mark.parametrize(
    "obj",
    [
        Reduces(1, 2), ReducesEx(1, 2), HasState(1, 2), SetsState(1, 2), NewArguments(1, 2), Slotted(), Substitutes(1, 2),
        Abstract(), Colour.RED, Trouble("a"), Table(a=1), Outer.Inner(), Pair(1, 2), types.SimpleNamespace(a=1),
        with_attribute(3, "a name that is no string"), with_attribute("set", {1}), tuple(kind() for kind in MANY),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_what_pickle_is_needed_for(obj):
    for _ in range(2):  # when its class is new, and when it is known
        assert encoding(obj) == PICKLE
        back = there_and_back(obj)
        expected = pickle.loads(pickle.dumps(obj))
        assert type(back) is type(expected)
        assert getattr(back, "__dict__", None) == getattr(expected, "__dict__", None) or isinstance(back, tuple)


def test_an_instance_may_have_a_reducer_of_its_own():
    obj = with_attribute("__reduce_ex__", lambda protocol: (Point, ("own", 1)))
    assert there_and_back(obj).x == "own"


def test_an_instance_that_contains_itself():
    parent = Point(None, [])
    parent.y.append(Point(parent, None))
    assert encoding(parent) == PICKLE
    back = there_and_back(parent)
    assert back.y[0].x is back


def test_a_class_that_is_not_at_the_top_of_a_module_is_refused_as_ever():
    class Local:
        pass

    for _ in range(2):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            _tutti._encode(Local())


# --- what changes is noticed ------------------------------------------------------------------------------------


def test_a_method_that_comes_later(monkeypatch):
    obj = Derived()
    assert encoding(obj) == DIRECT
    for kind in (Derived, Base):
        with monkeypatch.context() as patch:
            patch.setattr(kind, "__reduce__", lambda self: (str, ("reduced",)), raising=False)
            assert there_and_back(obj) == "reduced"
        assert encoding(obj) == DIRECT


def test_a_reducer_that_is_registered_later(monkeypatch):
    obj = Point(1, 2)
    assert encoding(obj) == DIRECT
    monkeypatch.setitem(copyreg.dispatch_table, Point, lambda point: (str, ("by copyreg",)))
    assert there_and_back([obj]) == ["by copyreg"]
    monkeypatch.setitem(reduction.ForkingPickler._extra_reducers, Point, lambda point: (str, ("by multiprocessing",)))
    assert there_and_back([obj]) == ["by multiprocessing"]
    monkeypatch.undo()
    assert encoding(obj) == DIRECT


def test_a_replaced_forking_pickler_is_asked(monkeypatch):
    class Own(reduction.ForkingPickler):
        @classmethod
        def dumps(cls, obj, protocol=None):
            return pickle.dumps("by the replacement")

    assert encoding(Point(1, 2)) == DIRECT
    monkeypatch.setattr(reduction, "ForkingPickler", Own)
    assert there_and_back(Point(1, 2)) == "by the replacement"


def test_a_name_that_means_another_class_by_now(monkeypatch):
    obj = Point(1, 2)
    assert encoding(obj) == DIRECT
    monkeypatch.setitem(globals(), "Point", Empty)
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        _tutti._encode(obj)


def test_the_receiver_may_have_another_class_of_that_name(monkeypatch):
    message = _tutti._encode(Point(1, 2))
    assert message[0] == DIRECT
    monkeypatch.setitem(globals(), "Point", SetsState)
    assert there_and_back is not None and _tutti._decode(*message).x == "set"
    monkeypatch.setitem(globals(), "Point", Empty)
    assert vars(_tutti._decode(*message)) == {"x": 1, "y": 2}
    monkeypatch.delitem(globals(), "Point")
    with pytest.raises(AttributeError, match="Can't get attribute 'Point'"):
        _tutti._decode(*message)


def test_the_receiver_imports_the_module(monkeypatch, tmp_path):
    (tmp_path / "only_here.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    message = _tutti._encode(only_here.Thing())
    assert message[0] == DIRECT
    monkeypatch.delitem(sys.modules, "only_here")
    assert type(_tutti._decode(*message)).__module__ == "only_here"
    assert "only_here" in sys.modules
    monkeypatch.delitem(sys.modules, "only_here")
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part != str(tmp_path)])
    with pytest.raises(ModuleNotFoundError):
        _tutti._decode(*message)


def test_a_class_that_is_gone_is_not_taken_for_its_successor(monkeypatch):
    for round_number in range(40):
        kind = type("Fleeting", (), {"__module__": __name__} if round_number % 2 else
                    {"__module__": __name__, "__reduce__": lambda self: (str, ("reduced",))})
        monkeypatch.setitem(globals(), "Fleeting", kind)
        back = there_and_back(kind())
        assert type(back) is kind if round_number % 2 else back == "reduced"
        monkeypatch.delitem(globals(), "Fleeting")
        del kind, back
        gc.collect()


# --- bad input, and what is left behind ---------------------------------------------------------------------------


def test_finalisers_that_run_meanwhile():
    """Garbage is made of cycles whose finalisers change what is being sent: it must not be collected half way."""
    target = [Point(i, [i]) for i in range(50)]

    class Meddler:
        def __init__(self):
            self.me = self

        def __del__(self):
            del target[10:]
            target.extend(Point(i, [i]) for i in range(40))

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            Meddler()
            back = there_and_back(target)
            assert all(type(point) is Point and type(point.y) is list for point in back)
    finally:
        gc.set_threshold(*thresholds)


def test_damaged_messages_raise_or_decode_to_something_sound():
    choose = random.Random(5)
    _, whole = _tutti._encode([Record(1, ["a"], Point("x", b"y")), Point(1, 2), Empty()])
    for _ in range(DAMAGED):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 4)):
            data[choose.randrange(len(data))] = choose.randrange(256)
        try:
            repr(_tutti._decode(DIRECT, bytes(data[: choose.randrange(len(data) + 1)] if choose.random() < 0.3 else data)))
        except Exception:
            pass


def test_no_reference_is_kept():
    kinds = [Point, Empty, Derived]
    objects = [Point(1, 2), Empty(), Derived()]
    there_and_back(objects)
    before = [sys.getrefcount(part) for part in kinds + objects]
    for _ in range(1000):
        there_and_back(objects)
    gc.collect()
    assert [sys.getrefcount(part) for part in kinds + objects] == before


def test_loading_is_audited_as_with_pickle():
    code = ("import sys; from tutti import _tutti\n"
            "class Point: pass\n"
            "seen = []\n"
            "sys.addaudithook(lambda event, args: event == 'pickle.find_class' and seen.append(args))\n"
            "message = _tutti._encode(Point())\n"
            "_tutti._decode(*message)\n"
            "assert message[0] == 3 and seen == [('__main__', 'Point')], seen\n")
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
