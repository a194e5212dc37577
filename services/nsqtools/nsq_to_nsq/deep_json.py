"""JSON without recursion: whatever its depth, and whole numbers of however many digits.

The standard library's parser and writer are faster, and end where the stack does; these take over
there, so that no message is dropped for want of stack. Depth costs memory in proportion, no more.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from nsqcore.classes import frozen

# Beyond this Python's own integers become slow to read and write.
MANY_DIGITS = 300

_TOKEN = re.compile(
    r'[ \t\r\n]*(?:([{}\[\],:"])|(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][+-]?[0-9]+)?'
    r"|(true|false|null))"
)
_text = json.JSONDecoder()
_WORDS = {"true": True, "false": False, "null": None}


@frozen
class Digits:
    """A whole number of very many digits, as it was written; `json` does not take it for a text."""

    text: str


class _Reader:
    """Reads one value from ``text``; raises ValueError where it is no JSON."""

    def __init__(self, text: str, parse_float: Callable[[str], Any]) -> None:
        self.text = text
        self.position = 0
        self.parse_float = parse_float

    def read(self) -> Any:
        """The value that the whole text is."""
        open_values: list[tuple[Any, str]] = []  # containers, with the key that waits for a value
        while True:
            value, closed = self._begin()
            if not closed:
                key = self._key() if isinstance(value, dict) else ""
                open_values.append((value, key))
                continue
            while open_values:
                container, key = open_values.pop()
                if isinstance(container, dict):
                    container[key] = value
                else:
                    container.append(value)
                mark = self._mark()
                if mark == ",":
                    key = self._key() if isinstance(container, dict) else ""
                    open_values.append((container, key))
                    break
                if mark != ("}" if isinstance(container, dict) else "]"):
                    raise ValueError(f"unexpected {mark!r} at {self.position}")
                value = container
            else:
                if self.text[self.position :].strip(" \t\r\n"):
                    raise ValueError("something behind the value")
                return value

    def _begin(self) -> tuple[Any, bool]:
        """The next value, and whether it is complete: a container is, if it is empty."""
        token = self._token()
        mark, whole, fraction, exponent, word = token.groups()
        if word:
            return _WORDS[word], True
        if whole:
            if fraction or exponent:
                return self.parse_float(whole + (fraction or "") + (exponent or "")), True
            return (Digits(whole) if len(whole) > MANY_DIGITS else int(whole)), True
        if mark == '"':
            return self._string(), True
        if mark not in ("{", "["):
            raise ValueError(f"unexpected {mark!r} at {self.position}")
        before = self.position
        ending = _TOKEN.match(self.text, before)
        empty: Any = {} if mark == "{" else []
        if ending is not None and ending[1] == ("}" if mark == "{" else "]"):
            self.position = ending.end()
            return empty, True
        return empty, False

    def _key(self) -> str:
        if self._mark() != '"':
            raise ValueError(f"no key at {self.position}")
        key = self._string()
        if self._mark() != ":":
            raise ValueError(f"no colon at {self.position}")
        return key

    def _string(self) -> str:
        value, self.position = _text.raw_decode(self.text, self.position - 1)
        return str(value)

    def _mark(self) -> str:
        return self._token()[1] or ""

    def _token(self) -> re.Match[str]:
        token = _TOKEN.match(self.text, self.position)
        if token is None:
            raise ValueError(f"no JSON at {self.position}")
        self.position = token.end()
        return token


def decode(text: str, parse_float: Callable[[str], Any]) -> Any:
    """The value that ``text`` is; raises ValueError if it is no JSON."""
    return _Reader(text, parse_float).read()


def encode(value: Any) -> str:
    """``value`` as compact JSON, with sorted keys."""
    return "".join(_parts(value))


def _parts(value: Any) -> Iterator[str]:
    # What is still to be written, last first: values, and texts in a tuple.
    left: list[Any] = [value]
    while left:
        item = left.pop()
        if isinstance(item, tuple):
            yield item[0]
        elif isinstance(item, Digits):
            yield item.text
        elif isinstance(item, dict):
            left.append(("}",))
            for position, key in enumerate(sorted(item, reverse=True), 1):
                comma = "," if position < len(item) else ""
                left += (item[key], (f"{comma}{json.dumps(key, ensure_ascii=False)}:",))
            left.append(("{",))
        elif isinstance(item, list):
            left.append(("]",))
            for position, element in enumerate(reversed(item), 1):
                left += (element, ("," if position < len(item) else "",))
            left.append(("[",))
        else:
            yield json.dumps(item, ensure_ascii=False)
