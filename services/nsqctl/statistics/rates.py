"""Rows of the live view: every channel with its numbers and its rates per second."""

from nsqcore.classes import Factory, define, frozen
from nsqcore.cluster import rates
from nsqcore.cluster.rates import Growth, Stats, key_of
from nsqcore.cluster.stats import ChannelStats, TopicStats


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
class RowMeter:
    """Remembers the counters of the last look."""

    _meter: rates.Meter = Factory(rates.Meter)

    def rows(self, topics: list[TopicStats], seconds: float) -> list[Row]:
        """Every channel of ``topics``, ``seconds`` after the last call (0: the first)."""
        listed: list[Stats] = []
        for topic in topics:
            listed += topic.channels or [topic]
        grown = self._meter.look(part for stats in listed for part in _parts(stats))
        scale = 1 / seconds if seconds > 0 else 0.0
        return [_row(stats, grown, scale) for stats in listed]


def _parts(stats: Stats) -> list[Stats]:
    return [*(stats.nodes or (stats,))]


def _row(stats: Stats, grown: dict[rates.Key, Growth], scale: float) -> Row:
    found = [grown.get(key_of(part), Growth()) for part in _parts(stats)]
    growth = sum(found, Growth())
    channel = stats if isinstance(stats, ChannelStats) else None
    return Row(
        stats.topic_name,
        channel.channel_name if channel else "",
        stats.depth,
        stats.backend_depth,
        channel.in_flight_count if channel else 0,
        channel.deferred_count if channel else 0,
        growth.arrived * scale,
        growth.left * scale if channel else 0.0,
        growth.requeued * scale,
        growth.timed_out * scale,
        channel.client_count if channel else 0,
        stats.paused,
    )
