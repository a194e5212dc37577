"""Rates: what became of the counters of every channel between two looks at a cluster.

They are computed for each nsqd by itself and then added up: one that was restarted counts from
0 again, one that did not answer this time is missing from the sums; neither may look like
messages that went by. Nothing here does I/O or reads a clock.
"""

from attrs import Factory, define, frozen

from nsqcore.cluster.stats import ChannelStats, TopicStats

Stats = ChannelStats | TopicStats
Key = tuple[str, str, str]  # node, topic, channel

# Only ever rise while an nsqd runs; a topic has but the first.
COUNTERS = ("message_count", "requeue_count", "timeout_count")

# What has arrived and is not done with.
WAITING = ("depth", "in_flight_count", "deferred_count")


@frozen
class Row:
    """One channel, or a topic without any, with its rates per second."""

    topic: str
    channel: str
    depth: int
    backend_depth: int
    in_flight: int
    deferred: int
    arriving: float
    done: float
    requeued: float
    timed_out: float
    clients: int
    paused: bool


@define
class Meter:
    """Remembers the counters of the last look."""

    _before: dict[Key, Stats] = Factory(dict)

    def rows(self, topics: list[TopicStats], seconds: float) -> list[Row]:
        """Every channel of ``topics``, ``seconds`` after the last call (0: the first)."""
        seen: dict[Key, Stats] = {}
        made: list[Row] = []
        for topic in topics:
            every: list[Stats] = [*topic.channels] or [topic]
            made += [self._row(stats, seconds, seen) for stats in every]
        self._before = seen
        return made

    def _row(self, stats: Stats, seconds: float, seen: dict[Key, Stats]) -> Row:
        channel = stats.channel_name if isinstance(stats, ChannelStats) else ""
        arrived = done = requeued = timed_out = 0
        for part in stats.nodes or (stats,):
            key = (part.node, stats.topic_name, channel)
            seen[key] = part
            before = self._before.get(key)
            if before is None or any(_growth(part, before, name) < 0 for name in COUNTERS):
                continue
            came = _growth(part, before, "message_count")
            arrived += came
            requeued += _growth(part, before, "requeue_count")
            timed_out += _growth(part, before, "timeout_count")
            # a negative one is a look between two of the daemon's counters
            done += max(came - sum(_growth(part, before, name) for name in WAITING), 0)
        scale = 1 / seconds if seconds > 0 else 0.0
        return Row(
            stats.topic_name,
            channel,
            stats.depth,
            stats.backend_depth,
            _count(stats, "in_flight_count"),
            _count(stats, "deferred_count"),
            arrived * scale,
            done * scale if channel else 0.0,
            requeued * scale,
            timed_out * scale,
            _count(stats, "client_count"),
            stats.paused,
        )


def _growth(now: Stats, before: Stats, name: str) -> int:
    return _count(now, name) - _count(before, name)


def _count(stats: Stats, name: str) -> int:
    return int(getattr(stats, name, 0))
