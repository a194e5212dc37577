"""A topic: what is published, copied to every channel at once.

Records go straight into the channels' queues. The topic's own queue is used only
while there is no channel, the topic is paused, or it is not open yet (a new
topic first learns which channels other nsqd have of it); it drains in bounded
steps, so that a large backlog does not hold up anybody.
"""

from collections.abc import Callable, Iterable

from attrs import Factory, define

from nsqcore.names import is_ephemeral
from nsqd.engine.channel import Channel
from nsqd.engine.errors import Exiting
from nsqd.storage.tiered import TieredQueue

# Records moved to the channels in one step: some milliseconds' work.
DRAIN_STEP = 5000


@define(eq=False)
class Topic:
    """The channels of ``name`` and the messages that wait for one; made by the broker.

    ``make_channel`` makes a channel by name; ``dirty`` is told of every channel
    that has something to deliver.
    """

    name: str
    queue: TieredQueue
    make_channel: Callable[[str, str], Channel]
    dirty: Callable[[Channel], None]

    is_open: bool = True
    paused: bool = False
    deleted: bool = False
    channels: dict[str, Channel] = Factory(dict)
    message_count: int = 0
    message_bytes: int = 0
    _deferred: list[tuple[bytes, int]] = Factory(list)  # record, delay from when it is let through
    # A step of the backlog that the disk refused: for all channels, or for these if there are any.
    _step: list[bytes] = Factory(list)
    _owed: list[Channel] = Factory(list)

    @property
    def ephemeral(self) -> bool:
        """Whether the topic is never stored, and goes with its last channel."""
        return is_ephemeral(self.name)

    @property
    def depth(self) -> int:
        """Messages that wait for a channel or for the end of a pause."""
        return self.queue.depth + len(self._deferred) + len(self._step)

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
        return self.depth > 0 and self.flowing

    # ------------------------------------------------------------ messages

    def put(self, records: list[bytes], size: int) -> bool:
        """Queue new ``records``, whose bodies have ``size`` bytes in all, on every channel.

        Returns whether they wait in the topic's own queue instead.

        Raises OSError. What is refused is then on no channel, unless the disk took it for one
        and not for the next: a publisher that tries again causes a second copy there, never a loss.
        """
        if self.deleted:
            raise Exiting("exiting")
        waits = not self.flowing or self.queue.depth > 0 or bool(self._step)
        if waits:
            self.queue.put(records)
        else:
            self._spread(records)
        self.message_count += len(records)
        self.message_bytes += size
        return waits

    def defer(self, record: bytes, size: int, delay: int, now: int) -> None:
        """Queue one new ``record`` that every channel holds back for ``delay`` ns."""
        if self.deleted:
            raise Exiting("exiting")
        if self.flowing:
            for channel in self.channels.values():
                channel.defer(record, now + delay)
        else:
            self._deferred.append((record, delay))
        self.message_count += 1
        self.message_bytes += size

    def drain(self, now: int) -> bool:
        """Whether a step of the topic's own queue moved to the channels; False if it can't be read.

        Raises OSError, losing nothing.
        """
        moved = bool(self._deferred)
        for record, delay in self._deferred:
            for channel in self.channels.values():
                channel.defer(record, now + delay)
        self._deferred.clear()
        if not self._step:
            self._step = self.queue.take(DRAIN_STEP)
        if not self._step:
            return moved
        self._finish_step()
        return True

    def _finish_step(self) -> None:
        """Give the step to the channels that lack it. Raises OSError; the others have it then."""
        owed = self._owed or list(self._by_need(len(self._step)))
        while owed:
            channel = owed[0]
            if not channel.deleted:
                channel.put(self._step)
                self.dirty(channel)
            del owed[0]
            self._owed = owed
        self._drop_step()
        self.queue.commit()

    def _drop_step(self) -> None:
        self._step, self._owed = [], []

    def expire(self, now: int) -> bool:
        """Whether there is a backlog to try again, when its deadline has come."""
        return self.backlog

    def _spread(self, records: list[bytes]) -> None:
        # every channel may keep the list, none may change it
        for channel in self._by_need(len(records)):
            channel.put(records)
            self.dirty(channel)

    def _by_need(self, count: int) -> Iterable[Channel]:
        """The channels, those that need the disk first: if it fails, nobody has a copy yet."""
        channels = self.channels.values()
        if len(channels) > 1:
            return sorted(channels, key=lambda channel: not channel.overflows(count))
        return channels

    # ------------------------------------------------------------ channels

    def get_channel(self, name: str) -> tuple[Channel, bool]:
        """The channel called ``name``, and whether it had to be made."""
        if self.deleted:
            raise Exiting("exiting")
        channel = self.channels.get(name)
        if channel is not None:
            return channel, False
        channel = self.channels[name] = self.make_channel(self.name, name)
        return channel, True

    def empty(self) -> None:
        """Drop the messages that wait in the topic."""
        self.queue.empty()
        self._deferred.clear()
        self._drop_step()

    def delete(self) -> None:
        """Drop everything, files too."""
        self.deleted = True
        self._deferred.clear()
        self._drop_step()
        self.queue.delete()

    def close(self) -> None:
        """Put what waits in the topic on disk, before the channels are closed.

        Raises OSError if the disk would not take it.
        """
        if self._step:
            self._return_step()
        if self._deferred and not self.ephemeral:
            self.queue.give_back([record for record, _ in self._deferred])
        self._deferred.clear()
        self.queue.close(bypassed=self.message_count > 0)

    def _return_step(self) -> None:
        """Put the step where it is found again: to who lacks it, or else back where it was."""
        owed, step = self._owed, self._step
        self._drop_step()
        try:
            for channel in owed:
                channel.queue.put(step)
        except OSError:
            owed = []
        if not owed:
            self.queue.give_back(step)
