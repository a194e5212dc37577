"""The keys of policies: what each may be, whom it is about, and whether a limit can cap it.

Values are kept as they were given and as they are used: durations in ns, sizes in bytes.
"""

import re
from collections.abc import Callable
from typing import Any

from nsqcore import names
from nsqcore.app.config.values import seconds
from nsqcore.classes import frozen
from nsqcore.names import MAX_NAME_LENGTH, is_valid_name
from nsqcore.units import SECOND

Read = Callable[[object], Any]

# Keys that some part of nsqd acts on. A key that nobody acts on is refused: a promise that is not
# kept is worse than none. Whoever implements one adds it here.
SUPPORTED = frozenset(
    {
        "dead_letter_topic",
        "durability",
        "max_attempts",
        "max_channel_consumers",
        "max_depth",
        "mem_queue_size",
        "message_ttl",
        "overflow",
    }
)

DISCARD = "discard"  # as a dead-letter topic: what is dead is dropped

_DAY = 24 * 3600 * SECOND
_LONGEST = 3650 * _DAY
_DAYS = re.compile(r"([0-9]{1,5})(d|w)")
_SIZE = re.compile(r"([0-9]{1,18})(?: ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB))?")
_UNITS = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


@frozen
class Key:
    """One key. ``read`` gives the value as it is used; its ValueErrors say what would be right."""

    name: str
    read: Read
    of_topics: bool = True
    of_channels: bool = True
    #: A limit may hold it: the lesser of two values is the more careful one.
    ordered: bool = False


def dead_letter_topic(topic: str, wanted: str = "") -> str:
    """Where what is dead in ``topic`` goes, if a policy does not say (``wanted``); empty where the
    name would be too long."""
    if wanted:
        return wanted
    name = names.dead_letter_topic(topic)
    return name if is_valid_name(name) else ""


def _duration(value: object) -> int:
    try:
        if not isinstance(value, str):
            raise ValueError
        found = _DAYS.fullmatch(value)
        ns = (
            int(found[1]) * _DAY * (7 if found[2] == "w" else 1)
            if found
            else round(seconds(value) * SECOND)
        )
    except ValueError:
        raise ValueError('a duration such as "500ms", "24h" or "7d"') from None
    if not 0 < ns <= _LONGEST:
        raise ValueError("a duration above 0 and of ten years at most")
    return ns


def _size(value: object) -> int:
    found = _SIZE.fullmatch(str(value)) if isinstance(value, str) else None
    size = int(found[1]) * _UNITS[found[2] or "B"] if found else value
    if type(size) is not int or not 0 < size < 2**63:
        raise ValueError('a size in bytes such as 1048576 or "64MiB"')
    return size


def _whole(lowest: int, highest: int) -> Read:
    def read(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return value

    return read


def _one_of(*words: str) -> Read:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return value

    return read


def _topic(value: object) -> str:
    if not isinstance(value, str) or not is_valid_name(value):
        raise ValueError(f"the name of a topic, of {MAX_NAME_LENGTH} characters at most")
    return value


_ALL = (
    Key("durability", _one_of("none", "os", "interval", "always"), of_channels=False),
    Key("durability_interval", _duration, of_channels=False, ordered=True),
    Key("max_attempts", _whole(1, 32767), of_topics=False, ordered=True),
    Key("dead_letter_topic", _topic, of_topics=False),
    Key("message_ttl", _duration, ordered=True),
    Key("max_depth", _whole(1, 2**63 - 1), ordered=True),
    Key("max_bytes", _size, ordered=True),
    Key("overflow", _one_of("reject", "drop_oldest", "dead_letter")),
    Key("mem_queue_size", _whole(0, 2**31 - 1), ordered=True),
    Key("max_channel_consumers", _whole(1, 2**31 - 1), of_topics=False, ordered=True),
    Key("retention_age", _duration, of_channels=False, ordered=True),
    Key("retention_bytes", _size, of_channels=False, ordered=True),
    Key("dedupe_window", _duration, of_channels=False, ordered=True),
    Key("dedupe_keys", _whole(1, 10_000_000), of_channels=False, ordered=True),
)
KEYS = {key.name: key for key in _ALL}
