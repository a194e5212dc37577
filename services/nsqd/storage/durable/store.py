"""Everything durable of one nsqd: the journal, the topics, the checkpoints.

The loop calls `end_tick` when it has done what a tick brought: what was noted is journaled, and one
write is begun, through the device in a thread, or without a sync at once. `collect` is called
when the thread reports. A checkpoint puts into state files what the journal tells, so that
its files can be used again: `snapshot` on the loop, `Checkpoint.run` in a thread, `checkpointed` on
the loop.
"""

import errno
import os
from collections.abc import Callable, Iterable
from functools import partial

from nsqcore.classes import Factory, define, field
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.payloads import encode_fields
from nsqd.storage.durable.journal.committer import Committer, perform
from nsqd.storage.durable.journal.files import FILE_SIZE, JournalFiles
from nsqd.storage.durable.journal.journal import Done, Journal, JournalFile, Write
from nsqd.storage.durable.log.log import SEGMENT_SIZE, TopicLog
from nsqd.storage.durable.log.segments import Segment
from nsqd.storage.durable.recovery import (
    STATE,
    WATERMARK,
    OpenTopic,
    Recovery,
    Report,
    directory_name,
    encode_watermark,
    read_file,
)
from nsqd.storage.durable.topics.queue import Held, LogQueue
from nsqd.storage.durable.topics.state import TopicState
from nsqd.storage.durable.topics.topic import ALWAYS, INTERVAL, DurableTopic
from nsqd.storage.files.durable_disk import Disk

FORMAT = "format"
_FORMAT_LINE = "nsq-trio durable 1"

# Without traffic a checkpoint is made this long (ns) after the last change.
IDLE_CHECKPOINT = 10_000_000_000

# A start applies at most about so many entries of the journal: a second's work at the very most.
CHECKPOINT_ENTRIES = 100_000

HeldBy = Callable[[LogQueue], Iterable[Held]]


class NewerFormat(Exception):
    """The directory is of a format that this nsqd does not know."""


@define(eq=False, repr=False)
class Checkpoint:
    """What makes the journal files ``full`` and ``failed`` superfluous; `run` is for a thread."""

    disk: Disk
    segments: list[Segment]  # to be synced
    states: list[tuple[str, bytes]]  # path, content
    removed: list[str]  # directories of deleted topics
    full: list[JournalFile]
    failed: list[JournalFile]
    dropped: list[str] = Factory(list)  # files nobody needs once the states are there
    abandoned: list[str] = Factory(list)  # files nobody needs, and the states say nothing of
    rewritten: list[Segment] = Factory(list)  # of these, those whose last sync failed
    includes: int = 0  # the last entry that is in the states then

    def run(self) -> None:
        """Sync what is needed, write the states, remove what is not needed. Raises OSError."""
        for segment in self.segments:
            self._sync(segment)
        for directory in self.removed:
            self.disk.remove_directory(directory)
        for path in self.abandoned:
            self.disk.unlink(path)
        for path, content in self.states:
            self.disk.replace(path, content, sync=True)
        for path in [*self.dropped, *(file.path for file in self.failed)]:
            self.disk.unlink(path)

    def _sync(self, segment: Segment) -> None:
        if segment in self.rewritten:
            segment.rewrite()
            segment.unsynced = False
            return
        segment.unsynced = False
        try:
            self.disk.sync(segment.descriptor)
        except OSError:
            segment.unsynced = segment.failed = True
            raise


@define(eq=False, repr=False)
class DurableStore:
    """The durable topics in ``directory``, which is made when the first one is.

    A topic's `DurableTopic.arrived` is told of what comes into its log.
    """

    disk: Disk
    directory: str
    file_size: int = FILE_SIZE
    segment_size: int = SEGMENT_SIZE
    topics: dict[str, DurableTopic] = Factory(dict)
    report: Report = Factory(Report)
    deleted_names: set[str] = Factory(set)  # of topics that the journal says are no more
    committer: Committer | None = None
    checkpoint_entries: int = CHECKPOINT_ENTRIES
    #: Messages of topics deleted since that could not be found, or read.
    past_lost: int = field(default=0, init=False)
    past_damaged: int = field(default=0, init=False)
    journal: Journal = field(init=False)
    files: JournalFiles = field(init=False)
    _next_topic: int = field(default=1, init=False)
    _deleted: list[str] = field(factory=list, init=False)  # directories
    _ended: int = field(default=0, init=False)  # the last entry whose write has ended
    _checkpointed: int = field(default=0, init=False)  # the last entry that is in the states
    _last_change: int = field(default=0, init=False)
    _noted: dict[DurableTopic, None] = field(factory=dict, init=False)  # those that have notes

    def __attrs_post_init__(self) -> None:
        self.files = JournalFiles(self.disk, self.directory, self.file_size)
        self.journal = Journal(self.files)

    # ------------------------------------------------------------ start

    @property
    def exists(self) -> bool:
        """Whether there is anything durable."""
        return bool(self.topics) or self.disk.size(self._path(FORMAT)) is not None

    def open(self) -> list[OpenTopic]:
        """Read what there is; the topics are to be `adopt`-ed. Nothing is changed by it.

        Raises:
            NewerFormat: of the directory; UnknownFormat, BadState: of a file in it.
            OSError: something can't be read.
        """
        if not self.exists:
            return []
        self._check_format()
        recovery = Recovery(self.disk, self.directory, self.segment_size)
        recovery.load_states()
        recovery.replay(self.files.find(after=recovery.watermark))
        self.report = recovery.report
        self.deleted_names = recovery.deleted_names
        self.journal.number = self._ended = self._checkpointed = recovery.number
        directories = recovery.directories()
        numbers = [*recovery.topics, *recovery.deleted, *directories.values()]
        self._next_topic = max(numbers, default=0) + 1
        for path, number in directories.items():
            if number in recovery.deleted or (
                number not in recovery.topics and not self.disk.names(path)
            ):
                self._deleted.append(path)
            elif number not in recovery.topics:
                self.report.problems.append(f"{path}: of no topic that is known, left as it is")
        return list(recovery.topics.values())

    def adopt(self, found: OpenTopic) -> DurableTopic:
        """Take in a topic that was found."""
        topic = DurableTopic(
            found.state, found.log, found.directory, self.journal, noted=self._noted
        )
        self.topics[found.state.name] = topic
        return topic

    def prepare(self) -> None:
        """Make the directory and a journal file ready. For a thread, takes long. Raises OSError."""
        if self.disk.size(self._path(FORMAT)) is None:
            self.disk.make_directory(self.directory)
            line = f"{_FORMAT_LINE}\nuuid {self.files.uuid.hex()}\n"
            self.disk.replace(self._path(FORMAT), line.encode(), sync=True)
            self.disk.sync_directory(os.path.dirname(self.directory))
        if self.files.wants_file:
            syncs = any(
                each.state.mode in (INTERVAL, ALWAYS) for each in list(self.topics.values())
            )
            self.files.prepare(self.journal.number, fill=syncs)

    def _check_format(self) -> None:
        path = self._path(FORMAT)
        content = read_file(self.disk, path)
        if content is None:
            return
        line = content.decode("utf-8", "replace").partition("\n")[0]
        if line != _FORMAT_LINE:
            raise NewerFormat(f"{path} says {line!r}, and this nsqd knows {_FORMAT_LINE!r}")

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    # ------------------------------------------------------------ topics

    def create(self, name: str, mode: str, done: Done | None = None) -> DurableTopic:
        """A new durable topic. Raises OSError."""
        number, self._next_topic = self._next_topic, self._next_topic + 1
        directory = self._path(directory_name(name, number))
        self.disk.make_directory(directory)
        state = TopicState(number, name, flow=1, mode=mode)
        log = TopicLog.open(self.disk, directory, segment_size=self.segment_size)
        topic = self.adopt(OpenTopic(state, log, directory))
        fields = {"op": "create", "topic": number, "name": name, "mode": mode}
        self.journal.add(Kind.TOPIC, [encode_fields(fields)], sync=topic.syncs, done=done)
        return topic

    def delete(self, topic: DurableTopic, done: Done | None = None) -> None:
        """Forget a topic and all its messages."""
        del self.topics[topic.state.name]
        self.past_lost += topic.lost
        self.past_damaged += topic.log.damaged.total
        topic.let_go()
        self._deleted.append(topic.directory)
        fields = {"op": "delete", "topic": topic.state.number}
        self.journal.add(Kind.TOPIC, [encode_fields(fields)], sync=topic.syncs, done=done)

    # ------------------------------------------------------------ ticks

    def end_tick(self, now: int, *, sync: bool = False) -> None:
        """Journal what was noted and begin to write it; done at once where nothing is to be synced.

        ``sync`` asks that all there is be on the device (an interval is over).
        """
        if self._noted:
            self._last_change = now
            self._journal_notes()
        journal = self.journal
        while sync or not journal.idle:
            write = journal.begin(now, sync=sync)
            if write is None:
                return
            self._last_change = now
            if write.sync and self.committer is not None:
                self.committer.submit(write)
                return
            self._end(write, perform(self.disk, write), now)
            sync = False

    def _journal_notes(self) -> None:
        for topic in list(self._noted):
            topic.journal_notes()

    @property
    def has_notes(self) -> bool:
        """Whether something was noted that is not journaled yet."""
        return bool(self._noted)

    @property
    def wants_sync(self) -> bool:
        """Whether something is written and not synced that somebody was promised to be, soon."""
        file = self.journal.file
        if file is None or not file.unsynced:
            return False
        return any(topic.state.mode in (INTERVAL, ALWAYS) for topic in self.topics.values())

    def when_kept(self, call: Callable[[], None]) -> None:
        """Call ``call`` when all that was noted so far is journaled, and synced if a topic asks."""
        if self.journal.idle and not self.has_notes:
            call()
            return
        self._journal_notes()
        sync = any(topic.syncs for topic in self.topics.values())
        fields = encode_fields({"op": "barrier"})
        self.journal.add(Kind.TOPIC, [fields], sync=sync, done=lambda error: call())

    def when_synced(self, done: Done) -> None:
        """Tell ``done`` when all that was journaled so far is on the device, or why it is not.

        A file that failed may not have what was written to it before, until a checkpoint.
        """
        if self.files.failed:
            done(OSError(errno.EIO, "the journal has a file that failed, and no checkpoint since"))
            return
        self._journal_notes()
        fields = encode_fields({"op": "barrier"})
        self.journal.add(Kind.TOPIC, [fields], sync=True, done=partial(self._synced, done))

    def _synced(self, done: Done, error: OSError | None) -> None:
        if error is None and self.files.failed:
            self.when_synced(done)
        else:
            done(error)

    def probe(self) -> None:
        """Have something written, so that a disk that failed can show that it works again."""
        if self.journal.idle:
            self.journal.add(Kind.TOPIC, [encode_fields({"op": "trial"})], sync=True)

    def collect(self, now: int) -> None:
        """Take in what the thread has done."""
        if self.committer is not None:
            for finished in self.committer.collect():
                self._end(finished.write, finished.error, now)

    def _end(self, write: Write, error: OSError | None, now: int) -> None:
        self.journal.end(write, error, now)
        if self.journal.writing is None and write.entries and (error is None or write.retried):
            self._ended = max(self._ended, write.entries[-1].number)

    # ------------------------------------------------------------ checkpoints

    @property
    def is_behind(self) -> bool:
        """Whether the journal has more than the states than a start should have to read."""
        if self.files.full or self.files.failed:
            return True
        return self._ended - self._checkpointed >= self.checkpoint_entries

    def wants_checkpoint(self, now: int) -> bool:
        """Whether it is time for one: the states are behind, or all has been quiet."""
        if self.files.unread or self.is_behind or self._deleted:
            return True
        idle = now - self._last_change >= IDLE_CHECKPOINT
        return idle and any(topic.changed for topic in self.topics.values())

    def snapshot(self, held: HeldBy) -> Checkpoint:
        """Note what is there now. Raises OSError.

        ``held`` tells what a queue's consumers hold, and what is deferred.
        """
        changed = [topic for topic in self.topics.values() if topic.changed]
        for topic in changed:  # what may fail comes before anything is noted
            topic.log.write_rest()
            for segment in topic.log.segments:
                if segment.failed and topic.log.awaits(segment):
                    raise OSError(f"{segment.path} is still being written to")
        states: list[tuple[str, bytes]] = []
        segments: list[Segment] = []
        dropped: list[str] = []
        abandoned: list[str] = []
        for topic in changed:
            state = topic.snapshot(self._ended, held)
            states.append((os.path.join(topic.directory, STATE), state.encode()))
            abandoned += topic.log.abandoned
            topic.log.abandoned = []
            dropped += topic.log.drop(topic.log.unneeded(topic.passed, topic.kept))
            segments += [segment for segment in topic.log.segments if segment.unsynced]
        watermark = os.path.join(self.directory, WATERMARK)
        states.append((watermark, encode_watermark(self._ended)))
        removed, self._deleted = self._deleted, []
        return Checkpoint(
            self.disk,
            segments,
            states,
            removed,
            list(self.files.full),
            list(self.files.failed),
            dropped,
            abandoned,
            [segment for segment in segments if segment.failed],
            includes=self._ended,
        )

    def checkpointed(self, checkpoint: Checkpoint, error: OSError | None) -> None:
        """``checkpoint`` was run, or failed with ``error``: it is made again then."""
        for segment in checkpoint.rewritten:
            segment.release()  # there may be another file in its place
            segment.failed = segment.unsynced
        if error is not None:
            self._deleted += checkpoint.removed
            for topic in self.topics.values():
                topic.changed = True
            return
        self._checkpointed = checkpoint.includes
        self.files.recovered()
        self.files.checkpointed(checkpoint.full, checkpoint.failed)

    # ------------------------------------------------------------ the end

    def close(self, now: int, held: HeldBy) -> None:
        """Write and sync everything, and close the files. Raises OSError."""
        self.end_tick(now, sync=True)
        while self.journal.writing is not None:
            assert self.committer is not None
            finished = self.committer.wait()
            self._end(finished.write, finished.error, now)
            self.end_tick(now, sync=True)
        if self.committer is not None:
            self.committer.stop()
            self.committer = None
        for topic in self.topics.values():
            topic.changed = True
        checkpoint = self.snapshot(held)
        checkpoint.run()
        self.checkpointed(checkpoint, None)
        for topic in self.topics.values():
            topic.log.release()
        self.files.close(self.journal.file)
