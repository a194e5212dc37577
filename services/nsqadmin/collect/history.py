"""The last 24 hours, in memory, in less detail the longer ago.

Each number worth a chart (depth, rate and so on of a topic, channel, node or the cluster) is a
`Series` of three rings: 10-second steps for half an hour, 1-minute steps for three hours, 10-minute
steps for a day. Every value goes into all three, so nothing is ever moved from one to another.
Depth and latency keep the peak of a step, since a spike must not vanish in an average; the rest
keeps the mean. Times are Unix seconds, given by the caller. Values no farther apart than `patience`
are one line: the steps between them take the later value, so that only a silence is a gap.

What is worth a sparkline but no chart (a topic or channel on one nsqd) is kept for half an hour
only, and bounded apart from the rest by `MAX_BRIEF` at about 20 MB; beyond it rows have none.

A series takes about 2.5 KB. `MAX_SERIES` bounds the whole at about 100 MB: enough for 80 nsqd with
1500 topics of four channels. At the bound what has been silent longest gives way; where nothing is
silent, the newest topics have no history, and `is_full` says so.
"""

import math
from array import array
from collections.abc import Callable, Mapping, Sequence

from nsqcore.classes import define, field

MAX_SERIES = 40_000
MAX_BRIEF = 20_000
# step and number of steps: half an hour, three hours, a day
TIERS = ((10, 180), (60, 180), (600, 144))
HALF_HOUR, DAY = (float(TIERS[index][0] * TIERS[index][1]) for index in (0, -1))
RANGES = {"30m": 0, "3h": 1, "24h": 2}
PATIENCE = 25.0  # seconds; two looks of an nsqadmin that nobody watches, and what they take
SHORTEST = 12  # steps that a chart shows at least, however little is known
PEAKS = frozenset(("depth", "latency"))

Entity = tuple[
    str, ...
]  # ("topic", name), ("channel", topic, name), ("node", address), ("cluster",)
Point = tuple[int, float]


@define(eq=False, repr=False)
class Tier:
    """One ring of steps."""

    step: int
    size: int
    values: "array[float]"
    newest: int = -1
    seen: int = 0  # values that went into the newest step

    @classmethod
    def empty(cls, step: int, size: int) -> "Tier":
        """A ring without a value."""
        return cls(step, size, array("f", [math.nan]) * size)

    def add(self, now: float, value: float, *, peak: bool, bridge: bool) -> None:
        """Take in a value; the clock may jump. ``bridge``: it also stands for the steps missed."""
        slot = int(now // self.step)
        at = slot % self.size
        if slot == self.newest and self.seen:
            old = self.values[at]
            mean = old + (value - old) / (self.seen + 1)
            self.values[at] = max(old, value) if peak else mean
            self.seen += 1
            return
        gap = slot - self.newest
        if not 0 < gap < self.size:
            for index in range(self.size):
                self.values[index] = math.nan
        else:
            for missed in range(self.newest + 1, slot):
                self.values[missed % self.size] = value if bridge else math.nan
        self.values[at] = value
        self.newest, self.seen = slot, 1

    def points(self, now: float) -> list[Point]:
        """Start and value of each step up to ``now``; NaN where nothing is known."""
        last = int(now // self.step)
        oldest = self.newest - self.size
        return [
            (
                slot * self.step,
                self.values[slot % self.size] if oldest < slot <= self.newest else math.nan,
            )
            for slot in range(last - self.size + 1, last + 1)
        ]

    def latest(self, now: float, steps: int) -> list[float]:
        """The values of the last ``steps`` steps up to ``now``, as far as they are known."""
        last, oldest = int(now // self.step), self.newest - self.size
        values = [
            self.values[slot % self.size]
            for slot in range(max(last - steps, oldest) + 1, min(last, self.newest) + 1)
        ]
        return [value for value in values if not math.isnan(value)]


@define(eq=False, repr=False)
class Series:
    """One number over the last day."""

    peak: bool
    tiers: tuple[Tier, ...]
    last: float = 0.0

    def add(self, now: float, value: float, *, patience: float) -> None:
        """Take in the value at ``now``."""
        bridge = 0 <= now - self.last <= patience
        self.last = now
        for tier in self.tiers:
            tier.add(now, value, peak=self.peak, bridge=bridge)


@define(eq=False, repr=False)
class Store:
    """Series by entity and name, ``limit`` at most; at that, those silent longest give way."""

    limit: int
    series: dict[tuple[Entity, str], Series] = field(factory=dict)
    #: Whether somebody new found no room because all that is here is alive.
    is_full: bool = False
    _silent: list[tuple[Entity, str]] = field(factory=list)  # the longest silent last
    _looked: float = -math.inf

    def find(
        self,
        key: tuple[Entity, str],
        tiers: Sequence[tuple[int, int]],
        *,
        now: float,
        silence: float,
    ) -> Series | None:
        """The series of ``key``, new if it must be; None if there is no room."""
        found = self.series.get(key)
        if found is None:
            if len(self.series) >= self.limit and not self._make_room(now, silence):
                self.is_full = True
                return None
            rings = tuple(Tier.empty(step, size) for step, size in tiers)
            found = self.series[key] = Series(key[1] in PEAKS, rings)
        return found

    def _make_room(self, now: float, silence: float) -> bool:
        if not self._silent and self._looked < now:
            self._looked = now
            ages = [(series.last, key) for key, series in self.series.items()]
            ages = [item for item in ages if item[0] < now - silence]
            self._silent = [key for _, key in sorted(ages, reverse=True)]
        while self._silent:
            key = self._silent.pop()
            series = self.series.get(key)
            if series is not None and series.last < now - silence:
                del self.series[key]
                return True
        return False

    def prune(self, has_left: Callable[[Entity, float], bool]) -> None:
        """Forget the entities of which ``has_left(entity, last)`` is true."""
        self.is_full = False
        for key in [key for key, item in self.series.items() if has_left(key[0], item.last)]:
            del self.series[key]


@define(eq=False, repr=False)
class History:
    """All series of this process."""

    limit: int = MAX_SERIES
    brief_limit: int = MAX_BRIEF
    patience: float = PATIENCE
    _series: Store = field(init=False)
    _brief: Store = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._series, self._brief = Store(self.limit), Store(self.brief_limit)

    @property
    def is_full(self) -> bool:
        """Whether something new found no room."""
        return self._series.is_full

    def record(self, now: float, entity: Entity, values: Mapping[str, float]) -> None:
        """Take in the numbers of one entity at ``now``."""
        for name, value in values.items():
            series = self._series.find((entity, name), TIERS, now=now, silence=self._silence)
            if series is not None:
                series.add(now, value, patience=self.patience)

    def record_brief(self, now: float, entity: Entity, name: str, value: float) -> None:
        """Take in a number that is only worth a sparkline."""
        series = self._brief.find((entity, name), TIERS[:1], now=now, silence=self._silence)
        if series is not None:
            series.add(now, value, patience=self.patience)

    @property
    def _silence(self) -> float:
        """Seconds after which an entity that was not seen counts as silent."""
        return 2 * self.patience

    def points(self, entity: Entity, name: str, span: str, *, now: float) -> list[Point]:
        """A number over ``span`` (a key of `RANGES`); empty if it was never recorded."""
        series = self._series.series.get((entity, name))
        return _without_lead(series.tiers[RANGES[span]].points(now)) if series else []

    def recent(self, entity: Entity, name: str, *, now: float, count: int = 60) -> list[float]:
        """The last half hour in at most ``2 * count`` values, for a sparkline."""
        key = (entity, name)
        series = self._series.series.get(key) or self._brief.series.get(key)
        if series is None:
            return []
        points = _without_lead(series.tiers[0].points(now))
        width = max(1, len(points) // count)
        count = len(points) // width
        peak = name in PEAKS
        return [
            _fold([value for _, value in points[start : start + width]], peak=peak)
            for start in range(0, width * count, width)
        ]

    def latest(self, entity: Entity, name: str, *, now: float, steps: int) -> list[float]:
        """What is known of a number in the last ``steps`` of 10 seconds; cheap, for tables."""
        key = (entity, name)
        series = self._series.series.get(key) or self._brief.series.get(key)
        return series.tiers[0].latest(now, steps) if series else []

    def prune(
        self, now: float, *, is_deleted: Callable[[Entity], bool] = lambda entity: False
    ) -> None:
        """Forget what has had no value for as long as it is kept.

        That is a day; half an hour for what is ephemeral, or was deleted.
        """

        def has_left(entity: Entity, last: float) -> bool:
            age = now - last
            if age > DAY:
                return True
            return age > HALF_HOUR and (_is_ephemeral(entity) or is_deleted(entity))

        self._series.prune(has_left)
        self._brief.prune(lambda entity, last: now - last > HALF_HOUR)


def _is_ephemeral(entity: Entity) -> bool:
    return any(part.endswith("#ephemeral") for part in entity[1:])


def _without_lead(points: list[Point]) -> list[Point]:
    """The points without those before anything was known, as far as a chart is left."""
    for index, (_, value) in enumerate(points):
        if not math.isnan(value):
            return points[min(index, len(points) - SHORTEST) :]
    return points


def _fold(values: Sequence[float], *, peak: bool) -> float:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return max(known) if peak else sum(known) / len(known)
