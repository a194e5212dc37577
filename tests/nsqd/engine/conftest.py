"""What the tests of the engine share: brokers in one directory, and clients that remember."""

from collections.abc import Callable
from pathlib import Path
from random import random

import pytest
from attrs import Factory, define, field
from tests.nsqd.broker import open_broker

from nsqcore.wire.frames import Message, parse_record
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.delivery.deadlines import Deadlines
from nsqd.engine.messages.ids import MessageIds
from nsqd.engine.messages.message import new_header
from nsqd.engine.rules import Rules
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.queues.tiered import TieredQueue

SECOND = 1_000_000_000


@define(eq=False, slots=False)
class Client:
    """What is behind a consumer: takes the frames, and may be slow to read them."""

    consumer: Consumer = field(init=False)
    channel: Channel = field(init=False)
    unread_bytes: int = 0
    is_gone: bool = False
    when_read: Callable[[], None] | None = None
    _messages: list[Message] = Factory(list)
    _sizes: list[int] = Factory(list)

    def join(self, broker: Broker, topic: str = "t", channel: str = "c") -> "Client":
        """Go on a channel, as SUB and RDY do."""
        self.channel = broker.create_channel(topic, channel)
        self.channel.add(self.consumer)
        broker.mark_ready(self.channel)
        return self

    def leave(self, broker: Broker) -> None:
        """Go away, as the end of a session does."""
        self.channel.remove(self.consumer)
        broker.consumer_left(self.channel)

    def send(self, records: list[bytes]) -> None:
        self._sizes.append(sum(map(len, records)))
        self._messages += map(parse_record, records)

    def unread(self) -> int:
        return self.unread_bytes

    def when_drained(self, call: Callable[[], None]) -> None:
        self.when_read = call

    def channel_deleted(self) -> None:
        self.is_gone = True

    def messages(self) -> list[Message]:
        """What came since the last call."""
        messages, self._messages = self._messages, []
        return messages

    @property
    def received(self) -> int:
        """How many bytes came since the last call of `sizes`."""
        return sum(self._sizes)

    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages()]

    def ids(self) -> list[bytes]:
        return [message.id for message in self.messages()]

    def sizes(self) -> list[int]:
        """How many bytes came at a time, since the last call."""
        sizes, self._sizes = self._sizes, []
        return sizes


def new_client(
    ready: int = 1,
    *,
    msg_timeout: float = 60,
    max_msg_timeout: float = 900,
    sample_rate: int = 0,
    locality: int = 2,
) -> Client:
    client = Client()
    client.consumer = Consumer(
        client,
        msg_timeout=int(msg_timeout * SECOND),
        max_msg_timeout=int(max_msg_timeout * SECOND),
        sampled=(lambda: random() * 100 <= sample_rate) if sample_rate else None,
        locality=locality,
    )
    client.consumer.ready = ready
    return client


@pytest.fixture(name="new_client")
def new_client_fixture() -> Callable[..., Client]:
    """Makes a client; its consumer is not yet on a channel."""
    return new_client


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The data directory."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def warnings() -> list[str]:
    """What the engine would have logged."""
    return []


@pytest.fixture
def new_broker(directory: Path, warnings: list[str]) -> Callable[..., Broker]:
    """Opens a broker on the data directory; the arguments are settings."""

    def make(**settings: object) -> Broker:
        store = DiskStore(str(directory), warn=warnings.append)
        return open_broker(store, **settings)

    return make


@pytest.fixture
def broker(new_broker: Callable[..., Broker]) -> Broker:
    return new_broker()


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines()


@pytest.fixture
def new_channel(directory: Path, deadlines: Deadlines, warnings: list[str]):
    """Makes channels; ``memory`` is how many messages one keeps in memory."""

    def make(name: str = "c", memory: int = 1000, **settings: object) -> Channel:
        store = None
        if not name.endswith("#ephemeral"):
            store = DiskStore(str(directory), warn=warnings.append)
        queue = TieredQueue(f"t:{name}", memory, store)
        return Channel("t", name, queue, deadlines, Rules(**settings))

    return make


@pytest.fixture
def channel(new_channel: Callable[..., Channel]) -> Channel:
    return new_channel()


@pytest.fixture
def join(channel: Channel) -> Callable[..., Client]:
    """Puts a new client on the channel."""

    def make(*args: int, **settings: float) -> Client:
        client = new_client(*args, **settings)
        channel.add(client.consumer)
        return client

    return make


@pytest.fixture
def records():
    """Makes new records: of the bodies given, or of so many numbers."""
    ids = MessageIds(1)

    def make(bodies: int | list[bytes]) -> list[bytes]:
        if isinstance(bodies, int):
            bodies = [b"%d" % number for number in range(bodies)]
        return [new_header(7) + ids.take(1, 7) + body for body in bodies]

    return make
