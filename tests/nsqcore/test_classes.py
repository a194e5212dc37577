"""Classes with fields behave as those that attrs makes of the same lines."""

import weakref
from types import SimpleNamespace
from typing import ClassVar, Generic, TypeVar

import attrs
import pytest

from nsqcore import classes

T = TypeVar("T")
OURS = SimpleNamespace(
    define=classes.define, frozen=classes.frozen, field=classes.field, Factory=classes.Factory
)


@pytest.fixture(params=[OURS, attrs], ids=["ours", "attrs"])
def make(request):
    return request.param


def _point(make):
    @make.frozen
    class Point:
        kind: ClassVar[str] = "point"
        x: int
        _y: int = 0
        tags: list[str] = make.field(factory=list, eq=False)
        secret: str = make.field(default="s", repr=False, kw_only=True)

        def moved(self, by):
            return attrs.evolve(self, x=self.x + by)

    return Point


def test_instances_have_defaults_and_names_without_underscore(make):
    point = _point(make)(1, y=2, secret="t")
    assert (point.x, point._y, point.tags, point.secret) == (1, 2, [], "t")
    assert point.tags is not _point(make)(1).tags
    assert point.kind == "point"


def test_arguments_that_do_not_fit_are_refused(make):
    point = _point(make)
    for arguments, named in [((), {}), ((1, 2, [], "s"), {}), ((1,), {"z": 1}), ((1,), {"_y": 1})]:
        with pytest.raises(TypeError):
            point(*arguments, **named)
    assert point(1).x == 1


def test_equal_fields_make_equal_instances_of_one_class(make):
    point, other = _point(make), _point(make)
    assert point(1, tags=["a"]) == point(1, tags=["b"])
    assert hash(point(1)) == hash(point(1, 0))
    assert point(1) != point(2)
    assert point(1) != other(1)
    assert {point(1): "here"}[point(1)] == "here"


def test_repr_leaves_out_what_it_is_to_leave_out(make):
    assert repr(_point(make)(1)).endswith("Point(x=1, _y=0, tags=[])")


def test_frozen_instances_stay_as_they_are(make):
    point = _point(make)(1)
    with pytest.raises(AttributeError):
        point.x = 2
    with pytest.raises(AttributeError):
        del point.x
    assert point.x == 1


def test_attrs_knows_the_fields(make):
    point = _point(make)
    assert point(1, y=5, secret="t").moved(2) == point(3, y=5, secret="t")
    assert attrs.asdict(point(1)) == {"x": 1, "_y": 0, "tags": [], "secret": "s"}
    assert [one.name for one in attrs.fields(point)] == ["x", "_y", "tags", "secret"]


def test_instances_that_can_change_have_no_hash_and_no_other_attributes(make):
    @make.define
    class Counter:
        count: int = 0

    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    assert weakref.ref(counter)() is counter
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    with pytest.raises(AttributeError):
        counter.total = 1


def test_without_eq_instances_are_themselves_only(make):
    @make.define(eq=False, repr=False, kw_only=True)
    class Task:
        name: str

    task = Task(name="a")
    assert task != Task(name="a")
    assert task in {task}
    assert "name" not in repr(task)
    with pytest.raises(TypeError):
        Task("a")


def test_what_is_no_argument_is_made_before_the_last_step_of_init(make):
    @make.define(eq=False)
    class Sum:
        parts: tuple[int, ...] = make.field(converter=tuple)
        doubled: list[int] = make.field(
            default=make.Factory(lambda self: [2 * part for part in self.parts], takes_self=True)
        )
        late: int = make.field(init=False)
        total: int = make.field(init=False, default=0)

        def __attrs_post_init__(self):
            self.total = sum(self.parts)

    made = Sum([1, 2])
    assert (made.parts, made.doubled, made.total) == ((1, 2), [2, 4], 3)
    assert Sum([1], [7]).doubled == [7]
    assert not hasattr(made, "late")


def test_a_class_has_the_fields_of_the_one_it_extends(make):
    @make.define(eq=False)
    class Base(Generic[T]):
        name: str

        @classmethod
        def made(cls, *arguments):
            return cls(*arguments)

        def told(self):
            return self.name

    @make.define(eq=False)
    class Special(Base[int]):
        size: int = 1

        def told(self):
            return f"{super().told()} {self.size}"

    assert Special.made("a", 2).told() == "a 2"
    assert Base("b").told() == "b"


def test_own_methods_stay(make):
    @make.define
    class Own:
        name: str

        def __eq__(self, other):
            return True

        def __repr__(self):
            return "own"

    assert repr(Own("a")) == "own"
    assert Own("a") == Own("b")

    @make.define(eq=False)
    class Written:
        name: str

        def __init__(self):
            self.name = "written"

    assert Written().name == "written"


def test_a_field_of_attrs_is_refused():
    with pytest.raises(TypeError, match="size is a field of attrs"):

        @classes.define
        class Mixed:
            size: int = attrs.field(default=1)
