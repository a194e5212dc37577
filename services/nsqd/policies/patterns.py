"""Patterns of names: ``orders*`` for topics, ``orders*:audit`` for channels of topics.

``*`` stands for any characters, ``?`` for one. A pattern without a colon matches topics and all of
their channels.
"""

import re

from attrs import frozen

from nsqcore.names import MAX_NAME_LENGTH
from nsqd.policies.errors import InvalidPolicy

_GLOB = re.compile(rf"[.a-zA-Z0-9_\-#*?]{{1,{MAX_NAME_LENGTH}}}")


@frozen
class Pattern:
    """A pattern; ``channel`` is None where it names no channels."""

    topic: str
    channel: str | None = None

    def __str__(self) -> str:
        return self.topic if self.channel is None else f"{self.topic}:{self.channel}"

    def matches(self, topic: str, channel: str | None = None) -> bool:
        """Whether it is about ``topic``, or about a channel of it."""
        if self.channel is not None and (channel is None or not matches(self.channel, channel)):
            return False
        return matches(self.topic, topic)

    def overlaps(self, other: "Pattern") -> bool:
        """Whether any name is matched by both."""
        mine, theirs = self.channel, other.channel
        if mine is not None and theirs is not None and not overlap(mine, theirs):
            return False
        return overlap(self.topic, other.topic)


def parse_pattern(text: object) -> Pattern:
    """The pattern that ``text`` is. Raises InvalidPolicy."""
    if not isinstance(text, str):
        raise InvalidPolicy('pattern: expected a text such as "orders*" or "orders*:audit"')
    topic, colon, channel = text.partition(":")
    for part in (topic, channel) if colon else (topic,):
        if not _GLOB.fullmatch(part):
            raise InvalidPolicy(
                f"pattern {text[:140]!r}: expected a topic, or topic:channel, in which * stands for"
                " any characters and ? for one"
            )
    return Pattern(topic, channel if colon else None)


def matches(glob: str, name: str) -> bool:
    """Whether ``glob`` matches the whole of ``name``."""
    return overlap(glob, name)  # names have no * or ?


def overlap(one: str, other: str) -> bool:
    """Whether any text is matched by both globs; takes the product of their lengths."""
    # ends: which beginnings of `other` may match the same text as the part of `one` read so far
    ends = {0}
    _skip_stars(ends, other)
    for letter in one:
        if letter == "*":
            ends = set(range(min(ends), len(other) + 1))
        else:
            reached = {end for end in ends if end < len(other) and other[end] == "*"}
            reached |= {
                end + 1
                for end in ends
                if end < len(other) and (letter == "?" or other[end] in ("?", letter))
            }
            ends = reached
            _skip_stars(ends, other)
        if not ends:
            return False
    return len(other) in ends


def _skip_stars(ends: set[int], glob: str) -> None:
    """Add where one gets by letting stars stand for nothing."""
    for end in sorted(ends):
        while end < len(glob) and glob[end] == "*":
            end += 1
            ends.add(end)
