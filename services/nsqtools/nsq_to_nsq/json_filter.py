"""Which JSON messages pass, and which of their fields.

Pure: a body in, a `Verdict` out. Rules of the original, but for one: whole numbers keep all their
digits, however many there are. How deep a message is nested makes no difference.
"""

import json
import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

from nsqcore.classes import frozen
from nsqtools.nsq_to_nsq import deep_json

# Within this a float that is a whole number is written as one, as Go writes it.
_WHOLE = 1e21

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE)

# The original escapes these for HTML.
_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Verdict(Enum):
    """What is to become of a message."""

    PASS = "publish it"
    DROP = "finish it"
    RETRY = "requeue it: the message that was asked for may come"


class NotJson(ValueError):
    """The body is no JSON object."""


@frozen
class JsonFilter:
    """The filters of a command line; without any, everything passes as it is."""

    require_field: str = ""
    require_value: str = ""
    whitelist: Sequence[str] = ()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ever looked at."""
        return not self.require_field and not self.whitelist

    def apply(self, body: bytes) -> tuple[Verdict, bytes]:
        """What to do with a message, and the body to publish.

        Raises:
            NotJson: there are filters, and the body is no JSON object.
        """
        if self.is_idle:
            return Verdict.PASS, body
        fields = _decode(body)
        verdict = self._judge(fields)
        if verdict is Verdict.PASS and self.whitelist:
            return verdict, _encode({key: fields[key] for key in self.whitelist if key in fields})
        return verdict, body

    def _judge(self, fields: dict[str, Any]) -> Verdict:
        if not self.require_field:
            return Verdict.PASS
        if self.require_field not in fields:
            return Verdict.RETRY if self.require_value else Verdict.DROP
        if not self.require_value:
            return Verdict.PASS
        value = fields[self.require_field]
        return Verdict.PASS if _matches(value, self.require_value) else Verdict.DROP


def _matches(value: object, wanted: str) -> bool:
    """A text is compared as such, a number by value; nothing else equals anything."""
    if isinstance(value, deep_json.Digits):
        return value.text == wanted
    if isinstance(value, str):
        return value == wanted
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(_NUMBER.fullmatch(wanted)) and float(value) == float(wanted)


def _decode(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8", "replace")
    try:
        fields = json.loads(
            text, parse_float=_parse_float, parse_int=_parse_int, parse_constant=_refuse
        )
    except (_ManyDigits, RecursionError):
        try:
            fields = deep_json.decode(text, _parse_float)
        except ValueError as error:
            raise NotJson("not JSON") from error
    except ValueError as error:
        raise NotJson("not JSON") from error
    if fields is None:  # where the original finds no fields, but no fault either
        return {}
    if not isinstance(fields, dict):
        raise NotJson("not a JSON object")
    return fields


class _ManyDigits(Exception):
    """Another parser is needed."""


def _parse_float(text: str) -> int | float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def _parse_int(text: str) -> int:
    if len(text) > deep_json.MANY_DIGITS:
        raise _ManyDigits
    return int(text)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _encode(fields: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except (RecursionError, TypeError):  # too deep, or Digits among it
        text = deep_json.encode(fields)
    return _SURROGATES.sub("\ufffd", text.translate(_ESCAPES)).encode()
