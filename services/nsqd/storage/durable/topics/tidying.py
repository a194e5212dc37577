"""Has few messages not keep whole segments: those due far off, or that a channel left behind.

What is in hand of a segment that all channels have passed, if it is little, is written once more,
at the end of the log, into a segment that has nothing else: a *parking file*. When a checkpoint has
that, the old segment goes, and whatever lies between two parking files. So a message is copied when
its segment has become nearly empty, and again when its parking file has.

The copy is an entry of the journal (`FLAG_PARKED`). Wherever a crash is, the message is in one
place, the old or the new: the old segment is dropped by a checkpoint that knows the new one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import itemgetter

from nsqcore.classes import define
from nsqd.storage.durable.format.batches import FLAG_PARKED
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.payloads import encode_place
from nsqd.storage.durable.log.log import Appended
from nsqd.storage.durable.log.segments import Segment
from nsqd.storage.durable.topics.queue import Held, LogQueue, id_of
from nsqd.storage.durable.topics.topic import DurableTopic

HeldBy = Callable[[LogQueue], Iterable[Held]]

# A segment is tidied when it has at most one of so many messages left.
ONE_OF = 4
# So many segments have to be won, so that it is done seldom and in one go.
LEAST_WON = 2
# Parking files that are smaller than one of so many of a segment are put together, if there are
# so many.
SMALL = 8
# At most so many messages, and about so many bytes, are moved in one step: some milliseconds' work.
STEP_MESSAGES = 500
STEP_BYTES = 512 << 10


def tidy_all(
    topics: Iterable[DurableTopic], held: HeldBy, *, least: int = LEAST_WON
) -> Iterator[None]:
    """Do it step by step for all ``topics``, whose next checkpoints drop what was won.

    ``held`` tells what consumers hold and what is deferred. What the disk refuses stays as it is.
    """
    for topic in topics:
        homes = kept_by_few(topic, least=least)
        if not homes:
            continue
        topic.kept = Counter()  # counted anew by the next checkpoint
        with suppress(OSError):
            for _ in _tidy(topic, homes, held):
                yield
                if topic.deleted:
                    break


def kept_by_few(topic: DurableTopic, *, least: int = LEAST_WON) -> frozenset[int]:
    """The segments, by their first ordinals, that are worth tidying; none if they are too few."""
    log, kept, passed = topic.log, topic.kept, topic.passed
    behind = [each for each in log.segments[:-1] if each.next <= passed and kept[each.first]]
    few = [each for each in behind if kept[each.first] * ONE_OF <= each.next - each.first]
    if sum(segment.size for segment in few) < least * log.segment_size:
        return frozenset()
    small = [each for each in behind if _is_small(topic, each) and each not in few]
    if len(small) >= SMALL:
        few += small
    return frozenset(segment.first for segment in few) - topic.unreadable


def _is_small(topic: DurableTopic, segment: Segment) -> bool:
    log = topic.log
    return segment.first in log.parked and segment.size * SMALL < log.segment_size


def _tidy(topic: DurableTopic, homes: Container[int], held: HeldBy) -> Iterator[None]:
    """Have what is in hand of the segments ``homes`` journaled elsewhere. Raises OSError."""
    for queue in list(topic.queues.values()):
        if queue.state.number not in topic.queues:
            continue
        in_hand = _InHand(topic, queue)
        records = [(record, due) for record, _, due in held(queue)]
        records += [(record, 0) for record in queue.memory.records()]
        home, log = topic.log.homes.of, topic.log
        for step in _steps(
            (record, due)
            for record, due in records
            if home(log, id := id_of(record), queue.moved.get(id, 0)) in homes
        ):
            in_hand.move(step)
            yield
        for part in queue.parking.in_parts():
            yield from _tidy_part(topic, queue, part, homes)


def _tidy_part(
    topic: DurableTopic, queue: LogQueue, part: bytearray, homes: Container[int]
) -> Iterator[None]:
    parked = queue.parking.among(part, homes)
    for at in range(0, len(parked), STEP_MESSAGES):
        found = queue.records_of(parked[at : at + STEP_MESSAGES])
        missing = {each.id for each in parked[at : at + STEP_MESSAGES]}
        missing -= {each.id for each, _ in found}
        if missing:
            gone = (each for each in parked if each.id in missing)
            topic.unreadable |= {queue.parking.home(each.id, each.ordinal) for each in gone}
        of_part = _OfPart(topic, queue, part)
        for step in _steps((record, each.due) for each, record in found):
            of_part.move(step)
            yield
    yield


def _steps(messages: Iterable[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    """Messages with when they are due, what is due together in one step."""
    step: list[tuple[bytes, int]] = []
    size = 0
    for message in sorted(messages, key=itemgetter(1)):
        if step and (size + len(message[0]) > STEP_BYTES or len(step) == STEP_MESSAGES):
            yield step
            step, size = [], 0
        step.append(message)
        size += len(message[0])
    if step:
        yield step


@define(eq=False, repr=False)
class _Mover:
    """Writes messages of a channel once more."""

    topic: DurableTopic
    queue: LogQueue

    def move(self, messages: list[tuple[bytes, int]]) -> None:
        """Have them journaled. Raises OSError."""
        records = [record for record, _ in messages]
        topic, channel = self.topic, self.queue.state.number
        appended = topic.log.append(
            records,
            wall=0,
            due=messages[-1][1],
            channel=channel,
            flags=FLAG_PARKED,
            largest=topic.journal.largest,
        )
        ids = map(id_of, records)
        ordinals = dict(zip(ids, range(appended.first, appended.next), strict=True))
        self.begin(ordinals)
        place = encode_place(topic.state.number, appended.segment, appended.position)
        done = partial(self._written, appended, records, ordinals)
        topic.journal_notes()  # what came before stays before
        topic.journal.add(Kind.BATCH, [place, appended.data], done=done)

    def _written(
        self,
        appended: Appended,
        records: list[bytes],
        ordinals: dict[int, int],
        error: OSError | None,
    ) -> None:
        topic = self.topic
        topic.changed = True
        if error is not None:
            topic.log.forget(appended)
            self.failed(ordinals)
            return
        topic.log.kept_by_journal(appended)
        topic.log.holes.add(appended.first, appended.next)
        for queue in topic.queues.values():
            queue.passed(appended, records)
        self.done(ordinals)

    def begin(self, ordinals: dict[int, int]) -> None:
        """They are to be written."""

    def failed(self, ordinals: Collection[int]) -> None:
        """They stay where they are."""

    def done(self, ordinals: dict[int, int]) -> None:
        """They are written."""
        raise NotImplementedError


@define(eq=False, repr=False)
class _InHand(_Mover):
    def begin(self, ordinals: dict[int, int]) -> None:
        self.queue.moving.update(ordinals)

    def failed(self, ordinals: Collection[int]) -> None:
        for id in ordinals:
            self.queue.moving.pop(id, None)

    def done(self, ordinals: dict[int, int]) -> None:
        queue = self.queue
        for id, ordinal in ordinals.items():
            if queue.moving.get(id) == ordinal:  # it is in hand still, and not moved once more
                queue.moved[id] = queue.moving.pop(id)


@define(eq=False, repr=False)
class _OfPart(_Mover):
    part: bytearray

    def done(self, ordinals: dict[int, int]) -> None:
        self.queue.parking.moved(self.part, ordinals)
