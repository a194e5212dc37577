"""Repair: a directory that nsqd refuses to start on, made into one that it starts on.

The original stays, under another name. Its copy has zeros for what the device does not return, and
a new state for each topic whose state can't be read: the channels that ``nsqd.dat`` knows, which
get again what is in the log and what the journal does not say they finished. Nothing of a
newer format is touched.
"""

import os
import re
import shutil

from nsqcore.classes import Factory, define
from nsqd.metadata.metadata_file import BadMetadata, load
from nsqd.rescue.checking import check
from nsqd.rescue.overlay import read_tolerantly
from nsqd.rescue.reading import DIRECTORY, NoFormat, open_directory, open_durable
from nsqd.storage.durable.format.batches import FLAG_PARKED
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.payloads import BadPayload, decode_changes, decode_fields
from nsqd.storage.durable.journal.files import Found, JournalFiles
from nsqd.storage.durable.log.finding import find
from nsqd.storage.durable.log.log import Cursor, TopicLog
from nsqd.storage.durable.log.segments import Segment, first_of
from nsqd.storage.durable.recovery import STATE
from nsqd.storage.durable.store import FORMAT, NewerFormat
from nsqd.storage.durable.topics.queue import attempts_of, id_of
from nsqd.storage.durable.topics.state import VERSION, BadState, ChannelState, InHand, TopicState
from nsqd.storage.files.durable_disk import Disk, OsDisk

STAGING = "durable.repairing"
ASIDE = "durable.damaged"
COPIED = 1 << 20  # bytes copied at a time

_FORMAT = "nsq-trio durable "
_TOPIC = re.compile(r"t\.(.+)\.(\d+)", re.DOTALL)
_STATE_MAGIC = b"nsqstat\n"


@define
class Repaired:
    """What was done, a line each, and where the original is; "" if nothing had to be done."""

    done: list[str] = Factory(list)
    aside: str = ""


def repair(data_path: str) -> Repaired:
    """Make ``data_path`` one that nsqd starts on.

    Raises:
        NothingDurable: there is nothing to repair.
        NewerFormat, UnknownFormat: made by a later nsqd: nothing is touched.
        OSError: the copy can't be made; the original is as it was.
    """
    if not _needs_repair(data_path):
        return Repaired()
    source, staging = os.path.join(data_path, DIRECTORY), os.path.join(data_path, STAGING)
    repaired = Repaired()
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _copy(source, staging, repaired)
        _mend_format(staging, repaired)
        _mend_states(data_path, staging, repaired)
        check(open_directory(staging))  # it can be started on, or this tells why not
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    repaired.aside = _free_name(data_path)
    os.rename(source, repaired.aside)
    os.rename(staging, source)
    OsDisk().sync_directory(data_path)
    return repaired


def _needs_repair(data_path: str) -> bool:
    try:
        opened = open_durable(data_path)
        check(opened)
    except (BadState, NoFormat):
        return True
    except NewerFormat:
        if _says_newer(os.path.join(data_path, DIRECTORY, FORMAT)):
            raise
        return True
    return bool(opened.disk.unreadable)


def _says_newer(path: str) -> bool:
    with open(path, "rb") as file:
        line = file.readline(100).decode("utf-8", "replace").strip()
    return line.startswith(_FORMAT) and line != _FORMAT + "1"


def _free_name(data_path: str) -> str:
    number = 1
    while os.path.exists(path := os.path.join(data_path, f"{ASIDE}.{number}")):
        number += 1
    return path


# ------------------------------------------------------------ the copy


def _copy(source: str, target: str, repaired: Repaired) -> None:
    disk = OsDisk()
    os.mkdir(target, 0o700)
    for entry in sorted(os.scandir(source), key=lambda each: each.name):
        copied = os.path.join(target, entry.name)
        if entry.is_dir(follow_symlinks=False):
            _copy(entry.path, copied, repaired)
        else:
            _copy_file(disk, entry.path, copied, repaired)
    disk.sync_directory(target)


def _copy_file(disk: Disk, source: str, target: str, repaired: Repaired) -> None:
    reads = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writes = disk.open(target, create=True)
        try:
            size, position = os.fstat(reads).st_size, 0
            while position < size:
                data, unreadable = read_tolerantly(reads, COPIED, position)
                repaired.done += [f"{source}: the block at {at} is zeros now" for at in unreadable]
                if not data:
                    break
                disk.write(writes, [data], position)
                position += len(data)
            disk.sync(writes)
        finally:
            disk.close(writes)
    finally:
        os.close(reads)


# ------------------------------------------------------------ what makes it start


def _mend_format(directory: str, repaired: Repaired) -> None:
    path = os.path.join(directory, FORMAT)
    try:
        with open(path, "rb") as file:
            if file.readline(100).strip() == f"{_FORMAT}1".encode():
                return
    except FileNotFoundError:
        pass
    files = JournalFiles(OsDisk(), directory)
    heads = [found.head.uuid for found in files.find() if found.head is not None]
    uuid = heads[-1] if heads else files.uuid
    OsDisk().replace(path, f"{_FORMAT}1\nuuid {uuid.hex()}\n".encode(), sync=True)
    repaired.done.append(f"{FORMAT} is written anew")


def _mend_states(data_path: str, directory: str, repaired: Repaired) -> None:
    for name in sorted(os.listdir(directory)):
        match = _TOPIC.fullmatch(name)
        path = os.path.join(directory, name, STATE)
        if match is None or not os.path.exists(path):
            continue
        with open(path, "rb") as file:
            content = file.read()
        try:
            TopicState.decode(content)
        except BadState as error:
            version = int.from_bytes(content[8:12], "little")
            if content.startswith(_STATE_MAGIC) and version > VERSION:
                raise NewerFormat(f"{path}: {error}") from None
            journal = JournalFiles(OsDisk(), directory).find()
            state = _state_from_log(data_path, match[1], int(match[2]), directory, name, journal)
            OsDisk().replace(path, state.encode(), sync=True)
            repaired.done.append(
                f"topic {state.name}: its state is made anew,"
                f" {len(state.channels)} channels get again what is in the log"
            )


def _state_from_log(
    data_path: str, topic: str, number: int, directory: str, name: str, journal: list[Found]
) -> TopicState:
    """The state of a topic of which only the log is known."""
    names = os.listdir(os.path.join(directory, name))
    first = min((n for each in names if (n := first_of(each)) is not None), default=1)
    try:
        known = [each for each in load(data_path) if each.name == topic]
    except BadMetadata:
        known = []
    listed = known[0].channels if known else ()
    # Numbers that the journal does not use: what it says of channels is not said of these.
    unused = _highest_channel(journal, number) + 1
    channels = [
        ChannelState(unused + at, channel.name, channel.paused, Cursor(first))
        for at, channel in enumerate(listed)
    ]
    log = TopicLog.open(OsDisk(), os.path.join(directory, name))
    log.parked = {segment.first for segment in log.segments if _is_parked(segment)}
    given = _given_to_one(log)
    for channel in channels:
        channel.live = dict(given)
    log.release()
    return TopicState(
        number,
        topic,
        flow=0 if channels else first,
        retired=first,
        paused=known[0].paused if known else False,
        next_channel=unused + len(channels),
        parked=sorted(log.parked),
        channels=channels,
    )


def _given_to_one(log: TopicLog) -> dict[int, InHand]:
    """What a cursor passes over, as one of the channels had got it at once: all channels get it."""
    found: dict[int, InHand] = {}
    for segment in log.segments:
        for _, batch in segment.batches(0):
            header = batch.header
            for ordinal, record in batch.records.items() if header.channel else ():
                place = ordinal if header.flags & FLAG_PARKED else 0
                found[id_of(record)] = InHand(place, attempts_of(record) - 1, header.due)
    published = find(log, [id for id, hand in found.items() if hand.ordinal])
    return {id: hand for id, hand in found.items() if id not in published}


def _is_parked(segment: Segment) -> bool:
    return any(batch.header.flags & FLAG_PARKED for _, batch in segment.batches(0))


def _highest_channel(journal: list[Found], topic: int) -> int:
    """The highest number of a channel of the topic with this number, in the journal."""
    highest = 0
    for entry in (entry for found in journal for entry in found.scan.entries):
        try:
            if entry.kind in (Kind.ACK, Kind.BACK, Kind.SENT):
                of, channel, _ = decode_changes(entry.kind, entry.payload)
            elif entry.kind == Kind.CHANNEL:
                fields = decode_fields(entry.payload)
                of, channel = int(fields.get("topic", 0)), int(fields.get("channel", 0))
            else:
                continue
        except (BadPayload, ValueError, TypeError):
            continue
        if of == topic:
            highest = max(highest, channel)
    return highest
