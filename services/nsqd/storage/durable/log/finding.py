"""Looks messages up in a topic's log, by id or by ordinal."""

from nsqd.storage.durable.log.log import Cursor, TopicLog
from nsqd.storage.durable.log.segments import Segment


def find(log: TopicLog, ids: list[int]) -> dict[int, tuple[int, bytes]]:
    """The ordinals and records of ``ids`` that are in the log as they were published.

    Those that were moved since are found by ordinal (`find_ordinals`). Raises OSError.
    """
    log.write_to_read()
    found: dict[int, tuple[int, bytes]] = {}
    wanted = sorted(set(ids))
    segments = [segment for segment in log.segments if segment.first not in log.parked]
    for number, segment in enumerate(segments):
        if not wanted:
            break
        following = filter(None, (each.first_id for each in segments[number + 1 :]))
        end = next(following, None)
        mine = [id for id in wanted if end is None or id < end]
        _find_in(segment, mine, found)
        wanted = [id for id in wanted if id not in found]
    return found


def _find_in(segment: Segment, ids: list[int], found: dict[int, tuple[int, bytes]]) -> None:
    if not ids:
        return
    index, remaining = segment.indexed(), set(ids)
    covered = -1
    for id in ids:
        if id not in remaining:
            continue
        position = max(index.position_of_id(id), covered)
        for begins, batch in segment.batches(position):
            covered = begins
            last = 0
            for ordinal, record in batch.records.items():
                last = int(record[10:26], 16)
                if last in remaining:
                    found[last] = ordinal, record
                    remaining.discard(last)
            if id not in remaining or last > id:
                break


def find_ordinals(log: TopicLog, ordinals: list[int]) -> dict[int, bytes]:
    """The records with ``ordinals``. Raises OSError."""
    found: dict[int, bytes] = {}
    wanted = set(ordinals)
    for ordinal in sorted(wanted):
        if ordinal in found:
            continue
        for _, batch in log.read(Cursor(ordinal)):
            found.update((each, record) for each, record in batch.records.items() if each in wanted)
            break
    return found
