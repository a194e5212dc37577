"""What a channel of a durable topic has left, and the file that keeps it over a restart.

A channel is a *cursor* into the topic's log and what it has *in hand*: the messages it took from
the log and has not finished. What is behind the cursor and not in hand is finished. Ahead of the
cursor, `Ranges` are passed over when the cursor gets there (deferred messages, which were taken at
once; messages for another channel), and ids in ``done`` likewise (known only after a crash).

All that changes a `ChannelState` may be applied twice without harm: a state file may already
contain what the journal tells again.

::

    file = magic 8s | version u32 | crc u32 of all that follows | length u32 of the JSON | JSON
           | for each channel live x (id u64 | ordinal u64 | attempts u16 | due i64) | done x u64
"""

import json
from struct import Struct, error
from typing import Any

from attrs import Factory, define, frozen

from nsqd.storage.durable.batches import BatchHeader
from nsqd.storage.durable.crc import crc32c
from nsqd.storage.durable.log import Cursor, TopicLog
from nsqd.storage.durable.ranges import Ranges

_MAGIC = b"nsqstat\n"
VERSION = 1
_HEAD = Struct("<8sIII")
_LIVE = Struct("<QQHq")
_ID = Struct("<Q")


class BadState(Exception):
    """A state file is damaged, or of a version that this nsqd does not know."""


@frozen
class InHand:
    """A message a channel has not finished.

    ``ordinal`` is where it lies in the log if not where its id says (0: there). ``attempts`` counts
    the deliveries made, ``due`` is in wall-clock ns (0: at once).
    """

    ordinal: int = 0
    attempts: int = 0
    due: int = 0


@define(eq=False)
class ChannelState:
    """What one channel has left. ``last_id`` is that of the last record the cursor passed."""

    number: int
    name: str
    paused: bool = False
    cursor: Cursor = Factory(Cursor)
    last_id: int = 0
    skips: Ranges = Factory(Ranges)
    live: dict[int, InHand] = Factory(dict)
    done: set[int] = Factory(set)

    def acked(self, ids: list[int]) -> None:
        """The channel finished ``ids``."""
        for id in ids:
            if self.live.pop(id, None) is None and id > self.last_id:
                self.done.add(id)

    def changed(self, id: int, attempts: int, due: int) -> None:
        """``id`` has been delivered ``attempts`` times, and is to be delivered at ``due``."""
        known = self.live.get(id)
        if known is not None:
            self.live[id] = InHand(known.ordinal, attempts, due)
        elif id > self.last_id and id not in self.done:
            self.live[id] = InHand(0, attempts, due)
            self.done.add(id)  # the cursor must not find it once more

    def published(self, header: BatchHeader, ids: list[int], *, flowing: bool) -> None:
        """A batch was appended to the log, with records that have ``ids`` by ordinal."""
        if header.first < self.cursor.ordinal or header.first in self.skips:
            return  # the state knows it
        if header.channel not in (0, self.number):
            self.skips.append(header.first, header.next)
        elif header.channel or (header.due and flowing):
            self.skips.append(header.first, header.next)
            for ordinal, id in enumerate(ids, header.first):
                if id not in self.done:
                    place = ordinal if header.channel else 0
                    self.live[id] = InHand(place, 0, header.due)

    def settle(self, log: TopicLog) -> None:
        """Leave in ``done`` only what the cursor will find: not what it passes over anyway.

        Raises OSError.
        """
        if self.done:
            places = log.find(list(self.done))
            self.done = {
                id
                for id, (ordinal, _) in places.items()
                if ordinal >= self.cursor.ordinal and ordinal not in self.skips
            }

    def emptied(self, ordinal: int, last_id: int) -> None:
        """All before ``ordinal`` is dropped, what is in hand too."""
        if ordinal >= self.cursor.ordinal:
            self.cursor, self.last_id = Cursor(ordinal), max(self.last_id, last_id)
            self.skips.forget_before(ordinal)
        self.live.clear()
        self.done.clear()


@define(eq=False)
class TopicState:
    """What a topic has left.

    ``includes`` is the number of the last journal entry that is in it, ``flow`` the first ordinal
    that no channel may read yet (0: all may be read, as it comes), ``retired`` the ordinal up to
    which segments may be missing, ``synced`` the one up to which the log was on the device.
    """

    number: int
    name: str
    includes: int = 0
    flow: int = 0
    retired: int = 1
    synced: int = 1
    paused: bool = False
    mode: str = "always"
    next_channel: int = 1
    holes: list[tuple[int, int]] = Factory(list)  # of the log (`TopicLog.holes`)
    channels: list[ChannelState] = Factory(list)

    def encode(self) -> bytes:
        """The content of the state file."""
        packed: list[bytes] = []
        channels: list[dict[str, Any]] = []
        for channel in self.channels:
            cursor = channel.cursor
            channels.append(
                {
                    "number": channel.number,
                    "name": channel.name,
                    "paused": channel.paused,
                    "cursor": [cursor.ordinal, cursor.segment, cursor.position],
                    "last_id": channel.last_id,
                    "skips": channel.skips.ranges,
                    "live": len(channel.live),
                    "done": len(channel.done),
                }
            )
            packed += [
                _LIVE.pack(id, hand.ordinal, hand.attempts, hand.due)
                for id, hand in channel.live.items()
            ]
            packed += map(_ID.pack, sorted(channel.done))
        fields = {
            "number": self.number,
            "name": self.name,
            "includes": self.includes,
            "flow": self.flow,
            "retired": self.retired,
            "synced": self.synced,
            "paused": self.paused,
            "mode": self.mode,
            "next_channel": self.next_channel,
            "holes": self.holes,
            "channels": channels,
        }
        text = json.dumps(fields).encode()
        body = b"".join((len(text).to_bytes(4, "little"), text, *packed))
        return _HEAD.pack(_MAGIC, VERSION, crc32c(body), len(text)) + body[4:]

    @classmethod
    def decode(cls, data: bytes) -> "TopicState":
        """The state that ``data`` holds. Raises BadState."""
        try:
            magic, version, crc, length = _HEAD.unpack_from(data)
        except error:
            raise BadState("too short for a state file") from None
        if magic != _MAGIC:
            raise BadState("not a state file")
        if version != VERSION:
            raise BadState(f"format {version}, and this nsqd knows format {VERSION}")
        if crc32c(data[_HEAD.size - 4 :]) != crc:
            raise BadState("damaged: its checksum is wrong")
        at = _HEAD.size + length
        fields = json.loads(data[_HEAD.size : at])
        channels: list[ChannelState] = []
        for given in fields.pop("channels"):
            live_end = at + _LIVE.size * given.pop("live")
            done_end = live_end + _ID.size * given.pop("done")
            live = {
                id: InHand(ordinal, attempts, due)
                for id, ordinal, attempts, due in _LIVE.iter_unpack(data[at:live_end])
            }
            done = {id for (id,) in _ID.iter_unpack(data[live_end:done_end])}
            at = done_end
            cursor = Cursor(*given.pop("cursor"))
            skips = Ranges([(low, high) for low, high in given.pop("skips")])
            channels.append(ChannelState(cursor=cursor, skips=skips, live=live, done=done, **given))
        holes = [(low, high) for low, high in fields.pop("holes")]
        return cls(channels=channels, holes=holes, **fields)
