"""Check: everything is read, and what is damaged is told."""

from collections.abc import Iterator
from typing import Any

from nsqcore.classes import Factory, define
from nsqd.rescue.reading import Opened
from nsqd.storage.durable.format.entries import HEAD_SIZE
from nsqd.storage.durable.log.segments import Segment
from nsqd.storage.durable.recovery import OpenTopic


@define(eq=False, repr=False)
class Findings:
    """What a check found. ``problems`` are what is damaged, a line each."""

    topics: list[dict[str, Any]] = Factory(list)
    entries: int = 0
    missing: int = 0
    damaged: int = 0
    lost: int = 0
    problems: list[str] = Factory(list)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": not self.problems,
            "topics": self.topics,
            "journal": {"entries": self.entries, "missing": self.missing},
            "damaged": self.damaged,
            "lost": self.lost,
            "problems": self.problems,
        }

    def to_text(self) -> str:
        """For people."""
        lines = []
        for topic in self.topics:
            lines.append(
                f"{topic['topic']} ({topic['durability']}): {topic['bytes']} bytes in"
                f" {topic['segments']} files, {topic['messages']} messages in them,"
                f" {topic['waiting']} wait for a channel"
            )
            for name, channel in topic["channels"].items():
                lines.append(f"  {name}: {channel['depth']} queued, {channel['deferred']} deferred")
        lines.append(f"journal: {self.entries} entries that the topics' own files have not")
        lines += [f"damage: {problem}" for problem in self.problems]
        if self.problems:
            lines.append(
                f"{self.damaged} messages can't be read, {self.lost} in the hand of channels,"
                f" {self.missing} entries of the journal are missing"
            )
        else:
            lines.append("no damage")
        return "\n".join(lines)


def check(opened: Opened) -> Findings:
    """Read every file of ``opened``. Raises OSError."""
    report = opened.report
    findings = Findings(entries=report.entries, missing=report.missing, damaged=report.damaged)
    unused = tuple(f"{path}: its head" for path in _unused_files(opened))
    findings.problems += [line for line in report.problems if not line.startswith(unused)]
    if report.missing:
        findings.problems.append(f"{report.missing} entries of the journal are missing")
    for topic in opened.found:
        _check_topic(opened, topic, findings)
    findings.problems += opened.disk.unreadable
    return findings


def _unused_files(opened: Opened) -> Iterator[str]:
    """The journal files that nsqd was killed over making: their heads are zeros still."""
    disk = opened.disk
    for found in opened.store.files.find():
        if found.head is None:
            descriptor = disk.open(found.path)
            head = disk.read(descriptor, HEAD_SIZE, 0)
            disk.close(descriptor)
            if not head.strip(b"\0"):
                yield found.path


def _check_topic(opened: Opened, topic: OpenTopic, findings: Findings) -> None:
    state, log = topic.state, topic.log
    messages = size = 0
    for segment in log.segments:
        found, end = _check_segment(segment, findings)
        messages += found
        size += end
    channels = {channel.name: {"depth": 0, "deferred": 0} for channel in state.channels}
    waiting = 0
    for message in opened.messages(topic):
        if message.channel:
            channels[message.channel]["deferred" if message.due else "depth"] += 1
        else:
            waiting += 1
    lost = opened.store.topics[state.name].lost
    if lost:
        findings.lost += lost
        findings.problems.append(
            f"topic {state.name}: {lost} messages that its channels had in hand can't be read"
        )
    findings.topics.append(
        {
            "topic": state.name,
            "durability": state.mode,
            "paused": state.paused,
            "segments": len(log.segments),
            "bytes": size,
            "messages": messages,
            "waiting": waiting,
            "channels": channels,
        }
    )


def _check_segment(segment: Segment, findings: Findings) -> tuple[int, int]:
    """How many messages of ``segment`` can be read, and where the last batch ends.

    Behind it there is room that was reserved, and never used.
    """
    position = messages = 0
    for begins, batch in segment.batches(0):
        if begins > position and not _is_empty(segment, position, begins):
            findings.problems.append(f"{segment.path}: bytes {position} to {begins} are damaged")
        if batch.damaged:
            findings.damaged += batch.damaged
            findings.problems.append(
                f"{segment.path}: {batch.damaged} messages of the batch at {begins} are damaged"
            )
        messages += len(batch.records)
        position = begins + batch.header.size
    if not messages and segment.size and not _is_empty(segment, 0, segment.size):
        findings.problems.append(f"{segment.path}: no message in it can be read")
    return messages, position


def _is_empty(segment: Segment, start: int, stop: int) -> bool:
    """Whether nothing was ever written there: the journal refused what was to come."""
    while start < stop:
        block = segment.disk.read(segment.descriptor, min(1 << 20, stop - start), start)
        if block.strip(b"\0"):
            return False
        start += len(block) or stop
    return True
