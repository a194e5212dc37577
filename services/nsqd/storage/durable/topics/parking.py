"""Messages of a channel that are due far off: where they are and when, not what they are.

A record in memory costs some hundred bytes beside its body; here a message costs 26, and is read
from the log shortly before it is due. What is packed is what a state file has of a message in hand
(`state`), so that a checkpoint copies it and does not look at each.
"""

from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping
from heapq import heapify, heappush
from struct import Struct
from typing import NamedTuple

from nsqcore.classes import Factory, define, field

PARKED = Struct("<QQHq")  # id, ordinal (0: where its id says), deliveries made, due (wall-clock ns)

#: Messages due within so many ns of one another lie together.
SPAN = 4_000_000_000
#: At most so many lie in one part: some milliseconds' work.
PART = 4096


class Parked(NamedTuple):
    """A message that is due far off. See `state.InHand`."""

    id: int
    ordinal: int
    attempts: int
    due: int


@define(eq=False, repr=False)
class _Slot:
    """Those that are due within one span, in parts that are looked at in one step each. The first
    of them has the number ``base``."""

    parts: deque[bytearray] = Factory(deque)
    base: int = 0


def _nowhere(id: int, ordinal: int) -> int:
    return 0


@define(eq=False, repr=False)
class Parking:
    """The far-off messages of one channel, by when they are due.

    ``home`` tells in which segment of the log a message lies, by id and ordinal; ``homes`` counts
    how many lie where.
    """

    home: Callable[[int, int], int] = _nowhere
    homes: Counter[int] = field(factory=Counter, init=False)
    _slots: dict[int, _Slot] = field(factory=dict, init=False)
    _order: list[int] = field(factory=list, init=False)  # a heap of the slots' numbers
    _count: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._count

    @property
    def first_due(self) -> int | None:
        """A time not after the one when the first is due, and less than a span before it."""
        return self._order[0] * SPAN if self._order else None

    def put(self, parked: Parked) -> None:
        """Keep one."""
        number = parked.due // SPAN
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot()
            heappush(self._order, number)
        parts = slot.parts
        if not parts or len(parts[-1]) >= PART * PARKED.size:
            parts.append(bytearray())
        parts[-1] += PARKED.pack(*parked)
        self.homes[self.home(parked.id, parked.ordinal)] += 1
        self._count += 1

    def first(self, before: int, limit: int) -> list[Parked]:
        """Of those that are due first up to ``limit``, if `first_due` is not after ``before``; they
        stay."""
        if not self._order or self._order[0] * SPAN > before:
            return []
        packed = self._slots[self._order[0]].parts[0]
        return _unpack(packed[: limit * PARKED.size])

    def drop_first(self, count: int) -> None:
        """Forget the ``count`` that `first` gave."""
        number = self._order[0]
        slot = self._slots[number]
        packed = slot.parts[0]
        self._gone(_unpack(packed[: count * PARKED.size]))
        del packed[: count * PARKED.size]
        self._trim(number)

    def _trim(self, number: int) -> None:
        """Have the first part of a slot, if there is one, not be empty."""
        slot = self._slots[number]
        while slot.parts and not slot.parts[0]:
            slot.parts.popleft()
            slot.base += 1
        if not slot.parts:
            self._order.remove(number)
            heapify(self._order)
            del self._slots[number]

    def _gone(self, parked: list[Parked]) -> None:
        self._count -= len(parked)
        for each in parked:
            home = self.home(each.id, each.ordinal)
            self.homes[home] -= 1
            if not self.homes[home]:
                del self.homes[home]

    def withdraw(
        self, ids: Container[bytes], place: tuple[int, int], limit: int
    ) -> tuple[list[Parked], tuple[int, int] | None]:
        """Forget those of ``ids`` that are among ``limit`` from ``place`` on; and the place behind
        these, None at the end. A place is the number of a slot and a position in it."""
        number, position = place
        left = [each for each in sorted(self._order) if each >= number]
        if not left:
            return [], None
        if left[0] != number:
            number, position = left[0], 0
        slot = self._slots[number]
        at, offset = divmod(position, PART)
        if at < slot.base:
            at, offset = slot.base, 0
        if at >= slot.base + len(slot.parts):
            return [], (left[1], 0) if len(left) > 1 else None
        packed = slot.parts[at - slot.base]
        start, stop = offset * PARKED.size, (offset + limit) * PARKED.size
        looked = _unpack(packed[start:stop])
        found = [each for each in looked if b"%016x" % each.id in ids]
        if found:
            self._gone(found)
            kept = [PARKED.pack(*each) for each in looked if each not in found]
            packed[start:stop] = b"".join(kept)
        offset += len(looked) - len(found)
        following = (number, at * PART + offset)
        if offset * PARKED.size >= len(packed):
            following = (number, (at + 1) * PART)
        self._trim(number)
        return found, following

    def look(self, step: int) -> Iterator[list[Parked]]:
        """All, up to ``step`` at a time, whatever comes or goes meanwhile."""
        for part in self.in_parts():
            packed = bytes(part)
            for at in range(0, len(packed), step * PARKED.size):
                yield _unpack(packed[at : at + step * PARKED.size])

    def in_parts(self) -> Iterator[bytearray]:
        """All, packed, a part at a time, whatever comes or goes meanwhile."""
        for number in sorted(self._order):
            slot = self._slots.get(number)
            yield from list(slot.parts) if slot is not None else ()

    def among(self, part: bytearray, homes: Container[int]) -> list[Parked]:
        """Those in a part (`in_parts`) that lie in one of the segments ``homes``."""
        return [each for each in _unpack(part) if self.home(each.id, each.ordinal) in homes]

    def moved(self, part: bytearray, ordinals: Mapping[int, int]) -> None:
        """Those in a part whose ids are in ``ordinals`` lie there from now on, as far as they are
        still here."""
        old = _unpack(part)
        new = [each._replace(ordinal=ordinals.get(each.id, each.ordinal)) for each in old]
        self._gone(old)
        part[:] = b"".join([PARKED.pack(*each) for each in new])
        self.homes.update(self.home(each.id, each.ordinal) for each in new)
        self._count += len(new)

    def parts(self) -> list[bytearray]:
        """All, packed; good until something comes or goes."""
        return [part for slot in self._slots.values() for part in slot.parts]


def _unpack(packed: bytes | bytearray) -> list[Parked]:
    return list(map(Parked._make, PARKED.iter_unpack(packed)))


@define(eq=False, repr=False)
class Waiting:
    """Messages in hand that wait for a time, as a state file has them, to be found by id."""

    _ids: "array[int]" = field(factory=lambda: array("Q"), init=False)
    _ordinals: "array[int]" = field(factory=lambda: array("Q"), init=False)
    _attempts: "array[int]" = field(factory=lambda: array("H"), init=False)
    _dues: "array[int]" = field(factory=lambda: array("q"), init=False)
    _gone: set[int] = field(factory=set, init=False)  # positions
    _sorted: bool = field(default=True, init=False)

    def __len__(self) -> int:
        return len(self._ids) - len(self._gone)

    def add(self, id: int, ordinal: int, attempts: int, due: int) -> None:
        """Add one; none is added once one was popped."""
        if self._ids and id < self._ids[-1]:
            self._sorted = False
        self._ids.append(id)
        self._ordinals.append(ordinal)
        self._attempts.append(attempts)
        self._dues.append(due)

    def pop(self, id: int) -> Parked | None:
        """Take one out; None if it is not here."""
        if not self._sorted:
            self._sort()
        at = bisect_left(self._ids, id)
        if at == len(self._ids) or self._ids[at] != id or at in self._gone:
            return None
        self._gone.add(at)
        return Parked(id, self._ordinals[at], self._attempts[at], self._dues[at])

    def _sort(self) -> None:
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        for values in (self._ids, self._ordinals, self._attempts, self._dues):
            values[:] = array(values.typecode, [values[at] for at in order])
        self._sorted = True

    def __iter__(self) -> Iterator[Parked]:
        rows = zip(self._ids, self._ordinals, self._attempts, self._dues, strict=True)
        for at, row in enumerate(rows):
            if at not in self._gone:
                yield Parked(*row)

    def parts(self) -> list[bytes]:
        """All, packed."""
        return [PARKED.pack(*each) for each in self]
