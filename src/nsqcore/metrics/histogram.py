"""Counts of durations by how long they were, as Prometheus wants them."""

from bisect import bisect_left
from collections.abc import Sequence

from nsqcore.classes import define, field
from nsqcore.metrics.prometheus import heading


@define(eq=False, repr=False)
class Histogram:
    """Counts observations by the smallest of ``bounds`` (in order) that they do not exceed."""

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def to_prometheus(self, name: str, help: str) -> str:
        """The metric ``name`` with all its samples."""
        lines = [heading(name, "histogram", help)]
        below = 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {below}\n')
        lines.append(f"{name}_sum {self.total}\n{name}_count {below}\n")
        return "".join(lines)
