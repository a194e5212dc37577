"""What was synced survives a loss of power, at whatever moment it comes.

The promise: once a sync has ended, all that was on disk when it began is found again, on every
channel, until it goes to a consumer of that channel; and so is a publish whose OK waited for it.
A file whose sync failed is not believed because a later one succeeds. And whatever is found was
published.
"""

import random
from pathlib import Path

import pytest
from attrs import define, field
from tests.nsqd.broker import open_broker
from tests.nsqd.engine.conftest import Client, new_client
from tests.nsqd.engine.power import FragileDisk
from tests.support.descriptors import closed_at_the_end
from tests.support.examples import scratch
from tests.support.seeds import seeds

from nsqd.engine.broker import Broker
from nsqd.storage.diskqueue.store import DiskStore, Round
from nsqd.storage.files.filesystem import SYSTEM, FileSystem

SECOND = 1_000_000_000
CHANNELS = ("a", "b")

pytestmark = pytest.mark.slow


def open_on(directory: Path, fs: FileSystem = SYSTEM, sync_every: int = 30) -> Broker:
    store = DiskStore(
        str(directory), max_bytes_per_file=400, sync_every=sync_every, warn=lambda _: None, fs=fs
    )
    broker = open_broker(store, mem_queue_size=0)
    for name in CHANNELS:
        broker.create_channel("t", name)
    return broker


def found(directory: Path) -> dict[str, set[bytes]]:
    """The bodies that each channel gets of what is left in ``directory``."""
    broker = open_on(directory)
    while broker.dispatch(0):
        pass
    left: dict[str, set[bytes]] = {}
    for name, channel in broker.topics["t"].channels.items():
        left[name] = set()
        while records := channel.queue.take(100):
            left[name] |= {record[26:] for record in records}
    return left


@define(eq=False)
class Channel:
    """What a channel has, by body."""

    client: Client
    waiting: set[bytes] = field(factory=set)  # on disk
    syncing: set[bytes] = field(factory=set)  # on disk since before the sync that is going on
    promised: set[bytes] = field(factory=set)
    asked: set[bytes] = field(factory=set)  # OK is to come when they are synced
    held: dict[bytes, bytes] = field(factory=dict)  # ids by body

    def sent(self) -> None:
        for message in self.client.messages():
            self.held[message.body] = message.id
            for place in (self.waiting, self.syncing, self.promised, self.asked):
                place.discard(message.body)


@define(eq=False)
class Life:
    """A broker at work on a fragile disk; the power may go whenever the disk is touched."""

    directory: Path
    images: Path
    chance: random.Random
    disk: FragileDisk = field(init=False)
    broker: Broker = field(init=False)
    channels: dict[str, Channel] = field(init=False)
    now: int = 0
    published: int = 0
    losses: int = 0  # of power
    failed: int = 0  # rounds of syncs
    kept: int = 0  # messages whose OK waited
    sick: float = 0.0  # how likely a sync is to fail
    job_runs: bool = False
    loop_runs: bool = False

    def __attrs_post_init__(self) -> None:
        self.disk = FragileDisk(self.directory, moment=self.moment, refuses=self.refuses)

    def refuses(self) -> bool:
        return self.chance.random() < self.sick

    def begin(self, sync_every: int) -> None:
        self.broker = open_on(self.directory, self.disk, sync_every)
        self.broker.storage.store.due(self.now)
        self.channels = {
            name: Channel(new_client(0).join(self.broker, "t", name)) for name in CHANNELS
        }

    def moment(self) -> None:
        """The disk is about to be touched, by the loop or by the job in its thread."""
        if self.chance.random() < 0.3:
            self.lose_power()
        meanwhile = (
            self.job_runs and not self.loop_runs and not self.broker.storage.store.lock.locked()
        )
        if meanwhile and self.chance.random() < 0.3:
            self.loop_step()

    def lose_power(self) -> None:
        image = self.images / str(self.losses)
        self.losses += 1
        self.disk.leave(image, self.chance)
        kept = {path.name: path.read_bytes() for path in image.iterdir()}
        left = found(image)
        everything = {b"%d" % number for number in range(self.published)}
        for name, channel in self.channels.items():
            lost = channel.promised - left[name]
            assert not lost, (name, sorted(lost), kept)
            assert left[name] <= everything, (name, left[name] - everything, kept)

    # ---------------------------------------------------------------- the loop

    def loop_step(self) -> None:
        self.loop_runs = True
        publish, deliver = self.publish, self.deliver
        self.chance.choice([publish, publish, deliver, deliver, self.pause, self.requeue])()
        while self.broker.dispatch(self.now):
            pass
        for channel in self.channels.values():
            channel.sent()
        self.loop_runs = False

    def publish(self) -> None:
        count = self.chance.choice([1, 3, 12])
        bodies = [b"%d" % number for number in range(self.published, self.published + count)]
        self.published += count  # what is half written when the power goes may be found
        told: list[str | None] = []

        def done(failure: str | None) -> None:
            told.append(failure)
            for channel in self.channels.values():
                if failure is None:  # OK, and so it was kept if it waited for the sync
                    channel.promised |= channel.asked.intersection(bodies)
                    self.kept += len(bodies)
                channel.asked.difference_update(bodies)

        self.broker.publish("t", bodies, self.now, done)
        self.broker.flush(self.now)
        for channel in self.channels.values():
            channel.waiting.update(bodies)
            if not told:
                channel.asked.update(bodies)

    def pause(self) -> None:
        topic = self.broker.topics["t"]
        self.broker.pause_topic(topic, paused=not topic.paused)

    def deliver(self) -> None:
        channel = self.chance.choice(list(self.channels.values()))
        consumer, engine = channel.client.consumer, channel.client.channel
        engine.finish(consumer, list(channel.held.values()), 0)
        channel.held.clear()
        consumer.ready = self.chance.choice([0, 2, 9])
        self.broker.mark_ready(engine)

    def requeue(self) -> None:
        for channel in self.channels.values():
            for body, id in list(channel.held.items())[:2]:
                del channel.held[body]
                channel.client.channel.requeue(channel.client.consumer, [id], 0, self.now)
                channel.waiting.add(body)
            self.broker.mark_ready(channel.client.channel)

    # ---------------------------------------------------------------- the sync

    def sync(self) -> None:
        everything = self.chance.random() < 0.6
        self.now += 3 * SECOND if everything else 1
        for channel in self.channels.values():
            channel.syncing = set(channel.waiting) if everything else set()
        job = self.broker.storage.store.due(self.now)
        synced = job is None or self.run(job)
        for channel in self.channels.values():
            channel.promised |= channel.syncing if synced else set()

    def run(self, job: Round) -> bool:
        self.job_runs = True
        try:
            job()
        except OSError:
            self.failed += 1
        self.job_runs = False
        job.answer()
        return not job.failures


@pytest.mark.parametrize("sick", [0.0, 0.3])
@pytest.mark.parametrize("sync_every", [1, 30])
@pytest.mark.parametrize("seed", seeds(2))
def test_what_was_synced_outlives_a_loss_of_power(seed, sync_every, sick):
    with scratch() as folder, closed_at_the_end():
        life = Life(folder / "data", folder / "images", random.Random(seed), sick=sick)
        life.directory.mkdir()
        life.images.mkdir()
        life.begin(sync_every)
        for _ in range(60):
            life.loop_step()
            if life.chance.random() < 0.3:
                life.sync()
    assert life.losses > 50
    assert bool(life.failed) is bool(sick)
    assert life.kept or sync_every > 1 or sick
