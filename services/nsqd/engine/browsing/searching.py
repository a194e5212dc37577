"""Messages of a channel or topic by their ids: to find them, or to take them out.

Both go through all the messages there are until the last one is found, in steps. `Found` is told
what there is, and takes the ids out of ``ids``. Functions are generators that yield between steps.
"""

from collections.abc import Callable, Iterator
from functools import partial

from nsqd.engine.browsing.looking import DEFERRED, IN_FLIGHT, QUEUED, STEP
from nsqd.engine.channel import Channel
from nsqd.engine.messages.message import message_id
from nsqd.engine.messages.queue import Place, Seen
from nsqd.engine.topic import Topic

#: Told of records and the state in which they were found.
Found = Callable[[list[bytes], str], None]

# Consumers that are asked for ids in one step.
CONSUMERS = 100
# Deferred records move while they are searched: who is missed gets another chance.
PASSES = 2


def find(channel: Channel, ids: set[bytes], found: Found) -> Iterator[None]:
    """Find ``ids`` in ``channel``; nothing is changed. Raises OSError."""
    yield from _held(channel, ids, found, take=False)
    for number, (record, _) in enumerate(channel.queue.look_deferred()):
        if message_id(record) in ids:
            _tell(ids, [record], DEFERRED, found)
            if not ids:
                return
        if not number % STEP:
            yield
    yield from find_queued(channel.queue.look, ids, found)


def find_queued(
    look: Callable[[Place, int], Seen], ids: set[bytes], found: Found
) -> Iterator[None]:
    """Find ``ids`` in what ``look`` shows. Raises OSError."""
    place: Place | None = ()
    while ids and place is not None:
        seen = look(place, STEP)
        _tell(ids, [record for record in seen.records if message_id(record) in ids], QUEUED, found)
        place = seen.next
        yield


def find_waiting(topic: Topic, ids: set[bytes], found: Found) -> Iterator[None]:
    """Find ``ids`` in what waits in ``topic`` itself, and in all that its log retains. Raises
    OSError."""
    yield from find_queued(topic.look, ids, found)
    for record, _ in topic.look_deferred():
        if message_id(record) in ids:
            _tell(ids, [record], DEFERRED, found)
    if topic.log is not None:
        yield from find_queued(partial(topic.log.look, retained=True), ids, found)


def withdraw(
    channel: Channel, ids: set[bytes], found: Found, *, queued: bool = True
) -> Iterator[None]:
    """Take ``ids`` out of ``channel``: out of the hands of consumers, from what is deferred and,
    if that is wanted, from what is queued. Raises OSError."""
    yield from _held(channel, ids, found, take=True)
    for _ in range(PASSES):
        yield from _withdraw(channel, channel.queue.withdraw_deferred, ids, DEFERRED, found)
    if queued:
        yield from _withdraw(channel, channel.queue.withdraw, ids, QUEUED, found)
    yield from _held(channel, ids, found, take=True)  # what was delivered meanwhile


def withdraw_waiting(topic: Topic, ids: set[bytes], found: Found) -> Iterator[None]:
    """Take ``ids`` out of what waits in ``topic`` itself, but for its log. Raises OSError."""
    _tell(ids, topic.withdraw_deferred(ids), DEFERRED, found)
    yield
    yield from _withdraw(topic, topic.queue.withdraw, ids, QUEUED, found)


def until(steps: Iterator[None], end: int, now: Callable[[], int]) -> Iterator[None]:
    """``steps``, for as long as it is before ``end`` (by ``now``, in ns)."""
    for _ in steps:
        if now() >= end:
            return
        yield


def _withdraw(
    owner: Channel | Topic,
    step: Callable[[set[bytes], Place, int], Seen],
    ids: set[bytes],
    state: str,
    found: Found,
) -> Iterator[None]:
    place: Place | None = ()
    while ids and place is not None and not owner.deleted:
        seen = step(ids, place, STEP)
        _tell(ids, seen.records, state, found)
        place = seen.next
        yield


def _held(channel: Channel, ids: set[bytes], found: Found, *, take: bool) -> Iterator[None]:
    for number, consumer in enumerate(list(channel.consumers)):
        held = consumer.in_flight
        if mine := [id for id in ids if id in held]:
            records = channel.take_back(consumer, mine) if take else [held[id] for id in mine]
            _tell(ids, records, IN_FLIGHT, found)
        if not number % CONSUMERS:
            yield


def _tell(ids: set[bytes], records: list[bytes], state: str, found: Found) -> None:
    if records:
        ids.difference_update(map(message_id, records))
        found(records, state)
