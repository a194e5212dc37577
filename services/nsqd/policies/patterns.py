"""Patterns of names: ``orders*`` for topics, ``orders*:audit`` for channels of topics.

``*`` stands for any characters, ``?`` for one. A pattern without a colon matches topics and all of
their channels.
"""

import re

from nsqcore.classes import frozen
from nsqcore.globs import matches, overlap
from nsqcore.names import MAX_NAME_LENGTH
from nsqd.policies.errors import InvalidPolicy

_GLOB = re.compile(rf"[.a-zA-Z0-9_\-#*?]{{1,{MAX_NAME_LENGTH}}}")


@frozen
class NamePattern:
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

    def overlaps(self, other: "NamePattern") -> bool:
        """Whether any name is matched by both."""
        mine, theirs = self.channel, other.channel
        if mine is not None and theirs is not None and not overlap(mine, theirs):
            return False
        return overlap(self.topic, other.topic)


def parse_pattern(text: object) -> NamePattern:
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
    return NamePattern(topic, channel if colon else None)
