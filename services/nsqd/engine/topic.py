"""A topic: what is published, copied to every channel at once.

Records go straight into the channels' queues. The topic's own queue is used only while there is no
channel, the topic is paused, or it is not open yet (a new topic first learns which channels other
nsqd have of it); it drains in bounded steps, so that a large backlog does not hold up anybody.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from itertools import islice
from sys import maxsize

from nsqcore.classes import Factory, define
from nsqcore.names import is_ephemeral
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.channel import Channel
from nsqd.engine.errors import Exiting
from nsqd.engine.messages.message import message_id
from nsqd.engine.messages.queue import Done, Log, Loss, Moved, Place, Queue, Seen, Storage
from nsqd.engine.rules import Rules

# Records moved to the channels in one step: some milliseconds' work.
DRAIN_STEP = 5000
# Deferred ones cost more: each goes into a heap of each channel.
DEFERRED_STEP = 1000
# Where a look is: at what the disk refused, in the queue, or in the log.
IN_BATCH = 0
IN_QUEUE = 1
IN_LOG = 2


@define(eq=False, repr=False)
class Topic:
    """The channels of ``name`` and the messages that wait for one; made by the broker.

    ``make_channel`` makes a channel by name; ``mark_ready`` is told of every channel
    that has something to deliver.
    """

    name: str
    queue: Queue
    make_channel: Callable[[str, str], Channel]
    mark_ready: Callable[[Channel], None]
    rules: Rules = Factory(Rules)

    log: Log | None = None  # of a durable topic
    inherited: str = "none"  # the durability of who sends dead letters here
    is_open: bool = True
    paused: bool = False
    deleted: bool = False
    channels: dict[str, Channel] = Factory(dict)
    message_count: int = 0
    message_bytes: int = 0
    # record, delay from when it is let through
    _deferred: deque[tuple[bytes, int]] = Factory(deque)
    # A batch of the backlog that the disk refused: for all channels, or for these if there are any.
    _batch: list[bytes] = Factory(list)
    _pending: list[Channel] = Factory(list)
    _when_open: list[Callable[[], None]] = Factory(list)

    @property
    def ephemeral(self) -> bool:
        """Whether the topic is never stored, and goes with its last channel."""
        return is_ephemeral(self.name)

    @property
    def depth(self) -> int:
        """Messages that wait for a channel or for the end of a pause."""
        plain = self.queue.depth + len(self._deferred) + len(self._batch)
        return plain if self.log is None else plain + self.log.depth

    @property
    def deferred_count(self) -> int:
        """Of these, the ones that channels will hold back."""
        return len(self._deferred)

    @property
    def backend_depth(self) -> int:
        """Of these, the ones on disk."""
        return self.queue.backend_depth

    @property
    def on_disk(self) -> int:
        """Messages on disk, here and in the channels."""
        return self.queue.backend_depth + sum(c.backend_depth for c in self.channels.values())

    @property
    def flowing(self) -> bool:
        """Whether messages pass through to channels."""
        return self.is_open and not self.paused and bool(self.channels)

    @property
    def backlog(self) -> bool:
        """Whether there is something `drain` can move now."""
        waits = self.queue.depth > 0 or bool(self._deferred) or bool(self._batch)
        return waits and self.flowing

    # ------------------------------------------------------------ messages

    def takes(self, count: int) -> bool:
        """Whether ``count`` more messages stay within what the policies allow."""
        if not self.flowing or self.depth:  # they would wait here
            own = self.rules.max_depth
            return not own or self.depth + count <= own
        for channel in self.channels.values():
            if channel.rules.is_full(channel.depth, count):
                return False
        return True

    def count_rejected(self, count: int) -> None:
        """Note that ``count`` messages were refused, in each channel that has no room for them."""
        if self.flowing and not self.depth:
            for channel in self.channels.values():
                if channel.rules.is_full(channel.depth, count):
                    channel.departures.deaths.rejected += count

    def put(self, records: list[bytes], size: int) -> bool:
        """Queue new ``records``, whose bodies have ``size`` bytes in all, on every channel.

        Returns whether they wait in the topic's own queue instead.

        Raises OSError. What is refused is then on no channel, unless the disk took it for one
        and not for the next: a publisher that tries again causes a second copy there, never a loss.
        """
        if self.deleted:
            raise Exiting("exiting")
        channels = self.channels
        flowing = channels and self.is_open and not self.paused
        waits = not flowing or bool(self._batch) or self.queue.depth > 0
        if waits:
            self.queue.put(records)
        else:
            # every channel may keep the list, none may change it
            channel: Channel
            some = channels.values() if len(channels) == 1 else self._by_need(len(records))
            for channel in some:
                channel.put(records)
                self.mark_ready(channel)
        self.message_count += len(records)
        self.message_bytes += size
        return waits

    @property
    def durable(self) -> bool:
        """Whether new messages go to a log."""
        return self.log is not None and self.log.promise != "none"

    def apply_durability(self, storage: Storage) -> None:
        """Promise from now on what the policy says, or else who sends dead letters here. Raises
        OSError."""
        durability = self.rules.durability
        if durability == "none":
            durability = self.inherited
        if self.log is not None:
            self.log.set_promise(durability)
            return
        self.log = storage.topic_log(self.name, durability, self.arrived)
        if self.log is not None:
            for channel in self.channels.values():
                channel.queue = storage.logged_queue(self.name, channel.name, channel.queue)
                channel.headed = True
            self.update_flow()

    def publish(self, records: list[bytes], size: int, due: int, done: Done) -> None:
        """Keep new ``records`` in the log of a durable topic, to be delivered at ``due``."""
        assert self.log is not None
        self.log.publish(records, due, partial(self._published, len(records), size, done))

    def move(
        self,
        source: Queue,
        taken: list[bytes],
        records: list[bytes],
        moved: Moved,
        *,
        only: str = "",
    ) -> None:
        """Keep new ``records`` in the log of a durable topic in place of ``taken``; see `Log.move`.

        Raises LookupError.
        """
        assert self.log is not None
        self.log.move(source, taken, records, partial(self._moved, moved), only=only)

    def _moved(self, moved: Moved, taken: list[bytes], failure: str | None) -> None:
        if failure is None:
            self.message_count += len(taken)
            self.message_bytes += sum(map(len, taken)) - HEADER_SIZE * len(taken)
        moved(taken, failure)

    def _published(self, count: int, size: int, done: Done, failure: str | None) -> None:
        if failure is None:
            self.message_count += count
            self.message_bytes += size
        done(failure)

    def arrived(self, records: list[bytes], due: int, only: str = "") -> None:
        """The log has ``records``, and its channels with it: the others get them now.

        If they are for ``only`` one channel, it has them already.
        """
        for channel in self.channels.values():
            if only and channel.name != only:
                continue
            if channel.queue.logged:
                channel.message_count += len(records)
                if due:
                    channel.deadlines.arm(channel, due)
            elif due:
                channel.defer(records, due)
            else:
                channel.put(records)
            self.mark_ready(channel)

    def update_flow(self) -> None:
        """Tell the log whether messages may flow; to be called whenever that may have changed."""
        if self.log is not None and not self.deleted:
            released = self.log.depth if self.flowing else 0
            self.log.let_flow(self.flowing)
            for channel in self.channels.values():
                if channel.queue.logged:
                    channel.message_count += released
                self.mark_ready(channel)

    def defer(self, records: list[bytes], size: int, delay: int, now: int) -> None:
        """Queue new ``records`` that every channel holds back for ``delay`` ns.

        Raises OSError, with none of them queued, where there is no memory for them and the disk
        takes nothing.
        """
        if self.deleted:
            raise Exiting("exiting")
        if self.flowing:
            for channel in self.channels.values():
                channel.queue.admit(len(records))
            for channel in self.channels.values():
                channel.defer(records, now + delay)
        else:
            self.queue.admit(len(records))
            self._deferred.extend((record, delay) for record in records)
        self.message_count += len(records)
        self.message_bytes += size

    # ------------------------------------------------------------ what is seen of them

    def look(self, place: Place, limit: int) -> Seen:
        """Up to ``limit`` records that wait here, as `Queue.look`. Raises OSError."""
        section, *at = place or (IN_BATCH, 0)
        if section == IN_BATCH:
            end = at[0] + limit
            more = end < len(self._batch)
            return Seen(self._batch[at[0] : end], (IN_BATCH, end) if more else (IN_QUEUE,))
        if section == IN_QUEUE:
            seen = self.queue.look(tuple(at), limit)
            logged = (IN_LOG,) if self.log is not None and self.log.depth else None
            return Seen(seen.records, logged if seen.next is None else (IN_QUEUE, *seen.next))
        assert self.log is not None
        seen = self.log.look(tuple(at), limit, retained=False)
        return Seen(seen.records, seen.next and (IN_LOG, *seen.next))

    def look_deferred(self) -> Iterator[tuple[bytes, int]]:
        """Every deferred record that waits here, with its delay from when it is let through."""
        return iter(list(self._deferred))

    def withdraw_deferred(self, ids: Container[bytes]) -> list[bytes]:
        """Take those of ``ids`` that wait here deferred."""
        found = [record for record, _ in self._deferred if message_id(record) in ids]
        if found:
            kept = [each for each in self._deferred if message_id(each[0]) not in ids]
            self._deferred = deque(kept)
        return found

    def drain(self, now: int) -> bool:
        """Whether a step of the topic's own queue moved to the channels; False if it can't be read.

        Raises OSError, losing nothing.
        """
        moved = self._drain_deferred(now)
        if not self._batch:
            self._batch = self.queue.take(DRAIN_STEP)
        if not self._batch:
            return moved
        self._pass_batch()
        return True

    def _drain_deferred(self, now: int) -> bool:
        step = list(islice(self._deferred, max(1, DEFERRED_STEP // len(self.channels))))
        for record, delay in step:
            for channel in self.channels.values():
                channel.defer([record], now + delay)
            self._deferred.popleft()
        return bool(step)

    def _pass_batch(self) -> None:
        """Give the batch to the channels that lack it. Raises OSError; the others have it then."""
        pending = self._pending or list(self._by_need(len(self._batch)))
        while pending:
            channel = pending[0]
            if not channel.deleted:
                channel.put(self._batch)
                self.mark_ready(channel)
            del pending[0]
            self._pending = pending
        self._drop_batch()
        self.queue.commit()

    def _drop_batch(self) -> None:
        self._batch, self._pending = [], []

    def expire(self, now: int, limit: int = maxsize) -> int:
        """Whether there is a backlog to try again, when its deadline has come."""
        return int(self.backlog)

    def _by_need(self, count: int) -> Iterable[Channel]:
        """The channels, those that need the disk first: if it fails, nobody has a copy yet."""
        channels = self.channels.values()
        if len(channels) > 1:
            return sorted(channels, key=lambda channel: not channel.queue.overflows(count))
        return channels

    # ------------------------------------------------------------ channels

    def create_channel(self, name: str) -> tuple[Channel, bool]:
        """The channel called ``name``, and whether it had to be made. Raises Exiting, OSError."""
        if self.deleted:
            raise Exiting("exiting")
        channel = self.channels.get(name)
        if channel is not None:
            return channel, False
        channel = self.channels[name] = self.make_channel(self.name, name)
        return channel, True

    def when_open(self, call: Callable[[], None]) -> None:
        """Call ``call`` as soon as the topic has the channels it has elsewhere, or is deleted."""
        if self.is_open or self.deleted:
            call()
        else:
            self._when_open.append(call)

    def open(self) -> None:
        """Let messages through to the channels."""
        self.is_open = True
        self.update_flow()
        self._tell_open()

    def _tell_open(self) -> None:
        waiting, self._when_open = self._when_open, []
        for call in waiting:
            call()

    def empty(self) -> None:
        """Drop the messages that wait in the topic."""
        self._deferred.clear()
        self._drop_batch()
        self.queue.empty()
        if self.log is not None:
            self.log.empty()

    def delete(self) -> None:
        """Drop everything, files too."""
        self.deleted = True
        self._deferred.clear()
        self._drop_batch()
        self._tell_open()
        self.queue.delete()
        if self.log is not None:
            self.log.delete()

    def close(self) -> Loss | None:
        """Put what waits in the topic on disk, before the channels are closed."""
        if self._batch:
            self._return_batch()
        if self._deferred:
            self.queue.give_back([record for record, _ in self._deferred])
        self._deferred.clear()
        return self.queue.close(bypassed=self.message_count > 0)

    def _return_batch(self) -> None:
        """Put the batch where it is found again: to who lacks it, or else back where it was."""
        pending, batch = self._pending, self._batch
        self._drop_batch()
        try:
            for channel in pending:
                channel.queue.put(batch)
        except OSError:
            pending = []
        if not pending:
            self.queue.give_back(batch)
