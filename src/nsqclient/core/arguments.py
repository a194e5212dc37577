"""Checks of what a caller gives, made where it is given.

Durations are numbers of seconds or `datetime.timedelta`, everywhere. A value of
the wrong type raises TypeError, one that makes no sense ValueError; both name
the argument.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from attrs import Attribute

Duration = float | timedelta
"""Seconds, or a `datetime.timedelta`."""

Secret = str | Callable[[], str]
"""A secret, or a function that gives it as it is now."""

# A size on the wire is a signed 32-bit number, and so are RDY and settings of sizes at nsqd.
MAX_INT32 = 2**31 - 1

# Durations travel as milliseconds in 64 bits, and nsqd counts them in nanoseconds.
LONGEST = 2**63 / 1e9


def number_of_seconds(value: Duration, name: str) -> float:
    """``value`` in seconds, whatever number it is."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of seconds or a timedelta, not {_kind(value)}")
    return float(value)


def seconds(value: Duration, name: str, *, lowest: float = 0.0, above: bool = False) -> float:
    """``value`` in seconds, at least ``lowest`` (with ``above``: more than that)."""
    value = number_of_seconds(value, name)
    if not math.isfinite(value) or value > LONGEST:
        raise ValueError(f"{name} is a number of seconds, not {value}")
    if value < lowest or (above and value == lowest):
        raise ValueError(f"{name} is {'more than' if above else 'at least'} {lowest:g} s")
    return value


def whole(value: int, name: str, *, lowest: int = 0, highest: int = MAX_INT32) -> int:
    """``value`` if it is an integer of that range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an integer, not {_kind(value)}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is from {lowest} to {highest}, not {value}")
    return value


def text(value: str, name: str) -> str:
    """``value`` if it is text that can be sent."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} cannot be encoded: {error}") from error
    return value


def secret(value: Secret, name: str) -> Secret:
    """``value`` if it is a secret that can be sent, or may give one."""
    return value if callable(value) else text(value, name)


def said(value: Secret) -> str:
    """The secret itself, as it is now. Raises TypeError, ValueError: a function gives none."""
    return text(value(), "what auth_secret gives") if callable(value) else value


def switch(value: bool, name: str) -> bool:
    """``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {_kind(value)}")
    return value


def addresses(value: str | Sequence[str], name: str) -> list[str]:
    """One address or several as a list, each once."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bytes | bytearray) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} is an address or a list of addresses, not {_kind(value)}")
    found = list(value)
    for address in found:
        if not isinstance(address, str):
            raise TypeError(f"{name}: an address is a str, not {_kind(address)}")
    return list(dict.fromkeys(found))


def instance(value: Any, kind: type, name: str) -> Any:
    """``value`` if it is a ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is a {kind.__name__}, not {_kind(value)}")
    return value


def function(value: Any, name: str) -> Any:
    """``value`` if it can be called."""
    if not callable(value):
        raise TypeError(f"{name} is a function, not {_kind(value)}")
    return value


def coroutine_function(value: Any, name: str) -> Any:
    """``value`` if calling it gives something to await, as far as that can be seen beforehand.

    A lambda, or a class with ``__call__``, may give a coroutine of another function: what it
    gives is looked at when it is called.
    """
    function(value, name)
    inner = inspect.unwrap(value)
    while hasattr(inner, "func"):  # functools.partial
        inner = inspect.unwrap(inner.func)
    if not (inspect.isfunction(inner) or inspect.ismethod(inner)):
        inner = type(inner).__call__
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        raise TypeError(f"{name} is an async function, not a generator")
    named = inspect.isfunction(inner) or inspect.ismethod(inner)
    if named and inner.__name__ != "<lambda>" and not inspect.iscoroutinefunction(inner):
        raise TypeError(f"{name} is an async function: write async def {inner.__name__}")
    return value


def checked(check: Callable[..., Any], *, optional: bool = False, **limits: Any) -> Any:
    """A validator of attrs that does ``check`` under the attribute's own name."""

    def validate(_: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is not None or not optional:
            check(value, attribute.name, **limits)

    return validate


def _kind(value: object) -> str:
    return type(value).__name__
