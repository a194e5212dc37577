"""Export: what is left in durable topics, as the files of plain ones, which any nsqd reads."""

import json
import os
from collections.abc import Callable
from typing import Any

from nsqcore.app.process.version import VERSION
from nsqcore.classes import define
from nsqcore.wire.headers import plain_record
from nsqd.metadata.metadata_file import FILE_NAME
from nsqd.rescue.reading import Opened
from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.atomic import sync_directory, write_temporary

# Messages written at a time.
BATCH = 1000
# The original's own limit of a size field.
MAX_RECORD_SIZE = (1 << 31) - 1


class TimersWouldBeDropped(Exception):
    """The files can't say when a message is due, and nobody allowed to forget it."""


@define
class Exported:
    """How many messages went to how many queues, and how many lost their time."""

    messages: int = 0
    queues: int = 0
    timers: int = 0


def export(
    opened: Opened,
    target: str,
    *,
    now: int,
    drop_timers: bool,
    warn: Callable[[str], None],
    reopen: Callable[[], Opened],
) -> Exported:
    """Write what ``opened`` has left to the directory ``target``, which is empty or made.

    ``now`` is the wall clock, in ns: what is due by then has no timer any more. What is due
    later is delivered at once by whoever reads the files. ``reopen`` opens the same once more.

    Raises:
        TimersWouldBeDropped: some messages are deferred, and not ``drop_timers``.
        OSError: ``target`` is not empty, or can't be written to.
    """
    if os.path.isdir(target) and os.listdir(target):
        raise OSError(f"{target} is not empty")
    exported = Exported()
    for topic in opened.found:
        exported.timers += sum(message.due > now for message in opened.messages(topic))
    if exported.timers and not drop_timers:
        raise TimersWouldBeDropped(
            f"{exported.timers} messages are deferred, which the files of plain topics can't say:"
            " with --drop-timers they are delivered at once"
        )
    os.makedirs(target, mode=0o700, exist_ok=True)
    store = DiskStore(target, max_record_size=MAX_RECORD_SIZE, warn=warn)
    again = reopen()  # what was read once is not read again
    for topic in again.found:
        queues: dict[str, DiskQueue] = {}
        batches: dict[str, list[bytes]] = {}
        names = ["", *(channel.name for channel in topic.state.channels)]
        for name in names:
            full = f"{topic.state.name}:{name}" if name else topic.state.name
            queues[name], batches[name] = DiskQueue(full, store), []
        for message in again.messages(topic):
            batch = batches[message.channel]
            batch.append(plain_record(message.record))
            exported.messages += 1
            if len(batch) >= BATCH:
                queues[message.channel].put(batch)
                batches[message.channel] = []
        for name, queue in queues.items():
            queue.put(batches[name])
            queue.close()
        exported.queues += len(queues)
    if (job := store.finish()) is not None:
        job()
    _write_metadata(again, target)
    return exported


def _write_metadata(opened: Opened, target: str) -> None:
    topics: list[dict[str, Any]] = []
    for topic in opened.found:
        channels = [
            {"name": channel.name, "paused": channel.paused} for channel in topic.state.channels
        ]
        topics.append(
            {"name": topic.state.name, "paused": topic.state.paused, "channels": channels or None}
        )
    content = json.dumps({"topics": topics or None, "version": VERSION}, separators=(",", ":"))
    path = os.path.join(target, FILE_NAME)
    os.replace(write_temporary(path, content.encode(), suffix="export", sync=True), path)
    sync_directory(target)
