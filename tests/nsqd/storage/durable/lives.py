"""A durable store that lives, dies at any moment, and lives again, with all it promised checked.

`Life` plays nsqd's engine: it publishes, delivers, finishes, requeues and defers at random. At its
end (a stop, a kill, a loss of power) `check` compares what the next life finds with what was
promised.
"""

import errno
import random
from contextlib import suppress
from functools import partial

from attrs import Factory, define, field
from tests.nsqd.storage.durable.simulated_disk import PowerLoss, SimulatedDisk

from nsqd.storage.durable.log.log import Cursor
from nsqd.storage.durable.moving import move
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.queue import Held, LogQueue, id_of
from nsqd.storage.durable.topics.tidying import tidy_all
from nsqd.storage.durable.topics.topic import DurableTopic

DIRECTORY = "/data/durable"
SECOND = 1_000_000_000


@define(eq=False)
class Fate:
    """What is known of one message in one channel."""

    id: int
    promised: bool = False  # OK was said
    finished: bool = False  # FIN was taken
    attempts: int = 0  # deliveries made
    kept_attempts: int = 0  # of these, the ones that the journal had
    due: int = 0
    moved: bool = False  # it went elsewhere, and that was said
    moved_safely: bool = False  # so that no loss of power undoes it


@define(eq=False)
class Moved:
    """A message that was to go from one place to another: it is in one of the two."""

    source: tuple[str, str, int]  # topic, channel, id
    target: tuple[str, str, int]  # channel "": to all there are
    fate: Fate
    new: list[Fate]
    failed: bool = False


@define(eq=False)
class World:
    """What was said to clients, by topic and channel; it outlives every nsqd."""

    published: dict[str, set[int]] = Factory(dict)
    channels: dict[str, dict[str, dict[int, Fate]]] = Factory(dict)
    modes: dict[str, str] = Factory(dict)
    waiting: dict[str, dict[int, Fate]] = Factory(dict)  # published before there was a channel
    next_id: int = 1
    doubt: tuple[str, str] | None = None  # a topic and channel (or "") that may be there or not
    deleting: bool = False  # it is being deleted
    moves: list[Moved] = Factory(list)  # that nothing was said of


@define(eq=False)
class Life:
    """One nsqd, from its start to its end."""

    world: World
    disk: SimulatedDisk
    chance: random.Random
    store: DurableStore = field(init=False)
    now: int = 0
    wall: int = 1_000_000 * SECOND
    in_flight: dict[LogQueue, dict[int, bytes]] = Factory(dict)
    deferred: dict[LogQueue, dict[int, tuple[bytes, int]]] = Factory(dict)

    # ------------------------------------------------------------ start

    def start(self) -> None:
        """Open what there is, as nsqd does."""
        self.disk.make_directory("/data")
        self.store = DurableStore(
            self.disk,
            DIRECTORY,
            file_size=1 << 14,
            segment_size=1 << 13,
        )
        for found in self.store.open():
            topic = self.store.adopt(found)
            for state in found.state.channels:
                queue = self.queue(topic, state)
                topic.adopt(queue)
                self.restore(topic, queue)
            topic.set_paused(False)
            topic.let_flow(bool(topic.queues))
        self.store.prepare()
        self.checkpoint()

    def restore(self, topic: DurableTopic, queue: LogQueue) -> None:
        """Load what a channel had in hand."""
        queued, deferred = topic.load(
            queue, park_from=self.wall + self.chance.randrange(90) * SECOND
        )
        queue.restore(queued)
        self.deferred[queue] = {id_of(record): (record, due) for record, due in deferred}

    def queue(self, topic: DurableTopic, state: object) -> LogQueue:
        queue = topic.make_queue(state)
        queue.memory_limit = 5
        queue.defer = partial(self.defer, queue)
        self.in_flight[queue] = {}
        self.deferred.setdefault(queue, {})
        return queue

    def defer(self, queue: LogQueue, record: bytes, due: int) -> None:
        if self.chance.random() < 0.5:
            queue.park(record, due)
        else:
            self.deferred[queue][id_of(record)] = record, due

    def unpark(self) -> None:
        """Have some of what is parked in memory."""
        if (picked := self.pick()) is not None:
            _, queue = picked
            for record, due in self._unparked(queue, self.chance.choice([1, 3, 100])):
                self.deferred[queue][id_of(record)] = record, due

    def park(self) -> None:
        """Have some of what is deferred forgotten until it is due."""
        if (picked := self.pick()) is not None:
            _, queue = picked
            for id in list(self.deferred[queue]):
                if self.chance.random() < 0.5:
                    queue.park(*self.deferred[queue].pop(id))

    def tidy(self) -> None:
        """Some of the work of having few messages not keep whole segments."""
        topics = list(self.store.topics.values())
        steps = tidy_all(topics, self.held, least=self.chance.choice([0, 0, 1]))
        for _ in range(self.chance.choice([1, 3, 1000])):
            if next(steps, 0) == 0:
                break
            if self.chance.random() < 0.3:
                self.tick()

    def _unparked(self, queue: LogQueue, limit: int) -> list[tuple[bytes, int]]:
        try:
            return queue.unpark(1 << 62, limit)
        except OSError:
            return []

    def held(self, queue: LogQueue) -> list[Held]:
        flight = [
            (record, int.from_bytes(record[8:10], "big"), 0)
            for record in self.in_flight[queue].values()
        ]
        later = [
            (record, int.from_bytes(record[8:10], "big") - 1, due)
            for record, due in self.deferred[queue].values()
        ]
        return flight + later

    # ------------------------------------------------------------ what may happen

    def step(self) -> None:
        """Something, at random."""
        self.now += self.chance.randrange(SECOND)
        self.wall += self.chance.randrange(SECOND)
        acts = [
            self.publish,
            self.publish,
            self.publish,
            self.move,
            self.deliver,
            self.deliver,
            self.finish,
            self.finish,
            self.requeue,
            self.requeue_later,
            self.fall_due,
            self.park,
            self.unpark,
            self.tick,
            self.tick,
            self.tick,
            self.tidy,
        ]
        if self.chance.random() < 0.1:
            acts = [self.create_topic, self.create_channel, self.delete_channel, self.pause]
            acts += [self.empty_channel, self.checkpoint, self.checkpoint, self.delete_topic]
        self.chance.choice(acts)()

    def topic(self) -> DurableTopic | None:
        topics = list(self.store.topics.values())
        return self.chance.choice(topics) if topics else None

    def pick(self) -> tuple[DurableTopic, LogQueue] | None:
        topic = self.topic()
        if topic is None or not topic.queues:
            return None
        return topic, self.chance.choice(list(topic.queues.values()))

    def create_topic(self) -> None:
        name = self.chance.choice("abc")
        if name in self.store.topics:
            return
        mode = self.chance.choice(["always", "always", "os"])
        self.world.modes[name] = mode
        self.world.channels[name] = {}
        self.world.waiting[name] = {}
        self.world.published.setdefault(name, set())
        self.world.doubt = name, ""
        try:
            self.store.create(name, mode)
        except OSError:
            del self.world.channels[name], self.world.waiting[name]
            self.world.doubt = None
            return
        self.settle()
        self.world.doubt = None

    def delete_topic(self) -> None:
        self.settle()
        topic = self.topic()
        if topic is None or self.chance.random() < 0.7:
            return
        name = topic.state.name
        for queue in topic.queues.values():
            del self.in_flight[queue], self.deferred[queue]
        # until the answer comes either may be found
        self.world.doubt = name, ""
        self.store.delete(topic)
        self.settle()
        self.world.doubt = None
        self.world.channels.pop(name)
        self.world.waiting.pop(name)

    def create_channel(self) -> None:
        self.settle()
        topic = self.topic()
        if topic is None:
            return
        name = self.chance.choice("xyz")
        if any(queue.state.name == name for queue in topic.queues.values()):
            return
        fates: dict[int, Fate] = {}
        world = self.world
        if not topic.queues:
            fates = world.waiting[topic.state.name]
            world.waiting[topic.state.name] = {}
        elif topic.state.flow:
            fates = {
                id: Fate(id, fate.promised, due=fate.due)
                for id, fate in world.waiting[topic.state.name].items()
            }
        world.channels[topic.state.name][name] = fates
        world.doubt = topic.state.name, name
        topic.create_channel(name, partial(self.queue, topic))
        topic.let_flow(not topic.state.paused)
        self.settle()
        world.doubt = None

    def delete_channel(self) -> None:
        self.settle()
        picked = self.pick()
        if picked is None or self.chance.random() < 0.5:
            return
        topic, queue = picked
        self.world.doubt, self.world.deleting = (topic.state.name, queue.state.name), True
        del self.in_flight[queue], self.deferred[queue]
        topic.delete_channel(queue)
        if not topic.queues:
            topic.let_flow(False)
        self.settle()
        self.world.doubt, self.world.deleting = None, False
        self.world.channels[topic.state.name].pop(queue.state.name)

    def empty_channel(self) -> None:
        self.settle()
        picked = self.pick()
        if picked is None or picked[0].state.flow:
            return
        topic, queue = picked
        for fate in self.world.channels[topic.state.name][queue.state.name].values():
            fate.finished = True
        self.in_flight[queue].clear()
        self.deferred[queue].clear()
        topic.empty_channel(queue)
        self.settle()

    def pause(self) -> None:
        self.settle()
        topic = self.topic()
        if topic is None or not topic.queues or topic.state.paused:
            return
        # a pause and its end, with what is published in between
        topic.set_paused(True)
        topic.let_flow(False)
        self.publish_to(topic)
        self.settle()
        topic.set_paused(False)
        topic.let_flow(True)
        self.settle()

    def publish(self) -> None:
        topic = self.topic()
        if topic is not None:
            self.publish_to(topic)

    def publish_to(self, topic: DurableTopic) -> None:
        world, name = self.world, topic.state.name
        count = self.chance.choice([1, 1, 2, 7])
        first = world.next_id
        world.next_id += count
        due = self.wall + 100 * SECOND if self.chance.random() < 0.2 else 0
        records = [self.record(id) for id in range(first, first + count)]
        ids = range(first, first + count)
        world.published[name].update(ids)
        fates: list[Fate] = []
        known = world.channels[name] or {"": world.waiting[name]}
        for channel in known.values():
            for id in ids:
                channel[id] = fate = Fate(id, due=due)
                fates.append(fate)

        def done(error: OSError | None) -> None:
            if error is None:
                for fate in fates:
                    fate.promised = True

        try:
            topic.publish(records, wall=self.wall, due=due, done=done)
        except OSError:
            return

    def record(self, id: int) -> bytes:
        body = self.chance.randbytes(self.chance.choice([1, 30, 700]))
        return b"".join((self.wall.to_bytes(8, "big"), b"\0\1", b"%016x" % id, body))

    def move(self) -> None:
        """Put what a channel has in flight into a topic, or into one channel of it."""
        found, target = self.in_hand(), self.topic()
        if found is None or target is None:
            return
        source, queue, _ = found
        world, flight = self.world, self.in_flight[queue]
        ids = self.chance.sample(list(flight), min(len(flight), self.chance.choice([1, 1, 3])))
        only = self.chance.choice([None, *target.queues.values()])
        name = target.state.name
        if only is not None:
            channels = {only.state.name: world.channels[name][only.state.name]}
        else:
            channels = world.channels[name] or {"": world.waiting[name]}
        taken, records, moves = [flight.pop(id) for id in ids], [], []
        for id in ids:
            new = world.next_id
            world.next_id += 1
            records.append(self.record(new))
            world.published[name].add(new)
            fates = []
            for channel in channels.values():
                channel[new] = fate = Fate(new)
                fates.append(fate)
            old = world.channels[source.state.name][queue.state.name][id]
            old.promised = False  # until it is said where it is
            moves.append(
                Moved(
                    (source.state.name, queue.state.name, id),
                    (name, only.state.name if only is not None else "", new),
                    old,
                    fates,
                )
            )
        world.moves += moves

        def done(left: list[bytes], error: OSError | None) -> None:
            for each in moves:
                if error is None:
                    each.fate.finished = each.fate.moved = True
                    modes = {world.modes[each.source[0]], world.modes[each.target[0]]}
                    each.fate.moved_safely = "os" not in modes
                    for fate in each.new:
                        fate.promised = True
                    world.moves.remove(each)
                else:
                    # it is here, and may be there too until the file that failed is gone
                    each.fate.promised, each.failed = True, True
            if error is not None:
                queue.give_back([self._counted(record) for record in left])

        try:
            move(
                source,
                queue,
                taken,
                target,
                records,
                wall=self.wall,
                channel=only.state.number if only is not None else 0,
                done=done,
            )
        except OSError:
            for each in moves:
                each.fate.promised = True
                world.moves.remove(each)
            queue.give_back([self._counted(record) for record in taken])

    def fate(self, topic: DurableTopic, queue: LogQueue, id: int) -> Fate:
        return self.world.channels[topic.state.name][queue.state.name][id]

    def deliver(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        topic, queue = picked
        records = queue.take(self.chance.randrange(1, 5))
        if not records:
            return
        queue.sent(records)
        for record in records:
            self.in_flight[queue][id_of(record)] = record
            fate = self.fate(topic, queue, id_of(record))
            fate.attempts, fate.due = int.from_bytes(record[8:10], "big"), 0

    def in_hand(self) -> tuple[DurableTopic, LogQueue, int] | None:
        picked = self.pick()
        if picked is None or not self.in_flight[picked[1]]:
            return None
        return *picked, self.chance.choice(list(self.in_flight[picked[1]]))

    def finish(self) -> None:
        if (found := self.in_hand()) is not None:
            topic, queue, id = found
            del self.in_flight[queue][id]
            self.fate(topic, queue, id).finished = True
            queue.finish([b"%016x" % id])

    def _counted(self, record: bytes) -> bytes:
        attempts = int.from_bytes(record[8:10], "big") + 1
        return record[:8] + attempts.to_bytes(2, "big") + record[10:]

    def requeue(self) -> None:
        if (found := self.in_hand()) is not None:
            _, queue, id = found
            queue.give_back([self._counted(self.in_flight[queue].pop(id))])

    def requeue_later(self) -> None:
        if (found := self.in_hand()) is not None:
            topic, queue, id = found
            record = self._counted(self.in_flight[queue].pop(id))
            due = self.wall + 50 * SECOND
            self.fate(topic, queue, id).due = due
            self.defer(queue, record, due)
            queue.put_off(record, due)

    def fall_due(self) -> None:
        picked = self.pick()
        if picked is None:
            return
        topic, queue = picked
        for id, (record, due) in list(self.deferred[queue].items()):
            if due <= self.wall or self.chance.random() < 0.3:
                self.wall = max(self.wall, due)
                del self.deferred[queue][id]
                self.fate(topic, queue, id).due = 0
                queue.give_back([record])

    def tick(self) -> None:
        self.store.end_tick(self.now, sync=self.chance.random() < 0.1)
        if self.store.files.wants_file:
            with suppress(OSError):
                self.store.prepare()
            self.store.end_tick(self.now)
        if self.store.journal.idle:
            for channels in self.world.channels.values():
                for fates in channels.values():
                    for fate in fates.values():
                        fate.kept_attempts = fate.attempts

    def settle(self) -> None:
        """Tick until everything is journaled."""
        for _ in range(100):
            self.tick()
            if self.store.journal.idle:
                return
        raise AssertionError("what was noted is not journaled in the end")

    def stop(self) -> None:
        """End as nsqd does on SIGTERM; a sick disk keeps what it can."""
        with suppress(OSError):
            self.store.close(self.now, self.held)

    def checkpoint(self) -> None:
        try:
            checkpoint = self.store.snapshot(self.held)
        except OSError:
            return
        failure: OSError | None = None
        try:
            checkpoint.run()
        except OSError as error:
            failure = error
        self.store.checkpointed(checkpoint, failure)

    # ------------------------------------------------------------ what the next life finds

    def check(self, *, power_lost: bool) -> None:
        """Compare what is here with what was promised."""
        world = self.world
        self._resolve_doubt()
        self._check_moves(power_lost=power_lost)
        for name, channels in world.channels.items():
            if world.modes[name] == "os" and power_lost:
                continue
            topic = self.store.topics[name]
            queues = {queue.state.name: queue for queue in topic.queues.values()}
            assert set(channels) == set(queues), (name, set(channels), set(queues))
            for channel, fates in channels.items():
                self._check_channel(topic, queues[channel], fates, power_lost=power_lost)
        if power_lost:
            self._forget_lost()

    def _check_moves(self, *, power_lost: bool) -> None:
        """What was being moved when the end came is in one place, and in one only."""
        moves, self.world.moves = self.world.moves, []
        for each in moves:
            here = self._has(*each.source)
            there = self._has(*each.target)
            safe = not power_lost or "os" not in (
                self.world.modes[each.source[0]],
                self.world.modes[each.target[0]],
            )
            if here is None or there is None or not safe or each.fate.finished:
                continue  # one of the places is gone
            if each.failed:
                # the file that failed may have shown the move, unless that was voided in time
                each.fate.promised = here or not there
                continue
            assert here or there, ("lost on its way", each)
            assert not (here and there), ("in both places", each)

    def _has(self, name: str, channel: str, id: int) -> bool | None:
        """Whether a channel has a message, or any of the topic's; None if there is no such one."""
        topic = self.store.topics.get(name)
        if topic is None or name not in self.world.channels:
            return None
        queues = [each for each in topic.queues.values() if channel in ("", each.state.name)]
        if not queues:
            if channel:
                return None
            batches = topic.log.read(Cursor(topic.flow))
            return any(id in map(id_of, batch.records.values()) for _, batch in batches)
        found = False
        for queue in queues:
            records = queue.take(10_000)
            queue.untake(records)
            self._unpark_all(queue)
            found = found or id in map(id_of, records) or id in self.deferred[queue]
        return found

    def _resolve_doubt(self) -> None:
        """What was being made or deleted at the end is there, or it is not."""
        world = self.world
        if world.doubt is None:
            return
        (name, channel), world.doubt = world.doubt, None
        deleting, world.deleting = world.deleting, False
        topic = self.store.topics.get(name)
        if topic is None:
            if not channel or world.modes[name] == "os":
                world.channels.pop(name, None)
                world.waiting.pop(name, None)
            return
        names = {queue.state.name for queue in topic.queues.values()}
        if channel and channel not in names:
            gone = world.channels[name].pop(channel, None)
            if gone is not None and not deleting and not world.channels[name]:
                world.waiting[name] = gone

    def _check_channel(
        self,
        topic: DurableTopic,
        queue: LogQueue,
        fates: dict[int, Fate],
        *,
        power_lost: bool,
    ) -> None:
        where = (topic.state.name, queue.state.name)
        depth = queue.depth
        taken: list[bytes] = []
        deferred = self.deferred[queue]
        before = len(deferred) + len(queue.parking)
        while records := queue.take(100):
            taken += records
        self._unpark_all(queue)
        ids = [id_of(record) for record in taken]
        later = set(deferred)
        assert len(set(ids)) == len(ids), (where, "twice", ids)
        assert not set(ids) & later, (where, "queued and deferred")
        assert depth - (len(deferred) - before) == len(ids), (where, "depth", depth, len(ids))
        found = set(ids) | later
        missing = {f.id for f in fates.values() if f.promised and not f.finished} - found
        assert not missing, (where, "lost", sorted(missing), sorted(found))
        unknown = found - set(fates)
        assert not unknown, (where, "never published here", unknown)
        again = {id for id in found if fates[id].moved}
        if power_lost:  # the target may be lost, with its creation: then they are here again
            again = {id for id in again if fates[id].moved_safely}
        assert not again, (where, "moved and still here", again)
        for record in taken:
            fate = fates[id_of(record)]
            attempts = int.from_bytes(record[8:10], "big") - 1
            if not fate.finished and not power_lost:
                assert attempts >= fate.kept_attempts, (where, fate, attempts)
        for id, (_, due) in deferred.items():
            if fates[id].due and not fates[id].finished:
                assert due <= fates[id].due
        # what was not promised and is not here was never published; what is here goes on
        for id in list(fates):
            if id not in found:
                del fates[id]
            else:
                fates[id].promised, fates[id].finished, fates[id].moved = True, False, False
                fates[id].attempts = fates[id].kept_attempts = 0
        queue.untake(taken)

    def _unpark_all(self, queue: LogQueue) -> None:
        while queue.parking:
            records = queue.unpark(1 << 62, 7)
            for record, due in records:
                self.deferred[queue][id_of(record)] = record, due

    def _forget_lost(self) -> None:
        """Take what is here for what is promised where power may take it."""
        world = self.world
        for name in [name for name, mode in world.modes.items() if mode == "os"]:
            world.channels.pop(name, None)
            world.waiting.pop(name, None)
            topic = self.store.topics.get(name)
            if topic is None:
                continue
            world.channels[name], world.waiting[name] = {}, {}
            for queue in topic.queues.values():
                fates = world.channels[name][queue.state.name] = {}
                for record in (records := queue.take(10_000)):
                    fates[id_of(record)] = Fate(id_of(record), promised=True)
                self._unpark_all(queue)
                for id, (_, due) in self.deferred[queue].items():
                    fates[id] = Fate(id, promised=True, due=due)
                queue.untake(records)
            for _, batch in topic.log.read(Cursor(topic.flow)):
                if batch.header.channel:  # which was lost with its creation
                    continue
                for record in batch.records.values():
                    fate = Fate(id_of(record), promised=True, due=batch.header.due)
                    world.waiting[name][fate.id] = fate


def live_and_die(seed: int, *, lives: int = 3, steps: int = 120) -> None:
    """Several lives on one disk, each ended at a random call to the disk.

    In every other life the disk refuses calls now and then; a sync that fails drops the data.
    """
    chance = random.Random(seed)
    world, disk = World(), SimulatedDisk()
    power_lost = False
    for _ in range(lives):
        life = Life(world, disk, chance)
        life.start()
        life.check(power_lost=power_lost)
        end = chance.randrange(5, 400)
        sick = chance.random() < 0.5

        def before(call: str, sick: bool = sick) -> None:
            nonlocal end
            end -= 1
            if end <= 0:
                raise PowerLoss
            if sick and chance.random() < 0.05:
                raise OSError(errno.EIO if call == "sync" else errno.ENOSPC, "sick disk", call)

        disk.before = before
        how = chance.choice(["power", "power", "kill", "stop"])
        try:
            for _ in range(steps):
                life.step()
            if how == "stop":
                life.stop()
        except PowerLoss:
            pass
        power_lost = how == "power"
        disk = disk.after_power_loss(chance) if power_lost else disk.after_kill()
    life = Life(world, disk, chance)
    life.start()
    life.check(power_lost=power_lost)
