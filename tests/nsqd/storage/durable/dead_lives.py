"""An engine whose messages die, are sent back, and may be interrupted at any call to the disk.

`DeadLife` plays one nsqd from its start to its end: it publishes, delivers, fails, gives up and
redrives at random, by the engine's own dead letters. At the start of the next one `check` looks for
every message, which is to be in one place, and in one only.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from attrs import Factory, define, field
from tests.nsqd.engine.conftest import Client, new_client
from tests.nsqd.engine.test_policy import set_policy
from tests.nsqd.storage.durable.simulated_disk import PowerLoss, SimulatedDisk

from nsqcore.wire.headers import decode_headers, split_record
from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.channel import Channel
from nsqd.engine.redrive import Redrive
from nsqd.engine.rules import Rules
from nsqd.lifecycle.durability import in_flight
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.queues.tiered import TieredStorage

SECOND = 1_000_000_000

#: A message in a channel of ``t``: its body and the channel.
Copy = tuple[bytes, str]


@define(eq=False)
class DeadWorld:
    """What was said to clients; it outlives every nsqd. ``now`` is the time, which goes on."""

    now: int = SECOND
    next_body: int = 1
    offered: set[bytes] = Factory(set)
    promised: set[bytes] = Factory(set)
    finished: set[Copy] = Factory(set)


@define(eq=False, repr=False)
class DeadLife:
    """One nsqd with the topic ``t``, of channels ``c`` (whose messages fail) and ``d``."""

    world: DeadWorld
    disk: SimulatedDisk
    chance: random.Random
    directory: str
    mode: str
    broker: Broker = field(init=False)
    clients: dict[str, Client] = Factory(dict)

    # ------------------------------------------------------------ start and end

    def start(self) -> None:
        self.disk.make_directory("/data")
        store = DurableStore(self.disk, "/data/durable", file_size=1 << 17, segment_size=1 << 13)
        plain = TieredStorage(DiskStore(self.directory, warn=print))
        storage = DurableStorage(plain, store, lambda: 0, store.prepare)
        rules = Rules(durability=self.mode, mem_queue_size=5)
        opened = storage.open()
        newest = max([found.log.newest for found in opened], default=0)
        settings = EngineSettings(rules=rules)
        self.broker = broker = Broker(settings, storage, 0, ids_after=newest)
        set_policy(broker, "t", max_attempts=2, message_ttl="500s")
        for found in opened:
            topic = broker.create_topic(found.state.name)
            for state in found.state.channels:
                broker.create_channel(topic.name, state.name)
        store.prepare()

    def prepare(self) -> None:
        """The channels, safely there, and a consumer on each."""
        for topic, channel in (("t", "c"), ("t", "d"), ("t.dead", "redrive")):
            self.broker.create_channel(topic, channel)
            if topic == "t":
                self.clients[channel] = new_client().join(self.broker, topic, channel)
        for _ in range(20):
            self.tick()
        self.checkpoint()

    def checkpoint(self) -> None:
        store, storage = self.broker.storage.store, self.broker.storage
        with suppress(OSError):
            checkpoint = store.snapshot(lambda log: storage.held(log, in_flight(self.broker)))
            failure = None
            try:
                checkpoint.run()
            except OSError as error:
                failure = error
            store.checkpointed(checkpoint, failure)

    # ------------------------------------------------------------ what may happen

    def step(self) -> None:
        """Something, at random."""
        self.world.now += self.chance.randrange(SECOND)
        often = [self.publish, self.deliver, self.fail, self.fail, self.redrive]
        seldom = [self.finish, self.give_up, self.checkpoint, self.leave, self.pass_time]
        acts = often + often + seldom + [self.tick] * 5
        self.chance.choice(acts)()

    def publish(self) -> None:
        world = self.world
        count = self.chance.choice([1, 2, 7])
        bodies = [b"%d" % number for number in range(world.next_body, world.next_body + count)]
        world.next_body += count
        world.offered.update(bodies)

        def done(failure: str | None) -> None:
            if failure is None:
                world.promised.update(bodies)

        self.broker.publish("t", bodies, world.now, done)

    def held(self) -> tuple[Client, bytes] | None:
        client = self.clients[self.chance.choice("ccd")]
        ids = list(client.consumer.in_flight)
        return (client, self.chance.choice(ids)) if ids else None

    def deliver(self) -> None:
        client = self.clients[self.chance.choice("ccd")]
        client.consumer.ready = len(client.consumer.in_flight) + self.chance.randrange(1, 4)
        self.broker.mark_ready(client.channel)
        self.broker.dispatch(self.world.now)
        client.consumer.ready = 0

    def fail(self) -> None:
        if (found := self.held()) is not None:
            client, id = found
            delay = self.chance.choice([0, 0, 20 * SECOND])
            client.channel.requeue(client.consumer, [id], delay, self.world.now)

    def give_up(self) -> None:
        if (found := self.held()) is not None:
            client, id = found
            client.channel.terminate(client.consumer, [id], "bad")

    def finish(self) -> None:
        if (found := self.held()) is not None:
            client, id = found
            body = split_record(client.consumer.in_flight[id])[0]
            self.world.finished.add((body, client.channel.name))
            client.channel.finish(client.consumer, [id], self.world.now)

    def leave(self) -> None:
        """A consumer goes, and another comes."""
        name = self.chance.choice("cd")
        self.clients[name].leave(self.broker)
        self.clients[name] = new_client().join(self.broker, "t", name)

    def redrive(self) -> None:
        source = self.broker.topics["t.dead"].channels["redrive"]
        records = source.queue.take(self.chance.randrange(1, 6))
        if records:
            Redrive(self.broker.publisher, source).send(records, self.world.now)

    def pass_time(self) -> None:
        self.world.now += self.chance.choice([10, 100, 600]) * SECOND
        self.broker.expire(self.world.now)

    def tick(self) -> None:
        now, store = self.world.now, self.broker.storage.store
        self.broker.expire(now)
        self.broker.dispatch(now)
        store.end_tick(now, sync=self.chance.random() < 0.1)
        if store.files.wants_file:
            with suppress(OSError):
                store.prepare()
            store.end_tick(now)

    # ------------------------------------------------------------ what the next one finds

    def check(self) -> None:
        """Every message is once in each channel of ``t``, or among the dead of that channel."""
        world, topics = self.world, self.broker.topics
        places: Counter[Copy] = Counter()
        for name in "cd" if "t" in topics else "":
            channel = topics["t"].channels[name]
            places.update((body, name) for body, _ in seen(channel))
        for channel in topics["t.dead"].channels.values() if "t.dead" in topics else ():
            places.update((body, headers["nsq-dead-channel"]) for body, headers in seen(channel))
        twice = {copy for copy, number in places.items() if number > 1}
        assert not twice, ("in two places", twice)
        unknown = {body for body, _ in places} - world.offered
        assert not unknown, ("never published", unknown)
        wanted = {(body, name) for body in world.promised for name in "cd"} - world.finished
        lost = wanted - set(places)
        assert not lost, ("lost", lost)
        # what is here goes on as if it had been promised, what is not is forgotten
        world.finished -= set(places)
        world.promised = {body for body in world.offered if places[body, "c"] and places[body, "d"]}
        world.finished = {copy for copy in world.finished if copy[0] in world.promised}


def seen(channel: Channel) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Body and headers of all that a channel has, by looking."""
    records = [record for record, _ in channel.queue.look_deferred()]
    place: tuple[int, ...] | None = ()
    while place is not None:
        found = channel.queue.look(place, 100)
        records += found.records
        place = found.next
    for record in records:
        body, block = split_record(record)
        yield body, decode_headers(block)


def die_and_come_back(seed: int, directory: str, *, lives: int = 3, steps: int = 150) -> int:
    """Several lives on one disk, each ended at a random call to it; how many died in all."""
    chance = random.Random(seed)
    mode = chance.choice(["always", "always", "os"])
    world, disk = DeadWorld(), SimulatedDisk()
    died = 0
    for _ in range(lives):
        life = DeadLife(world, disk, chance, directory, mode)
        life.start()
        life.check()
        life.prepare()
        end = chance.randrange(5, 300)

        def before(call: str) -> None:
            nonlocal end
            end -= 1
            if end <= 0:
                raise PowerLoss

        disk.before = before
        with suppress(PowerLoss):
            for _ in range(steps):
                life.step()
        for client in life.clients.values():
            died += client.channel.departures.deaths.dead
        # what a loss of power leaves of moves between topics of ``os`` is not promised
        power_lost = mode == "always" and chance.random() < 0.6
        disk = disk.after_power_loss(chance) if power_lost else disk.after_kill()
    life = DeadLife(world, disk, chance, directory, mode)
    life.start()
    life.check()
    return died
