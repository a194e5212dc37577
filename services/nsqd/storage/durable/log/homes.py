"""In which segments messages lie.

A message lies where its id says, as ids rise along a log, or if it was moved at its ordinal.
What is told of a message does not change while its segment is there.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

from nsqcore.classes import define, field
from nsqd.storage.durable.format.hot import count_between
from nsqd.storage.durable.log.segments import Segment


class _Log(Protocol):
    """What is needed of a `TopicLog`."""

    segments: list[Segment]
    parked: set[int]


@define(eq=False, repr=False)
class Homes:
    """The segments of one log, by what they begin with. Segments are told by their first ordinals;
    0 stands for one before all whose first id is known."""

    _ids: list[int] = field(factory=list, init=False)
    _by_id: list[int] = field(factory=lambda: [0], init=False)
    _firsts: list[int] = field(factory=list, init=False)
    _made_for: tuple[int, int] = field(default=(0, 0), init=False)

    def of(self, log: _Log, id: int, ordinal: int) -> int:
        """The segment of one message; ``ordinal`` is 0 if it lies where its id says."""
        self._refresh(log)
        if ordinal:
            at = bisect_right(self._firsts, ordinal)
            return self._firsts[at - 1] if at else 0
        return self._by_id[bisect_right(self._ids, id)]

    def count(self, log: _Log, ids: Collection[int], ordinals: Collection[int]) -> Counter[int]:
        """How many of messages lie in which segment: by ``ids``, or moved and by ``ordinals``."""
        self._refresh(log)
        counts = _count(sorted(ids), self._ids, self._by_id)
        counts.update(_count(sorted(ordinals), self._firsts, [0, *self._firsts]))
        return counts

    def count_queued(self, log: _Log, queued: bytes) -> Counter[int]:
        """As `count`, of messages that are packed (`pack_queued`)."""
        self._refresh(log)
        bounds = b"".join([id.to_bytes(8, "little") for id in self._ids])
        counts = zip(self._by_id, count_between(queued, bounds), strict=True)
        return Counter({home: count for home, count in counts if count})

    def knows(self, log: _Log, segment: Segment) -> bool:
        """Whether messages are told to lie in ``segment`` by their ids."""
        self._refresh(log)
        return segment.first in self._by_id

    def _refresh(self, log: _Log) -> None:
        segments = log.segments
        # a new segment is the last one; whatever else changes, there are fewer
        made_for = (len(segments), segments[-1].first if segments else 0)
        if made_for == self._made_for:
            return
        self._ids, self._by_id = [], [0]
        for segment in segments:
            id = 0 if segment.first in log.parked else segment.first_id
            if id > (self._ids[-1] if self._ids else 0):
                self._ids.append(id)
                self._by_id.append(segment.first)
        self._firsts = [segment.first for segment in segments]
        self._made_for = made_for


def _count(values: list[int], begins: Sequence[int], homes: Sequence[int]) -> Counter[int]:
    counts: Counter[int] = Counter()
    low = 0
    for home, end in zip(homes, [*begins, None], strict=True):
        high = len(values) if end is None else bisect_left(values, end, low)
        if high > low:
            counts[home] += high - low
        low = high
    return counts
