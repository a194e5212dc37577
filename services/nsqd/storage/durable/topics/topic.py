"""One durable topic while nsqd runs: its log, its channels' queues, and the promise of its OK.

Messages go to the channels when the journal has them. While no message may flow (no channel, a
pause, not open yet) they stay in the log behind `flow`, and a channel begins to read there.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from sys import maxsize

from nsqcore.classes import Factory, define, field
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.payloads import encode_channel, encode_fields, encode_place
from nsqd.storage.durable.journal.journal import Done, Journal
from nsqd.storage.durable.log.finding import find, find_ordinals
from nsqd.storage.durable.log.log import Appended, Cursor, TopicLog
from nsqd.storage.durable.topics.parking import Parking, Waiting
from nsqd.storage.durable.topics.queue import Held, LogQueue, with_attempts
from nsqd.storage.durable.topics.state import ChannelState, InHand, TopicState

INTERVAL = "interval"
ALWAYS = "always"

#: Told of records that came into the log, when they are due (wall-clock ns; 0: at once), and
#: of the only channel they are for ("": all).
Arrived = Callable[[list[bytes], int, str], None]


def _nobody(records: list[bytes], due: int, only: str) -> None:
    """Nobody wants to be told."""


@define(eq=False, repr=False)
class DurableTopic:
    """The topic with ``state`` and ``log``. ``mode`` is ``os``, ``interval`` or ``always``."""

    state: TopicState
    log: TopicLog
    directory: str
    journal: Journal
    arrived: Arrived = _nobody
    queues: dict[int, LogQueue] = Factory(dict)
    changed: bool = True  # since the last checkpoint
    lost: int = 0  # messages in hand that are not in the log any more
    deleted: bool = False
    #: How many messages in hand lay in which segment at the last checkpoint.
    kept: Counter[int] = Factory(Counter)
    #: Segments in which something in hand can't be read: they are not tidied.
    unreadable: set[int] = Factory(set)
    noted: "dict[DurableTopic, None]" = Factory(dict)  # all topics that have notes
    _notes: list[tuple[int, Kind, list[bytes]]] = field(factory=list, init=False)

    # ------------------------------------------------------------ publishing

    @property
    def syncs(self) -> bool:
        """Whether OK waits for the device."""
        return self.state.mode == ALWAYS

    def publish(
        self, records: list[bytes], *, wall: int, due: int = 0, channel: int = 0, done: Done
    ) -> None:
        """Append ``records``; ``done`` is told when the topic's promise is kept, or why not.

        Raises OSError where the disk has no room, or a message is larger than a journal file;
        nothing was accepted then.
        """
        payload, written = self.append(records, wall, due, channel, done)
        self.journal.add(Kind.BATCH, payload, sync=self.syncs, done=written)

    def append(
        self, records: list[bytes], wall: int, due: int, channel: int, done: Done
    ) -> tuple[list[bytes], Done]:
        """Give ``records`` a place in the log; what is to be journaled of it, and who is to be told
        when it is. Raises OSError as `publish` does."""
        appended = self.log.append(
            records, wall=wall, due=due, channel=channel, largest=self.journal.largest
        )
        place = encode_place(self.state.number, appended.segment, appended.position)
        written = partial(self._published, appended, records, due, channel, done)
        return [place, appended.data], written

    def _published(
        self,
        appended: Appended,
        records: list[bytes],
        due: int,
        channel: int,
        done: Done,
        error: OSError | None,
    ) -> None:
        self.changed = True
        if error is not None:
            self.log.forget(appended)
            done(error)
            return
        self.log.kept_by_journal(appended)
        if channel:  # its channel has it at once, and nobody else ever reads it
            self.log.holes.add(appended.first, appended.next)
        if (not self.state.flow or channel) and not self.deleted:
            for queue in self.queues.values():
                queue.arrived(appended, records, due=due, channel=channel)
            if not channel:
                self.arrived(records, due, "")
            elif channel in self.queues:
                self.arrived(records, due, self.queues[channel].state.name)
        done(None)

    # ------------------------------------------------------------ flow

    @property
    def flow(self) -> int:
        """The first ordinal that no channel may read yet."""
        return self.state.flow or self.log.end

    @property
    def depth(self) -> int:
        """Messages that wait for a channel, or for the end of a pause."""
        flow, end = self.flow, self.log.end
        return end - flow - self.log.holes.count(flow, end)

    def let_flow(self, flows: bool) -> None:
        """Let messages through to the channels, or hold back what is published from now on."""
        flow = 0 if flows else self.state.flow or self.log.end
        if flow == self.state.flow:
            return
        self.state.flow = flow
        self._note("flow", flow=flow)

    def empty(self) -> None:
        """Drop what waits for a channel, or for the end of a pause."""
        if self.state.flow:
            self.state.emptied(self.log.end)
            self._note("flow", flow=self.state.flow)

    def set_mode(self, mode: str) -> None:
        """Promise something else from now on."""
        self.state.mode = mode
        self._note("mode", mode=mode)

    def set_paused(self, paused: bool, done: Done | None = None) -> None:
        """Keep over a restart that the topic is paused."""
        self.state.paused = paused
        self._note("pause", done=done, paused=paused)

    def let_go(self) -> None:
        """The topic is deleted: its files are closed, and nobody is told of anything."""
        self.deleted = True
        self.noted.pop(self, None)
        self.arrived = _nobody
        self.log.release()

    # ------------------------------------------------------------ channels

    def create_channel(
        self, name: str, make_queue: Callable[[ChannelState], LogQueue], done: Done | None = None
    ) -> LogQueue:
        """The queue of a new channel, which begins where no channel could read yet."""
        state = ChannelState(self.state.next_channel, name, cursor=Cursor(self.flow))
        self.state.next_channel += 1
        self.state.channels.append(state)
        queue = self.queues[state.number] = make_queue(state)
        self._note_channel("create", state, done, name=name)
        return queue

    def channel_called(self, name: str) -> ChannelState:
        """The state of a channel. Raises LookupError."""
        for queue in self.queues.values():
            if queue.state.name == name:
                return queue.state
        raise LookupError(f"no channel {name} in the log")

    def make_queue(self, state: ChannelState) -> LogQueue:
        """A queue for the channel with ``state``, for `create_channel` or `adopt`."""
        return LogQueue(state, self.log, lambda: self.flow, partial(self.note, state.number))

    def load(
        self, queue: LogQueue, *, park_from: int = maxsize
    ) -> tuple[list[bytes], list[tuple[bytes, int]]]:
        """What a channel had in hand when nsqd ended: records to deliver at once, and records
        with when they are due (wall-clock ns). Those due from ``park_from`` on are parked.

        Raises OSError.
        """
        live, queue.state.live = queue.state.live, {}
        waiting, queue.state.waiting = queue.state.waiting, Waiting()
        for each in waiting if isinstance(waiting, Waiting) else ():
            if each.due >= park_from:
                queue.parking.put(each)
            else:
                live[each.id] = InHand(*each[1:])
        by_id = find(self.log, [id for id, hand in live.items() if not hand.ordinal])
        by_ordinal = find_ordinals(
            self.log, [hand.ordinal for hand in live.values() if hand.ordinal]
        )
        queued: list[bytes] = []
        deferred: list[tuple[bytes, int]] = []
        for id, hand in sorted(live.items()):
            if hand.ordinal:
                record = by_ordinal.get(hand.ordinal)
            else:
                record = by_id[id][1] if id in by_id else None
            if record is None:
                self.lost += 1
                continue
            if hand.ordinal:
                queue.moved[id] = hand.ordinal
            record = with_attempts(record, hand.attempts + 1)
            if hand.due:
                deferred.append((record, hand.due))
            else:
                queued.append(record)
        return queued, deferred

    def adopt(self, queue: LogQueue) -> None:
        """Take in the queue of a channel that was there at the start."""
        self.queues[queue.state.number] = queue

    def delete_channel(self, queue: LogQueue, done: Done | None = None) -> None:
        """Forget a channel and what it has left."""
        state = queue.state
        self.state.channels.remove(state)
        del self.queues[state.number]
        self._note_channel("delete", state, done)

    def empty_channel(self, queue: LogQueue, done: Done | None = None) -> None:
        """Drop all a channel has left."""
        queue.empty()
        self._note_channel("empty", queue.state, done)

    def pause_channel(self, queue: LogQueue, paused: bool, done: Done | None = None) -> None:
        """Keep over a restart that a channel is paused."""
        queue.state.paused = paused
        self._note_channel("pause", queue.state, done, paused=paused)

    # ------------------------------------------------------------ notes for the journal

    def note(self, channel: int, kind: Kind, packed: bytes) -> None:
        """Have what happened to messages of a channel journaled with the next group, in order."""
        notes = self._notes
        if notes and notes[-1][0] == channel and notes[-1][1] is kind:
            notes[-1][2].append(packed)
        else:
            if not notes:
                self.noted[self] = None
            notes.append((channel, kind, [encode_channel(self.state.number, channel), packed]))

    def journal_notes(self) -> None:
        """Hand what was noted to the journal."""
        notes, self._notes = self._notes, []
        self.noted.pop(self, None)
        self.changed = True
        for _, kind, parts in notes:
            self.journal.add(kind, [b"".join(parts)])

    def _note(self, op: str, *, done: Done | None = None, **fields: object) -> None:
        self._add(Kind.TOPIC, {"op": op, "topic": self.state.number, **fields}, done)

    def _note_channel(
        self, op: str, state: ChannelState, done: Done | None, **fields: object
    ) -> None:
        entry = {"op": op, "topic": self.state.number, "channel": state.number, **fields}
        entry |= {"cursor": state.cursor.ordinal, "last_id": state.last_id}
        self._add(Kind.CHANNEL, entry, done)

    def _add(self, kind: Kind, fields: dict[str, object], done: Done | None) -> None:
        self.journal_notes()  # what came before stays before
        self.journal.add(kind, [encode_fields(fields)], sync=self.syncs, done=done)

    # ------------------------------------------------------------ checkpoint

    def snapshot(self, includes: int, held: Callable[[LogQueue], Iterable[Held]]) -> TopicState:
        """What the topic has left now, for the state file; ``held`` tells what a channel's
        consumers hold and what is deferred."""
        state = self.state
        channels = [queue.snapshot(held(queue)) for queue in self.queues.values()]
        self.kept = self._count_kept(channels)
        state.includes = includes
        first = min(self.passed, min(self.kept, default=self.passed))
        state.retired = max(state.retired, self.log.segment_start(first))
        self.changed = False
        return TopicState(
            number=state.number,
            name=state.name,
            includes=includes,
            flow=state.flow,
            retired=state.retired,
            synced=self.log.end,
            paused=state.paused,
            mode=state.mode,
            next_channel=state.next_channel,
            holes=self._holes_ahead(),
            parked=sorted(self.log.parked),
            channels=channels,
        )

    def _holes_ahead(self) -> list[tuple[int, int]]:
        holes = self.log.holes
        holes.forget_before(self.passed)
        return list(holes.ranges)

    @property
    def passed(self) -> int:
        """The ordinal before which no channel has anything to read."""
        flow = self.flow
        cursors = [queue.state.cursor.ordinal for queue in self.queues.values()]
        return min(flow, min(cursors, default=flow))

    def _count_kept(self, channels: list[ChannelState]) -> Counter[int]:
        """How many messages in hand lie in which segment of the log."""
        log = self.log
        kept: Counter[int] = Counter()
        for channel in channels:
            live = channel.live.items()
            ids = [id for id, hand in live if not hand.ordinal]
            ordinals = [hand.ordinal for _, hand in live if hand.ordinal]
            kept.update(log.homes.count(log, ids, ordinals))
            kept.update(log.homes.count_queued(log, channel.queued))
            if isinstance(channel.waiting, Parking):
                kept.update(channel.waiting.homes)
        return kept
