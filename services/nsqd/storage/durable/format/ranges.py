"""Sets of ordinals that mostly follow one another, kept as ranges."""

from bisect import bisect_left, bisect_right
from operator import itemgetter

from nsqcore.classes import Factory, define

_first = itemgetter(0)
_following = itemgetter(1)


@define
class Ranges:
    """Ordinals, as ranges [first, next) in order, none touching another."""

    ranges: list[tuple[int, int]] = Factory(list)

    def add(self, first: int, following: int) -> None:
        """Add [first, following)."""
        low, high = self._touching(first, following)
        if low < high:
            first = min(first, self.ranges[low][0])
            following = max(following, self.ranges[high - 1][1])
        self.ranges[low:high] = [(first, following)]

    def _touching(self, first: int, following: int) -> tuple[int, int]:
        """Of the ranges from which to before which touch [first, following)."""
        low = bisect_left(self.ranges, first, key=_following)
        return low, bisect_right(self.ranges, following, low, key=_first)

    def append(self, first: int, following: int) -> None:
        """Add [first, following), which lies behind all others."""
        if self.ranges and self.ranges[-1][1] >= first:
            self.ranges[-1] = (self.ranges[-1][0], max(following, self.ranges[-1][1]))
        else:
            self.ranges.append((first, following))

    def remove(self, first: int, following: int) -> None:
        """Take [first, following) out."""
        if not self.ranges:
            return
        start, stop = self._touching(first, following)
        kept: list[tuple[int, int]] = []
        for low, high in self.ranges[start:stop]:
            kept += [(low, min(high, first)), (max(low, following), high)]
        self.ranges[start:stop] = [(low, high) for low, high in kept if low < high]

    def count(self, first: int, following: int) -> int:
        """How many of [first, following) are in it."""
        start, stop = self._touching(first, following)
        within = self.ranges[start:stop]
        return sum(max(0, min(high, following) - max(low, first)) for low, high in within)

    def count_both(self, other: "Ranges", first: int, following: int) -> int:
        """How many of [first, following) are in it or in ``other``."""
        both = 0
        if self.ranges and other.ranges:
            start, stop = self._touching(first, following)
            for low, high in self.ranges[start:stop]:
                both += other.count(max(low, first), min(high, following))
        return self.count(first, following) + other.count(first, following) - both

    def forget_before(self, ordinal: int) -> None:
        """Drop what lies before ``ordinal``."""
        ranges = self.ranges
        if ranges and ranges[0][1] <= ordinal:
            del ranges[: bisect_right(ranges, ordinal, key=_following)]
        if ranges and ranges[0][0] < ordinal:
            ranges[0] = (ordinal, ranges[0][1])

    @property
    def total(self) -> int:
        """How many ordinals are in it."""
        return sum(high - low for low, high in self.ranges)

    def __contains__(self, ordinal: int) -> bool:
        at = bisect_right(self.ranges, ordinal, key=_first)
        return at > 0 and ordinal < self.ranges[at - 1][1]

    def __bool__(self) -> bool:
        return bool(self.ranges)
