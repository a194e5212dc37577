"""Opening a durable directory: what the state files say, and then what the journal tells.

Entries are applied in the order of their numbers to every topic whose state is older. A batch is
written to its segment where it is missing; applying an entry twice changes nothing
(`state`). Nothing is removed here, and the caller writes new states before the journal is used
again: a crash during recovery is a recovery again.

Damage costs what is damaged and is counted (`Report`); the rest is read.
"""

import os
import re
from contextlib import suppress
from typing import Any

from nsqcore.classes import Factory, define, field
from nsqd.storage.durable.format.batches import (
    BATCH_HEADER,
    Batch,
    BatchHeader,
    known_header,
    read_batch,
    read_header,
)
from nsqd.storage.durable.format.crc import crc32c
from nsqd.storage.durable.format.entries import Entry, Kind
from nsqd.storage.durable.format.payloads import (
    BadPayload,
    decode_batch,
    decode_changes,
    decode_fields,
    decode_move,
)
from nsqd.storage.durable.journal.files import Found
from nsqd.storage.durable.log.log import SEGMENT_SIZE, TopicLog
from nsqd.storage.durable.topics.state import BadState, ChannelState, TopicState
from nsqd.storage.files.durable_disk import Disk

STATE = "state"
WATERMARK = "checkpoint"
_DIRECTORY = re.compile(r"t\..+\.([0-9]+)", re.DOTALL)


def directory_name(topic: str, number: int) -> str:
    """The directory of a topic. Another topic of the same name, made later, has another."""
    return f"t.{topic}.{number}"


def encode_watermark(number: int) -> bytes:
    """The content of the file that says: all entries up to ``number`` are in the states."""
    line = b"%d" % number
    return b"%s %08x\n" % (line, crc32c(line))


def decode_watermark(content: bytes) -> int:
    """The number; 0, by which every entry is looked at, if the file is damaged."""
    number, _, crc = content.strip().partition(b" ")
    return int(number) if number.isdigit() and crc == b"%08x" % crc32c(number) else 0


@define
class Report:
    """What recovery found. ``problems`` are for the log, a line each."""

    entries: int = 0
    batches: int = 0
    missing: int = 0  # entries that must have been there
    damaged: int = 0  # records, and other entries, of the journal whose checksum was wrong
    broken: int = 0  # of these, the ones that are no records
    problems: list[str] = Factory(list)


@define(eq=False, repr=False)
class OpenTopic:
    """A topic as it was found: its state, and its log."""

    state: TopicState
    log: TopicLog
    directory: str

    def channel(self, number: int) -> ChannelState | None:
        """The state of the channel with ``number``; None for one that was deleted."""
        for channel in self.state.channels:
            if channel.number == number:
                return channel
        return None


@define(eq=False, repr=False)
class Recovery:
    """Brings the topics in ``directory`` to where the journal ends."""

    disk: Disk
    directory: str
    segment_size: int = SEGMENT_SIZE
    topics: dict[int, OpenTopic] = Factory(dict)  # by number
    deleted: set[int] = Factory(set)
    deleted_names: set[str] = Factory(set)
    number: int = 0  # of the last entry there is
    watermark: int = 0  # all entries up to it are in the states
    report: Report = Factory(Report)
    _deleted_later: set[int] = field(
        factory=set, init=False
    )  # topics that are deleted in the journal
    _void: set[int] = field(factory=set, init=False)  # entries that were refused after all

    def load_states(self) -> None:
        """Open every topic that has a directory, and see up to where the states tell all.

        Raises:
            BadState: a state file is of a format that this nsqd does not know.
            OSError: something can't be read.
        """
        for directory in self.directories():
            self._load(directory)
        content = read_file(self.disk, os.path.join(self.directory, WATERMARK))
        self.watermark = decode_watermark(content or b"")
        self.number = max(self.number, self.watermark)

    def directories(self) -> dict[str, int]:
        """The directories of topics, each with the topic's number. Raises OSError.

        That of a topic whose creation a loss of power undid is among them: its number is not free,
        or a new topic would begin with the messages in it.
        """
        return {
            os.path.join(self.directory, name): int(found[1])
            for name in self.disk.names(self.directory)
            if (found := _DIRECTORY.fullmatch(name))
        }

    def _load(self, directory: str) -> None:
        path = os.path.join(directory, STATE)
        content = read_file(self.disk, path)
        if content is None:
            return  # made, and not noted yet: the journal tells of it, or it holds nothing
        try:
            state = TopicState.decode(content)
        except BadState as error:
            raise BadState(f"{path}: {error}") from None
        self._open(state, directory)

    def _open(self, state: TopicState, directory: str) -> OpenTopic:
        log = TopicLog.open(
            self.disk,
            directory,
            retired=state.retired,
            synced=state.synced,
            parked=state.parked,
            segment_size=self.segment_size,
        )
        for low, high in state.holes:
            log.holes.add(low, high)
        topic = OpenTopic(state, log, directory)
        self.topics[state.number] = topic
        self.number = max(self.number, state.includes)
        return topic

    # ------------------------------------------------------------ the journal

    def replay(self, files: list[Found]) -> None:
        """Apply what is in ``files``. Raises OSError."""
        entries: dict[int, Entry] = {}
        for found in files:
            if found.head is None and not found.blank:
                self.report.problems.append(f"{found.path}: its head is damaged, not read")
            for start, stop in found.scan.damaged:
                self.report.problems.append(f"{found.path}: bytes {start} to {stop} are damaged")
            for entry in found.scan.entries:
                if entry.whole or entry.number not in entries:
                    entries[entry.number] = entry
        numbers = sorted(number for number in entries if number > self.watermark)
        if numbers:
            self.report.missing = numbers[-1] - numbers[0] + 1 - len(numbers)
            self.number = max(self.number, numbers[-1])
        for number in numbers:
            if entries[number].kind is Kind.TOPIC:
                self._look_ahead(entries[number])
        for number in numbers:
            self.report.entries += 1
            entry = entries[number]
            try:
                self._apply(entry.kind, entry.payload, number, whole=entry.whole)
            except BadPayload as error:
                self.report.problems.append(f"entry {number} of the journal: {error}")
        for topic in self.topics.values():
            topic.log.write_restored()
        self._drop_predecessors()
        self.deleted_names -= {topic.state.name for topic in self.topics.values()}
        torn = bool(self.report.missing or self.report.problems)
        for topic in self.topics.values():
            cursors = [channel.cursor.ordinal for channel in topic.state.channels]
            topic.log.begin_at(max([topic.state.flow, *cursors]))
            for channel in topic.state.channels:
                if torn or channel.skips or topic.log.holes:
                    channel.forget_passed(topic.log)

    def _look_ahead(self, entry: Entry) -> None:
        """Note what has to be known before the entries are applied."""
        if entry.whole:
            with suppress(BadPayload):  # it is told when it is applied
                fields = decode_fields(entry.payload)
                if fields.get("op") == "delete":
                    self._deleted_later.add(int(fields.get("topic", 0)))
                elif fields.get("op") == "void":
                    self._void.update(fields["entries"])

    def _drop_predecessors(self) -> None:
        """A topic that was made while another had its name tells that the other was deleted."""
        newest: dict[str, int] = {}
        for number in sorted(self.topics):
            name = self.topics[number].state.name
            if name in newest:
                predecessor = self.topics.pop(newest[name])
                predecessor.log.release()
                self.deleted.add(predecessor.state.number)
            newest[name] = number

    def _apply(self, kind: Kind, payload: bytes, number: int, *, whole: bool) -> None:
        if kind is Kind.BATCH:
            self._batch(payload, number, whole=whole)
        elif kind is Kind.MOVE:
            self._move(payload, number, whole=whole)
        elif not whole:
            self._note_broken(number)
        elif kind in (Kind.ACK, Kind.BACK, Kind.SENT):
            self._changes(kind, payload, number)
        elif kind == Kind.TOPIC:
            self._topic(decode_fields(payload), number)
        elif kind == Kind.CHANNEL:
            self._channel(decode_fields(payload), number)

    def _note_broken(self, number: int) -> None:
        self.report.damaged += 1
        self.report.broken += 1
        self.report.problems.append(f"entry {number} of the journal is damaged")

    def _move(self, payload: bytes, number: int, *, whole: bool) -> None:
        """What happens together happens if every topic is there that something comes into.

        One that is not whole has not happened: the messages are where they were.
        A topic that was deleted later counts, one whose creation a loss of power undid does not.
        """
        if not whole:
            # torn by a loss of power, or damaged: which messages go may be wrong, or what comes
            self._note_broken(number)
            return
        parts = list(decode_move(payload))
        comes_to = {decode_batch(part)[0].topic for kind, part in parts if kind == Kind.BATCH}
        if (
            number in self._void
            or comes_to - self.topics.keys() - self.deleted - self._deleted_later
        ):
            return
        for kind, part in parts:
            self._apply(kind, part, number, whole=True)

    def _newer(self, number: int, topic: int) -> OpenTopic | None:
        """The topic, if its state does not include entry ``number`` yet."""
        found = self.topics.get(topic)
        return found if found is not None and number > found.state.includes else None

    def _batch(self, payload: bytes, number: int, *, whole: bool) -> None:
        place, data = decode_batch(payload)
        topic = self._newer(number, place.topic)
        if topic is None:
            return
        header, batch = self._read(data, topic, number, whole=whole)
        self.report.batches += 1
        state = topic.state
        if header.next <= state.retired:
            return
        topic.log.restore(place.segment, place.position, header, data, batch)
        if header.channel or header.due:
            batch = batch or read_batch(data, 0, header)
            ids = {ordinal: int(record[10:26], 16) for ordinal, record in batch.records.items()}
            for channel in state.channels:
                channel.published(header, ids, flowing=not state.flow)

    def _read(
        self, data: bytes, topic: OpenTopic, number: int, *, whole: bool
    ) -> tuple[BatchHeader, Batch | None]:
        """The header of a batch, and its records if something in it may be damaged."""
        if whole and len(data) >= BATCH_HEADER:
            header = known_header(data)
            if header.size == len(data):
                return header, None
        found = read_header(data, 0)
        if found is None or found.size > len(data):
            raise BadPayload("its batch has no header")
        batch = read_batch(data, 0, found)
        if batch.damaged:
            self.report.damaged += batch.damaged
            self.report.problems.append(
                f"entry {number} of the journal: {batch.damaged} messages of "
                f"{topic.state.name} are damaged"
            )
        return found, batch

    def _changes(self, kind: Kind, payload: bytes, number: int) -> None:
        topic_number, channel_number, changes = decode_changes(kind, payload)
        topic = self._newer(number, topic_number)
        channel = topic.channel(channel_number) if topic is not None else None
        if channel is None:
            return
        if kind == Kind.ACK:
            channel.acked([id for id, _, _ in changes])
        else:
            for id, attempts, due in changes:
                channel.changed(id, attempts, due)

    def _topic(self, fields: dict[str, Any], number: int) -> None:
        op, topic_number = fields.get("op"), int(fields.get("topic", 0))
        if op == "create":
            self._create(topic_number, str(fields["name"]), str(fields.get("mode", "always")))
            return
        topic = self._newer(number, topic_number)
        if topic is None:
            return
        state = topic.state
        if op == "delete":
            self.deleted_names.add(state.name)
            del self.topics[topic_number]
            self.deleted.add(topic_number)
            topic.log.release()
        elif op == "flow":
            flow = int(fields["flow"])
            if state.flow and flow:  # what waited was dropped
                state.emptied(flow)
            state.flow = flow
        elif op == "pause":
            state.paused = bool(fields["paused"])
        elif op == "mode":
            state.mode = str(fields["mode"])

    def _create(self, number: int, name: str, mode: str) -> None:
        if number in self.topics or number in self.deleted:
            return
        directory = os.path.join(self.directory, directory_name(name, number))
        self.disk.make_directory(directory)
        self._open(TopicState(number, name, mode=mode, flow=1), directory)

    def _channel(self, fields: dict[str, Any], number: int) -> None:
        topic = self._newer(number, int(fields.get("topic", 0)))
        if topic is None:
            return
        op, which = fields.get("op"), int(fields.get("channel", 0))
        state, channel = topic.state, topic.channel(which)
        if op == "create" and channel is None:
            cursor, name = int(fields["cursor"]), str(fields["name"])
            # one that had the name before was deleted, though the journal has lost that
            state.channels = [each for each in state.channels if each.name != name]
            made = ChannelState(which, name, last_id=int(fields["last_id"]))
            made.emptied(cursor, made.last_id)
            state.channels.append(made)
            state.next_channel = max(state.next_channel, which + 1)
        elif channel is None:
            return
        elif op == "delete":
            state.channels.remove(channel)
        elif op == "empty":
            channel.emptied(int(fields["cursor"]), int(fields["last_id"]))
        elif op == "pause":
            channel.paused = bool(fields["paused"])


def read_file(disk: Disk, path: str) -> bytes | None:
    """The content of a small file; None if there is none. Raises OSError."""
    size = disk.size(path)
    if size is None:
        return None
    descriptor = disk.open(path)
    try:
        return disk.read(descriptor, size, 0)
    finally:
        disk.close(descriptor)
