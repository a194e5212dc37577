"""Classes with fields, as attrs makes them, made at once: for programs that are to start at once.

`define`, `frozen`, `field` and `Factory` are those of attrs, as far as this project uses them, and
type checkers take them for these. attrs writes and compiles the methods of a class while its module
is imported, half a millisecond each, which for the 260 classes of nsqd was a third of its start.
Here a class gets its slots, and ``__init__`` is written when the first instance is made: most
classes of a program have none in most runs. ``__eq__``, ``__hash__`` and ``__repr__`` are the same
function for all.

What describes the fields is where attrs has it, so `attrs.evolve`, `attrs.asdict` and
`attrs.fields` do for these classes, too. Not here are validators, and what is to happen when an
attribute is set: a class that wants them takes attrs itself. The other way round does not work: a
``field`` of attrs is no field here, and refused.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

NOTHING: Any = object()  # the default of what has none


class _Factory:
    """What makes the default of a field, from nothing or from the instance."""

    __slots__ = ("factory", "takes_self")

    def __init__(self, factory: Callable[..., Any], takes_self: bool = False) -> None:
        self.factory, self.takes_self = factory, takes_self


class _Field:
    """One field: how it is set, shown and compared. Attributes are those of `attrs.Attribute`."""

    __slots__ = (
        *("name", "alias", "type", "default", "init", "repr", "eq", "kw_only"),
        *("converter", "metadata"),
    )
    name: str
    alias: str  # the parameter of ``__init__``
    type: Any

    def __init__(
        self,
        *,
        default: Any = NOTHING,
        factory: Callable[[], Any] | None = None,
        init: bool = True,
        repr: bool = True,
        eq: bool = True,
        kw_only: bool = False,
        converter: Callable[[Any], Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.default = default if factory is None else _Factory(factory)
        self.init, self.repr, self.eq, self.kw_only = init, repr, eq, kw_only
        self.converter, self.metadata = converter, metadata or {}


def _define(cls: Any = None, **how: bool) -> Any:
    """The class with its annotations as fields; or, without ``cls``, what makes it so.

    ``how`` is ``eq``, ``repr``, ``init``, ``kw_only`` and ``frozen``, as for `attrs.define`.
    """
    build: Callable[..., Any] = _build
    return partial(build, **how) if cls is None else build(cls, **how)


def _frozen(cls: Any = None, **how: bool) -> Any:
    """As `_define`; the attributes of instances cannot be set."""
    return _define(cls, frozen=True, **how)


def _build(
    cls: type,
    *,
    eq: bool = True,
    repr: bool = True,
    init: bool = True,
    kw_only: bool = False,
    frozen: bool = False,
) -> type:
    body = dict(cls.__dict__)
    own = [
        _take_field(name, annotation, body.pop(name, NOTHING), kw_only)
        for name, annotation in body.get("__annotations__", {}).items()
        if not _is_of_class(annotation)
    ]
    names = [one.name for one in own]
    inherited: Iterable[_Field] = getattr(cls, "__attrs_attrs__", ())
    fields = (*(one for one in inherited if one.name not in names), *own)
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    above = {one.name for one in inherited}
    slots = [name for name in names if name not in above]
    if not any(base.__weakrefoffset__ for base in cls.__mro__[1:]):
        slots.append("__weakref__")
    body.update(
        __slots__=tuple(slots),
        __qualname__=cls.__qualname__,
        __attrs_attrs__=fields,
        __match_args__=tuple(one.alias for one in fields if one.init and not one.kw_only),
    )
    if eq and "__eq__" not in body:
        body["__eq__"] = _is_equal
        body.setdefault("__hash__", _hash if frozen else None)
    if repr and "__repr__" not in body:
        body["__repr__"] = _show
    if frozen:
        body.update(__setattr__=_refuse, __delattr__=_refuse)
    if init and "__init__" not in body:
        body["__init__"] = _first_init(lambda: made, frozen)
    made: type = type(cls)(cls.__name__, cls.__bases__, body)
    _point_at(made, cls, body.values())
    return made


def _is_of_class(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar"))
    return getattr(annotation, "__origin__", annotation) is ClassVar


def _take_field(name: str, annotation: Any, given: Any, kw_only: bool) -> _Field:
    """The field ``name``, whose default, or description, stands in the class as ``given``."""
    if type(given).__module__ == "attr._make" and type(given).__name__ == "_CountingAttr":
        raise TypeError(f"{name} is a field of attrs in a class that is not of attrs")
    made = given if isinstance(given, _Field) else _Field(default=given)
    made.name, made.alias, made.type = name, name.lstrip("_"), annotation
    made.kw_only = made.kw_only or kw_only
    return made


def _point_at(made: type, cls: type, values: Iterable[object]) -> None:
    """Have the methods that say ``super()`` mean ``made``, which takes the place of ``cls``."""
    for value in values:
        function = getattr(value, "__func__", getattr(value, "fget", value))
        for cell in getattr(function, "__closure__", None) or ():
            try:
                if cell.cell_contents is cls:
                    cell.cell_contents = made
            except ValueError:  # nothing is in it yet
                continue


def _first_init(made: Callable[[], type], frozen: bool) -> Callable[..., None]:
    """An ``__init__`` that writes the class ``made()`` the real one, and calls it."""

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        cls: Any = made()
        cls.__init__ = _write_init(cls, frozen)
        cls.__init__(self, *arguments, **named)

    return __init__


def _write_init(cls: Any, frozen: bool) -> Any:
    """The ``__init__`` of ``cls``: a line for each field."""
    names: dict[str, Any] = {"NOTHING": NOTHING}
    positional: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for one in cls.__attrs_attrs__:
        name, value = one.name, one.alias
        made = _default(one, names)
        if one.init:
            default = "NOTHING" if isinstance(one.default, _Factory) else made
            parameter = f"{value}={default}" if made else value
            (by_name if one.kw_only else positional).append(parameter)
            if isinstance(one.default, _Factory):
                value = f"{made} if {value} is NOTHING else {value}"
        elif not made:
            continue  # whoever makes the instance sets it
        else:
            value = made
        if one.converter is not None:
            names[f"convert_{name}"] = one.converter
            value = f"convert_{name}({value})"
        if frozen:
            names[f"set_{name}"] = getattr(cls, name).__set__
            lines.append(f"set_{name}(self, {value})")
        else:
            lines.append(f"self.{name} = {value}")
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *by_name] if by_name else [])])
    source = f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"])
    exec(compile(source, f"<__init__ of {cls.__module__}.{cls.__qualname__}>", "exec"), names)
    names["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return names["__init__"]


def _default(one: _Field, names: dict[str, Any]) -> str:
    """The expression for the default of a field, with what it is about put in ``names``."""
    if one.default is NOTHING:
        return ""
    name = f"default_{one.name}"
    if not isinstance(one.default, _Factory):
        names[name] = one.default
        return name
    names[name] = one.default.factory
    return f"{name}(self)" if one.default.takes_self else f"{name}()"


def _compared(cls: Any) -> Callable[[Any], Any]:
    """What an instance of ``cls`` is compared by, as one value; found once for each class."""
    key: Callable[[Any], Any]
    try:
        key = _KEYS[cls]
    except KeyError:
        compared = [one.name for one in cls.__attrs_attrs__ if one.eq]
        key = _KEYS[cls] = attrgetter(*compared) if compared else lambda _: ()
    return key


_KEYS: dict[type, Callable[[Any], Any]] = {}


def _is_equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    key = _compared(self.__class__)
    return key(self) == key(other)


def _hash(self: Any) -> int:
    return hash(_compared(self.__class__)(self))


def _show(self: Any) -> str:
    shown = [one.name for one in self.__attrs_attrs__ if one.repr]
    values = ", ".join(f"{name}={getattr(self, name, NOTHING)!r}" for name in shown)
    return f"{type(self).__qualname__.rpartition('>.')[2]}({values})"


def _refuse(self: object, name: str, *_value: object) -> NoReturn:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} stays as it is")


if TYPE_CHECKING:
    from attrs import Factory as Factory
    from attrs import define as define
    from attrs import field as field
    from attrs import frozen as frozen
else:
    Factory, define, field, frozen = _Factory, _define, _Field, _frozen
