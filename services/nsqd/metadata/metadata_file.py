"""``nsqd.dat``: which topics and channels there are, and which of them are paused.

The file is the original's JSON, without what is ephemeral. `load` and `restore` read it at the
start; afterwards the broker's changes come to `MetadataFile.changed`, and the file is replaced
whole, in a thread. Changes gather: however many there are, it is written ten times a second at
most. Who is answered only once a change is written, as users of the original rely on for pauses,
waits for `persist`. Each content is synced before it takes the place of the one before: nsqd does
not start with half a file.
"""

import errno
import json
import logging
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import trio

from nsqcore.app import threads
from nsqcore.classes import define, field, frozen
from nsqcore.names import is_ephemeral, is_valid_name
from nsqd.engine.broker import Broker, Kind
from nsqd.engine.channel import Channel
from nsqd.engine.topic import Topic
from nsqd.storage.durable.topics.state import TopicState
from nsqd.storage.files.atomic import sync_directory, write_temporary
from nsqd.storage.files.filesystem import SYSTEM, FileSystem

logger = logging.getLogger(__name__)

FILE_NAME = "nsqd.dat"

# A write costs milliseconds with thousands of topics; this keeps it to a few per cent of the time.
INTERVAL = 0.1
RETRY = 1.0
# Topics that are looked at in a row, before others have their turn: some milliseconds.
STEP = 500

FULL = {errno.ENOSPC, errno.EDQUOT}

_dumps = partial(json.dumps, separators=(",", ":"))

_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}


class BadMetadata(Exception):
    """The file is there, but is not what it should be."""


@frozen
class ChannelMetadata:
    """A channel, as the file has it."""

    name: str
    paused: bool = False


@frozen
class TopicMetadata:
    """A topic, as the file has it."""

    name: str
    paused: bool = False
    channels: tuple[ChannelMetadata, ...] = ()


def encode(topics: Iterable[str], version: str) -> bytes:
    """The content of the file for ``topics``, each as `encode_topic` has it."""
    listed = ",".join(topics)
    return (
        f'{{"topics":{f"[{listed}]" if listed else "null"},"version":{_dumps(version)}}}'.encode()
    )


def encode_topic(topic: Topic) -> str:
    """What the file has of ``topic``."""
    channels = [
        {"name": channel.name, "paused": channel.paused}
        for channel in topic.channels.values()
        if not channel.ephemeral
    ]
    return _dumps({"name": topic.name, "paused": topic.paused, "channels": channels or None})


def load(directory: str) -> list[TopicMetadata]:
    """What ``nsqd.dat`` in ``directory`` lists; nothing if there is none. Bad names are skipped.

    Raises:
        BadMetadata: it can't be understood.
        OSError: it can't be read.
    """
    path = os.path.join(directory, FILE_NAME)
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read().decode())
        return [
            TopicMetadata(name, paused, tuple(_channels(item)))
            for name, paused, item in _items(content, "topics")
        ]
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise BadMetadata(f"failed to parse metadata in {path} - {error}") from error


def _channels(topic: object) -> list[ChannelMetadata]:
    return [ChannelMetadata(name, paused) for name, paused, _ in _items(topic, "channels")]


def _items(owner: object, key: str) -> list[tuple[str, bool, dict[str, Any]]]:
    """(name, paused, all of it) for each object in the list ``key``. Raises ValueError."""
    found = []
    for item in _typed(_typed(owner, dict, "content").get(key), list, key):
        name = _typed(_typed(item, dict, key).get("name"), str, f"{key}: name")
        paused = _typed(item.get("paused"), bool, f"{key}: paused of {name}")
        if is_valid_name(name):
            found.append((name, paused, item))
        else:
            logger.warning("skipping creation of invalid %s %s", key[:-1], name)
    return found


def _typed(value: Any, wanted: type, what: str) -> Any:
    if value is None:
        return wanted()
    if not isinstance(value, wanted):
        raise ValueError(f"{what} is not {_JSON_TYPES[wanted]}")
    return value


def restore(broker: Broker, topics: list[TopicMetadata]) -> None:
    """Make ``topics`` with their channels, and let the messages flow where nothing is paused."""
    for listed in topics:
        topic = broker.create_topic(listed.name)
        if listed.paused:
            broker.pause_topic(topic, paused=True)
        for item in listed.channels:
            channel = broker.create_channel(listed.name, item.name)
            if item.paused:
                broker.pause_channel(topic, channel, paused=True)
        if not topic.is_open:
            broker.open_topic(topic)


def reconcile(
    listed: list[TopicMetadata], durable: list[TopicState], deleted: Collection[str]
) -> list[TopicMetadata]:
    """``listed`` as the durable topics' own states have it, which a crash leaves newer.

    ``deleted`` are names of durable topics that are no more.
    """
    known = {state.name for state in durable} | set(deleted)
    kept = [topic for topic in listed if topic.name not in known]
    return kept + [
        TopicMetadata(
            state.name,
            state.paused,
            tuple(ChannelMetadata(each.name, each.paused) for each in state.channels),
        )
        for state in durable
    ]


@define(eq=False, repr=False)
class MetadataFile:
    """Keeps ``nsqd.dat`` in ``directory`` up to date with ``topics``.

    Writes are at least ``interval`` seconds apart, and ``retry`` seconds after one that failed.
    """

    directory: str
    topics: Mapping[str, Topic]
    version: str
    interval: float = field(default=INTERVAL, kw_only=True)
    retry: float = field(default=RETRY, kw_only=True)
    fs: FileSystem = field(default=SYSTEM, kw_only=True)
    _dirty: trio.Event = field(factory=trio.Event, init=False)
    _thread: trio.Lock = field(factory=trio.Lock, init=False)  # one write there at a time
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _number: int = field(default=0, init=False)  # of the newest content
    _written: int = field(default=0, init=False)  # of the content in the file
    _error: str = field(default="", init=False)

    def changed(self, kind: Kind, topic: Topic, channel: Channel | None) -> None:
        """Take note of a topic or channel that came, went, or was paused or unpaused."""
        if topic.ephemeral or (channel is not None and is_ephemeral(channel.name)):
            return
        self._dirty.set()

    def save_at_start(self) -> str:
        """What keeps the file from being written just now, if the disk is full: `run` tries again.

        To stop there would leave it full for ever: only consumers make room on it.

        Raises OSError for any other reason.
        """
        try:
            self.save()
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._complain(error)
            self._dirty.set()
            return str(error)
        return ""

    def save(self) -> None:
        """Write the file now, and wait for the disk. Raises OSError."""
        self._write(self._next(), suffix="loop")

    async def persist(self) -> None:
        """Return once what has changed was written. A failure is logged; `run` tries again."""
        await self._write_changes()

    async def run(self) -> None:
        """Write what changes until cancelled; what changed last is for `save`."""
        while True:
            await self._dirty.wait()
            written = await self._write_changes()
            await trio.sleep(self.interval if written else self.retry)

    async def _write_changes(self) -> bool:
        """Whether all that has changed is in the file, where it may be already."""
        async with self._thread:
            if not self._dirty.is_set():
                return True
            self._dirty = trio.Event()
            written = False
            try:
                content = await self._next_in_steps()
                written = await threads.run_sync(self._try, content, lane="disk")
            finally:
                if not written:
                    self._dirty.set()
            return written

    def _next(self) -> tuple[int, bytes]:
        self._number += 1
        return self._number, encode(self._listed(), self.version)

    async def _next_in_steps(self) -> tuple[int, bytes]:
        """As `_next`, with others' turns in between: each topic as it is when it has its own."""
        self._number += 1
        number, listed = self._number, []
        for topic in self._listed():
            listed.append(topic)
            if len(listed) % STEP == 0:
                await trio.lowlevel.checkpoint()
        return number, encode(listed, self.version)

    def _listed(self) -> Iterator[str]:
        """Each topic as it is when its turn comes, but for those that are gone by then."""
        for topic in list(self.topics.values()):
            if not topic.ephemeral and self.topics.get(topic.name) is topic:
                yield encode_topic(topic)

    def _try(self, content: tuple[int, bytes]) -> bool:
        try:
            self._write(content, suffix="thread")
        except OSError as error:
            self._complain(error)
            return False
        self._error = ""
        return True

    def _complain(self, error: OSError) -> None:
        if str(error) != self._error:
            self._error = str(error)
            logger.error("failed to persist metadata - %s", error)

    def _write(self, content: tuple[int, bytes], *, suffix: str) -> None:
        number, data = content
        path = os.path.join(self.directory, FILE_NAME)
        logger.info("NSQ: persisting topic/channel metadata to %s", path)
        temporary = write_temporary(path, data, suffix=suffix, sync=True, fs=self.fs)
        with self._lock:
            if number > self._written:
                self.fs.replace(temporary, path)
                self._written = number
            else:
                self.fs.unlink(temporary)
        sync_directory(self.directory, self.fs)
