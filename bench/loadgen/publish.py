"""Publishing: every connection sends a batch, waits for its OK, sends the next.

A job ends after a time or after a count; a batch sent is always waited for, so that what
is reported was acknowledged.
"""

import math
import time
from typing import Any

from attrs import frozen

from bench.loadgen.link import Link, Links, address
from bench.loadgen.wire import (
    NOP,
    OK_FRAME,
    LoadError,
    count_acknowledged,
    identify,
    publish_command,
    take_frames,
)

GIVE_UP_AFTER = 30.0  # seconds without an answer; a server that syncs a full disk may take some


@frozen(kw_only=True)
class PublishJob:
    """What to publish: until ``count`` messages if given, otherwise for ``seconds``."""

    server: str
    topic: str
    size: int = 200
    batch: int = 200
    connections: int = 2
    seconds: float = 1.0
    count: int | None = None

    def commands(self) -> dict[int, bytes]:
        """The command for a full batch and for the last, smaller one; by number of messages."""
        sizes = {self.batch}
        if self.count is not None and self.count % self.batch:
            sizes.add(self.count % self.batch)
        return {n: publish_command(self.topic, [b"\0" * self.size] * n) for n in sizes}


def acknowledged(link: Link) -> int:
    """How many OKs have arrived on ``link``; heartbeats are answered."""
    data = link.receive()
    if data == OK_FRAME and not link.tail:  # the usual case, and the only hot one
        return 1
    frames, link.tail = take_frames(link.tail + data)
    oks, heartbeats = count_acknowledged(frames)
    if heartbeats:
        link.send(NOP * heartbeats)
    return oks


def publish(job: PublishJob) -> dict[str, Any]:
    """Run the job; the result says how many messages were acknowledged in what time."""
    links = Links()
    for _ in range(job.connections):
        links.connect(address(job.server), identify("bench-publisher"), answers=1)
    commands = job.commands()
    start = time.monotonic()
    end = start + job.seconds if job.count is None else math.inf
    left = job.count if job.count is not None else math.inf
    waiting: dict[Link, int] = {}
    total = 0

    def send_next(link: Link) -> None:
        nonlocal left
        size = int(min(job.batch, left))
        if size:
            left -= size
            waiting[link] = size
            link.send(commands[size])

    for link in links:
        send_next(link)
    now = start
    while waiting:
        for link in links.readable(1.0):
            if not acknowledged(link):
                continue
            size = waiting.pop(link)
            link.done += size
            total += size
            now = time.monotonic()
            if now < end:
                send_next(link)
        if time.monotonic() > now + GIVE_UP_AFTER:
            raise LoadError(f"no answer to {len(waiting)} batches for {GIVE_UP_AFTER:.0f} s")
    links.close()
    seconds = max(now - start, 1e-9)
    return {"count": total, "seconds": seconds, "rate": total / seconds}
