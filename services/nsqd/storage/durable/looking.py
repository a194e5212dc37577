"""Looking at the messages of a durable topic, and withdrawing some, a block at a time.

A place in the log is an ordinal, and where its batch begins. No index is asked: making one may
take long, and every batch on the way is looked at anyway.
"""

from bisect import bisect_right
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import Protocol

from nsqd.engine.messages.queue import Place, Queue, Seen
from nsqd.storage.durable.format.batches import Batch
from nsqd.storage.durable.log.log import Cursor, TopicLog
from nsqd.storage.durable.topics.queue import LogQueue, id_of

# Read from the log in one step, in bytes: below a millisecond's work.
STEP_BYTES = 128 << 10
# Where a look at a queue is: at what the plain queue has, in memory, or in the log.
PLAIN = 0
IN_MEMORY = 1
IN_LOG = 2


class _Visible(Protocol):
    def __call__(self, batch: Batch) -> dict[int, bytes]:
        """The records of a batch that are to be seen, by ordinal."""


def look(
    plain: Queue, log: LogQueue, place: Place, limit: int, ids: Container[bytes] | None = None
) -> Seen:
    """A step of `Queue.look` at a channel; of `Queue.withdraw`, where there are ``ids``.

    Raises OSError.
    """
    section, *at = place or (PLAIN,)
    if section == PLAIN:
        within = tuple(at)
        seen = plain.look(within, limit) if ids is None else plain.withdraw(ids, within, limit)
        return Seen(seen.records, (IN_MEMORY, 0) if seen.next is None else (PLAIN, *seen.next))
    if section == IN_MEMORY:
        memory = log.memory
        if ids is None:
            records, position = memory.look(at[0], limit)
        else:
            records, position = memory.withdraw(ids, at[0], limit)
        if position < memory.taken + memory.depth:
            return Seen(records, (IN_MEMORY, position))
        return Seen(records, (IN_LOG, 0, 0, 0) if log.unread else None)
    cursor = max(Cursor(*at), log.state.cursor, key=lambda cursor: cursor.ordinal)
    seen = look_at_log(log.log, cursor, log.flow(), limit, log.not_finished)
    if ids is not None:
        seen = Seen([record for record in seen.records if record[10:26] in ids], seen.next)
        log.state.done.update(map(id_of, seen.records))
    return Seen(seen.records, seen.next and (IN_LOG, *seen.next))


def look_at_log(
    log: TopicLog,
    cursor: Cursor,
    end: int,
    limit: int,
    visible: _Visible = lambda batch: batch.records,
) -> Seen:
    """Up to ``limit`` of the ``visible`` records from ``cursor`` to the ordinal ``end``.

    Its place is the three numbers of a cursor. Raises OSError.
    """
    records: list[bytes] = []
    read = 0
    for begin, batch in _batches(log, cursor):
        header = batch.header
        if header.first >= end:
            break
        for ordinal, record in visible(batch).items():
            if ordinal < cursor.ordinal or ordinal >= end:
                continue
            if len(records) == limit:
                return Seen(records, (ordinal, begin.segment, begin.position))
            records.append(record)
        read += header.size
        if read >= STEP_BYTES:
            following = Cursor(
                max(header.next, cursor.ordinal), begin.segment, begin.position + header.size
            )
            return Seen(records, (following.ordinal, following.segment, following.position))
    return Seen(records, None)


def _batches(log: TopicLog, cursor: Cursor) -> Iterator[tuple[Cursor, Batch]]:
    """The batches from ``cursor`` on, each with where it begins; and those that lie before it in
    its segment, where it does not tell its position."""
    with suppress(OSError):  # what could not be written is not `readable`
        log.write_rest()
    segments = log.segments
    at = bisect_right(segments, cursor.ordinal, key=lambda segment: segment.first)
    end = log.readable
    for segment in segments[max(0, at - 1) :]:
        position = cursor.position if cursor.segment == segment.first else 0
        for begins, batch in segment.batches(position):
            if batch.header.first >= end:
                return
            yield Cursor(batch.header.first, segment.first, begins), batch
