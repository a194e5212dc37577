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

from nsqcore.classes import Factory, define, frozen
from nsqd.storage.durable.format.batches import FLAG_PARKED, BatchHeader
from nsqd.storage.durable.format.crc import crc32c, extend_crc32c
from nsqd.storage.durable.format.ranges import Ranges
from nsqd.storage.durable.log.finding import find
from nsqd.storage.durable.log.log import Cursor, TopicLog
from nsqd.storage.durable.topics.parking import PARKED, Parking, Waiting

_MAGIC = b"nsqstat\n"
#: 2 has ``parked``, and may need what is in the middle of a log and not what is around it.
VERSION = 2
KNOWN_VERSIONS = (1, 2)
_HEAD = Struct("<8sIII")
_ID = Struct("<Q")
_STEP = 1 << 16


def _checksum(data: bytes) -> int:
    """Of what the head's checksum covers, a part at a time: a copy of it all is much memory."""
    crc = 0
    for at in range(_HEAD.size - 4, len(data), _STEP):
        crc = extend_crc32c(crc, data[at : at + _STEP])
    return crc


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


@define(eq=False, repr=False)
class ChannelState:
    """What one channel has left. ``last_id`` is that of the last record the cursor passed."""

    number: int
    name: str
    paused: bool = False
    cursor: Cursor = Factory(Cursor)
    last_id: int = 0
    skips: Ranges = Factory(Ranges)
    live: dict[int, InHand] = Factory(dict)
    #: What is in hand too and waits for its time, as far as the state file had it, or while
    #: nsqd runs is due far off.
    waiting: Waiting | Parking = Factory(Waiting)
    done: set[int] = Factory(set)
    #: What is in hand and queued where its id says, packed (`pack_queued`): in a snapshot.
    queued: bytes = b""

    def _known(self, id: int) -> InHand | None:
        known = self.live.get(id)
        if known is None and isinstance(self.waiting, Waiting):
            parked = self.waiting.pop(id)
            if parked is not None:
                known = self.live[id] = InHand(*parked[1:])
        return known

    def acked(self, ids: list[int]) -> None:
        """The channel finished ``ids``."""
        for id in ids:
            if self._known(id) is not None:
                del self.live[id]
            elif id > self.last_id:
                self.done.add(id)

    def changed(self, id: int, attempts: int, due: int) -> None:
        """``id`` has been delivered ``attempts`` times, and is to be delivered at ``due``."""
        known = self._known(id)
        if known is not None:
            self.live[id] = InHand(known.ordinal, attempts, due)
        elif id > self.last_id and id not in self.done:
            self.live[id] = InHand(0, attempts, due)
            self.done.add(id)  # the cursor must not find it once more

    def published(self, header: BatchHeader, ids: dict[int, int], *, flowing: bool) -> None:
        """A batch was appended to the log, with records that have ``ids``, by ordinal."""
        if header.flags & FLAG_PARKED:
            self._parked(header, ids)
            return
        if header.first < self.cursor.ordinal or header.first in self.skips:
            return  # the state knows it
        if header.channel not in (0, self.number):
            self.skips.append(header.first, header.next)
        elif header.channel or (header.due and flowing):
            self.skips.append(header.first, header.next)
            for id in ids.values():
                if id not in self.done:
                    self.live[id] = InHand(0, 0, header.due)

    def _parked(self, header: BatchHeader, ids: dict[int, int]) -> None:
        """What is in hand of messages lies elsewhere from now on."""
        if header.first >= self.cursor.ordinal and header.first not in self.skips:
            self.skips.append(header.first, header.next)
        for ordinal, id in ids.items() if header.channel == self.number else ():
            known = self._known(id)
            if known is not None:
                self.live[id] = InHand(ordinal, known.attempts, known.due)

    def forget_passed(self, log: TopicLog) -> None:
        """Leave in ``done`` only what the cursor will find: not what it passes over anyway.

        Raises OSError.
        """
        if self.done:
            places = find(log, list(self.done))
            self.done = {
                id
                for id, (ordinal, _) in places.items()
                if ordinal >= self.cursor.ordinal
                and ordinal not in self.skips
                and ordinal not in log.holes
            }

    def emptied(self, ordinal: int, last_id: int) -> None:
        """All before ``ordinal`` is dropped, what is in hand too."""
        if ordinal >= self.cursor.ordinal:
            self.cursor, self.last_id = Cursor(ordinal), max(self.last_id, last_id)
            self.skips.forget_before(ordinal)
        self.live.clear()
        self.waiting = Waiting()
        self.done.clear()


@define(eq=False, repr=False)
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
    parked: list[int] = Factory(list)  # segments (`TopicLog.parked`)
    channels: list[ChannelState] = Factory(list)

    def emptied(self, ordinal: int) -> None:
        """What may not be read yet is dropped for all channels: all before ``ordinal``."""
        for channel in self.channels:
            if channel.cursor.ordinal >= self.flow:
                channel.cursor = Cursor(max(ordinal, channel.cursor.ordinal))
                channel.skips.forget_before(ordinal)
            else:
                channel.skips.add(self.flow, ordinal)
        self.flow = ordinal

    def encode(self) -> bytes:
        """The content of the state file."""
        packed: list[bytes | bytearray] = []
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
                    "live": len(channel.live)
                    + len(channel.waiting)
                    + len(channel.queued) // PARKED.size,
                    "done": len(channel.done),
                }
            )
            packed += [
                PARKED.pack(id, hand.ordinal, hand.attempts, hand.due)
                for id, hand in channel.live.items()
            ]
            packed.append(channel.queued)
            packed += channel.waiting.parts()
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
            "parked": self.parked,
            "channels": channels,
        }
        text = json.dumps(fields).encode()
        crc = crc32c(len(text).to_bytes(4, "little") + text)
        for part in packed:
            crc = extend_crc32c(crc, bytes(part))
        return b"".join((_HEAD.pack(_MAGIC, VERSION, crc, len(text)), text, *packed))

    @classmethod
    def decode(cls, data: bytes) -> "TopicState":
        """The state that ``data`` holds. Raises BadState."""
        try:
            magic, version, crc, length = _HEAD.unpack_from(data)
        except error:
            raise BadState("too short for a state file") from None
        if magic != _MAGIC:
            raise BadState("not a state file")
        if version not in KNOWN_VERSIONS:
            raise BadState(f"format {version}, and this nsqd knows format {VERSION}")
        if _checksum(data) != crc:
            raise BadState("damaged: its checksum is wrong")
        at, view = _HEAD.size + length, memoryview(data)  # there may be a million messages
        fields = json.loads(data[_HEAD.size : at])
        channels: list[ChannelState] = []
        for given in fields.pop("channels"):
            live_end = at + PARKED.size * given.pop("live")
            done_end = live_end + _ID.size * given.pop("done")
            live: dict[int, InHand] = {}
            waiting = Waiting()
            for id, ordinal, attempts, due in PARKED.iter_unpack(view[at:live_end]):
                if due:
                    waiting.add(id, ordinal, attempts, due)
                else:
                    live[id] = InHand(ordinal, attempts, due)
            done = {id for (id,) in _ID.iter_unpack(data[live_end:done_end])}
            at = done_end
            cursor = Cursor(*given.pop("cursor"))
            skips = Ranges([(low, high) for low, high in given.pop("skips")])
            channel = ChannelState(cursor=cursor, skips=skips, live=live, done=done, **given)
            channel.waiting = waiting
            channels.append(channel)
        holes = [(low, high) for low, high in fields.pop("holes")]
        return cls(channels=channels, holes=holes, **fields)
