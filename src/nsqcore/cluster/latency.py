"""End-to-end processing latency: the percentiles of one daemon, and of many together.

Percentiles of several daemons cannot be merged exactly without their samples. As in the original,
the average is weighted by the number of messages, and minimum and maximum show how far the daemons
are apart. Values are nanoseconds.
"""

from collections.abc import Iterable
from typing import Any

import attrs

from nsqcore.classes import frozen
from nsqcore.readers import Json, count, number, objects


@frozen
class Percentile:
    """One quantile over one daemon or many; values in nanoseconds."""

    quantile: float
    min: float
    max: float
    average: float
    count: int
    value: float | None = None  # only of a single daemon


@frozen
class Latency:
    """The percentiles of a topic or channel."""

    count: int = 0
    percentiles: tuple[Percentile, ...] = ()

    @classmethod
    def from_json(cls, raw: object) -> "Latency":
        """The latency in one daemon's statistics; empty for anything else."""
        if not isinstance(raw, dict):
            return cls()
        total = count(raw, "count")
        return cls(total, tuple(_percentile(item, total) for item in objects(raw, "percentiles")))

    def to_json(self, *, topic: str = "", channel: str = "", host: str = "") -> dict[str, Any]:
        """The shape in which nsqadmin's API gives it."""
        return {
            "count": self.count,
            "percentiles": [_percentile_json(item) for item in self.percentiles] or None,
            "topic": topic,
            "channel": channel,
            "host": host,
        }


def _percentile(raw: Json, total: int) -> Percentile:
    value = number(raw, "value")
    return Percentile(number(raw, "quantile"), value, value, value, total, value)


def _percentile_json(item: Percentile) -> dict[str, float]:
    shown = attrs.asdict(item, filter=lambda _, value: value is not None)
    return {key: _shortest(value) for key, value in shown.items()}


def _shortest(value: float) -> float:
    """``value``, as an integer if it is one: JSON readers that expect those take no ``5.0``."""
    return int(value) if float(value).is_integer() else value


def merge_latency(parts: Iterable[Latency]) -> Latency:
    """The latency over several daemons; a daemon that measured nothing does not count."""
    total = 0
    found: dict[float, list[Percentile]] = {}
    for part in parts:
        total += part.count
        for item in part.percentiles:
            found.setdefault(item.quantile, []).append(item)
    return Latency(total, tuple(_merge(quantile, items) for quantile, items in found.items()))


def _merge(quantile: float, items: list[Percentile]) -> Percentile:
    measured = [item for item in items if item.count]
    if not measured:
        return Percentile(quantile, 0.0, 0.0, 0.0, 0)
    weight = sum(item.count for item in measured)
    average = sum(item.average * item.count for item in measured) / weight
    return Percentile(
        quantile,
        min(item.min for item in measured),
        max(item.max for item in measured),
        average,
        weight,
    )
