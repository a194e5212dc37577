"""Sets of ordinals that mostly follow one another, kept as ranges."""

from attrs import Factory, define


@define
class Ranges:
    """Ordinals, as ranges [first, next) in order, none touching another."""

    ranges: list[tuple[int, int]] = Factory(list)

    def add(self, first: int, following: int) -> None:
        """Add [first, following)."""
        kept: list[tuple[int, int]] = []
        for low, high in self.ranges:
            if high < first or low > following:
                kept.append((low, high))
            else:
                first, following = min(first, low), max(following, high)
        kept.append((first, following))
        kept.sort()
        self.ranges = kept

    def append(self, first: int, following: int) -> None:
        """Add [first, following), which lies behind all others."""
        if self.ranges and self.ranges[-1][1] >= first:
            self.ranges[-1] = (self.ranges[-1][0], max(following, self.ranges[-1][1]))
        else:
            self.ranges.append((first, following))

    def remove(self, first: int, following: int) -> None:
        """Take [first, following) out."""
        kept: list[tuple[int, int]] = []
        for low, high in self.ranges:
            kept += [(low, min(high, first)), (max(low, following), high)]
        self.ranges = [(low, high) for low, high in kept if low < high]

    def count(self, first: int, following: int) -> int:
        """How many of [first, following) are in it."""
        return sum(max(0, min(high, following) - max(low, first)) for low, high in self.ranges)

    def count_both(self, other: "Ranges", first: int, following: int) -> int:
        """How many of [first, following) are in it or in ``other``."""
        both = sum(other.count(max(low, first), min(high, following)) for low, high in self.ranges)
        return self.count(first, following) + other.count(first, following) - both

    def forget_before(self, ordinal: int) -> None:
        """Drop what lies before ``ordinal``."""
        ranges = self.ranges
        while ranges and ranges[0][1] <= ordinal:
            del ranges[0]
        if ranges and ranges[0][0] < ordinal:
            ranges[0] = (ordinal, ranges[0][1])

    @property
    def total(self) -> int:
        """How many ordinals are in it."""
        return sum(high - low for low, high in self.ranges)

    def __contains__(self, ordinal: int) -> bool:
        return any(low <= ordinal < high for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)
