"""What became of counters between two looks at a cluster: one rule for all who show rates.

Growth is computed for each nsqd by itself and then added up. A counter that fell started anew with
its daemon: it counts from 0, and nothing is known of what left meanwhile. An nsqd that is seen for
the first time, or again after it did not answer, has no growth: what it counted before is no rate.
Nothing here does I/O or reads a clock.
"""

from collections.abc import Iterable, Sequence

from nsqcore.classes import Factory, define, frozen
from nsqcore.cluster.stats import ChannelStats, TopicStats

Stats = ChannelStats | TopicStats
Key = tuple[str, str, str]  # node, topic, channel

# What has arrived and is not done with.
WAITING = ("depth", "in_flight_count", "deferred_count")


@frozen
class Growth:
    """Messages, between two looks."""

    arrived: int = 0
    left: int = 0  # done with: finished, or emptied
    requeued: int = 0
    timed_out: int = 0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(
            self.arrived + other.arrived,
            self.left + other.left,
            self.requeued + other.requeued,
            self.timed_out + other.timed_out,
        )


def since(before: int, after: int) -> int:
    """What a counter counted from ``before`` to ``after``; one that fell began at 0."""
    return after - before if after >= before else after


def growth(before: Stats, after: Stats, *, waiting: Sequence[str] = WAITING) -> Growth:
    """What became of the counters of one topic or channel on one nsqd.

    Args:
        waiting: the fields whose sum are the messages that have not left.
    """
    arrived = since(before.message_count, after.message_count)
    restarted = any(
        _field(after, name) < _field(before, name)
        for name in ("message_count", "requeue_count", "timeout_count")
    )
    grown = sum(_field(after, name) - _field(before, name) for name in waiting)
    return Growth(
        arrived,
        # A negative one is a look between two of the daemon's counters.
        0 if restarted else max(arrived - grown, 0),
        since(_field(before, "requeue_count"), _field(after, "requeue_count")),
        since(_field(before, "timeout_count"), _field(after, "timeout_count")),
    )


@define(eq=False, repr=False)
class Meter:
    """Remembers the counters of the last look."""

    waiting: Sequence[str] = WAITING
    _before: dict[Key, Stats] = Factory(dict)

    def look(self, parts: Iterable[Stats]) -> dict[Key, Growth]:
        """The growth of each of ``parts``, which are of one nsqd each, since the last call."""
        seen = {key_of(part): part for part in parts}
        grown = {
            key: growth(before, part, waiting=self.waiting)
            for key, part in seen.items()
            if (before := self._before.get(key)) is not None
        }
        self._before = seen
        return grown


def key_of(stats: Stats) -> Key:
    """What tells a topic or channel on an nsqd from all others."""
    channel = stats.channel_name if isinstance(stats, ChannelStats) else ""
    return (stats.node, stats.topic_name, channel)


def _field(stats: Stats, name: str) -> int:
    return int(getattr(stats, name, 0))
