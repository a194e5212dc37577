"""The durable topics in a data directory, as a start of nsqd would find them."""

import os
from collections.abc import Iterator

from nsqcore.classes import Factory, define, frozen
from nsqd.rescue.overlay import ReadOnlyDisk
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.log.log import Cursor
from nsqd.storage.durable.recovery import OpenTopic, Report
from nsqd.storage.durable.store import FORMAT, DurableStore
from nsqd.storage.durable.topics.queue import LogQueue, attempts_of
from nsqd.storage.durable.topics.state import ChannelState
from nsqd.storage.durable.topics.topic import DurableTopic

DIRECTORY = "durable"
STEP = 1000


class NothingDurable(Exception):
    """There are no durable topics in the directory."""


class NoFormat(Exception):
    """The file is missing that says which format the others have."""


@frozen
class Message:
    """A message that a channel has left; ``channel`` is "" for one that waits for a channel.

    ``record`` counts the delivery to come. ``due`` is in wall-clock ns, 0 for at once.
    """

    channel: str
    record: bytes
    due: int

    @property
    def attempts(self) -> int:
        """How often it has been delivered."""
        return attempts_of(self.record) - 1


@define(eq=False, repr=False)
class Opened:
    """The topics found, and what was wrong with the journal."""

    path: str
    disk: ReadOnlyDisk
    store: DurableStore
    found: list[OpenTopic] = Factory(list)

    @property
    def report(self) -> Report:
        """What reading the journal came to."""
        return self.store.report

    def messages(self, found: OpenTopic) -> Iterator[Message]:
        """All that the channels of a topic have left, and what waits for one; once only.

        Raises OSError.

        What is found to be damaged meanwhile is noted in the topic's log.
        """
        topic = self.store.topics.get(found.state.name) or self.store.adopt(found)
        for channel in found.state.channels:
            yield from _left(topic, channel)
        flow = found.state.flow
        if flow:
            for _, batch in found.log.read(Cursor(flow)):
                if batch.header.channel:
                    continue  # its channel has it
                for ordinal, record in sorted(batch.records.items()):
                    if ordinal >= flow:
                        yield Message("", record, batch.header.due)


def _left(topic: DurableTopic, channel: ChannelState) -> Iterator[Message]:
    later: list[tuple[bytes, int]] = []
    queue = LogQueue(
        channel,
        topic.log,
        lambda: topic.flow,
        _ignored,
        defer=lambda record, due: later.append((record, due)),
    )
    queued, deferred = topic.load(queue)
    for record in queued:
        yield Message(channel.name, record, 0)
    while records := queue.take(STEP):
        for record in records:
            yield Message(channel.name, record, 0)
    for record, due in [*deferred, *later]:
        yield Message(channel.name, record, due)


def _ignored(kind: Kind, packed: bytes) -> None:
    """What is read here is not delivered: nothing is to be journaled."""


def open_durable(data_path: str) -> Opened:
    """The durable topics in ``data_path``, whose files stay as they are.

    Raises:
        NothingDurable, NoFormat: see there.
        NewerFormat, UnknownFormat: made by a later nsqd.
        BadState: a topic's state can't be read.
        OSError: the system refuses to read.
    """
    path = os.path.join(data_path, DIRECTORY)
    return open_directory(path)


def open_directory(path: str) -> Opened:
    """As `open_durable`, for the directory of durable topics itself."""
    names = os.listdir(path) if os.path.isdir(path) else []
    if not names:
        raise NothingDurable(f"there are no durable topics in {os.path.dirname(path)}")
    if FORMAT not in names:
        raise NoFormat(f"{os.path.join(path, FORMAT)} is missing")
    disk = ReadOnlyDisk()
    store = DurableStore(disk, path)
    opened = Opened(path, disk, store)
    opened.found = sorted(store.open(), key=lambda topic: topic.state.name)
    return opened
