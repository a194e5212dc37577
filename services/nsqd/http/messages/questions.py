"""Whose messages a request is about, and which of them: its parameters, checked."""

import re
from collections.abc import Callable

from nsqcore.app.config.values import seconds
from nsqcore.classes import frozen
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError
from nsqcore.names import as_bytes
from nsqcore.units import SECOND
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.messages.message import timestamp
from nsqd.engine.topic import Topic
from nsqd.http.messages.rendering import BASE64, FORMS, Form
from nsqd.http.shared.arguments import valid_names
from nsqd.policies.keys import DISCARD, dead_letter_topic

MOST_IDS = 1000
LONGEST_TEXT = 1024

_ID = re.compile(r"[0-9a-f]{16}")
_ID_START = re.compile(r"[0-9a-f]{1,16}")
_DIGITS = re.compile(r"[0-9]{1,9}")


@frozen
class Target:
    """A topic, or a channel of it."""

    topic: Topic
    channel: Channel | None

    def __str__(self) -> str:
        name = self.topic.name
        return name if self.channel is None else f"{name}:{self.channel.name}"

    @property
    def gone(self) -> bool:
        """Whether it was deleted meanwhile."""
        return self.topic.deleted or (self.channel is not None and self.channel.deleted)


def target(broker: Broker, request: Request) -> Target:
    """The topic in ``topic=`` and, if that is given, the channel in ``channel=``. Raises
    HttpError."""
    name, channel = valid_names(request)
    topic = broker.topics.get(name)
    if topic is None:
        raise HttpError(404, "TOPIC_NOT_FOUND")
    if channel is None:
        return Target(topic, None)
    if channel not in topic.channels:
        raise HttpError(404, "CHANNEL_NOT_FOUND")
    return Target(topic, topic.channels[channel])


def dead_letters(broker: Broker, topic: str, channel: str | None) -> str:
    """Where what is dead in a channel goes. Raises HttpError where that is nowhere."""
    name = dead_letter_topic(topic, broker.rules(topic, channel or "").dead_letter_topic)
    if not name or name == DISCARD:
        detail = "a policy says that they are discarded" if name else "TOPIC.dead is too long"
        raise HttpError(409, "NO_DEAD_LETTERS", detail=detail)
    return name


def ids(request: Request) -> list[bytes]:
    """The messages in ``id=``, which may be repeated. Raises HttpError."""
    given = request.args().get("id", [])
    if not given:
        raise HttpError(400, "MISSING_ARG_ID")
    if len(given) > MOST_IDS:
        raise HttpError(400, "TOO_MANY_IDS", detail=f"at most {MOST_IDS} at once")
    if not all(map(_ID.fullmatch, given)):
        raise HttpError(400, "INVALID_ID", detail="an id is 16 hexadecimal digits, small letters")
    return [id.encode() for id in given]


def number(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """The whole number in the parameter ``name``. Raises HttpError."""
    given = request.arg(name)
    if given is None:
        return default
    if not _DIGITS.fullmatch(given) or not lowest <= int(given) <= highest:
        detail = f"{name}: expected a whole number from {lowest} to {highest}"
        raise HttpError(400, f"INVALID_{name.upper()}", detail=detail)
    return int(given)


def form(request: Request, longest: int | None) -> Form:
    """How bodies are to be shown, by ``body=``. Raises HttpError."""
    given = request.arg("body") or BASE64
    if given not in FORMS:
        detail = f"body: expected one of {', '.join(FORMS)}"
        raise HttpError(400, "INVALID_BODY", detail=detail)
    return Form(given, longest)


def reason(request: Request) -> str:
    """Why somebody acts, in one line for the log."""
    given = as_bytes(request.arg("reason") or "").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in given)[:200]


def wanted(request: Request, wall: int) -> Callable[[bytes], bool] | None:
    """Which records are to be seen, by ``contains=``, ``id=`` (the beginning of one), ``min_age=``
    and ``max_age=``; None for all. ``wall`` is the wall clock in ns. Raises HttpError."""
    conditions: list[Callable[[bytes], bool]] = []
    if start := request.arg("id"):
        if not _ID_START.fullmatch(start):
            raise HttpError(400, "INVALID_ID", detail="id: expected hexadecimal digits")
        prefix, end = start.encode(), 10 + len(start)
        conditions.append(lambda record: record[10:end] == prefix)
    if (least := _age(request, "min_age")) is not None:
        newest = wall - least
        conditions.append(lambda record: timestamp(record) <= newest)
    if (most := _age(request, "max_age")) is not None:
        oldest = wall - most
        conditions.append(lambda record: timestamp(record) >= oldest)
    if text := as_bytes(request.arg("contains") or ""):
        if len(text) > LONGEST_TEXT:
            detail = f"contains: at most {LONGEST_TEXT} bytes"
            raise HttpError(400, "INVALID_CONTAINS", detail=detail)
        conditions.append(lambda record: record.find(text, HEADER_SIZE) >= 0)
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    return lambda record: all(condition(record) for condition in conditions)


def _age(request: Request, name: str) -> int | None:
    given = request.arg(name)
    if not given:
        return None
    try:
        age = seconds(given)
        if age < 0:
            raise ValueError("expected one that is not negative")
    except ValueError as error:
        detail = f"{name}: {error}"
        raise HttpError(400, f"INVALID_{name.upper()}", detail=detail) from None
    return round(age * SECOND)
