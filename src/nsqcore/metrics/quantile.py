"""Percentiles of latencies over a sliding window.

A `LatencyWindow` is two quantile sketches, each for half of the window: values go to the
newer one, and when its half is over, the older one is dropped. A result is made of both,
so it covers between half of the window and all of it. Windows can be merged: a topic's
percentiles are those of its channels together.

The sketch is DDSketch (Masson, Rim, Lee, VLDB 2019): a histogram with logarithmic bins,
so a percentile is off by at most 1 % of its value, at any scale from nanoseconds to days,
in at most 16 kB.

No clock: ``now`` is an argument, in the same nanoseconds as ``window``.
"""

from collections.abc import Iterable
from typing import Any

from nsqcore.classes import define, field, frozen
from nsqcore.late import load

#: One of the library's, which is loaded late.
Sketch = Any

ACCURACY = 0.01


@frozen
class LatencySummary:
    """How many latencies there were, and (quantile, nanoseconds) for each quantile.

    ``percentiles`` is None where latencies are not tracked.
    """

    count: int = 0
    percentiles: tuple[tuple[float, float], ...] | None = None

    def to_json(self) -> dict[str, object]:
        """The value of ``e2e_processing_latency`` in /stats."""
        if self.percentiles is None:
            return {"count": self.count, "percentiles": None}
        return {
            "count": self.count,
            "percentiles": [
                {"quantile": _number(quantile), "value": round(value)}
                for quantile, value in self.percentiles
            ],
        }


def _new_sketch() -> Sketch:
    """An empty sketch. The library is loaded with the first: few daemons track latencies."""
    return load("ddsketch:LogCollapsingLowestDenseDDSketch")(ACCURACY)


@define(eq=False, repr=False)
class LatencyWindow:
    """The latencies of about the last ``window`` ns, and their ``quantiles``."""

    quantiles: tuple[float, ...]
    window: int
    _newer: Sketch = field(factory=_new_sketch, init=False)
    _older: Sketch = field(factory=_new_sketch, init=False)
    _began: int | None = field(default=None, init=False)  # when the newer half did

    def add(self, latency: int, now: int) -> None:
        """Count one ``latency``; a negative one (a clock was set back) counts as 0."""
        if self._began is None or now - self._began >= self.window // 2:
            self._move(now)
        self._newer.add(latency if latency > 0 else 0)

    def summary(self, now: int) -> LatencySummary:
        """The percentiles at ``now``; zeros if there was nothing to count."""
        return summarize([self], self.quantiles, now)

    def sketches(self, now: int) -> tuple[Sketch, Sketch]:
        """The halves that are not over at ``now``. They must not be changed."""
        self._move(now)
        return self._newer, self._older

    def _move(self, now: int) -> None:
        half = max(self.window // 2, 1)
        if self._began is None:
            self._began = now
            return
        halves = (now - self._began) // half
        if halves < 1:
            return
        self._older = self._newer if halves == 1 else _new_sketch()
        self._newer = _new_sketch()
        self._began += halves * half


def summarize(
    windows: Iterable[LatencyWindow], quantiles: tuple[float, ...], now: int
) -> LatencySummary:
    """The percentiles of all ``windows`` together; of no windows there are none."""
    windows = list(windows)
    if not windows:
        return LatencySummary()
    merged = _new_sketch()
    for window in windows:
        for sketch in window.sketches(now):
            merged.merge(sketch)
    percentiles = tuple(
        (quantile, float(merged.get_quantile_value(quantile) or 0)) for quantile in quantiles
    )
    return LatencySummary(round(merged.count), percentiles)


def _number(value: float) -> float:
    """``value`` as JSON of the original has it: 1, not 1.0."""
    return int(value) if value == int(value) else value
